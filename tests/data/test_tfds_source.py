import io
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tensorflow_datasets as tfds
from PIL import Image

from ovs_jax.data.records import BadRecordError, CaptionSource
from ovs_jax.data.sources import open_image_text
from ovs_jax.training.caption_task import open_source
from ovs_jax.training.config import DataConfig


class Squares(tfds.core.GeneratorBasedBuilder):
    """Three squares, one with a caption that is not UTF-8."""

    VERSION = tfds.core.Version("1.2.0")

    def _info(self) -> tfds.core.DatasetInfo:
        features = {"picture": tfds.features.Image(), "text": tfds.features.Text()}
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        return {"val": self._generate_examples()}

    def _generate_examples(self) -> Iterator[tuple[int, dict[str, Any]]]:
        for number, text in enumerate((b"a square", b"caf\xe9", "a café".encode())):
            image = io.BytesIO()
            Image.new("RGB", (4, 4), (number, 0, 0)).save(image, "PNG")
            image.seek(0)
            yield number, {"picture": image, "text": text}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tfds")
    Squares(data_dir=str(folder), file_format="array_record").download_and_prepare()
    return folder


def opened(data_dir: Path, name: str = "tfds:squares:val", **columns: str) -> CaptionSource:
    columns = {"image_column": "picture", "caption_column": "text"} | columns
    return open_image_text(name, data_dir=str(data_dir), **columns)


@pytest.mark.parametrize("name", ["tfds:squares:val", "tfds:squares:1.2.0:val"])
def test_records_hold_the_encoded_image_and_its_caption(data_dir: Path, name: str) -> None:
    source = pickle.loads(pickle.dumps(opened(data_dir, name)))
    assert sorted(source.captions()) == ["a café", "a square", "caf\ufffd"]
    for index, caption in enumerate(source.captions()):
        if "\ufffd" in caption:
            with pytest.raises(BadRecordError, match=r"val:\d: caption is not UTF-8 text"):
                source[index]
            continue
        record = source[index]
        assert record["caption"] == caption
        assert Image.open(io.BytesIO(record["image"])).size == (4, 4)
        assert record["key"].endswith(f"squares/1.2.0:val:{index}")


def test_a_run_reads_the_data_set_below_its_data_dir(data_dir: Path) -> None:
    config = DataConfig(
        source="tfds:squares:val",
        data_dir=str(data_dir),
        image_column="picture",
        caption_column="text",
    )
    source, vocabulary = open_source(config)
    assert isinstance(source, CaptionSource)
    assert source.captions() == opened(data_dir).captions()
    assert vocabulary is None


def test_what_is_not_there_is_named_with_what_is(data_dir: Path) -> None:
    with pytest.raises(FileNotFoundError, match="tfds:circles: no data set 'circles' in"):
        opened(data_dir, "tfds:circles")
    with pytest.raises(ValueError, match=r"expected a split of \['val'\], got 'train'"):
        opened(data_dir, "tfds:squares")
    with pytest.raises(ValueError, match=r"expected the feature 'image', found \['picture', 'te"):
        opened(data_dir, image_column="image")


def test_another_file_format_is_refused(data_dir: Path, tmp_path: Path) -> None:
    copy = tmp_path / "squares" / "1.2.0"
    copy.mkdir(parents=True)
    for name in ("dataset_info.json", "features.json"):
        text = (data_dir / "squares" / "1.2.0" / name).read_text()
        (copy / name).write_text(text.replace("array_record", "tfrecord"))
    with pytest.raises(ValueError, match="expected file format array_record, got tfrecord"):
        opened(tmp_path)
