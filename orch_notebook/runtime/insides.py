"""What a value is made of: its own content, and the parts that may change by themselves.

In: any Python value.  Out: a token for what nobody can change, or an :class:`Inside`.  Looking changes nothing: no
iterator moves on, no property runs, nothing is computed that the value would keep.
"""

from __future__ import annotations

import datetime
import decimal
import enum
import fractions
import functools
import hashlib
import io
import itertools
import marshal
import os
import pathlib
import random
import re
import sys
import types
import uuid
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from orch_notebook.runtime.tables import look_at_table

__all__ = ["Budget", "Inside", "content", "is_ours", "look", "token"]

#: What marshal writes alike whenever it is asked.
SCALARS = frozenset({bool, int, float, complex, str, bytes, type(None), type(...)})
#: What nobody can change, and whose text tells all of it.
PLAIN = (
    datetime.date, datetime.time, datetime.timedelta, datetime.tzinfo, decimal.Decimal, fractions.Fraction, uuid.UUID,
    pathlib.PurePath, re.Pattern, range, slice, enum.Enum,
)  # fmt: skip
ITERATORS = (
    *map(type, (iter([]), iter(()), iter({}), iter({}.values()), iter({}.items()), iter(set()), iter(range(0)),
                iter(range(1 << 99)), iter(""), iter(b""), reversed([]), iter(int, 0))),
    enumerate, zip, map, filter, reversed, *(kind for kind in vars(itertools).values() if isinstance(kind, type)),
)  # fmt: skip
#: Attributes in which objects keep what they could compute again.
KEPT_FOR_LATER = re.compile(r"cache|memo|lazy|lock|weakref", re.IGNORECASE)
#: What libraries note about the time they took.
TIMES = re.compile(r"(^|_)(time|times|timestamp|duration|elapsed)(_|$)")
#: Libraries whose objects hold on to the whole process, or to what lies outside of it.
CLOSED = frozenset(
    "IPython ipykernel traitlets zmq tornado asyncio threading concurrent multiprocessing socket sqlite3 subprocess "
    "logging ssl orch_notebook ctypes weakref contextvars importlib".split()
)
MOST_ITEMS = 2_000_000
MOST_PARTS = 50_000


@dataclass
class Budget:
    """How much may be read of everything together; what goes beyond is read in samples.

    Attributes
    ----------
    size : int
        Bytes of arrays that may still be read whole.
    is_exceeded : bool
        Whether something was read in samples only.
    """

    size: int = 2_000_000_000
    is_exceeded: bool = False

    def take(self, size: int) -> bool:
        """Whether so many bytes may be read."""
        self.size -= size
        if self.size < 0:
            self.is_exceeded = True
        return self.size >= 0


@dataclass(slots=True)
class Inside:
    """What a value consists of.

    Parameters
    ----------
    kind : str
        What people call it: ``list``, ``frame``, ``Ridge``.
    size : str
        How big it is, in words: ``3 items``.
    own : dict
        Tokens of what cannot change by itself, by label.
    parts : dict
        Values that can, by label.
    spans : tuple
        Where its memory lies, if it may share it: pairs of start and end.
    is_library : bool
        Whether its class comes from a library, which may keep there what it has computed.
    is_closed : bool
        Whether it cannot be looked into.
    """

    kind: str
    size: str = ""
    own: dict[str, bytes] = field(default_factory=dict)
    parts: dict[str, Any] = field(default_factory=dict)
    spans: tuple[tuple[int, int], ...] = ()
    is_library: bool = False
    is_closed: bool = False


