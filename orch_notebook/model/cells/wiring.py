"""Which task waits for which, and why: hazards between cells, as an out-of-order processor tracks them.

In: cells in definition order.  Out: a :class:`Wiring`.  A read binds to the nearest earlier writer; rebinding a name
makes a new version and waits for nobody; changing an object in place waits for its producer and for all who read it,
through whatever name; whoever reads it afterwards waits for the change.
"""

from __future__ import annotations

import gc
import posixpath
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from types import MappingProxyType

from orch_notebook.model.cells.effects import Cell, Effects, effects_of
from orch_notebook.model.cells.knowledge import AMBIENT, KNOWLEDGE
from orch_notebook.model.cells.placement import Placement
from orch_notebook.model.cells.reading import OLD_NAMES, Reader, analyse, library_entry
from orch_notebook.model.cells.regions import Region, Version, describe
from orch_notebook.model.cells.rules import Knowledge
from orch_notebook.model.cells.sharing import Sharing
from orch_notebook.model.cells.values import Entry, Summary, Value
from orch_notebook.model.graph import Edge

__all__ = ["Wiring", "may_overlap", "wire"]

UNDEFINED = Entry(defined=False)
OUTSIDE = Entry(defined=True)


@dataclass(frozen=True, slots=True)
class Wiring:
    """What waits for what in a flow of cells, and from where each name comes.

    Parameters
    ----------
    edges : tuple of Edge
        Between tasks, each with its rule and name.
    bindings : mapping
        For every task and name it takes in, the task whose version it gets; ``None`` means the environment.
    effects : mapping
        For every cell by name, what it does with overrides applied and calls followed.
    undefined : mapping
        For every task that has some, the names it needs and nothing above defines.
    notes : mapping
        For every task that has some, sentences on overrides that do not fit what its source shows.

    Notes
    -----
    Whoever executes this keeps the promise by five rules.

    1. A task sees the versions its bindings name, and nothing else but the environment; so do the functions it calls,
       wherever they were defined.
    2. What it binds or changes (`writes` and `mutates`) becomes its version of those names, as far as they are bound
       at its end; an opaque task with `rebinds` gives all names it leaves.
    3. At the end, names are published in definition order; what a task deletes is taken away at its place.
    4. Versions of a name that was changed in place are one object.  Every edge counts for what is stale, because only
       the order of ``alias``, ``hidden-state`` and ``file`` edges carries some changes.
    5. Tasks whose `exclusive` sets meet never overlap.
    """

    edges: tuple[Edge, ...] = ()
    bindings: Mapping[str, Mapping[str, str | None]] = field(default_factory=dict)
    effects: Mapping[str, Effects] = field(default_factory=dict)
    undefined: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    notes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    sharing: Sharing = field(default_factory=Sharing, compare=False, repr=False)


