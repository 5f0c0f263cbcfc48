"""The package against the reference numbers that travel with it; see scripts/verify_golden.py.

What stands in ``tests/golden`` is cut from the public set by scripts/trim_golden.py. Where the
whole set lies beside the checkout, ``scripts/verify_golden.py FOLDER`` compares all of it.
"""

import jax
import pytest
from parity.features import check_features, check_round_trip
from parity.networks import check_names, check_parts
from parity.operations import check_operations
from parity.reference import Reference
from parity.report import Report
from parity.segmentation import check_segmentation
from parity.set_losses import check_losses
from parity.training import check_training
from parity.zegformer_reference import ZegFormerReference


@pytest.fixture(scope="module", params=["gvit", "ovs_tiny"])
def reference(request, golden):
    return Reference(golden / request.param)


def outcome(check, source, *, at_least: int) -> None:
    report = Report()
    with jax.default_matmul_precision("highest"):
        check(source, report)
    assert not report.failures, report.table(everything=False)
    assert len(report.checks) >= at_least


def test_parameters_come_back_bit_for_bit_under_their_published_names(reference):
    outcome(check_round_trip, reference, at_least=180)


def test_features_assignments_and_embeddings_equal_the_published_ones(reference):
    outcome(check_features, reference, at_least=10)


def test_losses_gradients_and_steps_equal_the_published_ones(reference):
    outcome(check_training, reference, at_least=150)


def test_labels_equal_the_published_ones_wherever_the_margin_allows(golden):
    outcome(check_segmentation, Reference(golden / "ovs_tiny"), at_least=7)


def test_schedule_metric_resize_augmentation_and_questions_equal_the_published_ones(golden):
    outcome(check_operations, golden / "misc", at_least=60)


@pytest.fixture(scope="module")
def zegformer(golden):
    return ZegFormerReference(golden / "zegformer", "B_transenc")


def test_parameters_of_zegformer_come_back_bit_for_bit_under_their_published_names(zegformer):
    outcome(check_names, zegformer, at_least=360)


def test_backbone_transformer_and_heads_of_zegformer_equal_the_published_ones(zegformer):
    outcome(check_parts, zegformer, at_least=7)


def test_costs_assignments_and_losses_of_segments_equal_the_published_ones(golden):
    """One of the two images has no masks."""
    outcome(check_losses, ZegFormerReference(golden / "zegformer", "C_prenorm_enc"), at_least=30)


def test_a_wrong_parameter_is_found(golden):
    reference = Reference(golden / "gvit")
    reference.state["img_encoder.norm.weight"] = reference.state["img_encoder.norm.weight"] + 1e-3
    report = Report()
    check_features(reference, report)
    assert {check.array for check in report.failures} >= {"sq.feat", "sq.x"}
