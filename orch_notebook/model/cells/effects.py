"""A cell and what it does to names: the values that come into the analysis and go out of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from orch_notebook.model.cells.values import Summary

__all__ = ["Cell", "Effects", "effects_of"]


@dataclass(frozen=True, slots=True)
class Cell:
    """One code cell.

    Parameters
    ----------
    name : str
        The task's name, or any unique label for a plain cell.
    source : str
        Plain Python; IPython's transformer has already made magics calls of ``get_ipython()``.
    is_task : bool
        False for a plain cell: the environment.  What it binds is seen by the tasks below it; it waits for nobody.
    inputs, outputs : tuple of str or None
        Names that take the place of the reads and writes seen in the source.
    mutates : tuple of str
        Names changed in place besides those seen.
    after : tuple of str
        Tasks to wait for besides.
    """

    name: str
    source: str
    is_task: bool = True
    inputs: tuple[str, ...] | None = None
    outputs: tuple[str, ...] | None = None
    mutates: tuple[str, ...] = ()
    after: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Effects:
    """What a cell does to names and to what lies behind them.

    Parameters
    ----------
    reads : frozenset of str
        Names it takes in, those that functions it calls take in among them.
    writes : frozenset of str
        Names it binds, surely or perhaps.
    mutates : frozenset of str
        Names whose object it changes in place.
    deletes : frozenset of str
        Names it unbinds.
    perhaps : frozenset of str
        The writes and deletes that may not happen; they fall back on the earlier version.
    optional : frozenset of str
        Names it takes in only where something defines them.
    state_reads, state_changes : frozenset of str
        Hidden state: ``state:numpy.random``, ``file:data.csv`` …
    state_resets : frozenset of str
        Hidden state it puts back if a cell above has changed it.
    exclusive : frozenset of str
        What no two tasks may use at a time, such as ``pyplot``.
    opaque : str
        Why nothing certain can be said, or empty.
    rebinds : bool
        Whether an opaque cell may bind any name at all.
    indirect : frozenset of str
        The names it takes in, binds or deletes by way of functions, class bodies and comprehensions, which see globals
        and not what a body has for itself.
    in_place : bool
        Whether it has to run in the live namespace itself: it executes text, asks for its names as a dictionary, or
        uses a library that looks them up in ``__main__``.
    late : mapping
        For every function and class it defines, the globals that are read when it is called.
    """

    reads: frozenset[str] = frozenset()
    writes: frozenset[str] = frozenset()
    mutates: frozenset[str] = frozenset()
    deletes: frozenset[str] = frozenset()
    perhaps: frozenset[str] = frozenset()
    optional: frozenset[str] = frozenset()
    state_reads: frozenset[str] = frozenset()
    state_changes: frozenset[str] = frozenset()
    state_resets: frozenset[str] = frozenset()
    exclusive: frozenset[str] = frozenset()
    opaque: str = ""
    rebinds: bool = False
    indirect: frozenset[str] = frozenset()
    in_place: bool = False
    late: Mapping[str, frozenset[str]] = field(default_factory=dict, hash=False)


def effects_of(summary: Summary) -> Effects:
    """Return a summary's effects on names, without the objects behind them."""
    unsure = {name for name, (_, is_sure) in summary.writes.items() if not is_sure}
    unsure |= {name for name, is_sure in summary.deletes.items() if not is_sure}
    touched = {*summary.reads, *summary.writes, *summary.deletes}
    return Effects(
        reads=frozenset(name for name, is_sure in summary.reads.items() if is_sure),
        writes=frozenset(summary.writes),
        mutates=frozenset(base[1] for base, _ in summary.changed if base[0] == "in"),
        deletes=frozenset(summary.deletes),
        perhaps=frozenset(unsure),
        optional=frozenset(name for name, is_sure in summary.reads.items() if not is_sure),
        state_reads=frozenset(state for state, access in summary.states.items() if access == "read"),
        state_changes=frozenset(state for state, access in summary.states.items() if access == "change"),
        state_resets=frozenset(state for state, access in summary.states.items() if access == "reset"),
        exclusive=frozenset(summary.exclusive),
        opaque=summary.opaque,
        rebinds=summary.rebinds,
        indirect=frozenset(touched if summary.in_place else summary.indirect & touched),
        in_place=summary.in_place,
        late=MappingProxyType(summary.late) if summary.late else {},
    )
