"""A real database server that is restarted in the middle of a real run, which goes on as if nothing had been."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import closing

import pytest

from orch_notebook.orchestrator import open_orchestrator
from orch_notebook.runtime.settings import Settings
from tests.books import write_book
from tests.databases.postgres import HOW_TO_INSTALL, PostgresServer, find_postgres
from tests.waiting import until

pytestmark = [
    pytest.mark.processes,
    pytest.mark.kernel,
    pytest.mark.skipif(find_postgres() is None, reason=f"There is no PostgreSQL here. {HOW_TO_INSTALL}"),
]

#: Of two tasks one waits while the server is away, so that the other's end is recorded in the meantime.
CELLS = (
    "%load_ext orch_notebook",
    """
    %%task hold
    import pathlib, time
    pathlib.Path("held").touch()
    while not pathlib.Path("go").exists():
        time.sleep(0.02)
    """,
    """
    %%task quick
    import pathlib, time
    while not pathlib.Path("away").exists():
        time.sleep(0.02)
    """,
    "%flow run",
)


def test_a_run_outlives_a_restart_of_its_database(tmp_path, orch_home):
    """Run process, kernel and worker wait for the server; the run completes at its first attempt, with all facts."""
    book = write_book(tmp_path / "book.ipynb", *CELLS)
    log = tmp_path / "worker.log"
    with closing(PostgresServer()) as server:
        settings = Settings(orch_home, server.url())
        environment = {**os.environ, **settings.environment, "ORCH_LEASE": "15"}
        command = [sys.executable, "-m", "orch_notebook.cli", "worker", "--until-idle"]
        with open_orchestrator(settings) as orchestrator:
            orchestrator.deployments.promote(book, "night")
            run = orchestrator.deployments.trigger("night", {})
            with log.open("wb") as said:
                worker = subprocess.Popen(command, stdout=said, stderr=said, env=environment, start_new_session=True)
            try:
                until((tmp_path / "held").exists)
                server.stop(signal.SIGQUIT)
                (tmp_path / "away").touch()
                process_log = orch_home / "runs" / run.run_id / "process.log"

                def is_noticed():
                    return "This is waited for" in process_log.read_text()

                until(is_noticed)
                server.start()
                (tmp_path / "go").touch()
                assert worker.wait(90) == 0, log.read_text()
            finally:
                worker.kill()
                worker.wait()
            runs = orchestrator.store.runs(deployment="night")
            assert [(each.state.name, each.attempt) for each in runs] == [("Completed", 1)], process_log.read_text()
            [child] = orchestrator.store.runs(parent_run_id=run.run_id)
            tasks = orchestrator.store.run(child.run_id).tasks
            assert {task.name: task.state.name for task in tasks} == {"hold": "Completed", "quick": "Completed"}
            assert orchestrator.store.owned_runs() == []
