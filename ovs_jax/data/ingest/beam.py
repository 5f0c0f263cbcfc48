"""The same ingest on Apache Beam: Dataflow, Flink, Spark, or the direct runner.

Every part of the source is one element, done by the same function as on one machine, so that the
shards are the same, byte for byte (the files of captions too, with the same pyarrow). The source
and the folder of shards are ordinary paths, on a file system that all workers have mounted. A
pipeline that failed goes on with ``options.resume``.

Needs the extra ``beam``.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

try:
    import apache_beam as beam
    from apache_beam.metrics import Metrics
    from apache_beam.options.pipeline_options import PipelineOptions
except ImportError as error:
    raise ImportError("Apache Beam is not installed: pip install 'ovs-jax[beam]'") from error

from ovs_jax.data.ingest.entries import RecordFilter
from ovs_jax.data.ingest.options import IngestOptions
from ovs_jax.data.ingest.readers import Part
from ovs_jax.data.ingest.run import ingest
from ovs_jax.data.ingest.work import PartReport, Work
from ovs_jax.data.manifest import Manifest


def ingest_with_beam(
    source: str | Path,
    out: str | Path,
    options: IngestOptions,
    *,
    keep: RecordFilter | None = None,
    pipeline: Sequence[str] = (),
) -> Manifest:
    """Does what `ovs_jax.data.ingest.ingest` does, with a Beam pipeline.

    Args:
      source: as there.
      out: as there.
      options: as there; ``workers`` has no meaning, the pipeline has its own.
      keep: as there: any choice by record, such as by the entities of its caption.
      pipeline: options of Beam, such as ``--runner=DirectRunner``.

    Returns:
      What the folder now holds.

    Raises:
      FileNotFoundError, ValueError, OSError: as there; and what the pipeline raises.
    """
    do = partial(_reports, PipelineOptions(list(pipeline)))
    return ingest(source, out, options, keep=keep, do=do)


class DoPart(beam.DoFn):
    """Makes a shard from a part.

    Args:
      work: what is to be done.
    """

    def __init__(self, work: Work):
        super().__init__()
        self._work = work
        self._entries = Metrics.counter("ovs_jax", "entries")

    def process(self, element: Part) -> Iterator[int]:
        """Writes the shard and its report; yields the index of the part."""
        self._work.do(element, count=self._entries.inc)
        yield element.index


def _reports(
    pipeline_options: PipelineOptions,
    work: Work,
    parts: Sequence[Part],
    *,
    count: Callable[[int], Any],
) -> Iterator[PartReport]:
    if parts:
        with beam.Pipeline(options=pipeline_options) as pipeline:
            # Reshuffled, so that parts are spread over the workers and not fused with their list.
            listed = pipeline | beam.Create(list(parts)) | beam.Reshuffle()
            _ = listed | beam.ParDo(DoPart(work))
    for part in parts:
        report = work.done(part)
        if report is None:
            raise OSError(
                f"{work.out}: the report of part {part.index} is missing; is the folder on a file "
                "system that all workers have mounted?"
            )
        count(report.entries)
        yield report
