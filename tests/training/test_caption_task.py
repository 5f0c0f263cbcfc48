"""What a run that learns from captions reads."""

from ovs_jax.training.caption_task import batch_fields
from ovs_jax.training.objectives import CaptionObjective


def test_a_batch_has_the_entries_that_its_losses_need() -> None:
    assert batch_fields(CaptionObjective()) == ("image", "caption")
    everything = CaptionObjective(multi_label=1.0, entity=1.0, mask=0.1)
    assert set(batch_fields(everything)) == {
        "image", "caption", "prompts", "question", "answer", "cross_image", "cross_entity",
    }  # fmt: skip
