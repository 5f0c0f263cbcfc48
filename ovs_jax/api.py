"""The Python API: a trained model in one line.

Example:
    segmenter = ovs_jax.load("runs/quickstart/stage2")  # or what ``ovs-jax convert`` made
    result = segmenter.segment("photo.jpg", ["dog", "sofa"])
    result.labels, result.scores, result.groups, result.draw()

Everything else a segmenter can do stands in `ovs_jax.evaluation.segmenter`.
"""

from pathlib import Path

from ovs_jax.conversion.zoo import find
from ovs_jax.evaluation.group_segmenter import GroupSegmenter
from ovs_jax.evaluation.segmenter import Segmenter
from ovs_jax.evaluation.sliding import Geometry
from ovs_jax.models import registry
from ovs_jax.nn import functional
from ovs_jax.text.tokenizers import Tokenizer
from ovs_jax.training.checkpoint import load_model


def load(name_or_path: str | Path, *, geometry: Geometry | None = None) -> Segmenter:
    """Loads a trained model as a segmenter.

    Args:
      name_or_path: a run's folder, of which the best checkpoint is taken (the newest if none was
        evaluated), one step's folder, a folder that ``ovs-jax convert`` made, or a name that
        ``ovs-jax zoo`` lists, if its weights were converted into ``weights/NAME``.
      geometry: the size at which images are looked at. By default photos are seen in windows of
        twice the training size, as in the published evaluations (448 for models trained at 224);
        models of the synthetic world see images at the size of its scenes.

    Returns:
      A segmenter; see `Segmenter.segment`.

    Raises:
      FileNotFoundError: there is no usable checkpoint at the path.
      ValueError: the arrays do not fit the model's config, it is an encoder alone, or it was
        converted without a tokenizer.
    """
    loaded = load_model(find(name_or_path))
    if not loaded.tokenizer:
        raise ValueError(
            f"checkpoint {loaded.folder}: it was converted without a tokenizer, and class names "
            "cannot be read; convert it again with --tokenizer"
        )
    static, _, _ = functional.abstract(registry.build(loaded.model_config))
    data = loaded.config["data"]
    trained = loaded.model_config.encoder.image_size
    size = trained * (1 if data["source"] == "synthetic" else 2)
    return GroupSegmenter(
        static,
        loaded.params,
        loaded.stats,
        tokenizer=Tokenizer.from_dict(loaded.tokenizer),
        text_length=data["text_length"],
        geometry=geometry or Geometry(window=size, stride=size // 2, short_side=size),
        image_size=trained,
    )
