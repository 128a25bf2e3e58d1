"""What flow runs were given, for whoever performs them again: as it was, or not at all.

In: the arguments of a flow, of which the store shows people what JSON can say.  Out: beside it, signed, what JSON
cannot hold; and for a run that goes on or is repeated the very values, or words on which have to be given anew.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from orch_notebook.errors import ParameterError
from orch_notebook.functions.arguments import PLAIN
from orch_notebook.model.runs import FlowRun, short_id
from orch_notebook.runtime.home import Home
from orch_notebook.runtime.pickling import from_bytes, write_to

__all__ = ["INEXACT", "given_of", "inexact", "is_plain", "keep_given", "spread"]

#: Under this word a run's `about` names the parameters that the store does not show as they were.
INEXACT = "not as given"

#: What is larger is kept only where somebody waits for it: pickling and writing 10 MB takes some 30 ms of every call.
MOST = 10_000_000


def inexact(given: Mapping[str, Any], shown: Mapping[str, Any]) -> list[str]:
    """Return the names of the values that are not the same as what the store shows of them.

    Examples
    --------
    >>> inexact({"n": 3, "pair": (1, 2), "rows": [1.5, None]}, {"n": 3, "pair": [1, 2], "rows": [1.5, None]})
    ['pair']
    """
    return [name for name, value in given.items() if name not in shown or not _is_same(value, shown[name])]


def is_plain(value: Any) -> bool:
    """Whether a value is one that JSON gives back as it is."""
    return _is_same(value, value)


def _is_same(value: Any, shown: Any) -> bool:
    kind = type(value)
    if kind is not type(shown):
        return False
    if kind is list:
        return len(value) == len(shown) and all(map(_is_same, value, shown))
    if kind is dict:
        return value.keys() == shown.keys() and all(type(k) is str and _is_same(value[k], shown[k]) for k in value)
    return kind in PLAIN and kind not in (bytes, complex) and (value == shown or value != value)


def keep_given(
    home: Home, run_id: str, given: Mapping[str, Any], names: Iterable[str], *, is_limited: bool = True
) -> None:
    """Keep what JSON cannot hold of what a run is given: each value by itself, so that no other goes with it.

    Parameters
    ----------
    names : iterable of str
        Which of it.
    is_limited : bool
        Leave out what is large.
    """
    tried = {name: _dump(home, given[name], MOST if is_limited else None) for name in names}
    if kept := {name: data for name, data in tried.items() if data is not None}:
        before = home.results.load(_place(run_id))
        home.results.keep(_place(run_id), {**(before.values if before else {}), **kept}, run_id)


def _dump(home: Home, value: Any, most: int | None) -> bytes | None:
    room = _Room(most)
    try:
        write_to(value, room)
        home.results.seal(room.data)  # refuses what holds a secret
    except Exception:  # noqa: BLE001 - it has to be given anew, and who wants to repeat the run is told so
        return None
    return room.data


def given_of(home: Home, run: FlowRun, anew: Iterable[str] = ()) -> dict[str, Any]:
    """Return what a run was given, or the one that it repeats, without what is given anew.

    Raises
    ------
    ParameterError
        Something of it could not be kept.
    """
    began = run
    while INEXACT not in began.about and began.retry_of is not None and (before := home.store.run(began.retry_of)):
        began = before
    names = [name for name in began.about.get(INEXACT, "").split(",") if name]
    kept = home.results.load(_place(began.run_id)) if names else None
    found = {name: _load(kept.values[name]) for name in names if kept is not None and name in kept.values}
    lacking = [name for name in names if name not in anew and found.get(name) is None]
    if lacking:
        shown = ", ".join(f"{name}={str(began.parameters.get(name))[:60]}" for name in lacking)
        again = ", ".join(f"{name}=…" for name in lacking)
        raise ParameterError(
            f"Run {short_id(began.run_id)} of flow {began.flow!r} was given {shown}, of which only this text is kept: "
            "it is a secret, too large, or cannot be pickled. Give it anew, where the flow is defined: "
            f"FLOW.retry({run.run_id!r}, {again}).",
            parameter=lacking[0],
            run_id=run.run_id,
        )
    exact = {name: value for name, value in run.parameters.items() if name not in names}
    return {name: value for name, value in {**exact, **_opened(found)}.items() if name not in anew}


def _load(data: bytes) -> tuple[Any] | None:
    try:
        return (from_bytes(data),)
    except Exception:  # noqa: BLE001 - made with other versions of the libraries: as good as not there
        return None


def _opened(found: Mapping[str, tuple[Any] | None]) -> dict[str, Any]:
    return {name: value[0] for name, value in found.items() if value is not None}


def spread(function: Callable[..., Any], values: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return values by parameter as the arguments of a call.

    Examples
    --------
    >>> spread(lambda a, /, b, *more, **named: None, {"a": 1, "b": 2, "more": [3], "named": {"c": 4}})
    ((1, 2, 3), {'c': 4})
    """
    args: list[Any] = []
    kwargs = dict(values)
    parameters = inspect.signature(function).parameters
    has_more = any(each.kind is each.VAR_POSITIONAL and name in values for name, each in parameters.items())
    for name, parameter in parameters.items():
        if name not in kwargs:
            continue
        if parameter.kind is parameter.VAR_POSITIONAL:
            args += kwargs.pop(name)
        elif parameter.kind is parameter.VAR_KEYWORD and isinstance(kwargs[name], dict):
            kwargs |= kwargs.pop(name)
        elif parameter.kind is parameter.POSITIONAL_ONLY or (
            has_more and parameter.kind is parameter.POSITIONAL_OR_KEYWORD
        ):
            args.append(kwargs.pop(name))
    return tuple(args), kwargs


def _place(run_id: str) -> str:
    return f"parameters/{run_id}"


class _Room:
    """Takes bytes as far as there is room."""

    def __init__(self, most: int | None) -> None:
        self._most = most
        self._data = bytearray()

    def write(self, data: Any) -> int:
        """Take bytes.

        Raises
        ------
        OverflowError
            They are too many.
        """
        size = memoryview(data).nbytes
        if self._most is not None and len(self._data) + size > self._most:
            raise OverflowError(f"It takes more than {self._most:,} bytes.")
        self._data += memoryview(data).cast("B")
        return size

    @property
    def data(self) -> bytes:
        """What came."""
        return bytes(self._data)
