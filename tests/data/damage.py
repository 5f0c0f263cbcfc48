"""Data that is damaged in every way that was thought of, with what must be said of each."""

import io
import json
import struct
import tarfile
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image


@dataclass
class Damaged:
    """A damaged data set.

    Attributes:
      kept: caption of every good pair, in order.
      dropped: how many others there are, by the reason that must be given.
    """

    kept: list[str] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def pixel_bomb(width: int = 60_000, height: int = 60_000) -> bytes:
    """A PNG of few bytes that says it has very many pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + checksum

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100))
    return b"\x89PNG\r\n\x1a\n" + parts + chunk(b"IEND", b"")


def damaged_images() -> dict[str, tuple[bytes, str]]:
    """By file name: an image that cannot be used, and the reason."""
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    jpeg, png = (encoded(Image.fromarray(noise), kind) for kind in ("JPEG", "PNG"))
    broken = bytearray(png)
    broken[len(png) // 2] ^= 255  # in the compressed pixels
    webp = encoded(Image.fromarray(noise), "WEBP")
    return {
        "cut.jpg": (jpeg[: len(jpeg) // 2], "truncated image"),
        "cut.png": (png[: len(png) // 2], "truncated image"),
        "broken.png": (bytes(broken), "damaged image"),
        "cut.webp": (webp[: len(webp) // 2], "damaged image"),
        "page.jpg": (b"<html>404 Not Found</html>", "not an image"),
        "zeros.jpg": (bytes(1000), "not an image"),
        "void.jpg": (b"", "empty file"),
        "bomb.png": (pixel_bomb(), "too many pixels"),
        "floats.tif": (
            encoded(Image.fromarray(np.zeros((4, 4), np.float32)), "TIFF"),
            "unknown range",
        ),
    }


def damaged_captions() -> dict[str, tuple[bytes | None, str]]:
    """By name: the content of a text file (None: there is none), and the reason."""
    return {
        "latin": ("caf\xe9".encode("latin-1"), "caption file is not UTF-8 text"),
        "blank": (b" \n\t\n", "empty caption"),
        "silent": (None, "no caption file"),
    }


def damaged_folder(folder: Path, photos: Sequence[tuple[bytes, str]]) -> Damaged:
    """A folder of images and text files with 13 kinds of damage between the good ones.

    Args:
      folder: is made.
      photos: JPEG files with captions.

    Returns:
      What is good and what is not. Damage of captions and missing files shows when the folder is
      opened, that of images when they are decoded.
    """
    folder.mkdir(parents=True)
    found = Damaged()
    for number, (image, caption) in enumerate(photos):
        (folder / f"{number:03d}.jpg").write_bytes(image)
        (folder / f"{number:03d}.txt").write_text(caption, encoding="utf-8")
        found.kept.append(caption)
    for name, (image, reason) in damaged_images().items():
        # Their names sort between those of the good ones, so that these surround them.
        (folder / f"000-{name}").write_bytes(image)
        (folder / f"000-{name}").with_suffix(".txt").write_text(f"a caption of {name}")
        found.dropped[reason] += 1
    for name, (text, reason) in damaged_captions().items():
        (folder / f"001-{name}.jpg").write_bytes(photos[0][0])
        if text is not None:
            (folder / f"001-{name}.txt").write_bytes(text)
        found.dropped[reason] += 1
    (folder / "002-gone.jpg").symlink_to(folder / "nowhere.jpg")
    (folder / "002-gone.txt").write_text("a link to nothing")
    found.dropped["missing image"] += 1
    return found


Member = tuple[str, bytes]


def write_tar(path: Path, members: Sequence[Member]) -> None:
    with tarfile.open(path, "w") as tar:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


def damaged_tars(folder: Path, photos: Sequence[tuple[bytes, str]]) -> Damaged:
    """WebDataset tars with 24 kinds of damage.

    Args:
      folder: is made; gets tars that are whole with bad members, and tars that are broken.
      photos: at least three JPEG files with captions.

    Returns:
      What is good and what is not.
    """
    folder.mkdir(parents=True)
    image, caption = photos[0]
    found = Damaged()
    members: list[Member] = []

    def sample(key: str, reason: str, **parts: bytes) -> None:
        members.extend((f"{key}.{suffix}", data) for suffix, data in parts.items())
        found.dropped[reason] += 1

    for number, (good, text) in enumerate(photos):
        members += [(f"good{number}.jpg", good), (f"good{number}.txt", text.encode())]
        found.kept.append(text)
    for name, (bad, reason) in damaged_images().items():
        key, _, suffix = name.partition(".")
        sample(f"{suffix}-{key}", reason, **{suffix: bad, "txt": b"a caption"})
    sample("latin", "caption is not UTF-8 text", jpg=image, txt=b"caf\xe9")
    half = json.dumps({"caption": "\ud83d"}).encode()
    sample("half", "caption is not UTF-8 text", jpg=image, json=half)
    sample("blank", "empty caption", jpg=image, txt=b" \n")
    sample("silent", "missing caption", jpg=image)
    sample("null", "missing caption", jpg=image, json=b'{"caption": null}')
    sample("number", "caption is not text", jpg=image, json=b'{"caption": 5}')
    sample("object", "missing caption", jpg=image, json=b"[5]")
    sample("nonsense", "member is not JSON", jpg=image, json=b"{caption")
    sample("imageless", "missing image", txt=b"a caption")
    sample("twice", "member given twice", jpg=image)
    members += [("twice.jpg", image), ("twice.txt", b"a caption")]
    members.append(("README.md", b"what is this?"))  # of no use, and no harm
    write_tar(folder / "00000.tar", members)

    whole = [
        (f"{key}.{s}", d) for key in "ab" for s, d in (("jpg", image), ("txt", caption.encode()))
    ]
    for name in ("cut", "header", "unended"):
        write_tar(folder / f"{name}.tar", whole)
        data = bytearray((folder / f"{name}.tar").read_bytes())
        second = 2 * 512 + -(-len(image) // 512) * 512 + 512  # where the header of b.jpg begins
        if name == "cut":
            del data[second + 600 :]  # in the middle of b.jpg
        elif name == "header":
            data[second : second + 512] = b"\xff" * 512
        else:
            del data[2 * second :]  # all members, but no end
        (folder / f"{name}.tar").write_bytes(data)
        found.kept += [caption] * (2 if name == "unended" else 1)
        found.dropped["broken tar"] += 1
    for name, content in (("empty", b""), ("page", b"<html>" * 1000)):
        (folder / f"{name}.tar").write_bytes(content)
        found.dropped["broken tar"] += 1
    return found


def damaged_rows(path: Path, photos: Sequence[tuple[bytes, str]]) -> Damaged:
    """A JSONL file, its images beside it, with wrong rows between the good ones."""
    found = Damaged()
    lines: list[bytes] = []
    for number, (image, caption) in enumerate(photos):
        (path.parent / f"{number}.jpg").write_bytes(image)
        lines.append(json.dumps({"image": f"{number}.jpg", "caption": caption}).encode())
        found.kept.append(caption)
    for line, reason in (
        (b'{"image": "0.jpg", "caption"', "row is not JSON"),
        (b'["0.jpg", "x"]', "row is not an object"),
        (b'{"caption": "x"}', "no image name"),
        (b'{"image": 5, "caption": "x"}', "no image name"),
        (b'{"image": "\\u0000.jpg", "caption": "x"}', "no image name"),
        (b'{"image": "gone.jpg", "caption": "x"}', "missing image"),
        (b'{"image": ".", "caption": "x"}', "unreadable file"),
        (b'{"image": "0.jpg"}', "missing caption"),
        (b'{"image": "0.jpg", "caption": ""}', "empty caption"),
        (b'{"image": "0.jpg", "caption": []}', "empty caption"),
        (b'{"image": "0.jpg", "caption": [5]}', "caption is not text"),
        (b'{"image": "0.jpg", "caption": "caf\xe9"}', "caption is not UTF-8 text"),
    ):
        lines.insert(len(lines) // 2, line)
        found.dropped[reason] += 1
    path.write_bytes(b"\n".join(lines) + b"\n\n")
    return found
