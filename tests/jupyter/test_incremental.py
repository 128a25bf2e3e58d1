"""Editing and running again in a real kernel: only what is stale is performed, shown by the events in the store."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from orch_notebook.model.events import TaskStateChanged
from orch_notebook.orchestrator import Orchestrator
from orch_notebook.runtime.settings import Settings
from tests.kernels import Kernel

pytestmark = pytest.mark.kernel

#: Twelve tasks: a frame that is rebound and changed in place, a model that is fitted in place, and what comes of them.
TASKS = {
    "load": "import numpy as np\nrows = np.arange(60.0).reshape(20, 3)",
    "clean": "rows = rows[rows[:, 0] > 3]",
    "enrich": "rows[:, 2] += 1",
    "split": "X, y = rows[:, :2].copy(), rows[:, 2].copy()",
    "describe": "shape = X.shape",
    "model": "class Mean:\n    def fit(self, X, y):\n        self.seen = getattr(self, 'seen', 0) + len(y)\n"
    "        self.mean = float(y.mean())\nmodel = Mean()",
    "untrained": "before = repr(vars(model))",
    "train": "model.fit(X, y)",
    "predict": "guess = model.mean",
    "score": "error = float(abs(y - guess).mean())",
    "baseline": "naive = float(abs(y - y[0]).mean())",
    "report": "print(f'{error:.3f} {naive:.3f} {scale(error):.1f}')",
}  # fmt: skip
PLAIN = "def scale(x): return x * 10"


def cell(name: str, source: str, options: str = "") -> str:
    """Return the text of a task's cell."""
    return f"%%task {name} {options}\n{source}"


def last_run(home: Path) -> dict[str, list[str]]:
    """Return for every task of the newest run the states it went through, as the store has them."""
    orchestrator = Orchestrator(Settings(home))
    try:
        events = orchestrator.events(orchestrator.runs(limit=1)[0].run_id)
        states: dict[str, list[str]] = {}
        for _, event in events:
            if isinstance(event, TaskStateChanged):
                states.setdefault(event.task, []).append(event.state.name)
        return states
    finally:
        orchestrator.close()


def performed(home: Path) -> list[str]:
    """Return the tasks whose code ran in the newest run; all others were cached and never ran."""
    states = last_run(home)
    assert set(states) == set(TASKS)
    for found in states.values():
        assert found in (["Running", "Completed"], ["Cached"], ["Running", "Cached"]), states
    return [task for task in TASKS if states[task][-1] == "Completed"]


def value(kernel: Kernel, expression: str) -> str:
    """Return the repr of an expression in the kernel."""
    shown = kernel.run(expression)
    assert not shown.error, shown.error
    return shown.data()[0]


def begin(kernel: Kernel, options: str = "") -> None:
    """Define all twelve and run them."""
    for source in ("%load_ext orch_notebook", PLAIN, *(cell(name, TASKS[name], options) for name in TASKS)):
        shown = kernel.run(source)
        assert not shown.error, shown.error
    assert not kernel.run("%flow run").error


#: What is edited and how; what must be performed then, and nothing else.
EDITS = {
    "nothing": (cell("score", TASKS["score"] + "  # mean absolute"), []),
    "the last task": (cell("report", "print(scale(error))"), ["report"]),
    "a task in the middle": (cell("score", "error = float(((y - guess) ** 2).mean())"), ["score", "report"]),
    "a reader above a change": (cell("untrained", "before = str(vars(model))"), ["untrained"]),
    "a change": (cell("train", "model.fit(X[1:], y[1:])"), ["train", "predict", "score", "report"]),
    "a rebinding": (
        cell("clean", "rows = rows[rows[:, 0] > 6]"),
        ["clean", "enrich", "split", "describe", "train", "predict", "score", "baseline", "report"],
    ),
    "a function": ("def scale(x): return x * 100", ["report"]),
}


def test_only_an_edited_cell_and_its_dependants_run(fresh_kernel: Kernel, tmp_path: Path) -> None:
    """For each edit in turn the events show what was performed, and the values are those of a plain notebook."""
    begin(fresh_kernel)
    assert performed(tmp_path / ".orch") == list(TASKS)
    for source, expected in EDITS.values():
        assert not fresh_kernel.run(source).error
        assert not fresh_kernel.run("%flow run").error
        assert performed(tmp_path / ".orch") == expected
        assert value(fresh_kernel, "before == str({})") == "True"
        # The model has seen its rows once, however often its training ran.
        assert value(fresh_kernel, "model.seen in (len(y), len(y) - 1)") == "True"


def test_after_a_restart_with_cache_nothing_runs_and_a_fitted_model_is_back(tmp_path: Path) -> None:
    """A new kernel loads every result, the model as it was after its fit and the frame as it was after its change."""
    environment = {**os.environ, "ORCH_HOME": str(tmp_path / ".orch")}
    with Kernel(tmp_path, environment) as first:
        begin(first, "--cache")
        assert performed(tmp_path / ".orch") == list(TASKS)
        known = value(first, "(model.seen, model.mean, rows.sum(), error, before)")
    with Kernel(tmp_path, environment) as second:
        begin(second, "--cache")
        assert performed(tmp_path / ".orch") == []
        assert value(second, "(model.seen, model.mean, rows.sum(), error, before)") == known
        # An edit here starts from the model as it was before its fit.
        assert not second.run(cell("train", "model.fit(X, y)\nmodel.fit(X, y)", "--cache")).error
        assert not second.run("%flow run").error
        assert performed(tmp_path / ".orch") == ["train", "predict", "score", "report"]
        assert value(second, "model.seen == 2 * len(y)") == "True"
