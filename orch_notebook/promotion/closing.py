"""Makes an executed notebook tell the truth about what ended without its kernel, or without the process around it.

A badge is kept true by the kernel that performs the task, a cell's status by the process that executes the notebook.
When either dies, the last thing it said stays in the notebook: *Running*.  In: the executed notebook and the runs as
the store knows them in the end.  Out: the same notebook, each badge and the summary redrawn, no cell running.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from orch_notebook.errors import OrchError
from orch_notebook.model.runs import FlowRun, TaskRun
from orch_notebook.model.states import StateType
from orch_notebook.model.views import badge_html, badge_text, dot, paint, summary_html, summary_text
from orch_notebook.promotion.notebooks import notebook_bytes, read_notebook
from orch_notebook.runtime.files import write_whole
from orch_notebook.runtime.layout import layout

__all__ = ["close_notebook"]


def close_notebook(path: Path, run: FlowRun, children: list[FlowRun], now: datetime) -> bool:
    """End what still runs in an executed notebook and redraw its badges and summaries.

    Parameters
    ----------
    path : Path
        The executed notebook.
    run : FlowRun
        The run that executed it, as it ended.
    children : list of FlowRun
        The runs that its kernel performed, with their tasks, oldest first.
    now : datetime
        The present instant.

    Returns
    -------
    bool
        Whether anything had to be changed.
    """
    notebook = read_notebook(path)
    tasks = {task.name: task for child in children for task in child.tasks}
    runs = {child.run_id: child for child in children}
    changed = _end_cells(notebook, run)
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            mark = output.get("metadata", {}).get("orch_notebook", {})
            data: dict[str, str] | None = None
            if task := tasks.get(mark.get("task", "")):
                data = {"text/html": badge_html(task, now), "text/plain": badge_text(task, now)}
                changed |= _set_status(cell, task)
            elif child := runs.get(mark.get("run", "")):
                html = summary_html(child, _diagram(child, now), now)
                data = {"text/html": html, "text/plain": summary_text(child, now)}
            if data is not None and data != dict(output.data):
                output["data"] = type(cell)(data)
                changed = True
    if changed:
        write_whole(path, notebook_bytes(notebook))
    return changed


def _end_cells(notebook: Any, run: FlowRun) -> bool:
    """Note how the run ended, where the process that should have done so could not."""
    about = notebook.metadata.setdefault("orch_notebook", type(notebook)())
    if "outcome" in about:
        return False
    about.update(outcome=run.state.type.value.lower(), ename=run.state.name, evalue=run.state.message)
    for cell in notebook.cells:
        record = cell.metadata.get("papermill", {})
        if record.get("status") == "running":
            record.update(status="failed", exception=True)
            if cell.cell_type == "code":
                said = f"{run.state.name}: {run.state.message}"
                error = {"ename": run.state.name, "evalue": run.state.message, "traceback": [said]}
                cell.outputs.append(type(cell)(output_type="error", **error))
    return True


def _diagram(run: FlowRun, now: datetime) -> str:
    try:
        return paint(layout(dot(run.graph)), run.graph, run.tasks, now)
    except OrchError:  # a picture must not keep the words from being true
        return ""


def _set_status(cell: Any, task: TaskRun) -> bool:
    """Let papermill's own mark on the cell of a task that failed say so."""
    record = cell.metadata.get("papermill")
    if record is None or task.state.type not in (StateType.FAILED, StateType.CRASHED):
        return False
    if record.get("status") == "failed":
        return False
    record.update(status="failed", exception=True)
    return True
