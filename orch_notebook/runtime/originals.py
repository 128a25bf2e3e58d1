"""Objects that were changed on a copy, and how the change is made on the original.

A task in another process works on copies.  What it changes in place must be seen by everybody who holds the original
under whatever name: so the content is taken from the copy (:func:`state_of`) and put into the original
(:func:`put_state`).  Of a kind of object where that cannot be done exactly :func:`unfit` says so beforehand, and the
task runs where the original is.
"""

from __future__ import annotations

import copyreg
import datetime
import decimal
import enum
import fractions
import functools
import pathlib
import pickle
import random
import re
import sys
import types
import uuid
from array import array
from collections import OrderedDict, deque
from typing import Any

__all__ = [
    "Unfit",
    "can_take_state",
    "cell_contents",
    "check_state",
    "class_changes",
    "fill_cell",
    "has_state",
    "holds_objects",
    "is_array",
    "is_atom",
    "is_copied_on_write",
    "is_frame",
    "is_notebooks",
    "loaded",
    "put_state",
    "state_of",
    "unfit",
]


class Unfit(Exception):
    """A body cannot be performed on copies with the same outcome; the message says why."""


#: What nobody can change; containers among them are taken apart by the pickler.
ATOMS = (
    int, float, complex, bool, str, bytes, type(None), type(...), type(NotImplemented), range, slice, tuple, frozenset,
    type, types.ModuleType, types.BuiltinFunctionType, types.CodeType, types.MethodType, types.MappingProxyType,
    types.WrapperDescriptorType, types.MethodDescriptorType, types.GenericAlias, types.UnionType,
    staticmethod, classmethod, property, functools.partial,
    datetime.date, datetime.time, datetime.timedelta, datetime.tzinfo, decimal.Decimal, fractions.Fraction,
    pathlib.PurePath, re.Pattern, re.Match, uuid.UUID, enum.Enum, pickle.PickleBuffer,
)  # fmt: skip

CONTAINERS = (list, dict, set, bytearray, deque, array)


def loaded(library: str) -> Any:
    """Return a library if it is loaded already: who holds one of its objects has done so."""
    return sys.modules.get(library)


def is_copied_on_write() -> bool:
    """Whether frames and series behave as if they shared memory with nobody (pandas 3, or its option)."""
    pandas = loaded("pandas")
    if pandas is None:
        return False
    return int(pandas.__version__.partition(".")[0]) >= 3 or pandas.options.mode.copy_on_write is True


def is_atom(value: Any) -> bool:
    """Whether nobody can change a value in place.

    Examples
    --------
    >>> is_atom("x"), is_atom((1, [])), is_atom([1])
    (True, True, False)
    """
    if isinstance(value, ATOMS):
        return True
    numpy, pandas = loaded("numpy"), loaded("pandas")
    if numpy is not None and isinstance(value, numpy.generic | numpy.dtype | numpy.ufunc):
        return True
    if pandas is not None and isinstance(value, pandas.Index | pandas.Timestamp | pandas.Timedelta):
        return True
    return callable(value) and _is_of_module(value)


def _is_of_module(value: Any) -> bool:
    """Whether a value is found by its name in its module: it is the same one everywhere."""
    module = sys.modules.get(getattr(value, "__module__", None) or "")
    name = getattr(value, "__qualname__", None)
    return isinstance(name, str) and getattr(module, name, None) is value


def is_array(value: Any) -> bool:
    """Whether a value is a plain NumPy array."""
    numpy = loaded("numpy")
    return numpy is not None and type(value) is numpy.ndarray


def is_frame(value: Any) -> bool:
    """Whether a value is a frame or a series of pandas."""
    pandas = loaded("pandas")
    return pandas is not None and isinstance(value, pandas.DataFrame | pandas.Series)


def _is_source(value: Any) -> bool:
    """Whether a value is where NumPy draws random numbers from."""
    random = getattr(loaded("numpy"), "random", None)
    kinds = () if random is None else (random.Generator, random.RandomState, random.BitGenerator, random.SeedSequence)
    return isinstance(value, kinds)


def _source_state(value: Any) -> Any:
    if hasattr(value, "bit_generator"):
        return value.bit_generator  # all it holds: its content follows
    if hasattr(value, "get_state"):
        return value.get_state(legacy=False)
    if hasattr(value, "n_children_spawned"):
        return value.n_children_spawned
    return value.state, value.seed_seq


