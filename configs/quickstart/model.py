"""The model that both stages of the quickstart share.

Two switches differ from the published model, and make the groups local enough to be named within
minutes: tokens describe the texture of their own patch with hidden layers in place of attention,
and a segment adds its values to the mean of its own tokens, not to group tokens that have seen the
whole image.
"""

from typing import Any

SIZES: dict[str, Any] = {
    "encoder": {
        "image_size": 64,
        "patch_size": 8,
        "patch_hidden": (192, 96),
        "width": 64,
        "depths": (0, 0),
        "heads": (2, 2),
        "group_tokens": (8, 0),
        "output_groups": (8,),
        "group_residual": "tokens",
    },
    "text": {"width": 64, "depth": 1, "heads": 2, "hidden": 128},
    "projector": {"hidden": 0, "outputs": 64},
    "decoder_heads": 2,
    "multi_label": True,
}
