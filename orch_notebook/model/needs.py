"""Which tasks a task comes from, and by what: a flow as far as freshness is concerned.

In: the wiring of a flow's cells.  Out: for every task where it gets what from, and which versions share memory.  An
edge that only keeps an order carries nothing and does not count.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from orch_notebook.model.cells import Wiring
from orch_notebook.model.cells.wiring import may_overlap
from orch_notebook.model.flows import CellFlow
from orch_notebook.model.graph import Edge
from orch_notebook.model.recipes import Version

__all__ = ["Flow", "depending", "last_versions", "needs", "outline"]


@dataclass(frozen=True, slots=True)
class Flow:
    """The tasks of a flow and what binds them to each other, as far as freshness is concerned.

    Parameters
    ----------
    tasks : sequence of str
        In definition order.
    needs : mapping
        As :func:`needs` tells.
    reads : mapping
        For every task the versions it is given.
    bonds : mapping
        For versions that share memory which somebody changes, the number of their bond.
    changers : mapping
        For tasks that change memory in place, whose.
    files : mapping
        For tasks that find files which other tasks have written, by path the task that must have written last.
    last : sequence of Version
        As :func:`last_versions` tells.
    opaque : collection of str
        Tasks that may change anything.
    """

    tasks: Sequence[str]
    needs: Mapping[str, Mapping[str, str]]
    reads: Mapping[str, Collection[Version]] = field(default_factory=dict)
    bonds: Mapping[Version, int] = field(default_factory=dict)
    changers: Mapping[str, Collection[int]] = field(default_factory=dict)
    files: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    last: Sequence[Version] = ()
    opaque: Collection[str] = ()


def outline(flow: CellFlow) -> Flow:
    """Return a flow of cells as :func:`decide` takes it."""
    wiring, tasks = flow.wiring, [task.name for task in flow]
    reads = {
        task: [(name, maker or "") for name, maker in wiring.bindings[task].items() if ":" not in name]
        for task in tasks
    }
    files: dict[str, dict[str, str]] = {task: {} for task in tasks}
    for edge in wiring.edges:
        if edge.rule == "file" and "*" not in edge.name and _carries(edge, wiring):
            files[edge.after][edge.name.removeprefix("file:")] = edge.before
    opaque = [task for task in tasks if wiring.effects[task].opaque]
    sharing = wiring.sharing
    last = last_versions(wiring, tasks)
    return Flow(tasks, needs(wiring, tasks), reads, sharing.bonds, sharing.changers, files, last, opaque)


def last_versions(wiring: Wiring, tasks: Sequence[str]) -> tuple[Version, ...]:
    """Return the last version of each name, and before one that perhaps is not made the versions it would leave there.

    Those of one name stand in the order of the notebook.  A name that is bound perhaps only, as in a branch, begins
    with what plain cells may have made it; so does one that tasks only read.

    Examples
    --------
    >>> from orch_notebook.model.cells import Cell, wire
    >>> cells = [Cell("one", "n = 1"), Cell("two", "n = 2"), Cell("three", "for n in []: pass")]
    >>> last_versions(wire(cells), ["one", "two", "three"])
    (('n', 'two'), ('n', 'three'))
    """
    read = (name for task in tasks for name, maker in wiring.bindings[task].items() if maker is None)
    found: dict[str, list[Version]] = {name: [(name, "")] for name in read if ":" not in name}
    for task in tasks:
        effects = wiring.effects[task]
        for name in sorted(effects.writes | effects.mutates):
            # What a body is given it hands on, if it does nothing else with it.
            is_made = name not in effects.perhaps or name in effects.deletes or name in wiring.bindings[task]
            if ":" not in name:
                found[name] = [*(() if is_made else found.get(name, [(name, "")])), (name, task)]
    return tuple(version for versions in found.values() for version in versions)


def needs(wiring: Wiring, tasks: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return for every task the tasks it comes from, each with a name that it gets from there.

    Every edge counts that carries something: a version, a change, hidden state, a file.  What only keeps an order (a
    change waits for an earlier reader) does not.  Besides, whoever changes memory comes from all who gave it a name
    before.

    Examples
    --------
    >>> from orch_notebook.model.cells import Cell, wire
    >>> cells = [Cell("make", "rows = [1]"), Cell("show", "print(rows)"), Cell("grow", "rows.append(2)")]
    >>> needs(wire(cells), ["make", "show", "grow"])
    {'make': {}, 'show': {'make': 'rows'}, 'grow': {'make': 'rows'}}
    """
    order = {task: place for place, task in enumerate(tasks)}
    found: dict[str, dict[str, str]] = {task: {} for task in tasks}
    for edge in wiring.edges:
        if _carries(edge, wiring):
            found[edge.after].setdefault(edge.before, edge.name)
    members: dict[int, list[Version]] = {}
    for version, bond in wiring.sharing.bonds.items():
        members.setdefault(bond, []).append(version)
    for task, bonds in wiring.sharing.changers.items():
        for bond in bonds:
            for name, maker in members.get(bond, ()):
                if maker and order[maker] < order[task]:
                    found[task].setdefault(maker, name)
    return found


def _carries(edge: Edge, wiring: Wiring) -> bool:
    effects = wiring.effects[edge.before]
    match edge.rule:
        case "write-after-read":
            return False
        case "alias":
            return bool(effects.mutates or effects.opaque)
        case "hidden-state":
            return edge.name in effects.state_changes
        case "file":
            files = [state for state in effects.state_changes if state.startswith("file:")]
            return any(may_overlap(state, edge.name) for state in files)
    return True


def depending(needs: Mapping[str, Mapping[str, str]], tasks: Collection[str]) -> frozenset[str]:
    """Return these tasks and all that come from them.

    Examples
    --------
    >>> sorted(depending({"load": {}, "clean": {"load": "df"}, "plot": {"clean": "df"}}, ["clean"]))
    ['clean', 'plot']
    """
    found = {task for task in needs if task in tasks}
    while more := {task for task, sources in needs.items() if task not in found and not found.isdisjoint(sources)}:
        found |= more
    return frozenset(found)
