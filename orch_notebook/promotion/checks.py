"""A notebook that nobody is running, made ready to be checked, and the report read back from where it was checked.

In: a notebook, and what of it is checked.  Out: a notebook whose execution defines its tasks and ends with
``%flow check``; and, once that has been executed, its report.
"""

from __future__ import annotations

import copy
import re
import shlex
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orch_notebook.errors import NotebookError
from orch_notebook.model.findings import Report
from orch_notebook.model.flows import CellFlow
from orch_notebook.model.runs import FlowRun
from orch_notebook.promotion.notebooks import (
    FLOW_RUN,
    INJECTED_CHECK,
    code_cells,
    has_tasks,
    notebook_bytes,
    parameters_of,
    read_notebook,
    tags_of,
)
from orch_notebook.promotion.reading import read_flow
from orch_notebook.promotion.terms import Given, read_given

if TYPE_CHECKING:
    from nbformat import NotebookNode

__all__ = [
    "REPORT_TYPE",
    "Subject",
    "cells_as_tasks",
    "executed_of",
    "read_report",
    "shown_last",
    "subject_of",
    "write_book",
    "write_check",
]

#: The form in which ``%flow check`` shows its report to programs.
REPORT_TYPE = "application/vnd.orch-notebook.check+json"


def cells_as_tasks(path: str | Path) -> tuple[CellFlow, tuple[str, ...]]:
    """Return a plain notebook as a flow whose every code cell is a task, and notes on cells that cannot be one.

    Raises
    ------
    NotebookError
        It cannot be read, or a cell is not Python.
    """
    flow = read_flow(path, all_cells=True)
    notes = []
    while undefined := flow.wiring.undefined:
        for task, names in undefined.items():
            notes.append(f"{task} reads {names[0]!r}, which no cell above defines: it is left out.")
            flow.remove(task)
    return flow, tuple(notes)


@dataclass(frozen=True, slots=True)
class Subject:
    """A notebook that is to be checked.

    Parameters
    ----------
    path : Path
        Where it lies.
    notebook : NotebookNode
        Its cells as far as they are executed, with the parameters that were given.
    flow : str or None
        Which flow, if there are several.
    all_cells : bool
        Whether each code cell counts as a task.
    """

    path: Path
    notebook: NotebookNode
    flow: str | None
    all_cells: bool

    def without(self, cells: Collection[int]) -> Subject:
        """Return it with some cells empty."""
        notebook = copy.deepcopy(self.notebook)
        for index in cells:
            notebook.cells[index].source = ""
        return replace(self, notebook=notebook)

    def save(self, folder: Path) -> Path:
        """Write it under its own name, so that a flow of its cells is called as it is."""
        target = folder / self.path.name
        target.write_bytes(notebook_bytes(self.notebook))
        return target


def subject_of(path: Path, parameters: Given, *, flow: str | None = None, all_cells: bool = False) -> Subject:
    """Return what of a notebook is checked: with tasks, what stands above its last ``%flow run``.

    Parameters
    ----------
    path : Path
        The notebook.
    parameters : mapping or sequence of str
        Values in place of the defaults.
    flow : str, optional
        Which flow, if there are several; by default the one that the notebook's last ``%flow run`` runs.
    all_cells : bool
        Count each code cell as a task.

    Raises
    ------
    NotebookError
        The notebook cannot be read, or has no tasks.
    ParameterError
        A parameter is unknown, missing or ill-typed.
    """
    notebook = read_notebook(path)
    given = read_given(parameters_of(notebook), parameters)
    if not all_cells:
        if not has_tasks(notebook):
            raise NotebookError(f"{path} has no tasks. With --all-cells each of its code cells counts as one.")
        runs = [(index, cell) for index, cell in code_cells(notebook) if FLOW_RUN.search(cell.source)]
        last = runs[-1][0] if runs else len(notebook.cells)
        named = re.search(r"--flow[ =]+(\S+)", notebook.cells[last].source) if runs else None
        flow = flow or (named[1].strip("'\"") if named else None)
        notebook.cells = notebook.cells[:last]
    _give(notebook, given)
    return Subject(path, notebook, flow, all_cells)


def write_check(subject: Subject, folder: Path, *, seed: int = 0, orders: int = 1) -> Path:
    """Write the notebook that checks another, and return where; `seed` and `orders` are ``%flow check``'s."""
    command = f"%flow check --seed {seed} --orders {orders}"
    if subject.all_cells:
        command += f" --all-cells --notebook {shlex.quote(str(subject.save(folder)))}"
        return write_book(subject, folder / "check.ipynb", (), "%load_ext orch_notebook", command)
    command += f" --flow {shlex.quote(subject.flow)}" if subject.flow else ""
    return write_book(subject, folder / "check.ipynb", subject.notebook.cells, command)


def write_book(subject: Subject, target: Path, cells: Iterable[NotebookNode], *sources: str) -> Path:
    """Write a notebook of some cells and of further ones; it runs no flow but the one that its last cell runs."""
    book = copy.deepcopy(subject.notebook)
    kind = type(book)
    made = [
        kind(cell_type="code", source=source, outputs=[], execution_count=None, id=f"check-{n}", metadata=kind(tags=[]))
        for n, source in enumerate(sources)
    ]
    made[-1].metadata.tags.append(INJECTED_CHECK)
    book.cells = [*cells, *made]
    target.write_bytes(notebook_bytes(book))
    return target


def _give(notebook: NotebookNode, given: Mapping[str, Any]) -> None:
    for cell in notebook.cells:
        if cell.cell_type == "code" and "parameters" in tags_of(cell):
            cell.source += "".join(f"\n{name} = {value!r}" for name, value in given.items())
            return


def read_report(executed: Path) -> Report | None:
    """Return the report that the last cell of an executed notebook shows, if it does."""
    found = shown_last(executed, REPORT_TYPE)
    return None if found is None else Report.from_json(found)


def executed_of(run: FlowRun) -> Path | None:
    """Return the executed copy that a run has left, if it is there."""
    path = Path(run.executed_notebook) if run.executed_notebook else None
    return path if path is not None and path.exists() else None


def shown_last(executed: Path, form: str) -> Any:
    """Return what the last cell of an executed notebook shows in a form, None if it does not."""
    cells = read_notebook(executed).cells
    for output in cells[-1].get("outputs", ()) if cells else ():
        if found := output.get("data", {}).get(form):
            return found
    return None
