"""Real workers, real kernels, real kill -9: what the record says when anything dies at any moment."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from orch_notebook.model.schedules import Once
from orch_notebook.orchestrator import Orchestrator
from orch_notebook.promotion.notebooks import read_notebook
from orch_notebook.promotion.terms import Terms
from orch_notebook.runtime.settings import Settings
from orch_notebook.runtime.store.sqlite import SqliteStore
from tests.books import write_book
from tests.waiting import is_gone, until

pytestmark = [pytest.mark.processes, pytest.mark.kernel]

#: Tells who it is, then waits for the file 'go'.
HOLD = """
import json, os, pathlib, time
here = pathlib.Path("held-" + os.environ["ORCH_RUN_ID"] + ".json")
here.with_suffix(".part").write_text(json.dumps([os.getpid(), os.getppid()]))
here.with_suffix(".part").rename(here)
give_up_at = time.monotonic() + 120
while not pathlib.Path("go").exists() and time.monotonic() < give_up_at:
    time.sleep(0.02)
"""
TASKS = (
    "%load_ext orch_notebook",
    "%%task before\nx = 1\nprint('before')",
    "%%task hold --after before" + HOLD,
    "%%task after --after hold\ny = x",
    "%flow run",
)


class House:
    """A folder with a notebook, a store, and the workers a test starts."""

    def __init__(self, folder, home):
        self.folder = folder
        self.store = SqliteStore(Settings(home).database)
        self.orchestrator = Orchestrator(Settings(home))
        self.workers = []

    def work(self, *options):
        """Start a worker."""
        command = [sys.executable, "-m", "orch_notebook.cli", "worker", *options]
        log = (self.folder / f"worker-{len(self.workers)}.log").open("wb")
        with log:
            self.workers.append(subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True))
        return self.workers[-1]

    def promote(self, *cells, **options):
        """Promote a notebook of these cells and make a run of it."""
        book = write_book(self.folder / "book.ipynb", *cells)
        self.orchestrator.deployments.promote(book, "book", **options)
        return self.orchestrator.deployments.trigger("book").run_id

    def held(self, run_id):
        """Wait until the run's cell waits for 'go', and return the pids of its kernel and of its process."""
        place = self.folder / f"held-{run_id}.json"

        def is_held():
            # Facts are stored in groups, some ten milliseconds after they happen.
            family = [run_id, *(child.run_id for child in self.store.runs(parent_run_id=run_id))]
            tasks = [task for each in family for task in self.store.run(each).tasks]
            return place.exists() and any(
                task.name in ("hold", "cell-1") and task.state.name == "Running" for task in tasks
            )

        until(is_held)
        return json.loads(place.read_text())

    def go(self):
        """Let cells that wait go on."""
        (self.folder / "go").touch()

    def ended(self, run_id, seconds=60.0):
        """Wait until a run and those its notebook started have ended; return it as the store has it."""

        def has_ended():
            family = [self.store.run(run_id), *self.store.runs(parent_run_id=run_id)]
            return all(run.state.is_final for run in family)

        until(has_ended, seconds=seconds)
        return self.orchestrator.show(run_id)

    def repeated(self, run_id):
        """Wait for the repetition of a run, and for its end."""

        def is_repeated():
            return next((run for run in self.store.runs() if run.retry_of == run_id), None)

        return self.ended(until(is_repeated).run_id)

    def close(self):
        for worker in self.workers:
            if worker.poll() is None:
                worker.kill()
            worker.wait()
        for place in self.folder.glob("held-*.json"):
            for pid in json.loads(place.read_text()):
                if not is_gone(pid):
                    os.kill(pid, signal.SIGKILL)
        self.orchestrator.close()
        self.store.close()


@pytest.fixture
def house(tmp_path, orch_home):
    """A house whose processes are gone when the test is over."""
    made = House(tmp_path, orch_home)
    yield made
    made.close()


def states(run):
    return {task.name: task.state.name for task in run.tasks}


def all_gone(*pids):
    """Wait until these processes have ended."""

    def are_gone():
        return all(map(is_gone, pids))

    until(are_gone, seconds=15)


def test_a_killed_workers_run_is_ended_and_repeated_by_another(house):
    """Within 15 s of kill -9 another worker has ended the run and its tasks; the repetition completes; no orphans."""
    run_id = house.promote(*TASKS, terms=Terms(retries=1))
    first = house.work()
    kernel, process = house.held(run_id)
    first.kill()
    killed_at = time.monotonic()
    house.work("--until-idle")
    lost = house.ended(run_id, 15)
    took = time.monotonic() - killed_at
    assert took < 15
    print(f"ended {took:.1f} s after the kill")
    assert lost.state.name == "Crashed"
    assert "The process that executed it died." in lost.state.message or "worker is gone" in lost.state.message
    assert states(lost) == {"before": "Completed", "hold": "Lost", "after": "Cancelled"}
    all_gone(kernel, process)
    house.go()
    again = house.repeated(run_id)
    assert (again.state.name, again.attempt, again.retry_of) == ("Completed", 2, run_id)
    assert states(again) == {"before": "Cached", "hold": "Completed", "after": "Completed"}
    assert house.workers[1].wait(30) == 0


