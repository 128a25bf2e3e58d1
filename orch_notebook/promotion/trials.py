"""A notebook executed plainly and as a flow, and why a cell of one is not that of the other.

In: a notebook that is checked, and how to execute one.  Out: the report of its check with a finding for every cell that
comes to something else in the flow than between plain cells: its texts, its figures, its error, the values it leaves.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from orch_notebook.errors import NotebookError
from orch_notebook.model.findings import Finding, Report, said_departure, said_unsteady_cell
from orch_notebook.model.headers import TaskHeader, header_line, split_task_cell
from orch_notebook.model.naming import name_for
from orch_notebook.model.outcomes import Outcome, outcome_of
from orch_notebook.model.reasons import reason_for
from orch_notebook.model.runs import FlowRun
from orch_notebook.model.trials import Departure, Trial, departures
from orch_notebook.promotion.checks import Subject, cells_as_tasks, executed_of, shown_last, write_book
from orch_notebook.promotion.notebooks import code_cells, read_notebook
from orch_notebook.promotion.reading import as_python, read_flow

if TYPE_CHECKING:
    from nbformat import NotebookNode

__all__ = ["SHOW", "TRIAL_TYPE", "Trials"]

#: The form in which an execution shows what it came to.
TRIAL_TYPE = "application/vnd.orch-notebook.trial+json"
Execute = Callable[[Path], FlowRun]

#: What the last cell of an execution consists of, with a call of :mod:`orch_notebook.jupyter.trials` put in.
SHOW = '__import__("orch_notebook.jupyter.trials", fromlist=["trials"]).{}'
#: Lines that are about the flow, of which a plain notebook has none.
OURS = re.compile(
    r"^[ \t]*(?:%?(?:re|un)?load_ext[ \t]+orch_notebook\b|(?:[\w., \t]+=[ \t]*)?%?flow\b(?![ \t]*[=.(,)])).*$", re.M
)


def plain_cells(cells: Sequence[NotebookNode], out: Collection[int] = ()) -> list[NotebookNode]:
    """Return copies of cells as they would stand in a plain notebook: tasks without their headers.

    Those that are `out` are empty.  All go on after an error, so that one that fails hides nothing.
    """
    found = []
    for index, cell in enumerate(cells):
        cell = type(cell)(cell)
        if cell.cell_type == "code":
            task = split_task_cell(cell.source)
            # The line of the header stays, so that lines have the numbers that people see.
            cell.source = "" if index in out else "\n" + task[1] if task else OURS.sub("", cell.source)
            cell.outputs, cell.execution_count = [], None
            tags = [*cell.metadata.get("tags", ()), "raises-exception"]
            cell.metadata = type(cell)({**cell.metadata, "tags": tags})
        found.append(cell)
    return found


class Trials:
    """Compares a plain execution of a notebook with one as a flow.

    Parameters
    ----------
    subject : Subject
        The notebook.
    folder : Path
        Where files for it may lie.
    execute : callable
        ``execute(book)`` executes a notebook in the place of the one that is checked and returns its run.
    """

    def __init__(self, subject: Subject, folder: Path, execute: Execute) -> None:
        self._folder = folder
        self._execute = execute
        #: Why there is no comparison, if there can be none.
        self._problem = ""
        self._notes: list[str] = []
        self._plain = Trial({}, {})
        self._take(subject)

    def _take(self, subject: Subject) -> None:
        self.subject = subject
        self._saved = subject.save(self._folder)
        if subject.all_cells:
            self.flow = cells_as_tasks(self._saved)[0]
        else:
            self.flow = read_flow(self._saved, flow=subject.flow)
        code = dict(code_cells(subject.notebook))
        self._task_of = {task.cell_index: task.name for task in self.flow if task.cell_index is not None}
        #: The cells that are compared: tasks and, between them, plain ones.
        self._cells = [index for index in code if index in self._task_of or not subject.all_cells]
        #: Those that cannot be tasks.
        self._out = set(code) - set(self._cells)
        self._sources = {index: code[index].source for index in self._cells}

    def begin(self) -> Subject:
        """Execute it plainly, and return what of it can be checked.

        A cell that fails plainly takes all with it that need it.  Where each cell counts as a task, such cells are left
        out, so that the others can be looked at.
        """
        try:
            self._plain = self.plain()
            while self.subject.all_cells and (failing := self._failing()):
                for index in failing:
                    error = self._plain.cells[index].error
                    self._notes.append(f"{self._called(index)} fails plainly ({error}): it is left out.")
                self._take(self.subject.without(failing))
                self._plain = self.plain()
        except NotebookError as error:
            self._problem = str(error)
        return self.subject

    def _failing(self) -> list[int]:
        """Return the cells that fail plainly and that others need."""
        needed = {
            edge.before for edge in self.flow.wiring.edges if edge.rule not in ("write-after-read", "hidden-state")
        }
        return [index for index, task in self._task_of.items() if task in needed and self._plain.cells[index].error]

    # Executing

    def plain(self) -> Trial:
        """Execute the notebook plainly, in a stock kernel."""
        cells = plain_cells(self.subject.notebook.cells, self._out)
        book = write_book(self.subject, self._folder / "plain.ipynb", cells, SHOW.format("show_names()"))
        executed, shown = self._perform(book)
        return Trial(self._outcomes(executed), shown.names)

    def as_flow(self, order: str = "") -> Trial:
        """Execute it as a flow, by default many tasks at once, else in an order that ``show_flow`` knows."""
        sources: tuple[str, ...]
        if self.subject.all_cells:
            call = f"show_flow(cells_of={str(self._saved)!r}, order={order!r})"
            cells: Sequence[NotebookNode] = ()
            sources = ("%load_ext orch_notebook", SHOW.format(call))
        else:
            call = f"show_flow({self.subject.flow!r}, order={order!r})"
            cells, sources = self.subject.notebook.cells, (SHOW.format(call),)
        book = write_book(self.subject, self._folder / "flow.ipynb", cells, *sources)
        executed, found = self._perform(book)
        outcomes = {} if self.subject.all_cells else self._outcomes(executed)
        tasks = {index: found.cells[name] for index, name in self._task_of.items() if name in found.cells}
        return Trial({**outcomes, **tasks}, found.names)

    def _perform(self, book: Path) -> tuple[Path, Trial]:
        ended = self._execute(book)
        executed = executed_of(ended)
        shown = None if executed is None else shown_last(executed, TRIAL_TYPE)
        if executed is None or shown is None:
            raise NotebookError(f"{ended.state.message or ended.state.name}")
        return executed, Trial.from_json(shown)

    def _outcomes(self, executed: Path) -> dict[int, Outcome]:
        cells = read_notebook(executed).cells
        return {index: outcome_of(cells[index].outputs) for index in self._cells}

    # Comparing

    def complete(self, report: Report) -> Report:
        """Add to a report what differs between plain cells and the flow."""
        report = replace(report, notes=(*self._notes, *report.notes))
        try:
            if not self._problem:
                return self._compared(report)
        except NotebookError as error:
            self._problem = str(error)
        return replace(report, notes=(*report.notes, f"It was not compared with plain cells: {self._problem}"))

    def _compared(self, report: Report) -> Report:
        plain, found = self._plain, self.as_flow()
        outside = self._not_run(plain, found)
        compared = len(self._cells) - len(outside)
        wrong = departures(plain, found, self._makers, outside)
        findings: list[Finding] = []
        notes = [*report.notes, *_warnings(plain, found, outside)]
        if outside:
            notes.append(
                f"{len(outside)} cells do not run in the flow, because others that they need fail: not compared."
            )
        if wrong:
            again = self.plain()
            unsteady = departures(plain, again, self._makers)
            shaky = {each.cell for each in unsteady}
            # What comes to the other of two values that plain executions come to is as plain as the first.
            like_second = {each.cell for each in departures(again, found, self._makers, outside)}
            for each in unsteady:
                if each.cell is not None and not self._is_told(report, each.cell):
                    findings.append(self._placed(said_unsteady_cell(self._called(each.cell), each.what), each.cell))
            wrong = [each for each in wrong if each.cell not in shaky and each.cell in like_second]
            wrong = [each for each in wrong if not self._follows(each.cell, shaky)]
        if wrong:
            alone = {each.cell for each in departures(plain, self.as_flow("given"), self._makers, outside)}
            for each in wrong:
                others = self._behind(each.cell, wrong)
                if others is None:
                    continue
                if self._is_told(report, each.cell):
                    called = self._called(each.cell)
                    notes.append(f"{called} {each.what}, plainly or in the flow. Mend what was found of it first.")
                else:
                    findings.append(self._explain(each, others, in_order=each.cell in alone))
        findings.sort(key=lambda finding: len(self._cells) if finding.cell_index is None else finding.cell_index)
        return replace(report, findings=(*report.findings, *findings), notes=tuple(notes), compared=compared)

    @cached_property
    def _makers(self) -> dict[str, int]:
        """For each name the cell that is the last to make its value, of tasks and plain ones."""
        effects = self.flow.wiring.effects
        ids = {cell.id: index for index, cell in code_cells(self.subject.notebook)}
        labels = {index: label for label, index in ids.items() if label in effects} | self._task_of
        return {
            name: index
            for index, label in sorted(labels.items())
            for name in effects[label].writes | effects[label].mutates
        }

    def _not_run(self, plain: Trial, found: Trial) -> set[int]:
        """Return the tasks that did not run because one fails that fails plainly, too."""
        failed = {self._task_of[index] for index in self._task_of if plain.cells[index].error}
        below: set[str] = set()
        for task in failed:
            below |= self.flow.graph.reach(task, self.flow.graph.successors)
        return {
            index
            for index, task in self._task_of.items()
            if task in below and not (index in found.cells and found.cells[index].has_run)
        }

    def _follows(self, cell: int | None, others: Collection[int | None]) -> bool:
        """Whether a cell depends on one of some others."""
        task = self._task(cell)
        if not task:
            return False
        above = self.flow.graph.reach(task, self.flow.graph.predecessors)
        return any(self._task(other) in above for other in others if other != cell)

    def _behind(self, cell: int | None, wrong: Sequence[Departure]) -> list[str] | None:
        """Return the tasks whose departure follows from this one; None if this one follows from another."""
        if self._follows(cell, [each.cell for each in wrong]):
            return None
        return [self._called(each.cell) for each in wrong if each.cell != cell and self._follows(each.cell, [cell])]

    def _is_told(self, report: Report, cell: int | None) -> bool:
        """Whether what was found of the orders is about this cell, or one that it depends on."""
        task = self._task(cell)
        told = {name for each in report.findings for name in (each.task, *each.others)}
        if not task or not told:
            return False
        return task in told or bool(told & self.flow.graph.reach(task, self.flow.graph.predecessors))

    # Saying

    def _called(self, cell: int | None) -> str:
        return "the notebook" if cell is None else self._task(cell) or f"cell {cell + 1}"

    def _task(self, cell: int | None) -> str:
        return "" if cell is None else self._task_of.get(cell, "")

    def _placed(self, finding: Finding, cell: int | None) -> Finding:
        return replace(finding, cell_index=cell)

    def _explain(self, each: Departure, others: Sequence[str], *, in_order: bool) -> Finding:
        """Return the finding of a cell that departs, with its cause."""
        task, line = self._task(each.cell), ""
        if each.cell is None:
            why = "No task is known to make it: a cell that executes text or an unknown magic does."
        elif not task:
            source = as_python(self._sources[each.cell])
            name = name_for(source, {task.name for task in self.flow})
            why = "It is no task: a plain cell runs when it is executed, which is before all tasks. Make it one."
            line = header_line(TaskHeader(name=name))
        else:
            cell = self.flow[task]
            why = reason_for(cell.body, self.flow.wiring.effects[task], each.what)
            if not in_order:
                beside = self._beside(task)
                if beside and not self.subject.all_cells:
                    line = header_line(replace(cell.header, name=task, after=(*cell.header.after, *beside)))
                why = f"It does so only while other tasks run beside it. {why}".strip()
            elif not why:
                why = "It does so alone and in the notebook's order too: how a task is executed makes the difference."
        return self._placed(
            said_departure(self._called(each.cell), each.what, why, name=each.name, others=others, line=line), each.cell
        )

    def _beside(self, task: str) -> tuple[str, ...]:
        """Return the tasks above that may run at the same time."""
        graph = self.flow.graph
        bound = graph.reach(task, graph.predecessors)
        names = [each.name for each in self.flow]
        return tuple(name for name in names[: names.index(task)] if name not in bound)


def _warnings(plain: Trial, found: Trial, outside: Collection[int]) -> Iterator[str]:
    """Say which warnings are shown by other cells: Python shows equal ones once, wherever that happens first."""
    moved = [
        cell
        for cell, outcome in plain.cells.items()
        if cell in found.cells
        and cell not in outside
        and outcome.texts.get("warns", "") != found.cells[cell].texts.get("warns", "")
    ]
    if moved:
        shown = ", ".join(str(cell + 1) for cell in moved[:8]) + (" …" if len(moved) > 8 else "")
        yield (
            f"Cells {shown} show other warnings than plainly: Python shows an equal warning once, in whichever cell it "
            "comes up first."
        )
