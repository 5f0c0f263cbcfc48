"""What can be chosen when data is ingested."""

from dataclasses import dataclass
from typing import Any

from ovs_jax.data.images import HIGHEST_MAX_PIXELS, MAX_PIXELS


@dataclass(frozen=True)
class IngestOptions:
    """How a source is read, which of its entries are kept, and how the work is done.

    Attributes:
      image_column: the column, field or feature of image files or bytes.
      caption_column: the column, field or feature of captions; ``/`` leads into a TFDS feature.
      images: the folder that the image names of a table are relative to; the table's if None.
      name_pattern: the image file of a row of a table that has addresses in place of files. It may
        use ``{row}`` (from 0), ``{shard}`` (of 10000 rows), ``{sample}`` (within it), ``{key}``
        (the column ``key``; else shard and sample, five and four digits) and ``{url_name}`` (the
        last part of the address). The default is where img2dataset puts it.
      data_dir: where TFDS data sets are; its own default if None.
      records_per_shard: entries a shard is made from. A tar file is always one shard.
      verify: decode every image. Otherwise only its header is read.
      max_pixels: images with more are refused before they are decoded; training, too, refuses
        those with more than `MAX_PIXELS`.
      max_bad_share: stop if a larger share of the entries cannot be used.
      workers: processes; 0 and 1 do everything in this one. Their number changes no output.
      resume: go on with an ingest that was interrupted.
      progress: show a bar.
    """

    image_column: str = "image"
    caption_column: str = "caption"
    images: str | None = None
    name_pattern: str = "{shard:05d}/{key}.jpg"
    data_dir: str | None = None
    records_per_shard: int = 10_000
    verify: bool = True
    max_pixels: int = MAX_PIXELS
    max_bad_share: float = 0.1
    workers: int = 1
    resume: bool = False
    progress: bool = False

    def __post_init__(self) -> None:
        for name, least in {"records_per_shard": 1, "max_pixels": 1, "workers": 0}.items():
            if getattr(self, name) < least:
                raise ValueError(f"{name}: expected at least {least}, got {getattr(self, name)}")
        if self.max_pixels > HIGHEST_MAX_PIXELS:
            raise ValueError(
                f"max_pixels: expected at most {HIGHEST_MAX_PIXELS}, got {self.max_pixels}"
            )
        if not 0 <= self.max_bad_share <= 1:
            raise ValueError(f"max_bad_share: expected 0 to 1, got {self.max_bad_share}")

    def deciding(self) -> dict[str, Any]:
        """Those that decide what the records are, for the manifest."""
        names = ("image_column", "caption_column", "images", "name_pattern", "data_dir")
        rest = ("records_per_shard", "verify", "max_pixels")
        return {name: getattr(self, name) for name in (*names, *rest)}
