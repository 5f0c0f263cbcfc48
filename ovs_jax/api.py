"""The Python API: a trained model in one line.

Example:
    segmenter = ovs_jax.load("runs/quickstart/stage2")
    result = segmenter.segment("photo.jpg", ["dog", "sofa"])
    result.labels, result.scores, result.groups, result.draw()

Everything else a segmenter can do stands in `ovs_jax.evaluation.segmenter`.
"""

from pathlib import Path

from ovs_jax.evaluation.segmenter import Segmenter
from ovs_jax.evaluation.sliding import Geometry
from ovs_jax.models import registry
from ovs_jax.nn import functional
from ovs_jax.text.tokenizers import Tokenizer
from ovs_jax.training.checkpoint import load_model


def load(path: str | Path, *, geometry: Geometry | None = None) -> Segmenter:
    """Loads a trained model as a segmenter.

    Args:
      path: a run's folder, of which the best checkpoint is taken (the newest if none was
        evaluated), or one step's folder.
      geometry: the size at which images are looked at. By default photos are seen in windows of
        twice the training size, as in the published evaluations (448 for models trained at 224);
        models of the synthetic world see images at the size of its scenes.

    Returns:
      A segmenter; see `Segmenter.segment`.

    Raises:
      FileNotFoundError: there is no usable checkpoint at the path.
      ValueError: the arrays do not fit the model's config.
    """
    loaded = load_model(path)
    static, _, _ = functional.abstract(registry.build(loaded.model_config))
    data = loaded.config["data"]
    trained = loaded.model_config.encoder.image_size
    size = trained * (1 if data["source"] == "synthetic" else 2)
    return Segmenter(
        static,
        loaded.params,
        loaded.stats,
        tokenizer=Tokenizer.from_dict(loaded.tokenizer),
        text_length=data["text_length"],
        geometry=geometry or Geometry(window=size, stride=size // 2, short_side=size),
        image_size=trained,
    )
