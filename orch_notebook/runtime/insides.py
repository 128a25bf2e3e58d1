"""What a value is made of: its own content, and the parts that may change by themselves.

In: any Python value.  Out: a token for what nobody can change, or an :class:`Inside`.  Looking changes nothing: no
iterator moves on, no property runs, nothing is computed that the value would keep.
"""

from __future__ import annotations

import functools
import io
import itertools
import marshal
import random
import re
import types
import warnings
from collections import deque
from collections.abc import Callable
from typing import Any

from orch_notebook.runtime.definitions import KEPT_FOR_LATER, look_at_definition
from orch_notebook.runtime.tables import look_at_table
from orch_notebook.runtime.tokens import (
    MOST_PARTS,
    SCALARS,
    Budget,
    Inside,
    counted,
    digest,
    is_ours,
    put,
    shown,
    token,
)

__all__ = ["content", "look"]

ITERATORS = (
    *map(type, (iter([]), iter(()), iter({}), iter({}.values()), iter({}.items()), iter(set()), iter(range(0)),
                iter(range(1 << 99)), iter(""), iter(b""), reversed([]), iter(int, 0))),
    enumerate, zip, map, filter, reversed, *(kind for kind in vars(itertools).values() if isinstance(kind, type)),
)  # fmt: skip
#: What libraries note about the time they took.
TIMES = re.compile(r"(^|_)(time|times|timestamp|duration|elapsed)(_|$)")
#: Libraries whose objects hold on to the whole process, or to what lies outside of it.
CLOSED = frozenset(
    {
        *(
            "IPython",
            "ipykernel",
            "traitlets",
            "zmq",
            "tornado",
            "asyncio",
            "threading",
            "concurrent",
            "multiprocessing",
        ),
        *("socket", "sqlite3", "subprocess", "logging", "ssl", "orch_notebook", "ctypes", "weakref", "contextvars"),
    }
)
#: Which parts of a figure are counted.
COUNTED = {"Axes": "plot", "Line2D": "line", "PathCollection": "scatter"}
MOST_ITEMS = 2_000_000


def look(value: Any, budget: Budget) -> Inside:
    """Return what a value that may change consists of; for what has a token, ask :func:`token` first."""
    try:
        for kinds, looking in LOOKS:
            if isinstance(value, kinds):
                return looking(value, budget)
        definition = look_at_definition(value, budget)
        if definition is not None:
            return definition
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
    found = Inside(_name(kind), counted(len(value), "item"))
    items = list(itertools.islice(iter(list.__iter__(value) if isinstance(value, list) else value), MOST_ITEMS))
    if len(value) > MOST_ITEMS:
        budget.is_exceeded = True
        found.own["length"] = token(len(value)) or b""
    if set(map(type, items)) <= SCALARS:
        found.own["items"] = digest(marshal.dumps(items, 2))
    else:
        put(found, ((f"[{number}]", item) for number, item in enumerate(items)), budget)
    return _with_attributes(value, found, budget)


def _look_at_dict(value: Any, budget: Budget) -> Inside:
    found = Inside(_name(type(value)), counted(len(value), "key"))
    items = list(dict.items(value))
    if set(itertools.chain(map(type, dict.keys(value)), map(type, dict.values(value)))) <= SCALARS and len(items) > 64:
        found.own["items"] = digest(marshal.dumps([part for item in items for part in item], 2))
    else:
        order = [token(key) or shown(key) for key, _ in items]
        found.own[" order"] = digest(*order)
        put(found, ((f"[{shown(key).decode(errors='replace')}]", item) for key, item in items), budget)
    return _with_attributes(value, found, budget)


def _look_at_set(value: Any, budget: Budget) -> Inside:
    tokens = sorted(token(item) or shown(item) for item in itertools.islice(value, MOST_ITEMS))
    found = Inside(_name(type(value)), counted(len(value), "item"), {"items": digest(*tokens)})
    return _with_attributes(value, found, budget)


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
    put(found, shown, budget)
    return found


