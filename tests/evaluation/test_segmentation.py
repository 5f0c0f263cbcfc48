import json
import os

import numpy as np
import pytest
from PIL import Image

from ovs_jax.evaluation.segmentation import Segmentation


def segmentation(classes=("background", "dog", "sofa"), *, has_background=True):
    labels = np.zeros((30, 40), np.int32)
    labels[10:20, 5:25] = 1
    return Segmentation(
        labels=labels,
        confidence=np.where(labels == 1, 0.5, 1.0).astype(np.float32),
        groups=labels,
        scores=None,
        classes=tuple(classes),
        image=np.full((30, 40, 3), 128, np.uint8),
        has_background=has_background,
    )


def test_three_files_are_saved_and_the_label_image_holds_class_numbers(tmp_path):
    result = segmentation()
    overlay, labels, record = result.save(tmp_path / "out", name="photo")
    assert sorted(os.listdir(tmp_path / "out")) == sorted(
        path.name for path in (overlay, labels, record)
    )
    with Image.open(labels) as image:
        assert image.mode == "P"
        np.testing.assert_array_equal(np.array(image), result.labels)
        colours = np.asarray(image.getpalette()[:9]).reshape(3, 3)
    np.testing.assert_array_equal(colours, result.palette)
    stored = json.loads(record.read_text())
    assert stored["classes"][1] == {
        "id": 1,
        "name": "dog",
        "colour": result.palette[1].tolist(),
        "pixels": 200,
        "share": pytest.approx(200 / 1200),
        "mean_score": pytest.approx(0.5),
    }
    assert stored["classes"][2]["mean_score"] is None
    with Image.open(overlay) as image:
        assert max(image.size) >= 384


def test_more_than_256_classes_are_stored_in_16_bits(tmp_path):
    names = [f"class {i}" for i in range(300)]
    result = segmentation(names, has_background=False)
    result.labels[:] = 299
    _, labels, _ = result.save(tmp_path, name="many")
    with Image.open(labels) as image:
        assert np.array(image).max() == 299


def test_a_failure_leaves_no_file(tmp_path, monkeypatch):
    monkeypatch.setattr("ovs_jax.evaluation.segmentation.json.dumps", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        segmentation().save(tmp_path / "out", name="photo")
    assert not (tmp_path / "out").exists()


def test_the_drawing_shows_the_class_and_leaves_the_background_in_grey():
    result = segmentation()
    picture = result.draw()
    inside, outside = picture[150:160, 200:210].mean((0, 1)), picture[:20, :20].mean((0, 1))
    assert np.ptp(inside) > 20
    assert np.ptp(outside) < 1
    assert result.draw_groups().shape == (30, 40, 3)
