"""The executed notebook of a run whose kernel or process died: brought to say what the record says.

In: a run that has ended.  Out: its notebook, where no cell is running any more, the cell that was names the end, and
the badges and summaries that nobody was there to update show the final states.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from orch_notebook.errors import OrchError
from orch_notebook.model.runs import FlowRun
from orch_notebook.model.states import StateType
from orch_notebook.model.views import badge_html, badge_text, dot, paint, summary_html, summary_text
from orch_notebook.runtime.files import write_whole
from orch_notebook.runtime.layout import layout
from orch_notebook.runtime.store import Store

__all__ = ["mend_notebook"]

logger = logging.getLogger("orch_notebook")


def mend_notebook(store: Store, run: FlowRun, now: datetime) -> None:
    """Make the executed notebook of a run that has ended true; a notebook that cannot be read or written is left.

    Parameters
    ----------
    store : Store
        Where the runs are that the notebook started.
    run : FlowRun
        The run, as it ended.
    now : datetime
        The present instant.
    """
    path = Path(run.executed_notebook or "")
    if not run.state.is_final or not path.is_file():
        return
    try:
        notebook = json.loads(path.read_text("utf-8"))
        before = json.dumps(notebook)
        _end_cells(notebook["cells"], run)
        ending = {"outcome": run.state.type.value.lower(), "ename": run.state.name, "evalue": run.state.message}
        about = notebook["metadata"].setdefault("orch_notebook", {})
        about.update(ending if "outcome" not in about else {})
        _update_views(notebook["cells"], _children(store, run), now)
        if json.dumps(notebook) != before:
            write_whole(path, json.dumps(notebook, indent=1, ensure_ascii=False).encode("utf-8", "replace") + b"\n")
    except (OSError, ValueError, KeyError, TypeError) as error:
        logger.warning("The executed notebook %s could not be brought up to date: %s", path, error)


def _children(store: Store, run: FlowRun) -> dict[str, FlowRun]:
    found = (store.run(child.run_id) for child in reversed(store.runs(parent_run_id=run.run_id, limit=1000)))
    return {child.run_id: child for child in found if child is not None}


def _end_cells(cells: list[dict[str, Any]], run: FlowRun) -> None:
    for cell in cells:
        record = cell["metadata"].get("papermill", {})
        if record.get("status") != "running":
            continue
        record.update(status="failed", exception=True)
        if cell["cell_type"] == "code" and not any(output["output_type"] == "error" for output in cell["outputs"]):
            error = {"ename": run.state.name, "evalue": run.state.message}
            lines = [f"{run.state.name}: {run.state.message}"]
            cell["outputs"].append({"output_type": "error", **error, "traceback": lines})


def _update_views(cells: list[dict[str, Any]], children: Mapping[str, FlowRun], now: datetime) -> None:
    # The same task may have run several times; its badge shows the last.
    tasks = {task.name: task for child in children.values() for task in child.tasks}
    for cell in cells:
        for output in cell.get("outputs", ()):
            mark = output.get("metadata", {}).get("orch_notebook", {})
            if (task := tasks.get(mark.get("task", ""))) is not None:
                output["data"] = {"text/html": badge_html(task, now), "text/plain": badge_text(task, now)}
                if task.state.type in (StateType.FAILED, StateType.CRASHED) and "papermill" in cell["metadata"]:
                    cell["metadata"]["papermill"].update(status="failed", exception=True)
            elif (child := children.get(mark.get("run_id", ""))) is not None:
                drawing = _drawing(child, now)
                output["data"] = {
                    "text/html": summary_html(child, drawing, now),
                    "text/plain": summary_text(child, now),
                }


def _drawing(run: FlowRun, now: datetime) -> str:
    try:
        return paint(layout(dot(run.graph)), run.graph, run.tasks, now)
    except OrchError:
        return ""  # a picture that cannot be drawn must not keep the words from being true