class _Wirer:
    """The wiring of a sequence of cells, one more at a time."""

    def __init__(self, known: frozenset[str], knowledge: Knowledge) -> None:
        self.known = known
        #: The names of which it mattered whether the live namespace has them.
        self.asked: set[str] = set()
        self.knowledge = knowledge
        self.edition = knowledge.edition
        self.reader = Reader(knowledge)
        self.cells: list[Cell] = []
        self.tasks: list[str] = []
        self.edges: dict[tuple[str, str, str, str], Edge] = {}
        self.pairs: set[tuple[str, str]] = set()
        self.bindings: dict[str, dict[str, str | None]] = {}
        self.effects: dict[str, Effects] = {}
        self.undefined: dict[str, tuple[str, ...]] = {}
        self.notes: dict[str, tuple[str, ...]] = {}
        self.versions: dict[str, Version] = {}
        #: Every version there ever was, and for each task the memory it changes.
        self.made: list[Version] = []
        self.changed: dict[str, dict[Region, None]] = {}
        self.states: dict[str, Region] = {}
        self.ambient: dict[str, tuple[str | None, int]] = {}
        self.barrier: tuple[str, str] | None = None
        self.since_barrier = 0
        self.anything = False
        self.anything_by: str | None = None
        #: Modules of which everything was imported: a name that nothing else binds may be theirs.
        self.stars: tuple[str, ...] = ()
        self.epoch = 0

    # What names are known to be.

    def entry(self, name: str) -> Entry:
        version = self.versions.get(name)
        if version is not None:
            return UNDEFINED if version.is_deleted else describe(version, self.epoch)
        found = library_entry(name)
        if found.direct:
            # After a star import even a builtin's name may mean something else: it is bound to whoever did that.
            return replace(found, defined=None) if self.anything else found
        if found.defined is False:
            return found
        if self._is_known(name):
            return OUTSIDE
        return self._from_stars(name, found) if self.anything else UNDEFINED

    def _from_stars(self, name: str, found: Entry) -> Entry:
        if not self.stars:
            return found
        paths = [f"{module}.{name}" for module in self.stars]
        direct = found.direct | {(("path", path), False) for path in paths}
        # Of what a library is known to have, it alone knows what is behind it.
        is_known = all(self.knowledge.function(path) is not None for path in paths)
        return replace(found, direct=direct, is_object=not is_known)

    def _is_known(self, name: str) -> bool:
        self.asked.add(name)
        return name in self.known

    def knows(self, known: frozenset[str]) -> bool:
        """Whether all was wired as if these had been the known names; from now on they are."""
        if self.known != known:
            if not self.asked.isdisjoint(self.known ^ known):
                return False
            self.known = known
        return True

    # One cell.

    def add(self, cell: Cell) -> None:
        summary = self.reader.read_cell(cell.source, self.entry)
        task = cell.name if cell.is_task else None
        effects = summary_effects(summary)
        if cell.inputs is not None or cell.outputs is not None or cell.mutates:
            summary, effects = self._override(cell, summary, effects)
        self.cells.append(cell)
        self.effects[cell.name] = effects
        bound = self._bind_reads(cell, summary, task)
        Placement(self, task, summary, bound).perform()
        if task is not None:
            self._touch_states(task, effects)
            self._touch_modules(task, summary.imports)
            self._keep_order(cell, effects)
            self.tasks.append(task)
        if effects.opaque and effects.rebinds:
            self.anything = True
            self.anything_by = task
            self.stars = tuple(dict.fromkeys([*self.stars, *summary.stars]))
            for name, version in list(self.versions.items()):
                if task is not None and not version.is_deleted:
                    self.versions[name] = Version(name, task, version.roots, version.direct)
                    self.made.append(self.versions[name])

    def _override(self, cell: Cell, summary: Summary, effects: Effects) -> tuple[Summary, Effects]:
        notes: list[str] = []
        reads, writes, changed = dict(summary.reads), dict(summary.writes), set(summary.changed)
        deletes, opaque, rebinds = dict(summary.deletes), summary.opaque, summary.rebinds
        if cell.inputs is not None:
            unseen = [name for name in cell.inputs if name not in reads and not opaque]
            notes += [f"--inputs names {name!r}, which the cell does not read." for name in unseen]
            keep = {*cell.inputs, *cell.mutates}
            missed = sorted(base[1] for base, _ in changed if base[0] == "in" and base[1] not in keep)
            notes += [f"The cell changes {name!r}, which --inputs leaves out." for name in missed]
            reads = dict.fromkeys(cell.inputs, True)
            changed = {atom for atom in changed if atom[0][0] != "in" or atom[0][1] in keep}
        if cell.outputs is not None:
            unseen = [name for name in cell.outputs if name not in writes and not opaque]
            notes += [f"--outputs names {name!r}, which the cell does not bind." for name in unseen]
            fresh: Value = frozenset({(("new", cell.name), False)})
            writes = {name: writes.get(name, (fresh, True)) for name in cell.outputs}
            deletes = {name: is_sure for name, is_sure in deletes.items() if name in writes}
        for name in cell.mutates:
            reads[name] = True
            changed.add((("in", name), True))
        if cell.inputs is not None and cell.outputs is not None:
            # Whoever declares both ends vouches for what lies between.
            opaque, rebinds = "", False
        changed_summary = replace(
            summary, reads=reads, writes=writes, changed=changed, deletes=deletes, opaque=opaque, rebinds=rebinds
        )
        if notes:
            self.notes[cell.name] = tuple(notes)
        return changed_summary, effects_of(changed_summary)

    def _bind_reads(self, cell: Cell, summary: Summary, task: str | None) -> dict[str, Version]:
        bound: dict[str, Version] = {}
        missing: list[str] = []
        for name, is_sure in summary.reads.items():
            version = self._find(name)
            if version is not None:
                bound[name] = version
            elif is_sure and (self.anything or not self._is_excused(name)):
                missing.append(name)
        if task is None:
            return bound
        if summary.opaque:
            for name, version in self.versions.items():
                if not version.is_deleted:
                    bound.setdefault(name, version)
        mine: dict[str, str | None] = {}
        self.bindings[task] = mine
        for name, version in bound.items():
            self._activate(version)
            mine[name] = version.producer
            if version.producer is not None:
                self._edge(version.producer, task, "read-after-write", name)
        for name in missing if self.anything else ():
            mine[name] = self.anything_by
            if self.anything_by is not None:
                self._edge(self.anything_by, task, "read-after-write", name)
        if missing and not self.anything and not summary.rebinds:
            # What a function defined elsewhere would read is no sure error here: it may be handed on and never called.
            own = analyse(cell.source).reads | set(cell.inputs or ())
            missing = [name for name in missing if name in own]
        if missing and not self.anything and not summary.rebinds:
            self.undefined[task] = tuple(missing)
        return bound

    def _is_excused(self, name: str) -> bool:
        return library_entry(name).defined is False or name in OLD_NAMES

    def _find(self, name: str) -> Version | None:
        version = self.versions.get(name)
        if version is not None:
            return None if version.is_deleted else version
        if self._is_known(name):
            found = library_entry(name)
            version = Version(name, None, () if found.direct else (Region(),), found.direct)
            self.versions[name] = version
            self.made.append(version)
            return version
        return None

    def _activate(self, version: Version) -> None:
        """Let a write that may not happen take in the version it falls back on, now that somebody reads it."""
        while version.is_pending:
            version.is_pending = False
            earlier, task = version.previous, version.producer
            assert earlier is not None
            if task is None:
                return
            name = version.name
            self.bindings[task] = {**self.bindings[task], name: earlier.producer}
            effects = self.effects[task]
            self.effects[task] = replace(effects, reads=effects.reads | {name})
            if earlier.producer is not None:
                self._edge(earlier.producer, task, "read-after-write", name)
            version = earlier

    def _edge(self, before: str, after: str, rule: str, name: str) -> None:
        if before == after:
            return
        if rule == "alias" and (before, after) in self.pairs:
            return
        key = (before, after, rule, name)
        if key not in self.edges:
            self.edges[key] = Edge(before, after, rule, name)
            self.pairs.add((before, after))

    # Memory.

    def read_region(self, region: Region, task: str, name: str) -> None:
        if region.writer is not None and region.writer != task:
            self._edge(region.writer, task, "alias", name)
        region.readers[task] = name

    def change_region(self, region: Region, task: str, name: str) -> None:
        if region.writer is not None and region.writer != task:
            self._edge(region.writer, task, "alias", name)
        for reader, through in region.readers.items():
            if reader != task:
                self._edge(reader, task, "write-after-read" if through == name else "alias", name)
        region.writer = task
        region.readers = {}
        self.changed.setdefault(task, {})[region] = None

    # Order without data.

    def _touch_states(self, task: str, effects: Effects) -> None:
        for state in sorted(effects.state_changes | effects.state_reads):
            if state not in AMBIENT:
                self._touch(task, state, is_change=state in effects.state_changes)
        for state in sorted(effects.state_resets):
            if state in self.states and self.states[state].writer is not None:
                self._touch(task, state, is_change=True)
        for state in AMBIENT & effects.state_changes:
            writer, start = self.ambient.get(state, (None, 0))
            for other in self.tasks[start:]:
                self._edge(other, task, "hidden-state", state)
            self.ambient[state] = (task, len(self.tasks) + 1)
            if writer is not None:
                self._edge(writer, task, "hidden-state", state)
        for state, (writer, _) in self.ambient.items():
            if writer is not None and writer != task:
                self._edge(writer, task, "hidden-state", state)

    def _touch_modules(self, task: str, imports: Collection[str]) -> None:
        """Let a task wait for those that write the modules it imports."""
        for module in sorted(imports):
            state = f"file:{module}.py"
            if state in self.states:
                self._touch(task, state, is_change=False)

    def _touch(self, task: str, state: str, *, is_change: bool) -> None:
        rule = "file" if state.startswith("file:") else "hidden-state"
        overlapping = [state]
        if rule == "file":
            overlapping = [other for other in self.states if other.startswith("file:") and may_overlap(state, other)]
        if state not in self.states:
            self.states[state] = Region()
        for other in overlapping if state in overlapping else [*overlapping, state]:
            region = self.states[other]
            if region.writer is not None:
                self._edge(region.writer, task, rule, state)
            if is_change:
                for reader in region.readers:
                    self._edge(reader, task, rule, state)
        mine = self.states[state]
        if is_change:
            mine.writer = task
            mine.readers = {}
        else:
            mine.readers[task] = state

    def _keep_order(self, cell: Cell, effects: Effects) -> None:
        for other in cell.after:
            self.edges[other, cell.name, "after", ""] = Edge(other, cell.name, "after", "")
        if self.barrier is not None:
            self._edge(self.barrier[0], cell.name, "barrier", self.barrier[1])
        if effects.opaque:
            for other in self.tasks[self.since_barrier :]:
                self._edge(other, cell.name, "barrier", effects.opaque)
            self.barrier = (cell.name, effects.opaque)
            self.since_barrier = len(self.tasks) + 1

    def result(self) -> Wiring:
        return Wiring(
            tuple(self.edges.values()),
            MappingProxyType(dict(self.bindings)),
            MappingProxyType(dict(self.effects)),
            MappingProxyType(dict(self.undefined)),
            MappingProxyType(dict(self.notes)),
            Sharing(self.made, len(self.made), self.changed, frozenset(self.tasks)),
        )


