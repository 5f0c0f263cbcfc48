"""Which reader a source needs."""

from pathlib import Path

from ovs_jax.data.ingest.files import FolderReader, SourceReader, open_list
from ovs_jax.data.ingest.options import IngestOptions
from ovs_jax.data.ingest.parquet import ParquetReader
from ovs_jax.data.ingest.readers import Reader
from ovs_jax.data.ingest.tables import ROW_SUFFIXES, Locations, open_rows
from ovs_jax.data.ingest.tars import TAR_SUFFIXES, TarReader, is_tar, tar_files
from ovs_jax.data.manifest import MANIFEST, PROGRESS
from ovs_jax.data.parquet import find_columns, open_parquet
from ovs_jax.data.sources import TFDS_PREFIX, folder_images, keyed_images, open_image_text

FILE_SUFFIXES = (*ROW_SUFFIXES, ".json", ".parquet", *TAR_SUFFIXES)


def open_reader(source: str, options: IngestOptions) -> Reader:
    """Finds out what a source is.

    Of a folder these are looked for, in this order: ``manifest.json`` (it is ingested already, and
    can be filtered), tar files, Parquet files with images, ``captions.json``, images with text
    files beside them, Parquet files that name images.

    Args:
      source: ``tfds:NAME:SPLIT``, a folder or a file.
      options: see `IngestOptions`.

    Returns:
      A reader of it.

    Raises:
      FileNotFoundError: there is no such source.
      ValueError: it is of no kind that can be read.
    """
    size = options.records_per_shard
    if source.startswith(TFDS_PREFIX):
        opened = open_image_text(
            source,
            image_column=options.image_column,
            caption_column=options.caption_column,
            data_dir=options.data_dir,
        )
        return SourceReader(opened, size)
    path = Path(source)
    if path.is_dir():
        return _folder_reader(path, options)
    if not path.is_file():
        raise FileNotFoundError(f"source {source}: there is no such file or folder")
    if is_tar(path):
        return TarReader((path,), options.caption_column)
    suffix = path.suffix.lower()
    if suffix == ".json":
        folder = Path(options.images) if options.images else keyed_images(path)
        return open_list(
            path,
            caption_column=options.caption_column,
            folder=folder,
            locations=_locations(path.parent, options),
            rows_a_part=size,
        )
    if suffix in ROW_SUFFIXES:
        return open_rows(
            path,
            caption_column=options.caption_column,
            locations=_locations(path.parent, options),
            rows_a_part=size,
        )
    if suffix == ".parquet":
        return _parquet_reader([path], options)
    raise ValueError(f"source {source}: expected a folder or one of {FILE_SUFFIXES}")


def _folder_reader(folder: Path, options: IngestOptions) -> Reader:
    if (folder / MANIFEST).is_file() or (folder / PROGRESS).is_dir():
        return SourceReader(open_image_text(folder), options.records_per_shard)
    if tars := tar_files(folder):
        return TarReader(tuple(tars), options.caption_column)
    tables = sorted(folder.glob("*.parquet"))
    if any(_has_images(table, options) for table in tables):
        return _parquet_reader(tables, options)
    if (folder / "captions.json").is_file():
        return open_reader(str(folder / "captions.json"), options)
    if next(folder_images(folder), None) is not None:
        return FolderReader(folder, options.records_per_shard)
    if tables:
        return _parquet_reader(tables, options)
    found = sorted(file.name for file in folder.iterdir())[:8]
    raise ValueError(
        f"source {folder}: looked for {MANIFEST}, tar files, Parquet files, captions.json and "
        f"images with text files, found {found or 'nothing'}"
    )


def _parquet_reader(files: list[Path], options: IngestOptions) -> Reader:
    return ParquetReader(
        tuple(files),
        options.caption_column,
        _locations(files[0].parent, options),
        options.records_per_shard,
    )


def _locations(folder: Path, options: IngestOptions) -> Locations:
    if options.images is not None and not Path(options.images).is_dir():
        raise FileNotFoundError(f"images: folder {options.images} does not exist")
    folder = folder if options.images is None else Path(options.images)
    return Locations(folder, options.image_column, options.name_pattern)


def _has_images(table: Path, options: IngestOptions) -> bool:
    try:
        with open_parquet(table) as file:
            found = find_columns(
                file.schema_arrow,
                image_column=options.image_column,
                caption_column=options.caption_column,
            )
    except (ValueError, OSError):  # pyarrow's own errors are of these
        return False
    return found.image is not None