def _put_source_state(value: Any, state: Any) -> None:
    if hasattr(value, "set_state"):
        value.set_state(state)
    elif hasattr(value, "n_children_spawned"):
        value.spawn(state - value.n_children_spawned)
    elif not hasattr(value, "bit_generator"):
        value.state = state[0]


def _is_plain(value: Any) -> bool:
    """Whether unpickling makes a value from nothing but its class and its state."""
    kind: Any = type(value)
    root: Any = object
    return (
        bool(kind.__flags__ & HEAP)
        and kind not in copyreg.dispatch_table
        and kind.__reduce__ is root.__reduce__
        and kind.__reduce_ex__ is root.__reduce_ex__
        and not hasattr(kind, "__getnewargs__")
        and not hasattr(kind, "__getnewargs_ex__")
        and kind.__module__.partition(".")[0] != "matplotlib"  # parts of figures know each other weakly
    )


def _says_its_state(value: Any) -> bool:
    kind: Any = type(value)
    root: Any = object
    return kind.__getstate__ is not root.__getstate__


#: Set for classes made by a ``class`` statement; those written in C keep state that Python does not see.
HEAP = 1 << 9


def has_state(value: Any) -> bool:
    """Whether the content of a value can be taken and put into another of its kind."""
    if isinstance(value, types.FunctionType | types.CellType | random.Random):
        return True
    if isinstance(value, ATOMS):
        return False
    if isinstance(value, CONTAINERS):
        return type(value) in (*CONTAINERS, OrderedDict) or bool(type(value).__flags__ & HEAP) or _is_from_stdlib(value)
    return is_array(value) or is_frame(value) or _is_source(value) or _is_plain(value)


def _is_from_stdlib(value: Any) -> bool:
    return type(value).__module__ == "collections"


def unfit(value: Any) -> str:
    """Return why a change of a value cannot be made on the original; nothing if it can.

    Examples
    --------
    >>> unfit([1]), unfit(iter([1]))
    ('', 'a list_iterator')
    """
    if is_atom(value):
        return ""
    if isinstance(value, types.FunctionType):
        return ""
    if is_array(value):
        root = value
        while is_array(root.base):
            root = root.base
        return "" if root.base is None else "an array over memory that is not its own"
    if is_frame(value):
        return _unfit_frame(value)
    if has_state(value):
        return ""
    name = type(value).__name__
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"


def holds_objects(frame: Any) -> bool:
    """Whether a frame has elements that somebody could change in place."""
    arrays = [block.values for block in frame._mgr.blocks if is_array(block.values) and block.values.dtype == object]
    return any(not is_atom(value) for array in arrays for value in array.ravel())


def is_notebooks(value: Any) -> bool:
    """Whether a value is a class that a cell defines."""
    return isinstance(value, type) and value.__module__ == "__main__"


#: What Python itself keeps in a class.
NOT_MEMBERS = frozenset({"__dict__", "__weakref__", "__abstractmethods__", "__annotations__"})


