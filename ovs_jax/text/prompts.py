"""Sentences made of names: prompts for classes, and prompts for the nouns of a caption.

Facts: the 80 templates are CLIP's for ImageNet; GroupViT section 3.2 (multi-label contrast with
  prompted text).
"""

from collections.abc import Sequence

import numpy as np

from ovs_jax.text.assets import asset_json
from ovs_jax.text.nouns import nouns

TEMPLATE_SETS = (
    "full", "subset", "simple", "identity", "scene", "scene_subset", "regions",
)  # fmt: skip
"""The shipped template sets: 80 templates, 7 of them, ``a photo of a {}.`` alone, and the bare
name; ZegFormer's ``A photo of a {} in the scene`` alone, with 7 others, and the 32 that its masks
are classified with by CLIP."""
SYNONYMS = ", "
"""What stands between the names of one class, as in ``river, stream``."""


def templates(name: str) -> tuple[str, ...]:
    """A shipped set of prompt templates, each with one ``{}`` where the name goes.

    Raises:
      ValueError: no such set.
    """
    if name not in TEMPLATE_SETS:
        raise ValueError(f"prompt templates '{name}' are unknown; expected one of {TEMPLATE_SETS}")
    return tuple(asset_json("prompt_templates.json")[name])


TEMPLATES = templates("full")
"""The 80 templates."""


def fill(template: str, name: str) -> str:
    """Puts a name into a template. The name is taken as it is, braces included.

    Raises:
      ValueError: the template has not exactly one ``{}``.
    """
    if template.count("{}") != 1:
        raise ValueError(f"prompt template '{template}': expected exactly one '{{}}'")
    return template.replace("{}", name)


def class_prompts(name: str, templates: Sequence[str]) -> tuple[str, ...]:
    """One prompt a template for a class name."""
    return tuple(fill(template, name) for template in templates)


def synonyms(name: str) -> tuple[str, ...]:
    """The names of a class, which stand between commas with a blank (ADE20K's full list).

    Raises:
      ValueError: one of them is empty.
    """
    found = tuple(name.split(SYNONYMS))
    if not all(part.strip() for part in found):
        raise ValueError(
            f"class name '{name}': expected a name, or several with '{SYNONYMS}' between them; "
            f"got {list(found)}"
        )
    return found


def noun_prompts(
    caption: str,
    rng: np.random.Generator,
    *,
    count: int,
    templates: Sequence[str] = TEMPLATES,
    words: Sequence[str] | None = None,
) -> tuple[str, ...]:
    """Prompts for the nouns of a caption, for GroupViT's multi-label loss.

    Up to ``count`` nouns are drawn without replacement and each is put into a template drawn at
    random. A caption with fewer nouns repeats itself in the places that are left, so that every
    prompt describes its image.

    Args:
      caption: a sentence.
      rng: the only source of chance.
      count: how many prompts to return.
      templates: to draw from.
      words: distinct words to take for the caption's nouns; its `nouns` if None.

    Returns:
      ``count`` texts.
    """
    found = nouns(caption) if words is None else words
    chosen: list[int] = rng.permutation(len(found))[:count].tolist()
    prompts = [fill(templates[int(rng.integers(len(templates)))], found[index]) for index in chosen]
    return tuple(prompts + [caption] * (count - len(prompts)))
