"""A notebook that nobody is running, made ready to be checked, and the report read back from where it was checked.

In: a notebook, and what of it is checked.  Out: a notebook whose execution defines its tasks and ends with
``%flow check``; and, once that has been executed, its report.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orch_notebook.errors import NotebookError
from orch_notebook.model.findings import Report
from orch_notebook.model.flows import CellFlow
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

__all__ = ["REPORT_TYPE", "cells_as_tasks", "read_report", "write_check"]

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


def write_check(
    path: Path,
    folder: Path,
    parameters: Given,
    *,
    flow: str | None = None,
    all_cells: bool = False,
    seed: int = 0,
    orders: int = 1,
) -> Path:
    """Write the notebook that checks another, and return where.

    Parameters
    ----------
    path : Path
        The notebook that is checked.
    folder : Path
        Where files for the check lie.
    parameters : mapping or sequence of str
        Values in place of the defaults.
    flow : str, optional
        Which flow, if there are several; by default the one that the notebook's last ``%flow run`` runs.
    all_cells : bool
        Count each code cell as a task.
    seed, orders : int
        As ``%flow check`` takes them.

    Raises
    ------
    NotebookError
        The notebook cannot be read, or has no tasks.
    ParameterError
        A parameter is unknown, missing or ill-typed.
    """
    notebook = read_notebook(path)
    given = read_given(parameters_of(notebook), parameters)
    command = f"check --seed {seed} --orders {orders}"
    if all_cells:
        cells = folder / path.name
        _give(notebook, given)
        cells.write_bytes(notebook_bytes(notebook))
        notebook.cells = notebook.cells[:2]
        command += f" --all-cells --notebook {shlex.quote(str(cells))}"
        sources = ["%load_ext orch_notebook", f"%flow {command}"]
    else:
        if not has_tasks(notebook):
            raise NotebookError(f"{path} has no tasks. With --all-cells each of its code cells counts as one.")
        _give(notebook, given)
        runs = [(index, cell) for index, cell in code_cells(notebook) if FLOW_RUN.search(cell.source)]
        last = runs[-1][0] if runs else len(notebook.cells)
        named = re.search(r"--flow[ =]+(\S+)", notebook.cells[last].source) if runs else None
        flow = flow or (named[1].strip("'\"") if named else None)
        command += f" --flow {shlex.quote(flow)}" if flow else ""
        notebook.cells = notebook.cells[:last]
        sources = [f"%flow {command}"]
    kind = type(notebook)
    made = [
        kind(cell_type="code", source=source, outputs=[], execution_count=None, id=f"check-{n}", metadata=kind(tags=[]))
        for n, source in enumerate(sources)
    ]
    made[-1].metadata.tags.append(INJECTED_CHECK)
    notebook.cells = [*([] if all_cells else notebook.cells), *made]
    target = folder / "check.ipynb"
    target.write_bytes(notebook_bytes(notebook))
    return target


def _give(notebook: NotebookNode, given: Mapping[str, Any]) -> None:
    for cell in notebook.cells:
        if cell.cell_type == "code" and "parameters" in tags_of(cell):
            cell.source += "".join(f"\n{name} = {value!r}" for name, value in given.items())
            return


def read_report(executed: Path) -> Report | None:
    """Return the report that the last cell of an executed notebook shows, if it does."""
    cells = read_notebook(executed).cells
    for output in cells[-1].get("outputs", ()) if cells else ():
        if found := output.get("data", {}).get(REPORT_TYPE):
            return Report.from_json(found)
    return None
