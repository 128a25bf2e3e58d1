"""A run that failed, taken up again where its notebook stands in front of somebody.

In: the run, and what its attempts have left.  Out: the cells it executed, how they differ from those of another copy
of the notebook, and, once a cell has been mended, how the run that finishes it is executed by whoever repeats that.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orch_notebook.errors import NotebookError, UsageError
from orch_notebook.model.deployments import Plan
from orch_notebook.model.differences import compare_cells
from orch_notebook.model.headers import parse_header, split_task_cell
from orch_notebook.model.parameters import check_parameters
from orch_notebook.model.runs import FlowRun, TaskRun, short_id
from orch_notebook.model.states import StateType
from orch_notebook.promotion.notebooks import code_cells, parameters_of, read_notebook, snapshot
from orch_notebook.promotion.upkeep import with_children
from orch_notebook.runtime.attempts import Attempts, open_attempts
from orch_notebook.runtime.continuing import Continuation
from orch_notebook.runtime.results import Results
from orch_notebook.runtime.settings import Settings
from orch_notebook.runtime.store import Store

if TYPE_CHECKING:
    from nbformat import NotebookNode

__all__ = ["Opening", "mend", "open_run"]


@dataclass(frozen=True, slots=True)
class Opening:
    """A run of a notebook that did not end well.

    Parameters
    ----------
    run : FlowRun
        With the tasks of its notebook.
    plan : Plan
        How it was executed.
    notebook : NotebookNode
        What was executed.
    parameters : mapping
        What it was given.
    attempts : Attempts
        What its tasks have left.
    """

    run: FlowRun
    plan: Plan
    notebook: NotebookNode
    parameters: Mapping[str, Any]
    attempts: Attempts

    @property
    def culprit(self) -> TaskRun | None:
        """The first task that failed or crashed; else the first that did not complete."""
        bad = (StateType.FAILED, StateType.CRASHED)
        found = [task for task in self.run.tasks if task.state.type in bad]
        return next(
            iter(found or [task for task in self.run.tasks if task.state.type is not StateType.COMPLETED]), None
        )

    def cells(self) -> list[tuple[int, NotebookNode]]:
        """Return the code cells with their positions."""
        return code_cells(self.notebook)

    def differences(self, path: Path) -> list[str]:
        """Return which code cells of a file are others than those that were executed, in lines for people.

        Raises
        ------
        NotebookError
            It cannot be read.
        """
        return compare_cells(_sources(self.notebook), _sources(read_notebook(path)), first=1)


def _sources(notebook: NotebookNode) -> list[str]:
    # What is no code was not executed; it keeps its place, so that cells are counted as people count them.
    return [str(cell.source) if cell.cell_type == "code" else "" for cell in notebook.cells]


def open_run(store: Store, results: Results, settings: Settings, run: FlowRun) -> Opening:
    """Return what is needed to take up a run of a notebook.

    Raises
    ------
    UsageError
        It goes on, has completed, or did not execute a notebook by itself.
    NotebookError
        The copy of its notebook is gone.
    """
    plan = store.plan(run.run_id)
    if plan is None and run.parent_run_id is not None:  # what a notebook's own %flow run did is part of its run
        plan, run = store.plan(run.parent_run_id), store.run(run.parent_run_id) or run
    name = short_id(run.run_id)
    if plan is None or plan.entrypoint:
        raise UsageError(
            f"Run {name} did not execute a notebook by itself. Only what 'orch run' and workers execute can be opened.",
            run_id=run.run_id,
        )
    if not run.state.is_final or run.state.type is StateType.COMPLETED:
        raise UsageError(f"Run {name} is {run.state.name}; only what did not end well is opened.", run_id=run.run_id)
    attempts = open_attempts(store, results, settings, run.run_id, is_over=True)
    assert attempts is not None
    notebook = read_notebook(plan.snapshot)
    given = check_parameters(parameters_of(notebook), run.parameters)
    return Opening(with_children(store, run), plan, notebook, given, attempts)


def mend(opening: Opening, tasks: Mapping[str, str], plain: Mapping[str, str], settings: Settings) -> Continuation:
    """Return how a run goes on with cells that have been mended since.

    Parameters
    ----------
    tasks : mapping
        The texts of task cells as they stand now, by the task's name.
    plain : mapping
        Those of other cells, by the cell's id.
    """
    notebook = json.loads(json.dumps(opening.notebook))
    mended: dict[str, str] = {}
    since = f"Its source was mended after run {short_id(opening.run.run_id)}."
    left = dict(tasks)
    for cell in notebook["cells"]:
        split = split_task_cell(str(cell["source"])) if cell["cell_type"] == "code" else None
        name = parse_header(split[0]).name if split is not None else None
        now = left.pop(name, None) if name else plain.get(cell.get("id", "")) if split is None else None
        if now is not None and now.strip() != str(cell["source"]).strip():
            cell["source"] = now.rstrip("\n")
            if name:
                mended[name] = since
    for name, text in left.items():
        cell = {
            "cell_type": "code",
            "source": text.rstrip("\n"),
            "metadata": {},
            "outputs": [],
            "execution_count": None,
        }
        notebook["cells"].append(cell)
        mended[name] = f"It is new since run {short_id(opening.run.run_id)}."
    with tempfile.TemporaryDirectory(prefix="orch-mended-") as folder:
        path = Path(folder) / "mended.ipynb"
        path.write_text(json.dumps(notebook), "utf-8")
        try:
            pinned = snapshot(path, settings.folder("snapshots"))
        except NotebookError as error:
            raise UsageError(f"What was mended cannot be kept: {error}") from None
    # Nobody but the person who mends it repeats it.
    plan = replace(opening.plan, snapshot=str(pinned), again=(), retries=0)
    return Continuation(opening.run, plan, opening.attempts, mended)
