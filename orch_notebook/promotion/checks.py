"""A notebook that nobody is running, checked in a kernel and a store of its own.

In: a notebook, and what of it is checked.  What is executed is a notebook that defines its tasks and ends with
``%flow check``.  Out: the report which that leaves.
"""

from __future__ import annotations

import re
import shlex
import tempfile
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orch_notebook.errors import NotebookError
from orch_notebook.model.findings import Report
from orch_notebook.model.flows import CellFlow
from orch_notebook.promotion.executing import execute_now
from orch_notebook.promotion.lookup import find_run
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
from orch_notebook.runtime.settings import Settings
from orch_notebook.runtime.store.opening import clock_of, open_store

if TYPE_CHECKING:
    from nbformat import NotebookNode

__all__ = ["REPORT_TYPE", "cells_as_tasks", "check_notebook"]

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


def check_notebook(
    settings: Settings,
    notebook: str | Path,
    parameters: Given | None = None,
    *,
    flow: str | None = None,
    all_cells: bool = False,
    kernel: str | None = None,
    seed: int = 0,
    orders: int = 1,
) -> Report:
    """Check the flow of a notebook that nobody is running, in a kernel of its own.

    Parameters
    ----------
    notebook : path
        The notebook.  Its plain cells are executed as they stand; its last ``%flow run`` and what follows is not.
    parameters : mapping or sequence of str, optional
        Values in place of the defaults.
    flow : str, optional
        Which flow, if there are several.
    all_cells : bool
        Count each code cell as a task.
    kernel : str, optional
        Instead of the one the notebook names.
    seed, orders : int
        See :func:`~orch_notebook.runtime.apart.check_flow`.

    Raises
    ------
    NotebookError
        The notebook cannot be read or executed, or has no tasks.
    ParameterError
        A parameter is unknown, missing or ill-typed.
    """
    path = Path(notebook)
    with tempfile.TemporaryDirectory(prefix="orch-check-", ignore_cleanup_errors=True) as folder:
        book = write_check(
            path, Path(folder), parameters or (), flow=flow, all_cells=all_cells, seed=seed, orders=orders
        )
        apart = replace(settings, home=Path(folder) / "home", parent_run_id=None)
        with closing(open_store(apart)) as store:
            execution = execute_now(store, apart, clock_of(store), path, kernel=kernel, instead=book)
            try:
                execution.wait()
            except KeyboardInterrupt:
                execution.cancel()
                execution.wait()
                raise
            ended = find_run(store, clock_of(store).now(), execution.run_id)
        executed = Path(ended.executed_notebook) if ended.executed_notebook else None
        report = read_report(executed) if executed is not None and executed.exists() else None
    if report is None:
        raise NotebookError(f"{notebook} cannot be checked. {ended.state.message or ended.state.name}")
    return report