def summary_effects(summary: Summary) -> Effects:
    """Return a summary's effects, made once."""
    if summary.effects is None:
        summary.effects = effects_of(summary)
    found: Effects = summary.effects
    return found


def may_overlap(one: str, other: str) -> bool:
    """Whether two files by path may be the same, or one a folder that holds the other.

    Examples
    --------
    >>> may_overlap("file:data/a.csv", "file:./data/a.csv"), may_overlap("file:data", "file:data/a.csv")
    (True, True)
    >>> may_overlap("file:.", "file:a.csv"), may_overlap("file:out", "file:out/*.csv")
    (True, True)
    >>> may_overlap("file:/data/a.csv", "file:a.csv")
    True
    >>> may_overlap("file:a.csv", "file:b.csv"), may_overlap("file:out/*.csv", "file:out/*.png")
    (False, False)
    """
    if one == other or "file:*" in (one, other):
        return True
    first, second = normal(one), normal(other)
    if "." in (first, second):  # the folder in which everything lies
        return True
    if "*" in first or "*" in second:
        # Patterns of names put together: they meet unless what is seen of their ends differs.
        heads = first.partition("*")[0], second.partition("*")[0]
        tails = first.rpartition("*")[2], second.rpartition("*")[2]
        if heads[0].startswith(f"{second}/") or heads[1].startswith(f"{first}/"):
            return True
        return (heads[0].startswith(heads[1]) or heads[1].startswith(heads[0])) and (
            tails[0].endswith(tails[1]) or tails[1].endswith(tails[0])
        )
    if first.startswith("/") != second.startswith("/") and (
        first.endswith("/" + second) or second.endswith("/" + first)
    ):
        return True
    # Some writers add the extension themselves: numpy.save("a") makes a.npy.
    return (
        first == second
        or first.startswith((second + "/", second + "."))
        or second.startswith((first + "/", first + "."))
    )


