"""Which names a task sees through the one set of globals that all functions of the notebook share.

In: a wiring.  Out: for every task, the names it reaches by way of functions, and the version of each that must stand
there while the task runs.  Two tasks that need different versions of such a name never overlap.
"""

from __future__ import annotations

from collections.abc import Iterable

from orch_notebook.model.cells.wiring import Wiring

__all__ = ["claims", "late_names"]


def late_names(wiring: Wiring, tasks: Iterable[str]) -> dict[str, dict[str, str | None]]:
    """Return for every task the names it sees late, each with the task whose version it sees.

    A name counts if some task makes a version of it; all else is the environment's and never changes.  ``None`` stands
    for what is there before any task: the environment's version, or nothing.

    Examples
    --------
    >>> from orch_notebook.model.cells import Cell, wire
    >>> cells = [Cell("a", "n = 1"), Cell("b", "def f(): return n"), Cell("c", "x = f()"), Cell("d", "n = 2; f()")]
    >>> late_names(wire(cells), "abcd")
    {'a': {}, 'b': {}, 'c': {'n': 'a'}, 'd': {'n': None}}
    """
    effects = {task: wiring.effects[task] for task in tasks}
    made: set[str] = set()
    deleted: set[str] = set()
    for each in effects.values():
        made.update(each.writes, each.mutates, each.deletes)
        deleted |= each.deletes
    made = {name for name in made if ":" not in name}
    found: dict[str, dict[str, str | None]] = {}
    for task, each in effects.items():
        bound = wiring.bindings[task]
        if each.opaque:  # it may ask for anything
            names = made
        else:
            names = made & each.indirect
            # What is not there yet, or perhaps no more, must not be found either.
            names |= made & (each.reads - bound.keys())
            names |= made & (each.optional - bound.keys())
            if deleted:
                names |= made & deleted & (each.reads | each.optional | each.writes | each.mutates | each.deletes)
        found[task] = {name: bound.get(name) for name in sorted(names)} if names else {}
    return found


def claims(wiring: Wiring, tasks: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return for every task what it holds while it runs: things as such, and late names at the version it needs.

    Two tasks may overlap if what both hold is held at the same version.

    Examples
    --------
    >>> from orch_notebook.model.cells import Cell, wire
    >>> cells = [Cell("a", "n = 1"), Cell("b", "def f(): return n"), Cell("c", "x = f()"), Cell("d", "n = 2; f()")]
    >>> claims(wire(cells), "abcd")
    {'a': (), 'b': (), 'c': ('n@a',), 'd': ('n@d',)}
    """
    held: dict[str, set[str]] = {}
    versions: dict[str, set[str]] = {}
    for task, names in late_names(wiring, tasks).items():
        effects = wiring.effects[task]
        held[task] = set(effects.exclusive)
        if effects.opaque:
            continue  # it is ordered against every other task already
        for name, maker in names.items():
            is_rebound = name in effects.writes or name in effects.deletes
            version = f"{name}@{task if is_rebound else maker or ''}"
            held[task].add(version)
            versions.setdefault(name, set()).add(version)
    alone = {version for several in versions.values() if len(several) == 1 for version in several}
    return {task: tuple(sorted(things - alone)) if things else () for task, things in held.items()}
