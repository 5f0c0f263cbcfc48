"""Records of numbers: complete, readable, and right after a resume."""

import json
import logging
import time
from pathlib import Path

import pytest

from ovs_jax.training import writer
from ovs_jax.training.writer import Writer


def records(folder: Path) -> list[dict[str, float | None]]:
    return [json.loads(line) for line in (folder / writer.FILE).read_text().splitlines()]


def test_every_record_is_a_line_of_json_and_a_line_to_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = Writer(tmp_path, step=0, steps=100)
    values = {"loss/contrastive": 2.5, "loss": 3.0, "learning_rate": 1.6e-5, "data_wait": 0.25}
    with caplog.at_level(logging.INFO):
        log.write(7, values | {"gradient_norm": float("inf")})
    log.close()
    (record,) = records(tmp_path)
    assert 0 <= record.pop("seconds/wall") < 60
    assert abs(record.pop("time") - time.time()) < 60
    assert record == {"step": 7} | values | {"gradient_norm": None}
    assert "step 7/100  loss 3 (contrastive 2.5)  lr 1.60e-05  wait 0.25  grad inf" in caplog.text
    assert list((tmp_path / "tensorboard").iterdir())


def test_records_after_the_checkpoint_are_dropped_when_a_run_resumes(tmp_path: Path) -> None:
    log = Writer(tmp_path, step=0, steps=9)
    for step in (2, 4, 6):
        log.write(step, {"loss": float(step)})
    log.close()
    with (tmp_path / writer.FILE).open("a") as file:
        file.write('{"step": 8, "lo')
    again = Writer(tmp_path, step=4, steps=9)
    again.write(6, {"loss": 0.5})
    again.close()
    assert [(r["step"], r["loss"]) for r in records(tmp_path)] == [(2, 2.0), (4, 4.0), (6, 0.5)]


def test_a_process_that_is_not_the_first_writes_nothing(tmp_path: Path) -> None:
    log = Writer(tmp_path, step=0, steps=9, enabled=False)
    log.write(1, {"loss": 1.0})
    log.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (1234.56, "1235"), (1e-5, "1.00e-05"), (123456.0, "1.23e+05"), (0.5, "0.5")],
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert writer.number(value) == text


def test_a_resumed_run_counts_from_its_first_start_and_forgets_what_is_done_again(
    tmp_path: Path,
) -> None:
    log = Writer(tmp_path, step=0, steps=9)
    for step in (2, 4):
        log.write(step, {"loss": 1.0, "seconds/useful": 10.0 * step})
    log.close()
    again = Writer(tmp_path, step=3, steps=9)
    again.close()
    assert again.life.useful == 20.0
    assert again.life.began == pytest.approx(log.life.began, abs=1e-3)
