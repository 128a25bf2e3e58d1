"""Calls of tasks that are put by: ``task.delay(…)`` here, ``serve(task)`` or a worker elsewhere."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from orch_notebook import flow, serve, tags, task, unmapped
from orch_notebook.errors import TaskCancelled, TaskError, UsageError
from orch_notebook.promotion.serving import serving
from orch_notebook.runtime.home import close_homes, open_home


@pytest.fixture(autouse=True)
def closed_homes(settings, monkeypatch):
    """Have the home of this process be the test's, with each kind of store, and close it in the end."""
    for name, value in settings.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    close_homes()


@pytest.fixture
def served():
    """Serves tasks in a thread until the test ends."""
    workers = []

    def begin(*tasks):
        worker = serving(tasks, limit=2)
        thread = threading.Thread(target=worker.run, daemon=True)
        thread.start()
        workers.append((worker, thread))

    yield begin
    for worker, thread in workers:
        worker.drain()
        thread.join(10)
        assert not thread.is_alive()


@task(tags=["mail"])
def send(to, *, count=1):
    if to == "nobody":
        raise LookupError(f"no {to}")
    return f"{to} {count}"


@task
async def asend(to):
    return f"async {to}"


@task
def lock():
    return threading.Lock()


def test_a_call_is_performed_by_whoever_serves_the_task(served) -> None:
    """The caller goes on at once; value, parameters, tags and task run come back through the store."""
    with tags("night"):
        future = send.delay("ann", count=2)
    assert not future.is_done and future.state.is_scheduled()
    assert not future.wait(0.0)
    with pytest.raises(TimeoutError):
        future.result(timeout=0.01)
    served(send)
    assert future.result(timeout=20) == "ann 2"
    run = open_home().store.run(future.run_id)
    assert (run.flow, run.tags, run.parameters) == ("send", ("mail", "night"), {"to": "ann", "count": 2})
    assert [(each.name, each.state.name, each.task_run_id) for each in run.tasks] == [
        ("send", "Completed", future.task_run_id)
    ]
    assert future.state.is_completed() and future.state.result() == "ann 2"


# the call, the class of what result() raises, and what it says
BAD = {
    "it fails": (lambda: send.delay("nobody"), LookupError, "no nobody"),
    "it returns what cannot be pickled": (lock.delay, TaskError, "could not be pickled"),
}


@pytest.mark.parametrize("call, kind, said", BAD.values(), ids=BAD.keys())
def test_what_went_wrong_comes_back_too(served, call, kind, said) -> None:
    """The error itself where it can travel, else what the record says."""
    served(send, lock)
    with pytest.raises(kind, match=said):
        call().result(timeout=20)


def test_an_async_task_is_served_and_awaited(served) -> None:
    """``apply_async`` is the same call; in an event loop the future is awaited."""
    served(asend)

    @flow
    async def main():
        return await asend.apply_async(("bob",))

    assert main().run() == "async bob"


def test_a_map_can_be_put_by(served) -> None:
    """Each element is a call of its own, in the order of the elements."""
    futures = send.map(["ann", "bob"], count=unmapped(2), deferred=True)
    served(send)
    assert [future.result(timeout=20) for future in futures] == ["ann 2", "bob 2"]


def test_a_call_that_waits_can_be_cancelled(served) -> None:
    """Nobody performs it any more, and whoever waits is told."""
    from orch_notebook.orchestrator import open_orchestrator

    future = send.delay("ann")
    with open_orchestrator(open_home().settings) as orchestrator:
        orchestrator.cancel(future.run_id)
    served(send)
    with pytest.raises(TaskCancelled, match="before it started"):
        future.result(timeout=20)


def test_what_cannot_be_put_by_is_refused_at_once() -> None:
    """A future lives here; arguments must fit; and only tasks and deployments are served."""

    @flow
    def main():
        return send.delay(send.submit("ann"))

    with pytest.raises(UsageError, match="given a future"):
        main()
    with pytest.raises(TypeError, match="missing a required argument"):
        send.delay()
    with pytest.raises(UsageError, match="not <function"):
        serve(lambda: None)
    with pytest.raises(UsageError, match="nothing to serve"):
        serve()


def test_a_call_that_somebody_else_wrote_is_not_read(served) -> None:
    """Without this installation's signature nothing is unpickled; the run fails and says so."""
    future = send.delay("ann")
    for path in open_home().settings.folder("results").iterdir():
        if path.name != "key":
            path.write_bytes(path.read_bytes()[:-1] + b"!")
    served(send)
    with pytest.raises(TaskError, match="not written by this installation"):
        future.result(timeout=20)


SCRIPT = """
import sys
from dataclasses import dataclass
from orch_notebook import task

@dataclass
class Point:
    x: int

@task
def double(point):
    return Point(point.x * 2)

if __name__ == "__main__":
    print(double.delay(Point(21)).result(timeout=60))
"""


@pytest.mark.processes
@pytest.mark.parametrize("settings", ["sqlite"], indirect=True)
def test_a_worker_in_another_process_performs_a_script_s_call(tmp_path) -> None:
    """Class and task are the script's own: they travel with the call."""
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    script = subprocess.Popen([sys.executable, path], stdout=subprocess.PIPE, text=True)
    command = [sys.executable, "-m", "orch_notebook.cli", "worker", "--quiet"]
    worker = subprocess.Popen(command, cwd=tmp_path)
    try:
        said, _ = script.communicate(timeout=90)
    finally:
        worker.terminate()
        worker.wait(20)
    assert said == "Point(x=42)\n"
