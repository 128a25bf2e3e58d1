"""An executed notebook says in the end what the record says, whoever died."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from orch_notebook.model.graph import Graph
from orch_notebook.model.runs import FlowRun, TaskRun
from orch_notebook.model.states import State, StateType
from orch_notebook.model.tasks import Task
from orch_notebook.promotion.closing import close_notebook
from orch_notebook.promotion.notebooks import notebook_bytes, read_notebook

CRASHED = State(StateType.CRASHED, "Crashed", "The process that executed it ended by signal 9.")
LOST = State(StateType.CRASHED, "Lost", "The process that performed it is gone.")


def shown(text, **mark):
    return new_output("display_data", {"text/plain": text}, metadata={"orch_notebook": mark} if mark else {})


@pytest.fixture
def notebook(tmp_path):
    """An executed notebook whose process died while its last cell but one ran."""
    cells = [
        new_code_cell("%%task load", outputs=[shown("● Running", task="load")]),
        new_code_cell("%%task gone", outputs=[shown("● Running", task="gone")]),
        new_code_cell("%flow run", outputs=[shown("a figure"), shown("● Running", run="child")]),
        new_code_cell("print('never')"),
    ]
    for cell, status in zip(cells, ("completed", "completed", "running", "pending"), strict=True):
        cell.metadata["papermill"] = {"status": status, "exception": False}
    path = tmp_path / "executed.ipynb"
    path.write_bytes(notebook_bytes(new_notebook(cells=cells)))
    return path


@pytest.fixture
def runs(clock):
    """A crashed run and the run its kernel performed."""
    tasks = (
        TaskRun("child", Task("load"), State(StateType.COMPLETED), 1, clock.now(), clock.now()),
        TaskRun("child", Task("gone"), LOST, 1, clock.now(), clock.now()),
    )
    graph = Graph(tuple(task.task for task in tasks))
    whole = FlowRun("whole", "report", CRASHED, clock.now())
    return whole, [FlowRun("child", "report", CRASHED, clock.now(), parent_run_id="whole", graph=graph, tasks=tasks)]


def test_nothing_runs_any_more(notebook, runs, clock):
    """The cell that ran has failed and says why; badges and summary show how their task and run ended."""
    assert close_notebook(notebook, *runs, clock.now())
    closed = read_notebook(notebook)
    nbformat.validate(closed)
    statuses = [cell.metadata.papermill.status for cell in closed.cells]
    assert statuses == ["completed", "failed", "failed", "pending"]
    texts = [output.data["text/plain"] for cell in closed.cells for output in cell.outputs if "data" in output]
    assert "Completed" in texts[0] and "Lost" in texts[1] and texts[2] == "a figure"
    assert "Crashed" in texts[3] and "Running" not in str(texts)
    assert closed.cells[2].outputs[-1].evalue == CRASHED.message
    assert closed.metadata.orch_notebook.outcome == "crashed"


def test_closing_twice_changes_nothing(notebook, runs, clock):
    """Several may find the run ended; the file is written once."""
    close_notebook(notebook, *runs, clock.now())
    before = notebook.read_bytes()
    assert not close_notebook(notebook, *runs, clock.now())
    assert notebook.read_bytes() == before
