"""Two runs beside each other: what is kept of both is gathered here, the model tells them apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from orch_notebook.errors import NotebookError
from orch_notebook.model.comparisons import Comparison, Side, compare_runs
from orch_notebook.model.deployments import Plan
from orch_notebook.model.differences import compare_cells
from orch_notebook.model.runs import FlowRun
from orch_notebook.promotion.following import values_of
from orch_notebook.promotion.notebooks import read_notebook
from orch_notebook.runtime.store import Store
from orch_notebook.runtime.store.shelves import Shelves

__all__ = ["compare"]


def compare(store: Store, before: FlowRun, after: FlowRun) -> Comparison:
    """Return what tells one run from another; both with the tasks of their notebooks."""
    old, new = (_source(store.plan(run.run_id)) for run in (before, after))
    lines = [] if old is None or new is None or old == new else compare_cells(old, new, first=1)
    return compare_runs(_side(store, before), _side(store, after), lines)


def _side(store: Store, run: FlowRun) -> Side:
    ids = [run.run_id, *(child.run_id for child in store.runs(parent_run_id=run.run_id, limit=1000))]
    artifacts: dict[str, Any] = {}
    if isinstance(store, Shelves):
        found = [each for run_id in ids for each in store.artifacts(run_id=run_id)]
        artifacts = {each.name: each.data for each in found if each.name}
    return Side(run, values_of(store, run), artifacts)


def _source(plan: Plan | None) -> list[str] | None:
    """Return the cells of what was executed, each line of prose left blank; None where that is not kept."""
    if plan is None:
        return None
    try:
        if plan.entrypoint:
            return [Path(plan.snapshot).read_text("utf-8")]
        cells = read_notebook(plan.snapshot).cells
    except (NotebookError, OSError, UnicodeDecodeError):
        return None
    return [str(cell.source) if cell.cell_type == "code" else "" for cell in cells]
