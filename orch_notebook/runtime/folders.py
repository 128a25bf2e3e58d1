"""The files of a folder: what they are now, which have changed, and the way back to how they stood.

In: a folder.  Out: a token for every file in it and below it, and the files put back that somebody has written.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

__all__ = ["Folder"]

MOST_FILES = 2_000
#: Files above this are watched, but no copy is kept to put them back.
MOST_BYTES = 20_000_000
MOST_BYTES_TOGETHER = 200_000_000
#: What front ends and tools write by themselves.
NOT_WATCHED = (".ipynb", ".pyc")


class Folder:
    """The files of a folder as they stood when this was made.

    Parameters
    ----------
    path : Path
        The folder.  Hidden files in it, notebooks and caches are not watched.

    Attributes
    ----------
    is_crowded : bool
        Whether there are more files than are watched.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> here = Path(mkdtemp())
    >>> _ = (here / "rows.csv").write_text("1")
    >>> folder = Folder(here)
    >>> _ = (here / "rows.csv").write_text("1,2"), (here / "new.csv").write_text("3")
    >>> sorted(folder.changed()), folder.restore()
    (['new.csv', 'rows.csv'], [])
    >>> [(path.name, path.read_text()) for path in here.iterdir()]
    [('rows.csv', '1')]
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._files = dict(self._walk())
        self.is_crowded = len(self._files) >= MOST_FILES
        self._copies = self._copy()
        self._made: set[str] = set()
        self._touched: set[str] = set()

    def look(self) -> dict[str, str]:
        """Return a token for every file as it is now; folders end in a slash."""
        return {path: f"{size} {changed_at}" for path, (size, changed_at) in self._walk()}

    def changed(self) -> set[str]:
        """Return the files that are new, other than they were, or gone."""
        now = dict(self._walk())
        # In a crowded folder a file may come into sight that was there before.
        known = self._files if self.is_crowded else {**now, **self._files}
        return {path for path in known if now.get(path) != self._files.get(path)}

    def note(self, changed: Iterable[str]) -> None:
        """Take note of files that somebody has written; they are put back."""
        for path in changed:
            (self._touched if path in self._files else self._made).add(path)

    def restore(self) -> list[str]:
        """Put back all that has changed; return what could not be."""
        self.note(self.changed())
        return self.put_back()

    def _walk(self) -> Iterator[tuple[str, tuple[int, int]]]:
        todo, count = [self.path], 0
        while todo:
            try:
                entries = sorted(os.scandir(todo.pop()), key=lambda entry: entry.name)
            except OSError:
                continue
            for entry in entries:
                if entry.name.startswith((".", "__pycache__")) or entry.name.endswith(NOT_WATCHED):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    todo.append(Path(entry.path))
                    yield os.path.relpath(entry.path, self.path) + "/", (0, 0)
                    continue
                try:
                    if not entry.is_file():  # to read a pipe is to wait for who writes
                        continue
                    found = entry.stat()
                except OSError:
                    continue
                count += 1
                if count > MOST_FILES:
                    return
                yield os.path.relpath(entry.path, self.path), (found.st_size, found.st_mtime_ns)

    def _copy(self) -> dict[str, bytes]:
        room, copies = MOST_BYTES_TOGETHER, dict[str, bytes]()
        for path, (size, _) in self._files.items():
            if size > MOST_BYTES or size > room or path.endswith("/"):
                continue
            room -= size
            try:
                copies[path] = (self.path / path).read_bytes()
            except OSError:
                continue
        return copies

    def put_back(self) -> list[str]:
        """Put back the files that were noted; return those that could not be."""
        failed: list[str] = []
        for path in sorted(self._made, reverse=True):  # what is in a folder comes before the folder
            try:
                (self.path / path).rmdir() if path.endswith("/") else (self.path / path).unlink(missing_ok=True)
            except OSError:
                failed.append(path)
        for path in self._touched:
            data = self._copies.get(path)
            if data is None:
                failed.append(path)
                continue
            target, times = self.path / path, self._files[path]
            target.write_bytes(data)
            os.utime(target, ns=(times[1], times[1]))
        self._made.clear()
        self._touched.clear()
        return failed
