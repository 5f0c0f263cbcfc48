"""Turns images with captions into shards that every command reads quickly.

SOURCE is one of
  a folder with webdataset tars or Parquet files, as img2dataset writes them, or such a file
  a folder of images with text files of the same name beside them, or with captions.json
  a CSV, TSV, JSON, JSONL or Parquet table of image files (or Parquet with the images) and captions
  a table of captions and addresses (Conceptual Captions) whose images img2dataset has downloaded
  tfds:NAME or tfds:NAME:SPLIT, prepared as ArrayRecord
  a folder that was ingested before
What cannot be used is left out, counted in OUT/manifest.json and listed in OUT/dropped.jsonl. The
number of workers changes the speed only; a run that was killed goes on with --resume.

Examples:
  ovs-jax data ingest cc12m/ shards/cc12m --workers 16
        the folder that img2dataset --output_format webdataset has filled
  ovs-jax data ingest photos.tsv shards/mine --image-column file --caption-column text
  ovs-jax data ingest Train_GCC-training.tsv shards/cc3m --images cc3m-files
        rows of caption and address, files where img2dataset --output_format files put them
  ovs-jax data ingest list.csv shards/mine --images pictures --name-pattern "{url_name}"
        the same, but every file is called as in its address
  ovs-jax data ingest /mnt/cc12m /mnt/shards --beam="--runner=FlinkRunner --flink_master=host:8081"
  ovs-jax data ingest tfds:coco_captions:train shards/coco --caption-column captions/text
"""

import argparse
import os
import shlex

from ovs_jax.data.ingest import IngestOptions, ingest

_DEFAULTS = IngestOptions()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options of ``ovs-jax data ingest``."""
    parser.add_argument("source", metavar="SOURCE", help="what you have; see below")
    parser.add_argument("out", metavar="OUT", help="the new folder of shards")
    parser.add_argument("--resume", action="store_true", help="go on with what was interrupted")
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count() or 1, help="processes (one a core)"
    )
    parser.add_argument(
        "--image-column", default=_DEFAULTS.image_column, help="column of image files or bytes"
    )
    parser.add_argument("--caption-column", default=_DEFAULTS.caption_column)
    parser.add_argument(
        "--images", metavar="DIR", help="what image names are relative to (the table's folder)"
    )
    parser.add_argument(
        "--name-pattern",
        default=_DEFAULTS.name_pattern,
        help="image file of a row that has an address; may use {row}, {shard}, {sample}, {key} "
        "and {url_name} (default: %(default)s, as img2dataset does it)",
    )
    parser.add_argument("--data-dir", help="where TFDS data sets are")
    parser.add_argument(
        "--records-per-shard",
        type=int,
        default=_DEFAULTS.records_per_shard,
        help="images a shard is made from; a tar is one shard (default: %(default)s)",
    )
    parser.add_argument(
        "--max-pixels",
        type=int,
        default=_DEFAULTS.max_pixels,
        help="refuse larger images (default: %(default)s)",
    )
    parser.add_argument(
        "--max-bad-share",
        type=float,
        default=_DEFAULTS.max_bad_share,
        help="stop if a larger share cannot be used (default: %(default)s); images that were "
        "never downloaded do not count",
    )
    parser.add_argument(
        "--beam",
        metavar="OPTIONS",
        help="run on Apache Beam with these pipeline options, as in --beam='--runner=FlinkRunner'; "
        "SOURCE and OUT must be on a file system that all its workers have mounted",
    )
    parser.add_argument(
        "--no-verify",
        dest="verify",
        action="store_false",
        help="read only the header of images: quicker, but damage is found in training",
    )


def run(arguments: argparse.Namespace) -> int:
    """Ingests, and prints what the new folder holds.

    Args:
      arguments: parsed by a parser that `add_arguments` prepared.

    Returns:
      The exit status.

    Raises:
      ValueError, OSError: see `ovs_jax.data.ingest.ingest`.
    """
    options = IngestOptions(
        image_column=arguments.image_column,
        caption_column=arguments.caption_column,
        images=arguments.images,
        name_pattern=arguments.name_pattern,
        data_dir=arguments.data_dir,
        records_per_shard=arguments.records_per_shard,
        verify=arguments.verify,
        max_pixels=arguments.max_pixels,
        max_bad_share=arguments.max_bad_share,
        workers=arguments.workers,
        resume=arguments.resume,
        progress=True,
    )
    if arguments.beam is None:
        manifest = ingest(arguments.source, arguments.out, options)
    else:
        from ovs_jax.data.ingest.beam import ingest_with_beam  # an extra, and slow to import

        pipeline = shlex.split(arguments.beam)
        manifest = ingest_with_beam(arguments.source, arguments.out, options, pipeline=pipeline)
    print(
        f"{arguments.out}: {manifest.kept} of {manifest.read} records, {len(manifest.shards)} "
        f"shards, {manifest.bytes / 1e6:.1f} MB"
    )
    for reason, count in manifest.dropped.items():
        print(f"  dropped {count} × {reason}")
    return 0