def class_changes(kind: type, before: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return the members of a class that are others than before, and the names of those that are gone."""
    now = {name: member for name, member in vars(kind).items() if name not in NOT_MEMBERS}
    changed = {name: member for name, member in now.items() if before.get(name, before) is not member}
    return changed, [name for name in before if name not in now and name not in NOT_MEMBERS]


def can_take_state(value: Any) -> bool:
    """Whether :func:`put_state` knows what to do with a value."""
    return has_state(value) or is_notebooks(value)


def _unfit_frame(frame: Any) -> str:
    name = f"a {type(frame).__name__}"
    if not is_copied_on_write():
        return f"{name} (pandas before 3 shares memory between frames)"
    for block in frame._mgr.blocks:
        values = block.values
        if not is_array(values):
            continue
        root = values
        while is_array(root.base):
            root = root.base
        del values
        # Held by the block or by its view, by the name here and by the call that counts.
        if not block.refs.has_reference() and sys.getrefcount(root) > 3:
            return f"{name} whose memory an array shares"
    return ""


def state_of(value: Any) -> Any:
    """Return the content of a value: what :func:`put_state` puts into another of its kind."""
    if isinstance(value, types.FunctionType):
        return dict(value.__dict__), value.__defaults__, value.__kwdefaults__, value.__closure__
    if isinstance(value, types.CellType):
        return cell_contents(value)
    if isinstance(value, random.Random):
        return value.getstate()
    if is_array(value):
        return _array_state(value) if value.flags.writeable else None
    if is_frame(value):
        return value.copy(deep=False)
    if _is_source(value):
        return _source_state(value)
    attributes = dict(vars(value)) if hasattr(value, "__dict__") else None
    if isinstance(value, dict):
        kind = OrderedDict if isinstance(value, OrderedDict) else dict
        return list(kind.items(value)), attributes
    if isinstance(value, list | set | deque):
        return list(value), attributes
    if isinstance(value, bytearray | array):
        return bytes(value), attributes
    if _says_its_state(value):
        return value.__getstate__()
    slots = {name: getattr(value, name) for name in copyreg._slotnames(type(value)) if hasattr(value, name)}  # type: ignore[attr-defined]
    return attributes, slots


def cell_contents(cell: types.CellType) -> tuple[Any, ...]:
    """Return what a closure's cell holds; nothing while it is not bound."""
    try:
        return (cell.cell_contents,)
    except ValueError:
        return ()


def fill_cell(cell: types.CellType, contents: tuple[Any, ...]) -> None:
    """Let a closure's cell hold what :func:`cell_contents` returned."""
    if contents:
        cell.cell_contents = contents[0]
    elif cell_contents(cell):
        del cell.cell_contents


def _array_state(value: Any) -> Any:
    if value.dtype.hasobject or not (value.flags.c_contiguous or value.flags.f_contiguous):
        return value.shape, value.dtype, value.copy()
    return value.shape, value.dtype, pickle.PickleBuffer(value)


def check_state(value: Any, state: Any) -> None:
    """See to it that a value can hold what :func:`state_of` took from another of its kind.

    Raises
    ------
    Unfit
        The other has changed in a way that cannot be repeated here.
    """
    if is_array(value) and state is not None and state[:2] != (value.shape, value.dtype):
        raise Unfit(f"it changes the shape or type of an array in place ({value.shape} to {state[0]})")


def put_state(value: Any, state: Any) -> None:
    """Let a value hold what :func:`state_of` took from another of its kind."""
    if isinstance(value, type):
        changed, gone = state
        for name, member in changed.items():
            setattr(value, name, member)
        for name in vars(value).keys() & set(gone):
            delattr(value, name)
    elif isinstance(value, types.FunctionType):
        attributes, value.__defaults__, value.__kwdefaults__, _ = state
        _replace(value.__dict__, attributes)
    elif isinstance(value, types.CellType):
        fill_cell(value, state)
    elif isinstance(value, random.Random):
        value.setstate(state)
    elif is_array(value):
        _put_array(value, state)
    elif is_frame(value):
        _replace(value.__dict__, state.__dict__)
    elif _is_source(value):
        _put_source_state(value, state)
    elif isinstance(value, CONTAINERS):
        content, attributes = state
        _put_content(value, content)
        if attributes is not None:
            _replace(value.__dict__, attributes)
    elif _says_its_state(value):
        if hasattr(value, "__setstate__"):
            value.__dict__.clear()
            value.__setstate__(state)
        else:
            _replace(value.__dict__, state)
    else:
        attributes, slots = state
        if attributes is not None:
            _replace(value.__dict__, attributes)
        for name in copyreg._slotnames(type(value)):  # type: ignore[attr-defined]
            if name in slots:
                object.__setattr__(value, name, slots[name])
            elif hasattr(value, name):
                object.__delattr__(value, name)


def _replace(mapping: dict[str, Any], new: dict[str, Any]) -> None:
    """Let a dict hold what another holds; what stays is there all the while, for other threads may be looking."""
    mapping.update(new)
    for name in mapping.keys() - new.keys():
        del mapping[name]


def _put_content(value: Any, content: Any) -> None:
    if isinstance(value, list):
        list.__setitem__(value, slice(None), content)
    elif isinstance(value, dict):
        kind = OrderedDict if isinstance(value, OrderedDict) else dict
        if list(kind.keys(value)) != [key for key, _ in content]:
            kind.clear(value)
        kind.update(value, content)
    elif isinstance(value, set):
        if value != set(content):
            set.clear(value)
            set.update(value, content)
    elif isinstance(value, deque):
        deque.clear(value)
        deque.extend(value, content)
    elif isinstance(value, array):
        del value[:]
        value.frombytes(content)
    else:
        value[:] = content


def _put_array(value: Any, state: Any) -> None:
    if state is None:
        return
    shape, dtype, content = state
    numpy = loaded("numpy")
    if not isinstance(content, numpy.ndarray):
        order = "C" if value.flags.c_contiguous else "F"
        content = numpy.frombuffer(content, dtype).reshape(shape, order=order)
    numpy.copyto(value, content)
