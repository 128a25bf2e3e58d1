"""Makes an executed notebook tell the truth about tasks that ended without their kernel.

A badge is kept true by the kernel that performs the task.  When that kernel dies, the last thing it said stays in the
notebook: *Running*.  In: the executed notebook and the run as the store knows it in the end.  Out: the same notebook,
each badge and the summary redrawn from the store.
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


def close_notebook(path: Path, children: list[FlowRun], now: datetime) -> bool:
    """Redraw every badge and summary of an executed notebook.

    Parameters
    ----------
    path : Path
        The executed notebook.
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
    tasks = {task.name: task for run in children for task in run.tasks}
    runs = {run.run_id: run for run in children}
    changed = False
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            mark = output.get("metadata", {}).get("orch_notebook", {})
            data: dict[str, str] | None = None
            if task := tasks.get(mark.get("task", "")):
                data = {"text/html": badge_html(task, now), "text/plain": badge_text(task, now)}
                changed |= _set_status(cell, task)
            elif run := runs.get(mark.get("run", "")):
                data = {"text/html": summary_html(run, _diagram(run, now), now), "text/plain": summary_text(run, now)}
            if data is not None and data != dict(output.data):
                output["data"] = type(cell)(data)
                changed = True
    if changed:
        write_whole(path, notebook_bytes(notebook))
    return changed


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
