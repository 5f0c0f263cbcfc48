"""Image-text data sets of TensorFlow Datasets, read without TensorFlow."""

import os
from collections.abc import Sequence
from typing import Any

import tensorflow_datasets as tfds

from ovs_jax.data.records import BadRecordError, CaptionSource


def open_tfds(
    name: str, *, image_column: str, caption_column: str, data_dir: str | None = None
) -> CaptionSource:
    """Opens a data set that `tensorflow_datasets` has prepared as ArrayRecord.

    Args:
      name: ``tfds:NAME`` or ``tfds:NAME:SPLIT`` (``train`` if not given), where NAME may have a
        config and a version, as in ``coco_captions/2014:1.1.0``.
      image_column: the feature of images.
      caption_column: the feature of captions, text or lists of text; ``captions/text`` is the
        feature ``text`` within ``captions``.
      data_dir: where the data sets are; its own default if None.

    Returns:
      One record a caption.

    Raises:
      FileNotFoundError: the data set has not been prepared there.
      ValueError: it has no such split or features, or it was prepared in another format.
    """
    _, _, rest = name.partition(":")
    data_set, split = rest, "train"
    head, colon, tail = rest.rpartition(":")
    if colon and not tail[:1].isdigit():  # else it is a version
        data_set, split = head, tail
    try:
        builder = tfds.builder(data_set, data_dir=data_dir)
    except (tfds.core.DatasetNotFoundError, ValueError) as error:
        raise FileNotFoundError(
            f"{name}: no data set '{data_set}' in {data_dir or 'the default data_dir of tfds'}"
        ) from error
    folder = os.fspath(builder.data_path)
    if not builder.is_prepared():
        raise FileNotFoundError(f"{name}: {folder} has not been prepared")
    kind = builder.info.file_format
    if kind is None or kind.value != "array_record":
        raise ValueError(
            f"{name}: expected file format array_record, got {kind and kind.value}; prepare it "
            "with file_format='array_record'"
        )
    if split not in builder.info.splits:
        raise ValueError(f"{name}: expected a split of {list(builder.info.splits)}, got '{split}'")
    features: Any = builder.info.features
    for column in (image_column, caption_column.split("/")[0]):
        if column not in features:
            raise ValueError(f"{name}: expected the feature '{column}', found {list(features)}")
    return TfdsCaptions(folder, split, image_column=image_column, caption_column=caption_column)


class TfdsCaptions:
    """Images with captions from a prepared data set; a source.

    All captions are read once when it is opened. The data files are opened when a record is first
    asked for, in each process for itself.

    Args:
      folder: of the prepared data set, with its version.
      split: of the data set.
      image_column: the feature of images.
      caption_column: the feature of captions; see `open_tfds`.
    """

    def __init__(self, folder: str, split: str, *, image_column: str, caption_column: str):
        self._folder, self._split = folder, split
        self._image, self._caption = image_column, caption_column
        self._images: Any = None
        self._rows: list[int] = []
        self._captions: list[str] = []
        self._undecodable: set[int] = set()
        path = caption_column.split("/")
        for row, example in enumerate(self._open()):
            value: Any = example
            for name in path:
                value = value[name]
            for caption in [value] if isinstance(value, str | bytes) else value:
                self._rows.append(row)
                text = caption if isinstance(caption, bytes) else caption.encode()
                self._captions.append(text.decode("utf-8", "replace"))
                if self._captions[-1].encode() != text:
                    self._undecodable.add(len(self._rows) - 1)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """The encoded image, its caption and its place as key.

        Raises:
          BadRecordError: the record cannot be read, or its caption is not UTF-8.
        """
        key = f"{self._folder}:{self._split}:{self._rows[index]}"
        if index in self._undecodable:
            raise BadRecordError(key, "caption is not UTF-8 text")
        if self._images is None:
            self._images = self._open()
        try:
            image = self._images[self._rows[index]][self._image]
        except (RuntimeError, ValueError) as error:
            raise BadRecordError(key, "unreadable record", str(error)) from error
        return {"image": image, "caption": self._captions[index], "key": key}

    def captions(self) -> Sequence[str]:
        """All captions in the order of the records, without reading an image."""
        return self._captions

    def _open(self) -> Any:
        """All examples, their images encoded."""
        builder: Any = tfds.builder_from_directory(self._folder)
        features = builder.info.features
        as_stored: Any = tfds.decode.SkipDecoding
        decoders = {
            name: as_stored()
            for name, feature in features.items()
            if isinstance(feature, tfds.features.Image)
        }
        return builder.as_data_source(split=self._split, decoders=decoders)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_images": None}
