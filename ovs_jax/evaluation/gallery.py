"""A page of scenes: the image, its groups, what was predicted and what is true."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8

from ovs_jax.data.records import Source
from ovs_jax.evaluation.evaluator import load_scenes
from ovs_jax.evaluation.segmenter import AnyProtocol, Segmenter
from ovs_jax.viz.contact_sheet import Scene, contact_sheet
from ovs_jax.viz.palette import distinct_palette


def draw_gallery(
    segmenter: Segmenter,
    source: Source,
    protocol: AnyProtocol,
    *,
    indices: Sequence[int],
    titles: Sequence[str] = (),
    columns: int = 2,
    cell: int = 160,
    batch_size: int = 8,
) -> UInt8[np.ndarray, "h w 3"]:
    """Segments some labelled images and draws them side by side.

    Args:
      segmenter: the model.
      source: records with ``image``, ``label`` and ``key``.
      protocol: how they are segmented.
      indices: which images, in order.
      titles: what stands above each; nothing if empty.
      columns: scenes side by side.
      cell: the longer side of a picture in pixels.
      batch_size: see `Segmenter.paintings`.

    Returns:
      The page, with a legend of the classes that occur.
    """
    rules = segmenter.judged_by(protocol)
    prepared = load_scenes(source, indices, protocol, looked_at=rules)
    painted = segmenter.paintings(prepared, rules, batch_size=batch_size)
    scenes = []
    for (scene, painting), title in zip(painted, titles or [""] * len(indices), strict=True):
        found = painting.labels()
        scenes.append(Scene(scene.image, found.groups, found.labels, scene.truth, title))
    names = rules.classes.names
    palette = distinct_palette(len(names), background=rules.classes.has_background)
    return contact_sheet(scenes, names, palette=palette, columns=columns, cell=cell)
