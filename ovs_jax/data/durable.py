"""Files that are there whole or not at all, also after a crash or on a full disk."""

import hashlib
import os
from pathlib import Path
from uuid import uuid4

DRAFT = ".draft"
"""How the names of unfinished files end."""


def write_whole(path: Path, data: bytes) -> None:
    """Writes a file under another name, forces it to the disk and then gives it its name.

    Args:
      path: the file; one that is there is replaced.
      data: what it shall hold.

    Raises:
      OSError: the disk is full, or the folder cannot be written to; the file is then as before.
    """
    draft = draft_of(path)
    try:
        draft.write_bytes(data)
        publish(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def draft_of(path: Path) -> Path:
    """A name for an unfinished file, which no other process on any machine uses."""
    return path.with_name(f"{path.name}.{uuid4().hex}{DRAFT}")


def publish(draft: Path, path: Path) -> None:
    """Gives a finished file its name, once its content is on the disk.

    Raises:
      OSError: the content cannot be forced to the disk.
    """
    _sync(draft)
    os.replace(draft, path)
    _sync(path.parent)


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