def _look_at_reduced(value: Any, found: Inside, budget: Budget) -> Inside:
    """Look at an object written in C through what it gives to be pickled."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reduced = value.__reduce_ex__(4)
    if isinstance(reduced, str):
        found.own["name"] = digest(reduced)
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
    return digest(inside.kind, *(label.encode() + own for label, own in inside.own.items()), *parts)


# Functions, iterators and what else has a state


def _look_at_iterator(value: Any, budget: Budget) -> Inside:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reduced = value.__reduce__()
    found = Inside("iterator", own={"kind": digest(type(value).__name__)})
    # What it draws from may be an iterator itself, which others may move on.
    drawn = [item for item in reduced[1] if isinstance(item, (*ITERATORS, types.GeneratorType))]
    rest = [item for item in (*reduced[1], *reduced[2:]) if not any(item is each for each in drawn)]
    found.own["place"] = content(rest, budget)
    put(found, ((f" {number}", item) for number, item in enumerate(drawn)), budget)
    return found


def _look_at_file(value: Any, budget: Budget) -> Inside:
    found = Inside("file", own={"name": shown(str(getattr(value, "name", "")))})
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


def _look_at_error(value: BaseException, budget: Budget) -> Inside:
    found = Inside(_name(type(value)))
    put(found, [(".args", value.args)], budget)
    return found


def _look_at_closed(value: Any, budget: Budget) -> Inside:
    return Inside(_name(type(value)), is_closed=True)


def _look_at_view(value: Any, budget: Budget) -> Inside:
    found = Inside(_name(type(value)))
    put(found, [(" of", value.mapping)], budget)
    return found


def _look_at_memory(value: Any, budget: Budget) -> Inside:
    return Inside(_name(type(value)), counted(len(value), "byte"), {"items": digest(bytes(value))})


def _look_at_drawing(value: Any) -> Inside:
    """Look at a figure, or a part of one, as people do: limits and positions are computed when it is drawn."""
    found = Inside(_name(type(value)))
    counts: dict[str, int] = {}
    todo = [value]
    lines: list[str] = []
    while todo and len(lines) < 20_000:
        artist = todo.pop()
        kind = type(artist).__name__
        # Ticks come and go as it is drawn.
        if kind in ("XTick", "YTick", "Spine", "XAxis", "YAxis"):
            continue
        counts[kind] = counts.get(kind, 0) + 1
        told = [kind]
        for getter in (
            "get_text",
            "get_label",
            "get_xydata",
            "get_offsets",
            "get_array",
            "get_facecolor",
            "get_visible",
        ):
            if callable(getattr(artist, getter, None)):
                told.append(_drawn(getattr(artist, getter)()))
        lines.append("|".join(told))
        todo += artist.get_children()
        todo += [axis.label for axis in (getattr(artist, "xaxis", None), getattr(artist, "yaxis", None)) if axis]
    found.size = ", ".join(counted(counts[kind], noun) for kind, noun in COUNTED.items() if kind in counts)
    found.own["drawing"] = digest(*lines)
    # Whoever draws on a plot changes its figure, too.
    figure = getattr(value, "figure", None)
    together = [figure, *getattr(figure, "axes", ())]
    found.parts = {f".{number}": part for number, part in enumerate(together) if part is not None and part is not value}
    return found


def _drawn(value: Any) -> str:
    return digest(value.tobytes()).hex() if hasattr(value, "tobytes") else str(value)


LOOKS: tuple[tuple[Any, Callable[[Any, Budget], Inside]], ...] = (
    ((types.CoroutineType, types.AsyncGeneratorType, types.FrameType, types.TracebackType), _look_at_closed),
    (ITERATORS, _look_at_iterator),
    ((list, tuple, deque), _look_at_sequence),
    (dict, _look_at_dict),
    ((set, frozenset), _look_at_set),
    ((bytearray, memoryview), _look_at_memory),
    (types.MappingProxyType, _look_at_closed),
    (random.Random, _look_at_chance),
    (io.IOBase, _look_at_file),
    (BaseException, _look_at_error),
    ((type({}.keys()), type({}.values()), type({}.items())), _look_at_view),
)
