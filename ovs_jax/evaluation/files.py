"""Writing results so that a failure leaves nothing half done."""

import os
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path


def write_together(files: Mapping[Path, bytes]) -> None:
    """Writes several files, or none of them.

    Everything is written under temporary names beside its place first and renamed at the end, so
    that an error on the way (a full disk, a missing right) leaves no partial output.

    Args:
      files: contents by path; missing folders are made.

    Raises:
      OSError: if something cannot be written.
    """
    with ExitStack() as undo:
        written: list[tuple[str, Path]] = []
        for path, content in files.items():
            _make_folder(path.parent, undo)
            handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
            undo.callback(Path(temporary).unlink, missing_ok=True)
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            written.append((temporary, path))
        for temporary, path in written:
            # mkstemp makes files that only their owner can read.
            os.chmod(temporary, 0o666 & ~_umask())
            os.replace(temporary, path)
        undo.pop_all()


def check_output_folder(folder: Path, *, field: str) -> None:
    """Checks that files can be written to a folder, without making it.

    Args:
      folder: where results will go; it need not exist.
      field: what the user calls it, for messages.

    Raises:
      ValueError: it is a file, lies in one, or nothing may be written there.
    """
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not existing.is_dir():
        raise ValueError(f"{field}: expected a folder, got {folder}; {existing} is a file")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise ValueError(f"{field}: expected a folder to write to, {existing} is read-only")


def _make_folder(folder: Path, undo: ExitStack) -> None:
    missing = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for parent in reversed(missing):
        undo.callback(_remove_empty, parent)


def _remove_empty(folder: Path) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
