"""The public benchmarks: read from the folders of their official downloads, or prepared.

`open_benchmark` reads any of them by name; `BENCHMARKS` says which there are.
"""

from ovs_jax.data.benchmarks.catalogue import BENCHMARKS, Benchmark, View, find_view, open_benchmark
from ovs_jax.data.benchmarks.conversion import IGNORE, IGNORE_16_BIT
from ovs_jax.data.benchmarks.folders import LabelledPhotos, open_labelled_folders, open_voc

__all__ = [
    "BENCHMARKS",
    "IGNORE",
    "IGNORE_16_BIT",
    "Benchmark",
    "LabelledPhotos",
    "View",
    "find_view",
    "open_benchmark",
    "open_labelled_folders",
    "open_voc",
]
