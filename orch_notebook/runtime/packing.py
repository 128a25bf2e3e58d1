"""Pickles values one after the other, so that they are on the other side what they are here to each other.

In: values.  Out: their pickles, and the large buffers beside them.  Functions of the notebook travel without their
globals (:data:`built_over` says what they are built over where they arrive), closures share their variables, arrays
that are views of one another stay so, and frames share no memory they did not share in effect.
"""

from __future__ import annotations

import dis
import io
import pickle
from collections.abc import Collection, Iterable, Mapping
from contextvars import ContextVar
from functools import lru_cache
from types import CellType, CodeType, FunctionType
from typing import Any

from orch_notebook.runtime.originals import (
    Unfit,
    cell_contents,
    fill_cell,
    holds_objects,
    is_array,
    is_copied_on_write,
    is_frame,
    loaded,
    unfit,
)
from orch_notebook.runtime.pickling import LARGE, reducers

__all__ = ["Packer", "SharedMemory", "TooLarge", "built_over", "owner_of"]

#: A view travels as its own content only, if the array it is a part of is this many times as large.
SMALL_PART = 4


class TooLarge(Exception):
    """What is pickled takes more bytes than it may."""


class _Chunks:
    """What a pickler writes, up to so many bytes."""

    def __init__(self, most: int | None = None) -> None:
        self.parts: list[bytes] = []
        self.left = most

    def write(self, part: Any) -> None:
        self.parts.append(bytes(part))
        self.count(len(self.parts[-1]))

    def count(self, size: int) -> None:
        if self.left is not None:
            self.left -= size
            if self.left < 0:
                raise TooLarge


class SharedMemory(Exception):
    """A second array turned out to lie in the memory of one that was packed by itself."""


class Packer(pickle.Pickler):
    """Pickles one value after the other; what they share is pickled once."""

    def __init__(self, whole: Collection[int] = (), *, has_views: bool = True, most: int | None = None) -> None:
        self._reduce, self.dispatch_table = reducers()  # the constructor below looks for the table
        self._chunks = _Chunks(most)
        self._buffers: list[pickle.PickleBuffer] = []
        self._has_views = has_views
        #: Arrays that are packed whole, and those of which a part was packed by itself.
        self._whole = set(whole)
        self._parts: set[int] = set()
        self._kept: list[Any] = []
        #: Whether what is packed now may be changed in place.
        self.must_fit = False
        #: Names that functions packed so far read from their globals, with those globals.
        self.wanted: dict[str, Mapping[str, Any]] = {}
        #: Files that the code packed so far says it comes from.
        self.files: set[str] = set()
        super().__init__(self._chunks, protocol=5, buffer_callback=self._stays)

    def _stays(self, buffer: pickle.PickleBuffer) -> bool:
        if buffer.raw().nbytes < LARGE:
            return True
        self._chunks.count(buffer.raw().nbytes)
        self._buffers.append(buffer)
        return False

    def reducer_override(self, obj: Any) -> Any:
        """Return what pickle makes an object from, where it does not know better itself."""
        if isinstance(obj, CellType):
            return _cell, (), cell_contents(obj), None, None, fill_cell
        if isinstance(obj, FunctionType) and obj.__globals__.get("__name__") == "__main__":
            return self._reduce_function(obj)
        if isinstance(obj, CACHED) and obj.__module__ == "__main__":
            raise Unfit(f"it uses the cache of {obj.__name__}()")
        found = self._reduce(obj)
        return self._reduce_data(obj) if found is NotImplemented else found

    def _reduce_function(self, function: FunctionType) -> Any:
        for name in global_names(function.__code__):
            self.wanted.setdefault(name, function.__globals__)
        self.files.add(function.__code__.co_filename)
        parts = {name: getattr(function, name) for name in PARTS}
        made = function.__code__, function.__name__, function.__closure__
        return _function, made, (parts, function.__dict__), None, None, _complete

    def _reduce_data(self, obj: Any) -> Any:
        if not self._has_views:
            return NotImplemented
        if is_array(obj):
            return self._reduce_view(obj)
        if is_frame(obj) and is_copied_on_write():
            if holds_objects(obj):
                raise Unfit(f"a {type(obj).__name__} it takes in holds objects")
            if self.must_fit and (kind := unfit(obj)):  # asked now: packing it takes hold of its arrays
                raise Unfit(f"it changes {kind} in place")
            # By itself: arrays that two frames share until one of them is written to must not be joined again.
            inner = Packer(has_views=False, most=self._chunks.left)
            inner.dump(obj)
            self.wanted |= inner.wanted
            self.files |= inner.files
            return _unframe, (b"".join(inner._chunks.parts), inner._buffers)
        return NotImplemented

    def _reduce_view(self, array: Any) -> Any:
        root = self._root_of(array)
        if root is None:
            return NotImplemented
        self._kept.append(root)  # its id must not be given to another meanwhile
        if id(root) not in self._whole:
            if id(root) in self._parts:
                raise SharedMemory(id(root))
            in_one_piece = array.flags.c_contiguous or array.flags.f_contiguous
            if in_one_piece and root.nbytes > SMALL_PART * array.nbytes:
                self._parts.add(id(root))
                return NotImplemented
            self._whole.add(id(root))
        if root is array:
            return NotImplemented
        offset = array.__array_interface__["data"][0] - root.__array_interface__["data"][0]
        return _view, (root, array.dtype, array.shape, array.strides, offset, array.flags.writeable)

    def _root_of(self, array: Any) -> Any:
        """Return the array in whose memory another lies, or None if that is no plain array in one piece."""
        root = owner_of(array)
        in_one_piece = root.flags.c_contiguous or root.flags.f_contiguous
        return root if root.base is None and in_one_piece and not root.dtype.hasobject else None

    def parts(self) -> tuple[bytes, list[Any]]:
        """Return the pickles so far, and their buffers."""
        return b"".join(self._chunks.parts), [buffer.raw() for buffer in self._buffers]


