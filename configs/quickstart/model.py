"""The sizes that both stages of the quickstart share."""

from typing import Any

SIZES: dict[str, Any] = {
    "encoder": {
        "image_size": 64,
        "patch_size": 8,
        "width": 64,
        "depths": (1, 0),
        "heads": (4, 4),
        "group_tokens": (8, 0),
        "output_groups": (8,),
    },
    "text": {"width": 64, "depth": 2, "heads": 4, "hidden": 256},
    "projector": {"hidden": 0, "outputs": 64},
    "decoder_heads": 4,
    "multi_label": True,
}