def token(value: Any) -> bytes | None:
    """Return a token for a value that nobody can change; None for others.

    Examples
    --------
    >>> token(1) == token(True), token((1, "a")) == token((1, "a")), token([1])
    (False, True, None)
    """
    kind = type(value)
    if kind in SCALARS:
        return marshal.dumps(value, 2)
    if kind in (tuple, frozenset):
        if set(map(type, value)) <= SCALARS:
            items = value if kind is tuple else sorted(marshal.dumps(item, 2) for item in value)
            return _digest(kind.__name__, marshal.dumps(list(items), 2))
        return None
    if isinstance(value, PLAIN) or kind.__module__ == "numpy" and isinstance(value, _numpy("generic", "dtype")):
        return _digest(kind.__qualname__, repr(value))
    if isinstance(value, type) and not is_ours(value.__module__):
        return _digest("class", f"{value.__module__}.{value.__qualname__}")
    if isinstance(value, types.BuiltinFunctionType) and isinstance(value.__self__, types.ModuleType | None):
        return _digest("function", f"{value.__module__}.{value.__qualname__}")
    if isinstance(value, types.FunctionType) and not is_ours(value.__module__) and not value.__closure__:
        return _digest("function", f"{value.__module__}.{value.__qualname__}")
    if isinstance(value, types.ModuleType) and not is_ours(value.__name__):
        return _digest("module", value.__name__)
    if kind.__module__.startswith("pandas") and kind.__name__ in ("Timestamp", "Timedelta", "Period", "NaTType", "NAType"):
        return _digest(kind.__name__, repr(value))
    return None


def _digest(*parts: str | bytes) -> bytes:
    found = hashlib.blake2b(digest_size=12)
    for part in parts:
        data = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        found.update(b"%d:" % len(data))
        found.update(data)
    return found.digest()


def _numpy(*names: str) -> tuple[type, ...]:
    module = sys.modules.get("numpy")
    return tuple(getattr(module, name) for name in names) if module is not None else ()


@functools.lru_cache(maxsize=4096)
def _folder_of(module: str) -> str | None:
    found = sys.modules.get(module)
    if found is None or getattr(found, "__spec__", None) is None:
        return ""
    file = getattr(found, "__file__", None)
    return None if file is None else os.path.dirname(os.path.abspath(file))


def is_ours(module: str | None) -> bool:
    """Whether a module belongs to the notebook: itself, one made by hand, or a file in the working directory."""
    if module is None or module in ("builtins", "_thread"):
        return False
    if module == "__main__":
        return True
    folder = _folder_of(module)
    if folder is None:
        return False
    here = os.getcwd()
    return not folder or ((folder == here or folder.startswith(here + os.sep)) and "site-packages" not in folder)


def look(value: Any, budget: Budget) -> Inside:
    """Return what a value that may change consists of; for what has a token, ask :func:`token` first."""
    try:
        for kinds, looking in LOOKS:
            if isinstance(value, kinds):
                return looking(value, budget)
        table = look_at_table(value, budget.take)
        if table is not None:
            own, spans, kind, size, parts = table
            return Inside(kind, size, own, parts, spans)
        if callable(getattr(type(value), "get_children", None)) and type(value).__module__.startswith("matplotlib"):
            return _look_at_drawing(value)
        return _look_at_object(value, budget)
    except Exception:  # noqa: BLE001 - whatever a value's own code raises when it is looked at
        return Inside(type(value).__name__, is_closed=True)


# Containers


def _look_at_sequence(value: Any, budget: Budget) -> Inside:
    kind = type(value)
    found = Inside(_name(kind), _count(len(value), "item"))
    items = list(itertools.islice(iter(list.__iter__(value) if isinstance(value, list) else value), MOST_ITEMS))
    if len(value) > MOST_ITEMS:
        budget.is_exceeded = True
        found.own["length"] = token(len(value)) or b""
    if set(map(type, items)) <= SCALARS:
        found.own["items"] = _digest(marshal.dumps(items, 2))
    else:
        _put(found, ((f"[{number}]", item) for number, item in enumerate(items)), budget)
    return _with_attributes(value, found, budget)


