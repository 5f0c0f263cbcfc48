import pytest

from ovs_jax.evaluation.report import percent, shown, table


def test_a_table_has_texts_on_the_left_and_numbers_on_the_right():
    rows = [
        {"name": "a|b", "mean_iou": 12.345, "pixels": 3},
        {"name": "c", "mean_iou": None, "pixels": 0},
    ]
    assert table(rows).splitlines() == [
        "| name | mean iou | pixels |",
        "| --- | ---: | ---: |",
        "| a\\|b | 12.35 | 3 |",
        "| c | – | 0 |",
    ]


@pytest.mark.parametrize(("share", "expected"), [(0.123456789, 12.3457), (float("nan"), None)])
def test_shares_are_stored_in_percent(share, expected):
    assert percent(share) == expected
    assert shown(percent(share)) == ("–" if expected is None else "12.35")
