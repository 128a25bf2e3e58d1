"""The panel's history: recent runs against their tasks, and two runs compared.

In: questions of the page.  Out: plain JSON, as ``pages.History`` and ``pages.ComparedLine`` describe it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from orch_notebook.errors import UsageError
from orch_notebook.jupyter.widgets.pages import History, PastRun
from orch_notebook.model.runs import FlowRun, TaskRun
from orch_notebook.model.views import LOOKS, clip, plain
from orch_notebook.model.views.histories import compared_lines
from orch_notebook.orchestrator import Orchestrator

__all__ = ["HistoryPage"]

#: Columns and rows of the grid.
RUNS, ROWS = 20, 100


class HistoryPage:
    """Answers what the history page of one flow asks.

    Parameters
    ----------
    orchestrator : Orchestrator
        Knows the runs.
    flow : str
        The flow's name.
    path : callable
        Returns the file in which it stands, if that is known: a flow of its name elsewhere has another history.
    """

    def __init__(self, orchestrator: Orchestrator, flow: str, path: Callable[[], str | None]) -> None:
        self._orchestrator = orchestrator
        self._flow = flow
        self._path = path

    def __call__(self, question: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the grid, or two runs compared.

        Raises
        ------
        UsageError
            The question is none of this page's.
        """
        match question:
            case {"left": str(left), "right": str(right)}:
                return {"lines": self._compare(left, right)}
            case {"grid": _}:
                return {"grid": self.grid()}
        raise UsageError("The history page cannot answer this.")

    def grid(self) -> History:
        """Return the newest runs and where each task ended in them."""
        orchestrator = self._orchestrator
        path = self._path()
        runs = orchestrator.flow_runs(self._flow, RUNS, path)
        # A worker's run of a notebook and the run inside of it are one thing to a person.
        shown = {run.run_id for run in runs}
        home = {run.run_id: run.parent_run_id for run in runs if run.parent_run_id in shown}
        by_run: dict[str, list[TaskRun]] = {}
        for task_run in orchestrator.task_history(self._flow, RUNS, path):
            by_run.setdefault(home.get(task_run.run_id) or task_run.run_id, []).append(task_run)
        runs = [run for run in runs if run.run_id not in home]
        names = list(dict.fromkeys(each.name for run in runs for each in by_run.get(run.run_id, ())))
        number = {name: index for index, name in enumerate(names[:ROWS])}
        now = orchestrator.clock.now()
        return {
            "runs": [_column(run, by_run.get(run.run_id, []), number, now) for run in runs],
            "rows": [plain(name) for name in number],
            "left": len(names) - len(number),
        }

    def _compare(self, left: str, right: str) -> list[dict[str, Any]]:
        return [asdict(line) for line in compared_lines(self._orchestrator.compare(left, right))]


def _column(run: FlowRun, tasks: list[TaskRun], number: Mapping[str, int], now: datetime) -> PastRun:
    look = LOOKS[run.state.name]
    return {
        "run_id": run.run_id,
        "tone": look.tone,
        "word": look.word,
        "at": (run.started_at or run.due_at or run.created_at).timestamp(),
        "seconds": run.seconds(now) if run.started_at else None,
        "deployment": run.deployment or "",
        "parameters": [(name, clip(plain(repr(value)), 80)) for name, value in run.parameters.items()],
        "tasks": {
            str(number[each.name]): (
                LOOKS[each.state.name].tone,
                LOOKS[each.state.name].word,
                each.seconds(now) if each.started_at else None,
            )
            for each in tasks
            if each.name in number
        },
    }