def _look_at_dict(value: Any, budget: Budget) -> Inside:
    found = Inside(_name(type(value)), _count(len(value), "key"))
    items = list(dict.items(value))
    if set(itertools.chain(map(type, dict.keys(value)), map(type, dict.values(value)))) <= SCALARS and len(items) > 64:
        found.own["items"] = _digest(marshal.dumps([part for item in items for part in item], 2))
    else:
        order = [token(key) or _text(key) for key, _ in items]
        found.own[" order"] = _digest(*order)
        _put(found, ((f"[{_text(key).decode(errors='replace')}]", item) for key, item in items), budget)
    return _with_attributes(value, found, budget)


def _look_at_set(value: Any, budget: Budget) -> Inside:
    tokens = sorted(token(item) or _text(item) for item in itertools.islice(value, MOST_ITEMS))
    found = Inside(_name(type(value)), _count(len(value), "item"), {"items": _digest(*tokens)})
    return _with_attributes(value, found, budget)


def _text(value: Any) -> bytes:
    # A key or member that is an object: its class must do, for its text may hold its address.
    kind = type(value)
    shown = repr(value) if kind in SCALARS or kind is tuple or isinstance(value, PLAIN) else f"<{kind.__qualname__}>"
    return shown[:80].encode("utf-8", "surrogatepass")


def _put(found: Inside, items: Iterable[tuple[str, Any]], budget: Budget) -> None:
    for number, (label, item) in enumerate(items):
        if number >= MOST_PARTS:
            budget.is_exceeded = True
            return
        if (known := token(item)) is not None:
            found.own[label] = known
        else:
            found.parts[label] = item


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def _name(kind: type) -> str:
    return kind.__name__


# Objects


def _look_at_object(value: Any, budget: Budget) -> Inside:
    kind = type(value)
    found = Inside(_name(kind), is_library=not is_ours(kind.__module__))
    if kind.__module__.partition(".")[0] in CLOSED:
        found.is_closed = True
        return found
    attributes = _attributes(value)
    if attributes is None:
        return _look_at_reduced(value, found, budget)
    return _with_attributes(value, found, budget)


def _attributes(value: Any) -> dict[str, Any] | None:
    """Return what an object keeps by name, None where it keeps nothing that can be seen."""
    found: dict[str, Any] | None = None
    try:
        found = dict(object.__getattribute__(value, "__dict__"))
    except (AttributeError, TypeError):
        pass
    for kind in type(value).__mro__:
        for name, member in vars(kind).items():
            if isinstance(member, types.MemberDescriptorType) and kind.__module__ not in ("builtins", "functools"):
                found = {} if found is None else found
                try:
                    found[name] = member.__get__(value)
                except AttributeError:
                    pass
    return found


def _with_attributes(value: Any, found: Inside, budget: Budget) -> Inside:
    kind = type(value)
    if kind.__flags__ & (1 << 9) == 0 and kind.__module__ == "builtins":  # not a class of Python's own making
        return found
    attributes = _attributes(value) or {}
    shown = [
        (f".{name}", attributes[name])
        for name in sorted(attributes, key=str)
        if not KEPT_FOR_LATER.search(str(name))
        and not isinstance(getattr(kind, str(name), None), functools.cached_property)
        and not (found.is_library and TIMES.search(str(name)))
    ]
    _put(found, shown, budget)
    return found


