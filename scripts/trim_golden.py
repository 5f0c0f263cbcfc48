"""Makes the part of the reference numbers that the test suite carries with it.

    python scripts/trim_golden.py FOLDER tests/golden

Keeps what proves the most per byte: all parameters of the two small models, the inputs, every loss
and intermediate of the stage-2 step (which contains stage 1), all gradient norms, some gradients
and steps, and one model's labels.
"""

import argparse
import io
import json
import re
import sys
import zipfile
from pathlib import Path

KEEP = {
    "gvit/params": [r".*"],
    "gvit/train": [r"(in|loss)/.*", r"grad_norm.*", r"total.*"],
    "gvit/eval": [r"sq\..*", r"text\..*", r"classes\..*"],
    "ovs_tiny/params": [r".*"],
    "ovs_tiny/eval": [r"sq\..*", r"text\.(?!all_tokens).*", r"mec\.(?!question_aligned).*"],
    "ovs_tiny/seg": [r"(image|text|ori|slide|nobg|bg0\.6).*(?<!logits)"],
    "ovs_tiny/stage2": [
        r"(in|loss)/.*",
        r"mask/(?!mask[12]_).*",
        r"mid/(image_x|text_x|answer_x|answer_pred)",
        r"grad_norm.*",
        r"total.*",
        r"bn_after/text.*running_var",
        r"(grad|after_clip5)/img_encoder\.layers\.\d\.downsample.*(norm\w*|mlp\.fc2)\.bias",
        r"(grad|after_clip5)/logit_scale",
        r"momentum_after_clip5/layers\.0\.downsample\.norm.*",
    ],
    "ovs_tiny/stage2_dual": [r".*"],
    "misc/miou": [r".*"],
    "misc/schedule": [r".*"],
    "misc/resize": [r"(?!normalized).*"],
    "misc/randaugment": [r".*"],
}
WHOLE = [
    "gvit/config.json",
    "gvit/train_groups.json",
    "ovs_tiny/config.json",
    "ovs_tiny/fp32_noise.json",
    "ovs_tiny/stage2_groups.json",
    "misc/mec_examples.json",
]


COMPRESSIONS = (zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2)


def packed(members: dict[str, bytes], compression: int) -> bytes:
    """An archive of these members, the same bytes every time."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for member, content in members.items():
            archive.writestr(zipfile.ZipInfo(member), content, compression)
    return buffer.getvalue()


def main() -> int:
    """Copies the chosen arrays bit for bit."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    arguments = parser.parse_args()
    for name, patterns in KEEP.items():
        target = arguments.target / f"{name}.npz"
        target.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(arguments.source / f"{name}.npz") as source:
            chosen = {
                member: source.read(member)
                for member in source.namelist()
                if any(re.fullmatch(pattern, member.removesuffix(".npy")) for pattern in patterns)
            }
        target.write_bytes(min((packed(chosen, kind) for kind in COMPRESSIONS), key=len))
    for name in WHOLE:
        values = json.loads((arguments.source / name).read_text())
        (arguments.target / name).write_text(json.dumps(values, separators=(",", ":")) + "\n")
    size = sum(path.stat().st_size for path in arguments.target.rglob("*") if path.is_file())
    print(f"{arguments.target}: {size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
