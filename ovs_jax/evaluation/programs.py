"""The compiled programs of a model, shared by all segmenters that have it."""

from functools import lru_cache
from typing import Any, NamedTuple

import jax
from jaxtyping import Array

from ovs_jax.evaluation.painting import BackgroundRule, add_background, group_scores
from ovs_jax.nn import functional


class Programs(NamedTuple):
    """Jitted functions of (params, statistics, input), but ``tables``.

    Attributes:
      features: windows to what segmentation needs of them.
      image: whole images to projected embeddings.
      text: token ids and mask to projected embeddings.
      tables: the class scores of groups, with the background first if there is a threshold.
    """

    features: Any
    image: Any
    text: Any
    tables: Any


@lru_cache(maxsize=16)
def programs(static: functional.Static) -> Programs:
    """Those of a model; nothing is compiled twice."""

    def features(
        params: functional.Tree, stats: functional.Tree, windows: Array
    ) -> tuple[Array, Array, Array]:
        found = functional.bind(static, params, stats).segment_features(windows)
        return found.image_embedding, found.group_embeddings, found.group_maps

    def image(params: functional.Tree, stats: functional.Tree, images: Array) -> Array:
        model = functional.bind(static, params, stats)
        return model.project_image(model.encode_image(images).pooled)

    def text(params: functional.Tree, stats: functional.Tree, ids: Array, mask: Array) -> Array:
        model = functional.bind(static, params, stats)
        return model.project_text(model.encode_text({"ids": ids, "mask": mask}).pooled)

    def tables(
        scale: Array,
        image: Array,
        groups: Array,
        unit: Array,
        threshold: Array | None,
        rule: BackgroundRule,
    ) -> Array:
        scores = group_scores(image, groups, unit, scale=scale)
        return scores if threshold is None else add_background(scores, threshold, rule=rule)

    return Programs(
        jax.jit(features), jax.jit(image), jax.jit(text), jax.jit(tables, static_argnames="rule")
    )
