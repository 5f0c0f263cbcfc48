"""Makes the part of the reference numbers that the test suite carries with it.

    python scripts/trim_golden.py FOLDER tests/golden

FOLDER is ``golden/grouping`` or ``golden/zegformer``. Keeps what proves the most per byte: all
parameters of the two small models, the inputs, every loss and intermediate of the stage-2 step
(which contains stage 1), all gradient norms, some gradients and steps, and one model's labels. Of
ZegFormer: the weights of one backbone and predictor with what comes out of them (the pixel
decoder's, half of the bytes, are zeros in the copy), and the predictions, costs, assignments and
losses of two models.
"""

import argparse
import io
import json
import re
import sys
import zipfile
from pathlib import Path

import numpy as np

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

PREDICTIONS = [
    r"in\.gt_.*|padded_size|noise\.loss.*",
    r"train\..*",
    r"match\..*",
    r"loss_raw.*",
    r"loss_weighted.*",
    r"loss_total",
]
KEEP_ZEGFORMER = {
    "B_transenc_weights": [r".*"],
    "B_transenc_train": [
        *PREDICTIONS,
        r"in\.image.*|text_features_train",
        r"backbone\.res[25]",
        r"pixel_decoder\.transformer_encoder_features",
        r"predictor\.(hs|mask_embed)",
    ],
    "C_prenorm_enc_train": PREDICTIONS,
}
ZERO = r"sem_seg_head\.pixel_decoder\..*"

COMPRESSIONS = (zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2)


def packed(members: dict[str, bytes], compression: int) -> bytes:
    """An archive of these members, the same bytes every time."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for member, content in members.items():
            archive.writestr(zipfile.ZipInfo(member), content, compression)
    return buffer.getvalue()


def zeros_like(content: bytes) -> bytes:
    """An array file of the same shape and type without its values."""
    array = np.load(io.BytesIO(content))
    buffer = io.BytesIO()
    np.save(buffer, np.zeros_like(array))
    return buffer.getvalue()


def trim(source: Path, target: Path, patterns: list[str], *, zero: str = "") -> None:
    """Copies the arrays whose names match; those that match ``zero`` lose their values."""
    target.parent.mkdir(parents=True, exist_ok=True)
    chosen = {}
    with zipfile.ZipFile(source) as archive:
        for member in archive.namelist():
            name = member.removesuffix(".npy")
            if any(re.fullmatch(pattern, name) for pattern in patterns):
                content = archive.read(member)
                chosen[member] = zeros_like(content) if re.fullmatch(zero, name) else content
    target.write_bytes(min((packed(chosen, kind) for kind in COMPRESSIONS), key=len))


def main() -> int:
    """Copies the chosen arrays bit for bit."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    arguments = parser.parse_args()
    source, target = arguments.source, arguments.target
    if (source / "B_transenc_weights.npz").exists():
        target = target / "zegformer"
        for name, patterns in KEEP_ZEGFORMER.items():
            zero = ZERO if name.endswith("_weights") else ""
            trim(source / f"{name}.npz", target / f"{name}.npz", patterns, zero=zero)
    else:
        for name, patterns in KEEP.items():
            trim(source / f"{name}.npz", target / f"{name}.npz", patterns)
        for name in WHOLE:
            values = json.loads((source / name).read_text())
            (target / name).write_text(json.dumps(values, separators=(",", ":")) + "\n")
    size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    print(f"{target}: {size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
