"""Ingest: what people have becomes a folder of shards that every command reads.

`ingest` does it on one machine, `ovs_jax.data.ingest.beam` on many; both give the same bytes.
"""

from ovs_jax.data.ingest.entries import RecordFilter
from ovs_jax.data.ingest.options import IngestOptions
from ovs_jax.data.ingest.run import ingest
from ovs_jax.data.manifest import Manifest

__all__ = ["IngestOptions", "Manifest", "RecordFilter", "ingest"]
