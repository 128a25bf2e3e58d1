"""An ordinary notebook read as a flow: which cells become tasks, under which names, and which stay as they are.

In: the cells of a notebook that runs from top to bottom.  Out: a :class:`Plan`.  The notebook made by it gives the same
outputs in the same cells.  Its plain cells are executed first, in order, and its tasks afterwards; so a cell may stay
plain only where nothing that it does or looks at has to do with a task above it:

1. No task above has to be waited for, by what the analysis of cells finds.
2. It binds no name of which a task above, or a function such a task may call, speaks; binding a name to the module it
   stands for everywhere else does not count.

Imports, definitions, settings and magics stay plain where they may; so does a cell that has to be executed at its place
(it asks somebody, reads the history, is tagged ``parameters`` or ``raises-exception``, is no Python), and where it may
not, everything above it stays plain as well, for which the order then is what it was.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from orch_notebook.errors import UndefinedName
from orch_notebook.model.cells import Cell, wire
from orch_notebook.model.contents import STANDARD, Contents, looks_like_parameters, read_contents
from orch_notebook.model.flows import CellFlow, CellTask, PlainCell
from orch_notebook.model.graph import Edge
from orch_notebook.model.headers import TaskHeader
from orch_notebook.model.naming import heading_of, name_for

__all__ = ["Plan", "WrittenCell", "plan_tasks"]

#: What the shell defines.
KNOWN = frozenset(("get_ipython", "display"))


@dataclass(frozen=True, slots=True)
class WrittenCell:
    """A cell as it stands in a notebook.

    Parameters
    ----------
    index : int
        Its position among all cells, from 0.
    source : str
        Its text; of a code cell as plain Python, magics as calls of ``get_ipython()``.
    is_code : bool
        False for prose.
    problem : str
        Why it is no Python, or empty.
    tags : frozenset of str
        Its tags.
    """

    index: int
    source: str
    is_code: bool = True
    problem: str = ""
    tags: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Plan:
    """What becomes of the cells of a notebook.

    Parameters
    ----------
    tasks : mapping
        Names of the tasks by the index of their cell.
    parameters : int or None
        The cell to be tagged ``parameters``, if there is one.
    kept : mapping
        For cells that had to stay at their place and kept all above them plain: why.
    """

    tasks: Mapping[int, str] = field(default_factory=dict)
    parameters: int | None = None
    kept: Mapping[int, str] = field(default_factory=dict)


def plan_tasks(cells: Sequence[WrittenCell]) -> Plan:
    """Decide which cells of a notebook become tasks.

    Parameters
    ----------
    cells : sequence of WrittenCell
        All of it, in order; blank code cells and those that are never executed left out.

    Examples
    --------
    >>> plan = plan_tasks([
    ...     WrittenCell(0, "# Wine", is_code=False),
    ...     WrittenCell(1, "import math"),
    ...     WrittenCell(2, "sizes = [3, 1, 2]"),
    ...     WrittenCell(3, "def total(xs): return sum(xs)"),
    ...     WrittenCell(4, "total(sizes)"),
    ... ])
    >>> dict(plan.tasks)
    {2: 'wine', 4: 'total'}
    """
    return _Planner([cell for cell in cells if cell.is_code]).plan(cells)


@dataclass(frozen=True, slots=True)
class _Stay:
    """Why a cell has to be executed at its place, and whether the execution of the notebook ends there."""

    why: str
    ends: bool = False


class _Planner:
    """The code cells of a notebook, and what is known of each."""

    def __init__(self, cells: Sequence[WrittenCell]) -> None:
        self.cells = cells
        self.contents = list(self._read())
        self.wiring = wire([self._cell(at) for at, cell in enumerate(cells) if not cell.problem], KNOWN)
        self.edges: dict[int, list[Edge]] = {}
        for edge in self.wiring.edges:
            self.edges.setdefault(int(edge.after), []).append(edge)
        bindings: dict[str, set[str]] = {}
        for contents in self.contents:
            for name, target in contents.imports.items():
                bindings.setdefault(name, set()).add(target)
            for name in contents.binds:
                bindings.setdefault(name, set()).add("")
        #: Names that mean one and the same module or thing of a module in the whole notebook.
        self.settled = frozenset(name for name, targets in bindings.items() if len(targets) == 1 and "" not in targets)

    def _read(self) -> Iterator[Contents]:
        imported = ""
        for cell in self.cells:
            contents = Contents() if cell.problem else read_contents(cell.source, imported)
            for name, target in contents.imports.items():
                origin, colon, part = target.partition(":")
                named = part if part == "*" else f"{part} as {name}"
                imported += f"from {origin} import {named}\n" if colon else f"import {origin} as {name}\n"
            yield contents

    def _cell(self, at: int, is_task: bool = True) -> Cell:
        return Cell(str(at), self.cells[at].source, is_task=is_task)

    # Which cells.

    def plan(self, everything: Sequence[WrittenCell]) -> Plan:
        must_stay = {at: stay for at in range(len(self.cells)) if (stay := self._must_stay(at))}
        kept: dict[int, str] = {}
        while True:
            tasks = self._choose(must_stay, kept)
            found = self._undefined(tasks)
            if found is None:
                break
            at, name = found
            must_stay[at] = self._stay(at, f"it reads {name!r}, which no cell above defines", ends=True)
        parameters = self._parameters(tasks)
        names = self._names(tasks, everything)
        return Plan(
            {self.cells[at].index: names[at] for at in tasks},
            None if parameters is None else self.cells[parameters].index,
            {self.cells[at].index: why for at, why in kept.items()},
        )

    def _must_stay(self, at: int) -> _Stay | None:
        cell, contents = self.cells[at], self.contents[at]
        if cell.problem:
            return self._stay(at, f"it is no Python: {cell.problem}", ends=True)
        for tag in ("parameters", "injected-parameters", "raises-exception"):
            if tag in cell.tags:
                return _Stay(f"it is tagged {tag!r}")
        return _Stay(contents.session) if contents.session else None

    def _stay(self, at: int, why: str, *, ends: bool) -> _Stay:
        return _Stay(why, ends and "raises-exception" not in self.cells[at].tags)

    def _choose(self, must_stay: Mapping[int, _Stay], kept: dict[int, str]) -> list[int]:
        """Return the positions of the cells that become tasks; note in `kept` which cells keep all above plain."""
        tasks: list[int] = []
        kept.clear()
        first_values = next((at for at, contents in enumerate(self.contents) if contents.only_values), None)
        for at, contents in enumerate(self.contents):
            if contents.does_nothing:
                continue
            is_tied = self._is_tied(at, tasks)
            if at in must_stay:
                # Where the notebook ends, what is below is not executed, and the flow neither.
                if is_tied or (must_stay[at].ends and tasks):
                    kept[at] = must_stay[at].why
                    tasks.clear()
            elif contents.sets_stage and not is_tied:
                continue
            elif not (at == first_values and not tasks and self._is_parameters(at)):
                tasks.append(at)
        return tasks

    def _is_tied(self, at: int, tasks: Collection[int]) -> bool:
        """Whether executing a cell before these tasks, which stand above it, could be noticed."""
        if not tasks or self.cells[at].problem:
            return False
        contents, effects = self.contents[at], self.wiring.effects
        above = {str(task) for task in tasks}
        for edge in self.edges.get(at, ()):
            if edge.before not in above:
                continue
            source = effects[edge.before]
            is_only_wait = edge.rule == "barrier" and not source.rebinds and self._can_load(at, tasks)
            is_only_shown = edge.name == "state:display"
            if not (contents.only_defines and (is_only_wait or is_only_shown)):
                return True
        mine = effects[str(at)]
        bound = (mine.writes | mine.mutates | mine.deletes) - self.settled
        if bound & self._spoken_of(tasks):
            return True
        return any(self._writes_module(effects[task].state_changes, contents.loads) for task in above)

    def _can_load(self, at: int, tasks: Collection[int]) -> bool:
        """Whether the modules a cell imports are there whatever a shell command above may do."""
        present = {root(each) for other in range(at) if other not in tasks for each in self.contents[other].loads}
        return all(root(module) in STANDARD | present for module in self.contents[at].loads)

    @staticmethod
    def _writes_module(states: Collection[str], modules: Collection[str]) -> bool:
        files = [state[5:] for state in states if state.startswith("file:")]
        return any(
            root(module) and ("*" in file or (file.endswith((".py", ".zip", ".so")) and root(module) in file))
            for file in files
            for module in modules
            if root(module) not in STANDARD
        )

    def _spoken_of(self, tasks: Collection[int]) -> frozenset[str]:
        """Return the names that tasks speak of, and those of which functions speak that they may call."""
        todo = set().union(*(self.contents[task].mentions for task in tasks))
        last = max(tasks)
        found: set[str] = set()
        bodies = [self.contents[at] for at in range(last + 1)]
        while todo:
            found |= todo
            called = [body.mentions for body in bodies if not todo.isdisjoint(body.binds)]
            todo = set().union(*called) - found
        return frozenset(found)

    def _undefined(self, tasks: Sequence[int]) -> tuple[int, str] | None:
        """Return the first task that would be refused because of a name that nothing above it defines."""
        chosen = set(tasks)
        flow = CellFlow(
            "notebook", (self._part(at, at in chosen) for at in range(len(self.cells)) if self._is_read(at))
        )
        flow.know(KNOWN, KNOWN)
        for at in tasks:
            try:
                flow.check(str(at))
            except UndefinedName as error:
                return at, str(error.details["name"])
        return None

    def _is_read(self, at: int) -> bool:
        return not self.cells[at].problem

    def _part(self, at: int, is_task: bool) -> CellTask | PlainCell:
        source = self.cells[at].source
        return CellTask(str(at), TaskHeader(), source) if is_task else PlainCell(str(at), source)

    # Parameters.

    def _parameters(self, tasks: Sequence[int]) -> int | None:
        first = next((at for at, contents in enumerate(self.contents) if contents.only_values), None)
        if first is None or first in tasks or not self._is_parameters(first):
            return None
        return first

    def _is_parameters(self, at: int) -> bool:
        """Whether a cell of values is what the rest of the notebook is given: used below, bound nowhere else."""
        if any("parameters" in cell.tags for cell in self.cells) or not looks_like_parameters(self.cells[at].source):
            return False
        mine, effects = self.contents[at].binds, self.wiring.effects
        others = [other for other in range(len(self.cells)) if other != at and self._is_read(other)]
        for other in others:
            done = effects[str(other)]
            if mine & (done.writes | done.mutates | done.deletes | self.contents[other].binds):
                return False
        return all(any(name in self.contents[other].mentions for other in others if other > at) for name in mine)

    # Names.

    def _names(self, tasks: Sequence[int], everything: Sequence[WrittenCell]) -> dict[int, str]:
        used: Counter[str] = Counter()
        for contents in self.contents:
            used.update(contents.mentions)
        positions = {self.cells[at].index: at for at in tasks}
        names: dict[int, str] = {}
        heading = ""
        for cell in everything:
            if not cell.is_code:
                heading = heading_of(cell.source) or heading
            elif cell.index in positions:
                names[positions[cell.index]] = name_for(cell.source, set(names.values()), heading=heading, used=used)
                heading = ""
        return names


def root(module: str) -> str:
    """Return the package that a module belongs to.

    Examples
    --------
    >>> root("os.path"), root("sklearn")
    ('os', 'sklearn')
    """
    return module.partition(".")[0]
