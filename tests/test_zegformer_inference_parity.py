"""ZegFormer's inference against the reference numbers that travel with the package."""

import jax
import pytest
from parity.report import Report
from parity.zegformer_inference import check_inference_logic, check_roi_align
from parity.zegformer_pieces import check_augmentation, check_evaluator


@pytest.mark.parametrize(
    ("check", "at_least"),
    [
        (check_roi_align, 2),
        (check_inference_logic, 40),
        (check_evaluator, 4),
        (check_augmentation, 8),
    ],
    ids=["crops", "inference", "evaluator", "augmentation"],
)
def test_what_surrounds_zegformer_equals_the_published_numbers(golden, check, at_least):
    report = Report()
    with jax.default_matmul_precision("highest"):
        check(golden / "zegformer", report)
    assert not report.failures, report.table(everything=False)
    assert len(report.checks) >= at_least
