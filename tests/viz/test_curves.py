import json

import numpy as np
import pytest

from ovs_jax.viz.curves import draw_curves, read_metrics


def test_a_log_is_read_by_name_and_what_is_no_number_is_left_out(tmp_path):
    path = tmp_path / "metrics.jsonl"
    records = [{"step": 1, "loss/total": 2.5, "note": "x", "ok": True}, {"step": 2, "miou": 3}]
    path.write_text("\n".join(map(json.dumps, records)) + '\n{"step": 3, "los')
    assert read_metrics(path) == {"loss/total": [(1, 2.5)], "miou": [(2, 3.0)]}


def test_a_broken_line_within_a_log_is_an_error_with_its_number(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"loss": 2}\n{"step": 3}\n')
    with pytest.raises(ValueError, match=r"metrics.jsonl:2: expected a JSON object with 'step'"):
        read_metrics(path)


def test_curves_of_any_length_become_a_picture():
    rng = np.random.default_rng(0)
    series = {
        "loss/total": [(i, float(x)) for i, x in enumerate(rng.normal(size=400))],
        "loss/mask": [(i, float(i)) for i in range(60)],
        "miou": [(0, 1.0), (10, float("nan")), (20, 3.0)],
        "single": [(0, 1.0)],
        "rate": [(i, 1.0) for i in range(5)],
    }
    picture = draw_curves(series, title="a run")
    assert picture.dtype == np.uint8
    assert picture.shape[1] > picture.shape[0]
    assert picture.std() > 5
    one = draw_curves({"miou": series["miou"]})
    assert one.shape[1] < picture.shape[1]


def test_nothing_to_draw_is_an_error():
    with pytest.raises(ValueError, match="at least two finite values"):
        draw_curves({"loss": [(0, 1.0), (1, float("inf"))]})
