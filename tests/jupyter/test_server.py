"""The worker inside the Jupyter server: nothing by default, one setting starts it, and it ends with the server."""

import pytest
from traitlets.config import Application, Config

import orch_notebook
from orch_notebook.jupyter.server import load
from orch_notebook.orchestrator import Orchestrator
from tests.books import write_book
from tests.waiting import until


def test_a_server_has_no_worker_unless_it_is_told():
    """The extension may be loaded by every server: it starts no thread and opens no store."""
    worker = load(Application(config=Config()))
    assert (worker.slots, worker._thread) == (0, None)
    worker.stop()
    assert orch_notebook._jupyter_server_extension_points() == [{"module": "orch_notebook.jupyter.server"}]


@pytest.mark.kernel
@pytest.mark.processes
def test_one_setting_starts_a_worker_in_the_server(tmp_path):
    """It executes what is due like any other, is listed while it lives, and is gone when the server ends."""
    book = write_book(tmp_path / "book.ipynb", "open('left', 'w').write('here')")
    orchestrator = Orchestrator()
    orchestrator.deployments.promote(book, "book")
    run_id = orchestrator.deployments.trigger("book").run_id
    worker = load(Application(config=Config({"ServerWorker": {"slots": 1}})))
    try:
        until(lambda: orchestrator.show(run_id).state.is_final, "the end of the run")
        assert [row.slots for row in orchestrator.workers()] == [1]
    finally:
        worker.stop()
    assert orchestrator.show(run_id).state.name == "Completed"
    assert (tmp_path / "left").read_text() == "here"
    assert orchestrator.workers() == []
    orchestrator.close()
