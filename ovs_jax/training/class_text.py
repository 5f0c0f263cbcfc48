"""What class names are embedded with where the model itself has no text encoder."""

from pathlib import Path

import jax

from ovs_jax.data.synthetic import attributes
from ovs_jax.evaluation.mask_segmenter import (
    BoundModel,
    ClassEmbedder,
    ClipClassifier,
    PlainEmbedder,
)
from ovs_jax.models import registry
from ovs_jax.models.vision.config import ClipConfig
from ovs_jax.text.tokenizers import Tokenizer
from ovs_jax.training import checkpoint
from ovs_jax.training.labelled_config import ATTRIBUTES


def class_embedder(text: str, *, field: str = "data.text") -> ClassEmbedder:
    """What embeds class names.

    Args:
      text: ``attributes``, or the folder of a converted CLIP.
      field: what to call ``text`` in an error.

    Raises:
      FileNotFoundError: there is no such folder.
      ValueError: it holds no CLIP with a tokenizer.
    """
    return PlainEmbedder(attributes.embed) if text == ATTRIBUTES else load_clip(text, field=field)


def load_clip(path: str | Path, *, field: str = "clip") -> ClipClassifier:
    """Loads a CLIP that ``ovs-jax convert clip`` made.

    Args:
      path: its folder.
      field: what to call it in an error.

    Raises:
      FileNotFoundError: there is no checkpoint in the folder.
      ValueError: it is no CLIP, or was converted without a tokenizer.
    """
    stored = checkpoint.read(path, field=field)
    config = registry.any_from_dict(stored.metadata["model"])
    if not isinstance(config, ClipConfig):
        raise ValueError(
            f"{field}: {stored.folder} holds a {registry.model_name(config)}, expected clip"
        )
    if not stored.metadata["tokenizer"]:
        raise ValueError(
            f"{field}: {stored.folder} was converted without a tokenizer, and class names cannot "
            "be read; convert it again with --tokenizer"
        )
    arrays = jax.device_put(stored.weights)
    return ClipClassifier(
        model=BoundModel(registry.shapes(config)[0], arrays["params"], arrays["stats"]),
        tokenizer=Tokenizer.from_dict(stored.metadata["tokenizer"]),
        text_length=config.text.length,
    )
