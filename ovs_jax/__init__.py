"""Open-vocabulary semantic segmentation learned from captions, in JAX.

``ovs_jax.load(path)`` gives a segmenter for a trained checkpoint. Nothing heavy is imported before
it is asked for, so that input workers can import ``ovs_jax.data`` without JAX.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from ovs_jax.api import load as load
    from ovs_jax.evaluation.segmenter import Segmentation as Segmentation
    from ovs_jax.evaluation.segmenter import Segmenter as Segmenter

_PUBLIC = {
    "load": "ovs_jax.api",
    "Segmenter": "ovs_jax.evaluation.segmenter",
    "Segmentation": "ovs_jax.evaluation.segmenter",
}
__all__ = ["Segmentation", "Segmenter", "__version__", "load"]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'ovs_jax' has no attribute '{name}'")