def _look_at_reduced(value: Any, found: Inside, budget: Budget) -> Inside:
    """Look at an object written in C through what it gives to be pickled."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reduced = value.__reduce_ex__(4)
    if isinstance(reduced, str):
        found.own["name"] = _digest(reduced)
        return found
    parts = list(reduced[1:3]) + [list(itertools.islice(part, MOST_PARTS)) for part in reduced[3:5] if part is not None]
    if parts == [(type(value),), None] or parts == [(), None]:
        found.is_closed = reduced[0] is not type(value)
    # What it gives is made for the purpose, so it has no life of its own: its content is the object's.
    found.own["state"] = content(parts, budget)
    return found


def content(value: Any, budget: Budget, depth: int = 0) -> bytes:
    """Return a token of a value with all that is in it, whichever objects that is made of."""
    known = token(value)
    if known is not None:
        return known
    if depth > 20:
        return b"deep"
    inside = look(value, budget)
    parts = [label.encode() + content(part, budget, depth + 1) for label, part in inside.parts.items()]
    return _digest(inside.kind, *(label.encode() + own for label, own in inside.own.items()), *parts)


# Functions, iterators and what else has a state


def _look_at_function(value: types.FunctionType, budget: Budget) -> Inside:
    found = Inside("function", own={"code": code_token(value.__code__)})
    carried: list[tuple[str, Any]] = [(f" default {n}", item) for n, item in enumerate(value.__defaults__ or ())]
    carried += [(f" default {name}", item) for name, item in (value.__kwdefaults__ or {}).items()]
    for name, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=False):
        try:
            carried.append((f" {name}", cell.cell_contents))
        except ValueError:  # not bound yet
            pass
    carried += [(f".{name}", item) for name, item in vars(value).items() if not KEPT_FOR_LATER.search(name)]
    _put(found, carried, budget)
    return found


def code_token(code: types.CodeType) -> bytes:
    """Return a token of what a function does."""
    consts = [code_token(each) if isinstance(each, types.CodeType) else _text(each) for each in code.co_consts]
    return _digest(code.co_code, repr((code.co_names, code.co_varnames, code.co_freevars)), *consts)


def _look_at_method(value: types.MethodType, budget: Budget) -> Inside:
    found = Inside("method")
    _put(found, [("", value.__func__), (".__self__", value.__self__)], budget)
    return found


def _look_at_class(value: type, budget: Budget) -> Inside:
    found = Inside("class", own={"name": _digest(value.__qualname__)})
    hidden = {"__dict__", "__weakref__", "__doc__", "__module__", "__annotations__", "__static_attributes__"}
    members = [(f".{name}", item) for name, item in vars(value).items() if name not in hidden and "_abc" not in name]
    plain = [(label, item) for label, item in members if not isinstance(item, types.MemberDescriptorType | types.GetSetDescriptorType)]
    _put(found, [(label, item.__func__ if isinstance(item, staticmethod | classmethod) else item) for label, item in plain], budget)
    return found


def _look_at_module(value: types.ModuleType, budget: Budget) -> Inside:
    found = Inside("module", own={"name": _digest(value.__name__)})
    data = [
        (f".{name}", item)
        for name, item in sorted(vars(value).items())
        if not name.startswith("__") and not isinstance(item, types.ModuleType)
    ]
    _put(found, data, budget)
    return found


def _look_at_generator(value: types.GeneratorType[Any, Any, Any], budget: Budget) -> Inside:
    frame = value.gi_frame
    found = Inside("generator", own={"code": code_token(value.gi_code)})
    found.own["place"] = token(-2 if frame is None else frame.f_lasti) or b""
    if frame is not None and not value.gi_running:
        _put(found, ((f" {name}", item) for name, item in sorted(frame.f_locals.items())), budget)
    return found


def _look_at_iterator(value: Any, budget: Budget) -> Inside:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reduced = value.__reduce__()
    found = Inside("iterator", own={"kind": _digest(type(value).__name__)})
    # What it draws from may be an iterator itself, which others may move on.
    drawn = [item for item in reduced[1] if isinstance(item, (*ITERATORS, types.GeneratorType))]
    rest = [item for item in (*reduced[1], *reduced[2:]) if not any(item is each for each in drawn)]
    found.own["place"] = content(rest, budget)
    _put(found, ((f" {number}", item) for number, item in enumerate(drawn)), budget)
    return found


def _look_at_file(value: Any, budget: Budget) -> Inside:
    found = Inside("file", own={"name": _text(str(getattr(value, "name", "")))})
    if value.closed:
        found.own["place"] = b"closed"
    elif isinstance(value, io.StringIO | io.BytesIO):
        whole = value.getvalue()
        found.own["place"] = token((value.tell(), whole)) or b""
    else:
        try:
            found.own["place"] = token(value.tell()) or b""
        except (OSError, ValueError):  # while it is iterated over a text file does not tell, its buffer does
            buffer = getattr(value, "buffer", None)
            found.own["place"] = token(buffer.tell() if buffer is not None and buffer.seekable() else -1) or b""
    return found


def _look_at_chance(value: Any, budget: Budget) -> Inside:
    return Inside("generator of random numbers", own={"state": content(value.getstate(), budget)})


def _look_at_partial(value: Any, budget: Budget) -> Inside:
    found = Inside("partial")
    _put(found, [("", value.func), (" arguments", value.args), (" keywords", value.keywords)], budget)
    return found


def _look_at_error(value: BaseException, budget: Budget) -> Inside:
    found = Inside(_name(type(value)))
    _put(found, [(".args", value.args)], budget)
    return found


def _look_at_closed(value: Any, budget: Budget) -> Inside:
    return Inside(_name(type(value)), is_closed=True)


def _look_at_view(value: Any, budget: Budget) -> Inside:
    found = Inside(_name(type(value)))
    _put(found, [(" of", value.mapping)], budget)
    return found


def _look_at_memory(value: Any, budget: Budget) -> Inside:
    return Inside(_name(type(value)), _count(len(value), "byte"), {"items": _digest(bytes(value))})


def _look_at_drawing(value: Any) -> Inside:
    """Look at a figure, or a part of one, as people do: drawing it computes limits and positions, which are no change."""
    found = Inside(_name(type(value)))
    counts: dict[str, int] = {}
    todo = [value]
    lines = []
    while todo and len(lines) < 20_000:
        artist = todo.pop()
        kind = type(artist).__name__
        # Ticks come and go as it is drawn.
        if kind in ("XTick", "YTick", "Spine", "XAxis", "YAxis"):
            continue
        counts[kind] = counts.get(kind, 0) + 1
        told = [kind]
        for getter in ("get_text", "get_label", "get_xydata", "get_offsets", "get_array", "get_facecolor", "get_visible"):
            if callable(getattr(artist, getter, None)):
                told.append(_shown(getattr(artist, getter)()))
        lines.append("|".join(told))
        todo += artist.get_children()
        todo += [axis.label for axis in (getattr(artist, "xaxis", None), getattr(artist, "yaxis", None)) if axis]
    found.size = ", ".join(_count(number, kind) for kind, number in sorted(counts.items()) if kind in ("Axes", "Line2D"))
    found.own["drawing"] = _digest(*lines)
    return found


def _shown(value: Any) -> str:
    return _digest(value.tobytes()).hex() if hasattr(value, "tobytes") else str(value)


LOOKS: tuple[tuple[Any, Callable[[Any, Budget], Inside]], ...] = (
    (types.FunctionType, _look_at_function),
    (types.MethodType, _look_at_method),
    (type, _look_at_class),
    (types.ModuleType, _look_at_module),
    (types.GeneratorType, _look_at_generator),
    ((types.CoroutineType, types.AsyncGeneratorType, types.FrameType, types.TracebackType), _look_at_closed),
    (ITERATORS, _look_at_iterator),
    ((list, tuple, deque), _look_at_sequence),
    (dict, _look_at_dict),
    ((set, frozenset), _look_at_set),
    ((bytearray, memoryview), _look_at_memory),
    (types.MappingProxyType, _look_at_closed),
    (random.Random, _look_at_chance),
    (io.IOBase, _look_at_file),
    (functools.partial, _look_at_partial),
    (BaseException, _look_at_error),
    ((type({}.keys()), type({}.values()), type({}.items())), _look_at_view),
)
