"""An executed notebook says in the end what the record says, whoever died."""

from dataclasses import replace

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from orch_notebook.model.events import RunCreated, RunStateChanged, TaskStateChanged
from orch_notebook.model.graph import Graph
from orch_notebook.model.runs import FlowRun
from orch_notebook.model.states import State, StateType
from orch_notebook.model.tasks import Task
from orch_notebook.promotion.mending import mend_notebook
from orch_notebook.promotion.notebooks import notebook_bytes, read_notebook
from orch_notebook.runtime.store import Lease

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
        new_code_cell("%flow run", outputs=[shown("a figure"), shown("● Running", run_id="child")]),
        new_code_cell("print('never')"),
    ]
    for cell, status in zip(cells, ("completed", "completed", "running", "pending"), strict=True):
        cell.metadata["papermill"] = {"status": status, "exception": False}
    path = tmp_path / "executed.ipynb"
    path.write_bytes(notebook_bytes(new_notebook(cells=cells)))
    return path


@pytest.fixture
def whole(store, clock, notebook):
    """A crashed run whose kernel performed the run 'child', as the store has both."""
    now, running = clock.now(), State(StateType.RUNNING)
    whole = FlowRun("whole", "report", CRASHED, now, executed_notebook=str(notebook))
    store.create_run(whole)
    child = FlowRun("child", "report", State(StateType.PENDING), now, parent_run_id="whole")
    store.create_run(child, owner="elsewhere:1:1", lease_expires_at=now)
    events = [
        RunCreated(now, "report", Graph((Task("load"), Task("gone")))),
        RunStateChanged(now, running),
        TaskStateChanged(now, "load", 1, running),
        TaskStateChanged(now, "load", 1, State(StateType.COMPLETED)),
        TaskStateChanged(now, "gone", 1, running),
        TaskStateChanged(now, "gone", 1, LOST),
        RunStateChanged(now, CRASHED),
    ]
    store.append(Lease("child", "elsewhere:1:1", 1, now), list(enumerate(events, 1)), now)
    return whole


def test_nothing_runs_any_more(store, whole, notebook, clock):
    """The cell that ran has failed and says why; badges and summary show how their task and run ended."""
    mend_notebook(store, whole, clock.now())
    closed = read_notebook(notebook)
    nbformat.validate(closed)
    statuses = [cell.metadata.papermill.status for cell in closed.cells]
    assert statuses == ["completed", "failed", "failed", "pending"]
    texts = [output.data["text/plain"] for cell in closed.cells for output in cell.outputs if "data" in output]
    assert "Completed" in texts[0] and "Lost" in texts[1] and texts[2] == "a figure"
    assert "Crashed" in texts[3] and "Running" not in str(texts)
    assert closed.cells[2].outputs[-1].evalue == CRASHED.message
    assert closed.metadata.orch_notebook.outcome == "crashed"


def test_mending_twice_changes_nothing(store, whole, notebook, clock):
    """Several may find the run ended; what they write is the same."""
    mend_notebook(store, whole, clock.now())
    before = notebook.read_bytes()
    clock.advance(60)
    mend_notebook(store, whole, clock.now())
    assert notebook.read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"cells": [1], "metadata": {}}'])
def test_what_is_no_notebook_is_left(store, whole, notebook, clock, content):
    """A file that is damaged or half written stays as it is, and nobody stumbles over it."""
    notebook.write_bytes(content)
    mend_notebook(store, whole, clock.now())
    assert notebook.read_bytes() == content


def test_a_run_that_goes_on_is_left(store, whole, notebook, clock):
    """Only what has ended is mended."""
    before = notebook.read_bytes()
    mend_notebook(store, replace(whole, state=State(StateType.RUNNING)), clock.now())
    mend_notebook(store, replace(whole, executed_notebook=None), clock.now())
    assert notebook.read_bytes() == before
