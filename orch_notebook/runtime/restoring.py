"""Puts objects back as they were, in place: whoever holds one, by whatever name, sees it as before.

In: a value.  Out: the way back for its own content; its parts have ways of their own.
"""

from __future__ import annotations

import copy
import io
import random
import sys
import types
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from orch_notebook.runtime.surveys import Survey

__all__ = ["WayBack"]

Back = Callable[[], object]

#: Bytes of arrays and frames of which copies are kept.
MOST_KEPT = 1_000_000_000


class WayBack:
    """What is needed to put everything that a survey found back as it was.

    Parameters
    ----------
    survey : Survey
        What was found, before anything has changed.

    Examples
    --------
    >>> rows = [[1], [2]]
    >>> way = WayBack(Survey({"rows": rows}))
    >>> rows[0].append(3)
    >>> rows.pop()
    [2]
    >>> way.put_back()
    []
    >>> rows
    [[1], [2]]
    """

    def __init__(self, survey: Survey) -> None:
        self._survey = survey
        self._room = MOST_KEPT
        self._backs: dict[int, list[Back]] = {}
        for each, node in survey.nodes.items():
            try:
                self._backs[each] = list(self._ways(node.value))
            except Exception:  # noqa: BLE001 - a value's own code; it is named if it changes
                self._backs[each] = []

    def put_back(self) -> list[str]:
        """Put back what has changed; return the names of what could not be."""
        # One object's way back may lead over another that was put back after it.
        for _ in range(2):
            changed = list(self._survey.changes(Survey(self._survey.roots)))
            if not changed:
                return []
            for change in changed:
                for back in self._backs[id(change.value)]:
                    try:
                        back()
                    except Exception:  # noqa: BLE001 - compared below, and named if it is not as it was
                        break
        return [change.path for change in self._survey.changes(Survey(self._survey.roots))]

    def _ways(self, value: Any) -> list[Back]:
        numpy, pandas, torch = (sys.modules.get(name) for name in ("numpy", "pandas", "torch"))
        if numpy is not None and isinstance(value, numpy.ndarray):
            return _of_array(value) if value.flags.writeable and self._take(value.nbytes) else []
        if numpy is not None and isinstance(value, numpy.random.RandomState):
            return [_call(value.set_state, value.get_state())]
        if numpy is not None and isinstance(value, numpy.random.Generator | numpy.random.BitGenerator):
            bits = getattr(value, "bit_generator", value)
            return [_call(setattr, bits, "state", copy.deepcopy(bits.state))]
        if pandas is not None and isinstance(value, pandas.DataFrame | pandas.Series):
            return _of_frame(value) if self._take(_size(value)) else []
        if torch is not None and isinstance(value, torch.Tensor):
            return _of_tensor(value) if self._take(value.nbytes) else []
        return [*_of_container(value), *_of_attributes(value)]

    def _take(self, size: int) -> bool:
        self._room -= size
        return self._room >= 0


def _call(function: Callable[..., Any], *arguments: Any) -> Back:
    return lambda: function(*arguments)


def _size(frame: Any) -> int:
    used = frame.memory_usage(deep=False)
    return int(used.sum() if hasattr(used, "sum") else used)


def _of_array(value: Any) -> list[Back]:
    return [_call(value.__setitem__, ..., value.copy())]


def _of_frame(value: Any) -> list[Back]:
    kept = value.copy(deep=True)
    return [lambda: value._update_inplace(kept.copy(deep=True))]


def _of_tensor(value: Any) -> list[Back]:
    kept = value.detach().clone()
    return [lambda: value.data.copy_(kept)]


def _of_container(value: Any) -> list[Back]:
    if isinstance(value, list):
        return [_call(list.__setitem__, value, slice(None), list(value))]
    if isinstance(value, dict):
        return [_call(dict.clear, value), _call(dict.update, value, dict(value))]
    if isinstance(value, set):
        return [_call(set.clear, value), _call(set.update, value, set(value))]
    if isinstance(value, deque):
        return [value.clear, _call(value.extend, list(value))]
    if isinstance(value, bytearray):
        return [_call(value.__setitem__, slice(None), bytes(value))]
    if isinstance(value, random.Random):
        return [_call(value.setstate, value.getstate())]
    if isinstance(value, io.StringIO | io.BytesIO):
        text, place = value.getvalue(), value.tell()
        return [_call(value.seek, 0), value.truncate, _call(value.write, text), _call(value.seek, place)]
    if isinstance(value, io.IOBase) and not value.closed and value.seekable():
        return [_call(value.seek, value.tell())]
    return []


def _of_attributes(value: Any) -> list[Back]:
    if isinstance(value, types.FunctionType):
        cells = [(cell, cell.cell_contents) for cell in value.__closure__ or () if _is_bound(cell)]
        return [_call(setattr, cell, "cell_contents", held) for cell, held in cells] + _of_names(vars(value))
    if isinstance(value, type):
        return [_call(_put_members, value, dict(vars(value)))]
    ways = _of_names(value.__dict__) if isinstance(getattr(value, "__dict__", None), dict) else []
    for kind in type(value).__mro__:
        for member in vars(kind).values():
            if isinstance(member, types.MemberDescriptorType) and kind.__module__ != "builtins":
                try:
                    ways.append(_call(member.__set__, value, member.__get__(value)))
                except AttributeError:
                    ways.append(_call(_unset, member, value))
    return ways


def _unset(member: Any, value: Any) -> None:
    try:
        member.__delete__(value)
    except AttributeError:
        pass


def _of_names(names: dict[str, Any]) -> list[Back]:
    kept = dict(names)

    def back() -> None:
        names.clear()
        names.update(kept)

    return [back]


def _put_members(kind: type, kept: Mapping[str, Any]) -> None:
    for name in [*vars(kind)]:
        if name not in kept:
            type.__delattr__(kind, name)
    for name, member in kept.items():
        if vars(kind).get(name) is not member:
            type.__setattr__(kind, name, member)


def _is_bound(cell: types.CellType) -> bool:
    try:
        return cell.cell_contents is cell or True
    except ValueError:
        return False
