"""Files that are there whole or not at all, and that only their owner may read.  In: a path and its bytes."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

__all__ = ["make_private_folder", "write_whole"]


def write_whole(path: Path, data: bytes) -> Path:
    """Write a file so that a reader sees the old bytes or the new ones, never a part, also after a power cut.

    Parameters
    ----------
    path : Path
        Replaced if it exists; its folder must exist.
    data : bytes
        All of it.  The file is readable by its owner only (0600).

    Returns
    -------
    Path
        The same path.
    """
    # In the same folder, since a rename is atomic only within one file system.  mkstemp opens with 0600.
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".tmp")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)
    return path


def _sync_folder(folder: Path) -> None:
    # The rename itself is on disk only once its folder is; Windows cannot open folders and does not need it.
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_private_folder(folder: Path) -> Path:
    """Make a folder, and those above it that lack, which only its owner may enter (0700); return it.

    A folder that exists already keeps its mode: it may be shared on purpose.
    """
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    for each in reversed(missing):
        each.mkdir(mode=0o700, exist_ok=True)
    return folder