@lru_cache(maxsize=4096)
def normal(state: str) -> str:
    """Return the path of a file's state without detours."""
    return posixpath.normpath(state.removeprefix("file:"))


#: More new cells than this are read without collecting garbage meanwhile.
MANY = 20

#: The last wiring, kept warm: defining one more task then costs that task alone.
_warm: list[_Wirer] = []


def wire(cells: Sequence[Cell], known: Collection[str] = (), knowledge: Knowledge = KNOWLEDGE) -> Wiring:
    """Work out which task waits for which.

    Parameters
    ----------
    cells : sequence of Cell
        Tasks and plain cells in definition order.
    known : collection of str
        Names the live namespace has besides what the cells bind.
    knowledge : Knowledge, optional
        What is known of libraries.

    Raises
    ------
    SyntaxError
        A source is no Python.

    Examples
    --------
    >>> wiring = wire([Cell("load", "xs = [3, 1, 2]"), Cell("show", "print(xs)"), Cell("sort", "xs.sort()")])
    >>> for edge in wiring.edges:
    ...     print(edge.before, "->", edge.after, edge.rule, edge.name)
    load -> show read-after-write xs
    load -> sort read-after-write xs
    show -> sort write-after-read xs
    """
    names = frozenset(known)
    # Taken out while in use, so two threads never share one.
    try:
        wirer: _Wirer | None = _warm.pop()
    except IndexError:
        wirer = None
    done = len(wirer.cells) if wirer is not None else 0
    if (
        wirer is None
        or wirer.edition is not knowledge.edition
        or wirer.cells != list(cells[:done])
        or not wirer.knows(names)
    ):
        wirer, done = _Wirer(names, knowledge), 0
    # Many cells at once make hundreds of thousands of objects that stay; looking through them for garbage meanwhile,
    # and through all that the process holds besides, took a third of the time.
    pauses = gc.isenabled() and len(cells) - done > MANY
    if pauses:
        gc.disable()
    try:
        for cell in cells[done:]:
            wirer.add(cell)
    finally:
        if pauses:
            gc.enable()
    _warm[:] = [wirer]
    return wirer.result()
