from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from ovs_jax.data.benchmarks import open_benchmark
from ovs_jax.text.class_sets import imagenet_names, imagenet_synsets

Draw = Callable[[str], Path]
CLASSES = {1: 999, 7: 1, 293: 0}  # by the number of the drawn image


def by_number(root: Path) -> dict[int, int]:
    source = open_benchmark("imagenet", root)
    records = [source[i] for i in range(len(source))]
    return {int(Path(item["key"]).stem[-8:]): item["label_index"] for item in records}


@pytest.fixture
def flat(draw: Draw) -> Path:
    """All images side by side, as the archive of validation has them."""
    root = draw("imagenet")
    for file in list((root / "val").rglob("*.JPEG")):
        file.rename(root / "val" / file.name)
    for folder in (root / "val").iterdir():
        if folder.is_dir():
            folder.rmdir()
    return root


def test_folders_of_synsets_give_their_alphabetical_index(draw: Draw) -> None:
    root = draw("imagenet")
    assert by_number(root) == CLASSES
    source = open_benchmark("imagenet", root)
    assert source[0]["image"][:2] == b"\xff\xd8"
    assert set(source[0]) == {"image", "label_index", "key"}


def test_a_table_of_synsets_gives_the_classes_of_images_side_by_side(flat: Path) -> None:
    rows = ["ImageId,PredictionString"]
    rows += [f"ILSVRC2012_val_{n:08d},{imagenet_synsets()[i]} 1 2 3 4" for n, i in CLASSES.items()]
    (flat / "LOC_val_solution.csv").write_text("\n".join(rows))
    assert by_number(flat) == CLASSES
    (flat / "LOC_val_solution.csv").write_text("\n".join(rows[:-1]))
    with pytest.raises(ValueError, match=r"has no class for 1 of 3 images, first .*00000293"):
        by_number(flat)
    (flat / "LOC_val_solution.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match=r"expected the columns ImageId and PredictionString"):
        by_number(flat)
    (flat / "LOC_val_solution.csv").write_text(rows[0] + "\nILSVRC2012_val_00000001,n1 2")
    with pytest.raises(ValueError, match="has no class for 2 of 3"):
        by_number(flat)


def test_the_development_kit_numbers_synsets_in_its_own_order(flat: Path) -> None:
    kit = flat / "ILSVRC2012_devkit_t12" / "data"
    kit.mkdir(parents=True)
    synsets = imagenet_synsets()
    numbers = {0: 500, 1: 2, 999: 7}  # not alphabetical
    entries = np.array(
        [(number, synsets[i]) for i, number in numbers.items()],
        dtype=[("ILSVRC2012_ID", object), ("WNID", object)],
    )
    savemat(kit / "meta.mat", {"synsets": entries})
    lines = [str(numbers[CLASSES.get(n, 0)]) for n in range(1, 301)]
    (kit / "ILSVRC2012_validation_ground_truth.txt").write_text("\n".join(lines))
    assert by_number(flat) == CLASSES
    (kit / "ILSVRC2012_validation_ground_truth.txt").write_text("\n".join(["3"] * 300))
    with pytest.raises(ValueError, match=r"meta.mat has no synsets of numbers \[3\]"):
        by_number(flat)


def test_images_side_by_side_without_classes_are_refused(flat: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"looked for LOC_val_solution.csv, and for .*val'"):
        by_number(flat)


def test_folders_that_are_no_synsets_are_refused(draw: Draw) -> None:
    root = draw("imagenet")
    (root / "val" / "cats").mkdir()
    with pytest.raises(ValueError, match=r"such as n01440764; got 1 others, first 'cats'"):
        by_number(root)


def test_the_names_of_the_classes_are_in_the_order_of_the_synsets() -> None:
    names, synsets = imagenet_names(), imagenet_synsets()
    assert len(names) == len(synsets) == len(set(synsets)) == 1000
    assert list(synsets) == sorted(synsets)
    assert names[0] == "tench"
    assert names[synsets.index("n02504458")] == "African bush elephant"
