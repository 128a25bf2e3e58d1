"""A flow of cells: task cells in order, the plain cells around them, and how they hang together.

In: cells as they are defined.  Out: the graph the machine runs, the bindings the bodies are given, and the errors a
person should see at once (a name nobody defines, a task that does not exist, tasks that wait for each other).
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import lru_cache

from orch_notebook.errors import NotFound, UndefinedName
from orch_notebook.model.cells import KNOWLEDGE, Cell, Effects, Wiring, body_of, claims, wire
from orch_notebook.model.graph import Graph, unknown_task
from orch_notebook.model.headers import TaskHeader
from orch_notebook.model.tasks import Task

__all__ = ["CellFlow", "CellTask", "PlainCell", "shown"]


@dataclass(frozen=True, slots=True)
class CellTask:
    """A task cell.

    Parameters
    ----------
    name : str
        The task's name.
    header : TaskHeader
        Its options.
    body : str
        Its source as plain Python, the header line replaced by a blank one so that line numbers stay the cell's.
    cell_id : str or None
        The cell's id in the notebook, where it is known.
    cell_index : int or None
        The cell's position in the notebook, counted from 0 over all cells, where it is known.
    """

    name: str
    header: TaskHeader
    body: str
    cell_id: str | None = None
    cell_index: int | None = None

    def as_cell(self) -> Cell:
        """Return it as the analysis takes it."""
        header = self.header
        return Cell(
            self.name,
            self.body,
            inputs=header.inputs,
            outputs=header.outputs,
            mutates=header.mutates,
            after=header.after,
        )


@dataclass(frozen=True, slots=True)
class PlainCell:
    """A cell without a header: imports, functions and constants that tasks may use."""

    label: str
    source: str

    def as_cell(self) -> Cell:
        """Return it as the analysis takes it."""
        return Cell(self.label, self.source, is_task=False)


class CellFlow:
    """The cells of a notebook as a flow.

    Parameters
    ----------
    name : str
        The flow's name.
    cells : iterable of CellTask or PlainCell
        In definition order.

    Examples
    --------
    >>> flow = CellFlow("demo")
    >>> flow.define(CellTask("load", TaskHeader(), "x = [1, 2]"))
    >>> flow.define(CellTask("total", TaskHeader(), "s = sum(x)"))
    >>> [(edge.before, edge.after, edge.name) for edge in flow.graph.edges]
    [('load', 'total', 'x')]
    """

    def __init__(self, name: str, cells: Iterable[CellTask | PlainCell] = ()) -> None:
        self.name = name
        self._cells: list[CellTask | PlainCell] = list(cells)
        self._known: frozenset[str] = frozenset()
        self._tools: frozenset[str] = frozenset()
        #: How often the cells have changed, and what was made of them then.  Other threads look while one defines, so
        #: what belongs together is put there in one step, and is of no use once the cells have changed again.
        self._changes = 0
        self._wired: tuple[int, list[CellTask | PlainCell], Wiring] | None = None
        self._edition: object = None
        self._drawn: tuple[Wiring, Graph] | None = None
        self._hidden: frozenset[str] = frozenset()
        #: Tasks as the graph had them last, with what they rest on: one more cell leaves the others as they are.
        self._made: dict[str, tuple[CellTask, Effects, Mapping[str, str | None], Task]] = {}

    @property
    def cells(self) -> tuple[CellTask | PlainCell, ...]:
        """All cells in definition order."""
        return tuple(self._cells)

    def __iter__(self) -> Iterator[CellTask]:
        return (cell for cell in self._cells if isinstance(cell, CellTask))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, name: object) -> bool:
        return any(task.name == name for task in self)

    def __getitem__(self, name: str) -> CellTask:
        for task in self:
            if task.name == name:
                return task
        raise unknown_task(name, [task.name for task in self])

    def copy(self) -> CellFlow:
        """Return the flow as it stands, which later definitions do not change."""
        twin = CellFlow(self.name, self._cells)
        twin._known, twin._tools = self._known, self._tools
        twin._changes, twin._wired, twin._drawn, twin._edition = self._changes, self._wired, self._drawn, self._edition
        return twin

    def know(self, names: Collection[str], tools: Collection[str] = ()) -> None:
        """Take note of names that exist besides the cells: those of the live namespace.

        Parameters
        ----------
        names : collection of str
            All of them.
        tools : collection of str
            Those among them that hold modules, functions and classes: a task uses them, but people are shown data.
        """
        known, held = frozenset(names), frozenset(tools)
        if (known, held) != (self._known, self._tools):
            self._known, self._tools = known, held
            self._forget()

    @property
    def tools(self) -> frozenset[str]:
        """The known names that hold modules, functions and classes."""
        return self._tools

    def define(self, cell: CellTask | PlainCell) -> None:
        """Add a cell, or replace the one of the same name in place; nothing changes if it is refused.

        Raises
        ------
        UndefinedName
            It reads a name that nothing above defines.
        UnknownTask, CycleError
            Its ``--after`` names a task that is not there, or closes a circle.
        SyntaxError
            Its source is not Python.
        """
        before = list(self._cells)
        try:
            if self._place(cell):
                self._forget()
            if isinstance(cell, CellTask):
                self.check(cell.name)
        except BaseException:
            self._cells = before
            self._forget()
            raise

    def _place(self, cell: CellTask | PlainCell) -> bool:
        """Put a cell where it belongs and return whether that changes anything."""
        label = _label(cell)
        for position, other in enumerate(self._cells):
            if _label(other) == label:
                self._cells[position] = cell
                return cell != other
        self._cells.append(cell)
        return True

    def remove(self, name: str) -> None:
        """Take a task out."""
        task = self[name]
        self._cells.remove(task)
        self._forget()

    def arrange(self, positions: Mapping[str, int]) -> None:
        """Put the cells in the order of their notebook, where `positions` (by cell id) tells it.

        Cells it does not know keep their place behind the cell they follow now.
        """
        keys: list[tuple[float, int]] = []
        last = -1.0
        for order, cell in enumerate(self._cells):
            cell_id = cell.cell_id if isinstance(cell, CellTask) else cell.label
            position = positions.get(cell_id or "")
            last = float(position) if position is not None else last
            keys.append((last, order))
        arranged = [cell for _, cell in sorted(zip(keys, self._cells, strict=True), key=lambda pair: pair[0])]
        placed = [
            replace(cell, cell_index=positions[cell.cell_id])
            if isinstance(cell, CellTask) and cell.cell_id is not None and cell.cell_id in positions
            else cell
            for cell in arranged
        ]
        if placed != self._cells:
            self._cells = placed
            self._forget()

    def _forget(self) -> None:
        self._changes += 1

    @property
    def wiring(self) -> Wiring:
        """What each cell does to names, and which task each name comes from."""
        return self._wire()[1]

    def _wire(self) -> tuple[list[CellTask | PlainCell], Wiring]:
        """Return the cells and what they do, as they stand now."""
        if self._edition is not KNOWLEDGE.edition:
            # Somebody has taught the table a rule: what was wired before may hang together differently now.
            self._edition = KNOWLEDGE.edition
            self._forget()
        changes, found = self._changes, self._wired
        if found is None or found[0] != changes:
            cells = list(self._cells)
            tasks = [cell for cell in cells if isinstance(cell, CellTask)]
            names = [task.name for task in tasks]
            for task in tasks:
                for after in task.header.after:
                    if after not in names:
                        raise unknown_task(after, names, f"--after of task {task.name!r}")
            found = self._wired = changes, cells, wire([cell.as_cell() for cell in cells], self._known)
        return found[1:]

    def makes(self) -> frozenset[str]:
        """Return the names that only tasks bind; a name that a plain cell binds too belongs to the plain cell."""
        cells, wiring = self._wire()
        effects = wiring.effects
        made = {name for cell in cells if isinstance(cell, CellTask) for name in effects[cell.name].writes}
        plain = {name for cell in cells if isinstance(cell, PlainCell) for name in effects[cell.label].writes}
        return frozenset(made - plain)

    @property
    def graph(self) -> Graph:
        """The tasks and edges that the machine runs.

        Raises
        ------
        CycleError
            Tasks wait for each other.
        """
        wiring, drawn = self.wiring, self._drawn
        if drawn is None or drawn[0] is not wiring:
            cells, wiring = self._wire()
            hidden = self._tools.union(*(tool_names(cell.source) for cell in cells if isinstance(cell, PlainCell)))
            if hidden != self._hidden:
                self._hidden = hidden
                self._made.clear()
            tasks = [cell for cell in cells if isinstance(cell, CellTask)]
            held = claims(wiring, [task.name for task in tasks])
            found = tuple(self._task(task, wiring, held[task.name]) for task in tasks)
            drawn = self._drawn = wiring, Graph(found, tuple(wiring.edges))
        return drawn[1]

    def _task(self, cell: CellTask, wiring: Wiring, held: tuple[str, ...]) -> Task:
        effects, bindings = wiring.effects[cell.name], wiring.bindings[cell.name]
        made = self._made.get(cell.name)
        if made is not None and made[0] == cell and made[1] is effects and made[2] is bindings:
            same = made[3]
            if same.exclusive == held:
                return same
        task = Task(
            name=cell.name,
            retry=cell.header.retry,
            timeout=cell.header.timeout,
            tags=cell.header.tags,
            runner=cell.header.runner or "",
            resources=cell.header.resources,
            exclusive=held,
            cell_index=cell.cell_index,
            cell_id=cell.cell_id,
            reads=shown(name for name in bindings if name not in self._hidden),
            writes=shown(effects.writes - imported_names(cell.body)),
            mutates=shown(effects.mutates),
            opaque=effects.opaque,
        )
        self._made[cell.name] = cell, effects, bindings, task
        return task

    def check(self, *names: str) -> None:
        """Raise what is wrong with these tasks, or with any task if none is named.

        Raises
        ------
        NotFound
            There are no tasks at all.
        UndefinedName
            A task reads a name that nothing above it defines.
        """
        if not names and not len(self):
            raise NotFound("This notebook has no tasks yet. Begin a cell with '%%task NAME'.")
        wiring, _ = self.wiring, self.graph
        for task in self:
            if names and task.name not in names:
                continue
            for name in wiring.undefined.get(task.name, ()):
                raise self._undefined(task.name, name)

    def _undefined(self, task: str, name: str) -> UndefinedName:
        writers = {written: other for other in self for written in self.wiring.effects[other.name].writes}
        if name in writers:
            other = writers[name].name
            return UndefinedName(
                f"Task {task!r} reads {name!r}, which only task {other!r} defines, and that stands below it. "
                f"Move the cell of {other!r} above, or rename one of the two.",
                task=task,
                name=name,
            )
        known = [*writers, *self._known, *(n for effects in self.wiring.effects.values() for n in effects.writes)]
        near = get_close_matches(name, [k for k in known if not k.startswith("_")] + dir(builtins), n=1)
        message = f"Task {task!r} reads {name!r}, which no cell above defines."
        if near:
            of_task = f" (task {writers[near[0]].name!r})" if near[0] in writers else ""
            message += f" Did you mean {near[0]!r}{of_task}?"
        else:
            message += " Define it in a cell above, or name it with --outputs where a task makes it."
        return UndefinedName(message, task=task, name=name)


def shown(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names a person knows, sorted; hidden states and files bear a colon."""
    return tuple(sorted(name for name in names if ":" not in name))


@lru_cache(maxsize=4096)
def imported_names(source: str) -> frozenset[str]:
    """Return the names that imports bind anywhere in a cell.

    Examples
    --------
    >>> sorted(imported_names("import os.path, numpy as np"))
    ['np', 'os']
    """
    if "import" not in source:
        return frozenset()
    return frozenset(
        alias.asname or alias.name.partition(".")[0]
        for node in ast.walk(body_of(source))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    )


@lru_cache(maxsize=4096)
def tool_names(source: str) -> frozenset[str]:
    """Return the names of the modules, functions and classes that a cell binds at its top level."""
    definitions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return imported_names(source) | {node.name for node in body_of(source).body if isinstance(node, definitions)}


def _label(cell: CellTask | PlainCell) -> tuple[bool, str]:
    return isinstance(cell, CellTask), cell.name if isinstance(cell, CellTask) else cell.label
