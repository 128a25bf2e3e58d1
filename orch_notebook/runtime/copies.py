"""Keeps copies of versions on disk while a session lasts, for tasks whose inputs have been changed in place since.

In: versions that belong together.  Out: the same values, made anew, sharing among themselves what they shared.  What
cannot be copied so that no task could tell is refused, and the tasks that made it run again instead.
"""

from __future__ import annotations

import io
import os
import pickle
import shutil
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from orch_notebook.model.lines import first_line
from orch_notebook.model.recipes import Version
from orch_notebook.runtime.files import make_private_folder
from orch_notebook.runtime.owners import is_dead

__all__ = ["Copies", "NotCopied", "check_faithful", "folder_name", "remove_orphans"]


class NotCopied(Exception):
    """These values cannot be copied faithfully; the message says why."""


@dataclass(frozen=True, slots=True)
class _Copy:
    path: Path
    tokens: Mapping[Version, str]
    stream: int
    buffers: tuple[tuple[int, bool], ...]
    references: tuple[Any, ...]

    @property
    def size(self) -> int:
        return self.stream + sum(size for size, _ in self.buffers)


class Copies:
    """Copies of versions in a folder of this session.

    Parameters
    ----------
    folder : Path
        Made when it is first needed, removed by :meth:`close`.
    limit : int
        Bytes that all copies together may take; the oldest give way.

    Examples
    --------
    >>> import tempfile
    >>> copies = Copies(Path(tempfile.mkdtemp()) / "mine", 1_000_000)
    >>> rows = [1]
    >>> copies.keep("before grow", {("rows", "make"): rows, ("table", "make"): {"rows": rows}}, {})
    >>> rows.append(2)
    >>> found = copies.load("before grow")
    >>> found["rows", "make"], found["table", "make"]["rows"] is found["rows", "make"]
    ([1], True)
    >>> copies.close()
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder = folder
        self._limit = limit
        self._copies: dict[str, _Copy] = {}
        self._numbers = count()
        self._lock = threading.Lock()
        self._is_closed = False
        #: The names of copies that must not give way.
        self.held: frozenset[str] = frozenset()

    def keep(
        self, name: str, values: Mapping[Version, Any], tokens: Mapping[Version, str], most: float = float("inf")
    ) -> None:
        """Keep a copy of values under a name, replacing the one there is.

        Parameters
        ----------
        name : str
            What it is found by.
        values : mapping
            The values, by version.
        tokens : mapping
            What each version is known to be: the copy is good as long as it still is that.
        most : float
            Bytes it may take; what takes more is quicker made again.

        Raises
        ------
        NotCopied
            They cannot be copied; nothing is kept under the name then.
        """
        self.forget(name)
        if self._is_closed:
            raise NotCopied("the session is being closed")
        for (called, _), value in values.items():
            if isinstance(value, (FunctionType, ModuleType, type)):
                raise NotCopied(f"{called!r} is a {type(value).__name__}")
        try:
            make_private_folder(self._folder)
            path = self._folder / str(next(self._numbers))
            copy = _write(path, values, tokens, int(min(self._limit, most)))
        except OSError as error:
            raise NotCopied(f"the folder {self._folder} cannot be written: {error.strerror}") from None
        with self._lock:
            self._copies[name] = copy
            left = self._limit - sum(other.size for other in self._copies.values())
            for oldest in [other for other in self._copies if other not in self.held]:
                if left >= 0:
                    break
                left += self._copies[oldest].size
                self._remove(self._copies.pop(oldest))

    def load(self, name: str) -> dict[Version, Any]:
        """Return the values of a copy, made anew at each call.

        Raises
        ------
        NotCopied
            There is none any more, or it cannot be read.
        """
        copy = self._copies.get(name)
        if copy is None:
            raise NotCopied("it was not kept")
        try:
            return _read(copy)
        except Exception as error:  # noqa: BLE001 - unpickling runs the values' own code
            self.forget(name)
            raise NotCopied(f"it cannot be read: {error}") from None

    def good(self, tokens: Mapping[Version, str]) -> dict[str, frozenset[Version]]:
        """Return for each copy the versions in it that still are what they were."""
        with self._lock:
            copies = dict(self._copies)
        return {
            name: frozenset(version for version, token in copy.tokens.items() if tokens.get(version) == token)
            for name, copy in copies.items()
        }

    def forget(self, name: str) -> None:
        """Remove a copy, if there is one."""
        with self._lock:
            copy = self._copies.pop(name, None)
        if copy is not None:
            self._remove(copy)

    def _remove(self, copy: _Copy) -> None:
        copy.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Remove all copies and keep no more."""
        self._is_closed = True
        with self._lock:
            self._copies.clear()
        shutil.rmtree(self._folder, ignore_errors=True)