def test_a_killed_run_process_is_noticed_by_its_worker(house):
    """The run has crashed and says by which signal; its tasks are ended, its kernel is gone, and it is repeated."""
    run_id = house.promote(*TASKS, terms=Terms(retries=1))
    house.work("--until-idle")
    kernel, process = house.held(run_id)
    os.kill(process, signal.SIGKILL)
    lost = house.ended(run_id, 15)
    assert "SIGKILL" in lost.state.message
    assert states(lost) == {"before": "Completed", "hold": "Lost", "after": "Cancelled"}
    all_gone(kernel)
    house.go()
    assert house.repeated(run_id).state.name == "Completed"
    assert house.workers[0].wait(30) == 0
    notebook = read_notebook(lost.executed_notebook)
    assert notebook.metadata.orch_notebook.outcome == "crashed"
    assert "running" not in [cell.metadata.papermill.status for cell in notebook.cells]


def test_a_killed_kernel_crashes_its_run(house):
    """Run and task have crashed, and the executed notebook says so in the cell where it happened."""
    run_id = house.promote(*TASKS, "print('never')")
    house.work("--until-idle")
    kernel, _ = house.held(run_id)
    os.kill(kernel, signal.SIGKILL)
    lost = house.ended(run_id)
    assert lost.state.name == "Crashed"
    assert "The kernel died" in lost.state.message
    assert states(lost) == {"before": "Completed", "hold": "Lost", "after": "Cancelled"}
    assert house.workers[0].wait(30) == 0
    cells = read_notebook(lost.executed_notebook).cells
    assert [cell.metadata.papermill.status for cell in cells[-2:]] == ["failed", "pending"]
    assert "KernelDied" in str(cells[-2].outputs)
    badges = [str(cells[index].outputs) for index in (1, 2, 3)]
    assert "Completed" in badges[0]
    assert "Lost" in badges[1] and "Running" not in badges[1]
    assert "Cancelled" in badges[2] and "Pending" not in badges[2]


def test_a_plain_notebooks_cells_are_its_tasks(house):
    """Without tasks each code cell is one; what ran when the kernel died has crashed, what came after never ran."""
    run_id = house.promote("print('hello')", HOLD, "print('never')")
    house.work("--until-idle")
    kernel, _ = house.held(run_id)
    os.kill(kernel, signal.SIGKILL)
    lost = house.ended(run_id)
    assert states(lost) == {"cell-0": "Completed", "cell-1": "Crashed", "cell-2": "UpstreamFailed"}


def test_a_run_is_cancelled_from_another_process(house):
    """``orch cancel`` ends a run that a worker executes, with its tasks; it is not repeated."""
    run_id = house.promote(*TASKS, terms=Terms(retries=3))
    house.work("--until-idle")
    kernel, _ = house.held(run_id)
    command = [sys.executable, "-m", "orch_notebook.cli", "cancel", run_id]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "asked to stop" in done.stdout
    run = house.ended(run_id, 15)
    assert (run.state.name, run.state.message) == ("Cancelled", "Cancelled by request.")
    assert states(run) == {"before": "Completed", "hold": "Cancelled", "after": "Cancelled"}
    all_gone(kernel)
    assert house.workers[0].wait(30) == 0
    assert len(house.store.runs(deployment="book")) == 1


def test_a_terminated_worker_finishes_what_it_began(house):
    """SIGTERM drains: the run under way completes, the one that waits is left, the worker ends with 0."""
    run_id = house.promote(*TASKS)
    worker = house.work("--slots", "1")
    house.held(run_id)
    waiting = house.orchestrator.deployments.trigger("book").run_id
    worker.terminate()
    house.go()
    assert worker.wait(60) == 0
    assert house.store.run(run_id).state.name == "Completed"
    assert house.store.run(waiting).state.name == "Scheduled"
    assert house.store.workers() == []


def test_a_worker_interrupted_twice_ends_what_it_began(house):
    """The run has crashed, because nobody cancelled it, so its repetition waits for the next worker; no orphans."""
    run_id = house.promote(*TASKS, terms=Terms(retries=1))
    worker = house.work()
    pids = house.held(run_id)
    worker.terminate()

    def is_draining():
        return "Finishing what runs" in (house.folder / "worker-0.log").read_text()

    until(is_draining)
    worker.terminate()
    assert worker.wait(30) == 0
    run = house.ended(run_id)
    assert (run.state.name, run.state.message.endswith("the worker was stopped.")) == ("Crashed", True)
    assert all(task.state.is_final for task in run.tasks)
    assert [each.state.name for each in house.store.runs(state="scheduled")] == ["AwaitingRetry"]
    all_gone(*pids)


def test_two_workers_lose_no_due_time_and_do_none_twice(house):
    """Eight due times at one per second, two workers: eight rows, each executed once."""
    start = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=2)
    moments = [start + timedelta(seconds=place) for place in range(8)]
    book = write_book(house.folder / "tick.ipynb", "open('ticks', 'a').write('x')")
    house.orchestrator.deployments.promote(book, "tick", schedules=[Once(moment) for moment in moments])
    for _ in range(2):
        house.work("--slots", "2")

    def all_done():
        runs = house.store.runs(deployment="tick")
        return len(runs) >= 8 and all(run.state.is_final for run in runs)

    until(all_done, seconds=120)
    runs = house.store.runs(deployment="tick", limit=100)
    assert sorted(run.due_at for run in runs) == moments
    assert Counter(run.state.name for run in runs) == {"Completed": 8}
    assert (house.folder / "ticks").read_text() == "x" * 8