def _unframe(data: bytes, buffers: Iterable[Any]) -> Any:
    return pickle.Unpickler(io.BytesIO(data), buffers=buffers).load()  # part of a parcel: as safe as that


def owner_of(array: Any) -> Any:
    """Return the array at the end of a chain of views."""
    while type(array.base) is type(array):
        array = array.base
    return array


def _view(root: Any, dtype: Any, shape: Any, strides: Any, offset: int, is_writeable: bool) -> Any:
    memory = root if root.flags.c_contiguous else root.T
    view = loaded("numpy").ndarray(shape, dtype, memory, offset, strides)
    view.flags.writeable = is_writeable and view.flags.writeable
    return view


CACHED = type(lru_cache(lambda: None))

# Functions travel without their globals.

PARTS = ("__defaults__", "__kwdefaults__", "__annotations__", "__qualname__", "__module__", "__doc__")

#: The namespace that functions are built over while a parcel is unpacked.
built_over: ContextVar[dict[str, Any]] = ContextVar("orchbuilt_over")


def _function(code: CodeType, name: str, closure: tuple[CellType, ...] | None) -> FunctionType:
    return FunctionType(code, built_over.get(), name, None, closure)


def _complete(function: FunctionType, state: tuple[dict[str, Any], dict[str, Any]]) -> None:
    parts, attributes = state
    for name, value in parts.items():
        setattr(function, name, value)
    function.__dict__.update(attributes)


def _cell() -> CellType:
    return CellType()


GLOBALS = frozenset({"LOAD_GLOBAL", "LOAD_NAME", "STORE_GLOBAL", "DELETE_GLOBAL", "LOAD_FROM_DICT_OR_GLOBALS"})


@lru_cache(maxsize=4096)
def global_names(code: CodeType) -> frozenset[str]:
    """Return the globals that code reads or binds, with the functions and classes inside it.

    Examples
    --------
    >>> sorted(global_names(compile("def f(x): return x.size * scale", "<cell>", "exec").co_consts[0]))
    ['scale']
    """
    names = {step.argval for step in dis.get_instructions(code) if step.opname in GLOBALS}
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names |= global_names(constant)
    return frozenset(names)