def check_faithful(values: Mapping[Version, Any]) -> None:
    """Make sure that pickled copies of these values would share among themselves what the values share.

    Raises
    ------
    NotCopied
        They would not.
    """
    with open(os.devnull, "wb") as file:  # noqa: PTH123 - no path
        buffers: list[pickle.PickleBuffer] = []
        try:
            _Pickler(file, buffers).dump(dict(values))
        except NotCopied:
            raise
        except Exception as error:  # noqa: BLE001 - pickling runs the values' own code
            raise NotCopied(f"it cannot be pickled: {error}") from None
        finally:
            for buffer in buffers:
                buffer.release()


def remove_orphans(folder: Path) -> None:
    """Remove the copies of sessions that have died; their folders bear their owner's name."""
    if folder.is_dir():
        for path in folder.iterdir():
            if is_dead(path.name.replace(",", ":")):
                shutil.rmtree(path, ignore_errors=True)


# How values become bytes.  Large arrays are written from where they lie: pickled into the stream, 300 MB would take as
# much again in memory.


class _Pickler(pickle.Pickler):
    """Copies data; what belongs to the notebook's code (functions, classes) stays what it is."""

    def __init__(self, file: Any, buffers: list[pickle.PickleBuffer]) -> None:
        super().__init__(file, 5, buffer_callback=lambda buffer: buffers.append(buffer))
        self.references: list[Any] = []
        self._arrays: dict[int, list[Any]] = {}

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, (FunctionType, type, ModuleType)):
            return self._code(obj)
        numpy = sys.modules.get("numpy")
        if numpy is not None and isinstance(obj, numpy.ndarray):
            self._array(numpy, obj)
        elif (torch := sys.modules.get("torch")) is not None and isinstance(obj, torch.Tensor):
            self._own(obj.untyped_storage().data_ptr(), obj)
        return NotImplemented

    def _code(self, obj: Any) -> Any:
        is_found = getattr(obj, "__module__", "__main__") != "__main__" and "<" not in getattr(obj, "__qualname__", "<")
        if is_found and not isinstance(obj, ModuleType):
            return NotImplemented
        if getattr(obj, "__closure__", None):
            raise NotCopied(f"{obj.__qualname__} is a function that holds on to what it was made with")
        self.references.append(obj)
        return _recall, (len(self.references) - 1,)

    def _array(self, numpy: Any, array: Any) -> None:
        root = array
        while isinstance(getattr(root, "base", None), numpy.ndarray):
            root = root.base
        owner = root.base if root.base is not None else root
        for other in self._arrays.setdefault(id(owner), []):
            if numpy.may_share_memory(other, array):
                raise NotCopied("it holds two views of one array")
        self._arrays[id(owner)].append(array)

    def _own(self, address: int, obj: Any) -> None:
        if self._arrays.setdefault(-address, []):
            raise NotCopied("it holds two views of one tensor")
        self._arrays[-address].append(obj)


class _Limited:
    """A file that takes only so many bytes."""

    def __init__(self, file: io.BufferedWriter, limit: int) -> None:
        self._file = file
        self.limit = limit
        self.size = 0

    def write(self, data: Any) -> int:
        size = memoryview(data).nbytes
        self.size += size
        if self.size > self.limit:
            raise NotCopied(f"it takes more than {self.limit:,} bytes")
        self._file.write(data)
        return size


def _write(path: Path, values: Mapping[Version, Any], tokens: Mapping[Version, str], limit: int) -> _Copy:
    buffers: list[pickle.PickleBuffer] = []
    try:
        with path.open("xb") as file:
            taken = _Limited(file, limit)
            pickler = _Pickler(taken, buffers)
            try:
                pickler.dump(dict(values))
            except (NotCopied, OSError):
                raise
            except Exception as error:  # noqa: BLE001 - pickling runs the values' own code
                raise NotCopied(f"it cannot be pickled: {first_line(error)}") from None
            stream = taken.size
            raws = [buffer.raw() for buffer in buffers]
            if stream + sum(raw.nbytes for raw in raws) > limit:
                raise NotCopied(f"it takes more than {limit:,} bytes")
            for raw in raws:
                file.write(raw)
            sizes = tuple((raw.nbytes, raw.readonly) for raw in raws)
        kept = {version: tokens.get(version, "") for version in values}
        return _Copy(path, kept, stream, sizes, tuple(pickler.references))
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    finally:
        for buffer in buffers:
            buffer.release()


_recalled = threading.local()


def _recall(number: int) -> Any:
    return _recalled.references[number]


def _read(copy: _Copy) -> dict[Version, Any]:
    with copy.path.open("rb") as file:
        stream = file.read(copy.stream)
        buffers: list[Any] = []
        for size, is_readonly in copy.buffers:
            room = bytearray(size)
            file.readinto(room)
            buffers.append(bytes(room) if is_readonly else room)
    _recalled.references = copy.references
    try:
        # Written by this process into a folder that only its user may enter.
        found: dict[Version, Any] = pickle.loads(stream, buffers=buffers)
        return found
    finally:
        _recalled.references = ()


def folder_name(owner: str) -> str:
    """Return the name of an owner's folder; not every file system takes colons."""
    return owner.replace(":", ",")
