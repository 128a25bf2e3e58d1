"""Files that are there whole or not at all, that only their owner may read; and how to tell whether one has changed."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from contextlib import suppress
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path

from orch_notebook.runtime.crashpoints import reach

__all__ = ["file_fingerprint", "make_private_folder", "near_file", "place_of", "write_whole"]

#: Up to this size the bytes of a file count, above it when it was changed: hashing 8 MB takes 5 ms.
READ_LIMIT = 8_000_000


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
        reach("file.written")
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)
    return path


def place_of(folder: Path, key: str) -> Path:
    """Return the file of a folder in which lies what is kept under a key, whatever the key is made of."""
    return folder / hashlib.sha256(key.encode()).hexdigest()[:40]


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


def file_fingerprint(path: str | Path) -> str:
    """Return what tells a file from a changed one: its bytes, or for large files its size and when it was changed.

    A folder stands for the names in it; what is not there is ``gone``.
    """
    path = Path(path)
    try:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            names = sorted(entry.name for entry in path.iterdir())
            return "folder " + hashlib.sha256("\0".join(names).encode()).hexdigest()
        if stat.S_ISREG(found.st_mode) and found.st_size <= READ_LIMIT:
            return _content(path.absolute(), found.st_ino, found.st_size, found.st_mtime_ns)
        return f"{found.st_size} {found.st_mtime_ns}"
    except (OSError, ValueError):
        return "gone"


@lru_cache(maxsize=1000)
def _content(path: Path, inode: int, size: int, changed_at: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def near_file(path: Path) -> str:
    """Return a sentence that names the file somebody may have meant who named one that is not there, or nothing."""
    names: list[str] = []
    with suppress(OSError):
        names = [each.name for each in path.parent.iterdir() if each.suffix == path.suffix]
    near = get_close_matches(path.name, names, n=1)
    return f" Did you mean {str(path.with_name(near[0]))!r}?" if near else ""
