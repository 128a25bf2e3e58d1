"""The contract of all runners, with functions: what a task sees, does and leaves is the same wherever it runs."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from orch_notebook import DaskTaskRunner, ProcessPoolTaskRunner, ThreadPoolTaskRunner, flow, get_run_logger, task
from orch_notebook.assets import add_asset_metadata, materialize
from orch_notebook.errors import FlowRunCancelled, NotPicklable, TaskCrashed, TaskTimedOut, UsageError
from orch_notebook.model.assets import materializations_of
from orch_notebook.runtime import flow_run, task_run
from tests.functions.conftest import PATIENCE, close_homes, in_time, open_home

pytestmark = pytest.mark.processes

RUNNERS = {
    "threads": ThreadPoolTaskRunner,
    "processes": ProcessPoolTaskRunner,
    "dask": lambda: DaskTaskRunner(cluster_kwargs={"n_workers": 2, "threads_per_worker": 1}),
}

#: Those that perform a function in another process.
AWAY = ["processes", "dask"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One home for all tests of this module: processes that are warm save a second each time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ORCH_HOME", str(tmp_path_factory.mktemp("home")))
        yield os.environ["ORCH_HOME"]
        close_homes()


@pytest.fixture(autouse=True)
def closed_homes(folder: str, orch_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the module's home, and leave it open from one test to the next."""
    monkeypatch.setenv("ORCH_HOME", folder)
    monkeypatch.setenv("ORCH_PROCESSES", "2")


def warm(name: str) -> Any:
    """Return a runner whose workers have been started: that may take longer than a test waits."""
    runner = RUNNERS[name]()
    if name == "dask":
        runner.make(open_home()).close()
    return runner


@pytest.fixture(params=RUNNERS)
def runner(request: pytest.FixtureRequest) -> Any:
    """A runner of each kind."""
    return warm(request.param)


@pytest.fixture(params=AWAY)
def away(request: pytest.FixtureRequest) -> Any:
    """A runner of each kind that performs functions in other processes."""
    return warm(request.param)


def run(runner, body, **options) -> Any:
    """Perform a flow with this body; a hang is a failed test."""
    return in_time(flow(name="contract", task_runner=runner, **options)(body))


def of_a_module(x):
    return x + 1


@task
def task_of_a_module(x):
    return of_a_module(x)


@dataclass
class Point:
    x: int


def closure():
    n = 10
    return lambda x: x + n - 9


def method():
    class Adder:
        n = 1

        def add(self, x):
            return x + self.n

    return Adder().add


def asynchronous():
    async def add(x):
        return x + 1

    return add


def helpers():
    def even(n):
        return True if n == 0 else odd(n - 1)

    def odd(n):
        return False if n == 0 else even(n - 1)

    return lambda x: x + even(4)


def defaults():
    return lambda x, *, by=1: x + by


FUNCTIONS = {
    "a function of a module": lambda: of_a_module,
    "a closure": closure,
    "a method of a class that stands nowhere": method,
    "async def": asynchronous,
    "functions that call each other": helpers,
    "a keyword": defaults,
    "a task of a module": lambda: task_of_a_module.fn,
}


@pytest.mark.parametrize("make", FUNCTIONS.values(), ids=FUNCTIONS)
def test_a_function_gives_its_value(stored, runner, make) -> None:
    """Wherever it was defined."""
    assert run(runner, lambda: task(make(), name="it").submit(1).result()) == 2
    assert stored.states() == {"it": "Completed"}


def test_values_come_back_as_they_are(stored, runner) -> None:
    """A class is the same class, also where it stands in no module; what yields is drained."""

    class Local(Point):
        pass

    def items(point):
        yield point
        yield Local(point.x + 1)

    first, second = run(runner, lambda: task(items).submit(Local(1)).result())
    assert (type(first), type(second), second.x) == (Local, Local, 2)


NOTEBOOK = """
scale = 2
def scaled(x): return x * scale
@task
def work(x): return scaled(x)
@flow(task_runner=runner)
def both():
    global scale
    first = work.submit(10).result()
    scale = 3
    return first, work.submit(10).result()
"""


def test_functions_of_a_notebook_read_their_globals_when_they_are_called(stored, runner, monkeypatch) -> None:
    """A name that was bound anew between two calls has its new value in the second."""
    main = {"__name__": "__main__", "task": task, "flow": flow, "runner": runner}
    exec(NOTEBOOK, main)
    assert in_time(main["both"]) == (20, 30)


def inverse(x):
    return 1 / x


def test_an_error_shows_the_users_lines(stored, runner) -> None:
    """It is raised where the result is asked for; what is recorded begins with the function, without frames of ours."""

    def body():
        with pytest.raises(ZeroDivisionError, match="division by zero"):
            task(inverse).submit(0).result()

    run(runner, body)
    [failed] = stored.run().tasks
    assert failed.state.name == "Failed" and failed.details["error"] == "ZeroDivisionError: division by zero"
    lines = [line.strip() for line in failed.details["traceback"] if "^" not in line and "~" not in line]
    assert lines[1].endswith("in inverse") and lines[2:] == ["return 1 / x", "ZeroDivisionError: division by zero"]


class Odd(Exception):
    def __init__(self, a, b):
        super().__init__(f"{a} {b}")


def test_an_error_that_cannot_travel_says_the_same(stored, away) -> None:
    """Its class is lost, its words are not, and where it was raised is told."""

    def odd():
        raise Odd(1, 2)

    def body():
        with pytest.raises(Exception, match="Odd: 1 2") as raised:
            task(odd).submit().result()
        assert "in odd" in raised.value.__notes__[0]

    run(away, body)


def test_logs_and_prints_come_back(stored, runner, capsys) -> None:
    """The lines of the run's logger and, with log_prints, what is printed are recorded; both are shown."""

    @task(log_prints=True)
    def say():
        print("printed")
        get_run_logger().warning("logged by %s of %s", task_run.name, flow_run.flow_name)
        sys.stderr.write("written\n")

    run(runner, lambda: say.submit().result())
    assert stored.lines() == ["printed", "logged by say of contract"]
    shown = capsys.readouterr()
    assert shown.out == "printed\n" and "logged by say" in shown.err and shown.err.endswith("written\n")


def test_a_line_comes_while_the_task_runs(stored, runner) -> None:
    """It is there before the task has ended; a cancel then ends the task for good."""
    heard = threading.Event()

    @task
    def loud():
        print("on")
        while True:
            pass

    def body():
        future = loud.submit()
        assert heard.wait(PATIENCE)
        stored.home.store.request(stored.home.store.runs()[0].run_id, "cancel", stored.home.clock.now())
        future.wait()

    stop = stored.home.ledger.subscribe(lambda run_id, events: is_said(events) and heard.set())
    try:
        with pytest.raises(FlowRunCancelled):
            run(runner, body, log_prints=True)
    finally:
        stop()
    assert stored.states() == {"loud": "Cancelled"}


def is_said(events) -> bool:
    """Whether one of these is the line that is waited for."""
    return any(getattr(event, "text", "") == "on" for _, event in events)


def spin():
    while True:
        pass


async def wait_for_ever():
    import asyncio

    await asyncio.sleep(3600)


@pytest.mark.parametrize("work", [spin, wait_for_ever])
def test_a_timeout_ends_the_work(stored, runner, work) -> None:
    """The caller is told, and the runner goes on with other work."""

    def body():
        with pytest.raises(TaskTimedOut):
            task(work, timeout_seconds=0.5, name="slow").submit().result()
        return task(of_a_module, name="next").submit(1).result()

    assert run(runner, body) == 2
    assert stored.states() == {"slow": "TimedOut", "next": "Completed"}


def test_a_thread_in_a_call_of_c_is_running_until_it_is_not(stored) -> None:
    """Nothing can end it there, so its state says Running while it runs, and TimedOut when it has heard."""
    there, here = os.pipe()

    @task(timeout_seconds=0.05)
    def stuck():
        os.read(there, 1)
        spin()

    def body():
        future = stuck.submit()
        engine = future.performance.engine
        for _ in range(1000):
            call = engine.call_of("stuck")
            if call is not None and call.stop_reason:
                break
            threading.Event().wait(0.02)
        else:
            raise AssertionError("It was never told to stop.")
        assert future.state.name == "Running" and not future.wait(0)
        os.write(here, b"x")
        future.wait()
        return future.state.name

    try:
        assert run(warm("threads"), body) == "TimedOut"
    finally:
        os.close(there)
        os.close(here)
    assert stored.names_of("stuck") == ["Running", "TimedOut"]


def sleep_in_c(path):
    Path(path).write_text(str(os.getpid()))
    ctypes.PyDLL(None).sleep(3600)  # holds the interpreter's lock: no thread of Python gets on


def test_a_call_of_c_elsewhere_is_ended_with_its_process(stored, away, tmp_path) -> None:
    """Its process is gone when its state says that it has ended."""
    mark = tmp_path / "pid"

    def body():
        future = task(sleep_in_c, name="stuck").submit(str(mark))
        for _ in range(1000):
            if mark.exists() and mark.read_text():
                break
            threading.Event().wait(0.02)
        future.performance.engine.cancel_task("stuck")
        future.wait()
        return future.state.name

    assert run(away, body) == "Cancelled"
    with pytest.raises(ProcessLookupError):
        os.kill(int(mark.read_text()), 0)


@pytest.mark.parametrize("error", [ValueError, "death"])
def test_a_task_that_failed_or_crashed_is_tried_again(stored, runner, tmp_path, error) -> None:
    """Each attempt begins afresh; a process that dies is an attempt that crashed."""
    if error == "death" and isinstance(runner, ThreadPoolTaskRunner):
        pytest.skip("A thread does not die by itself.")
    mark = tmp_path / "tried"

    @task(retries=1)
    def flaky():
        if not mark.exists():
            mark.touch()
            if error == "death":
                os._exit(3)
            raise error
        return "done"

    assert run(runner, lambda: flaky.submit().result()) == "done"
    first = "Crashed" if error == "death" else "Failed"
    assert stored.names_of("flaky") == ["Running", first, "AwaitingRetry", "Retrying", "Completed"]


def test_a_death_takes_no_other_task_along(stored, away) -> None:
    """It is told apart from a failure, with how it ended."""

    def body():
        dying = task(lambda: os._exit(3), name="dying").submit()
        fine = [task(of_a_module, name=f"fine-{n}").submit(n) for n in range(4)]
        with pytest.raises(TaskCrashed, match="exit code 3"):
            dying.result()
        return [future.result() for future in fine]

    assert run(away, body) == [1, 2, 3, 4]


@pytest.mark.parametrize("retries", [0, 1])
def test_a_worker_of_dask_that_is_killed_is_an_attempt_that_crashed(stored, tmp_path, retries) -> None:
    """The retry rule decides whether there is another; Dask performs nothing again by itself."""
    begun = tmp_path / "begun"

    @task(retries=retries)
    def fragile():
        with begun.open("a") as file:
            file.write("x")
        if begun.read_text() == "x":
            os.kill(os.getppid(), signal.SIGKILL)
            threading.Event().wait()
        return "done"

    def body():
        fine = task(of_a_module, name="fine").map(range(4))
        if retries:
            assert fragile.submit().result() == "done"
        else:
            with pytest.raises(TaskCrashed, match=r"worker of Dask that performed it, tcp://.* is gone"):
                fragile.submit().result()
        return fine.result()

    assert run(warm("dask"), body) == [1, 2, 3, 4]
    assert begun.read_text() == "x" * (1 + retries)
    names = stored.names_of("fragile")
    assert names[:2] == ["Running", "Crashed"] and (names[-1] == "Completed") == bool(retries)


def test_arrays_travel(stored, runner) -> None:
    """Large ones too, both ways, and what comes may be changed by the one who got it."""

    @task(persist_result=False)
    def grow(array):
        array = array + 1
        array[0] = 7
        return {"it": array, "first": array[:2]}

    back = run(runner, lambda: grow.submit(np.zeros(100_000)).result())
    back["it"][1] = 5
    assert back["it"].sum() == 7 + 5 + 99_998


def returns_a_lock():
    return threading.Lock()


lock = threading.Lock()


UNFIT = {
    "an argument": (lambda lock: None, (lock,), "Its argument 'lock' .lock. cannot be sent"),
    "a result": (returns_a_lock, (), "It returns a lock, which cannot be sent back"),
    "a name it uses": (eval("lambda: held", {"held": lock, "__name__": "__main__"}), (), "It uses 'held' .lock."),
    "a closure": ((lambda held: lambda: held)(lock), (), "Its function cannot be sent"),
}


@pytest.mark.parametrize("function, args, words", UNFIT.values(), ids=UNFIT)
def test_what_cannot_travel_is_named_with_the_way_out(stored, away, function, args, words) -> None:
    """And is not tried again, because it never will."""

    def body():
        with pytest.raises(NotPicklable, match=words) as raised:
            task(function, name="it", retries=3).submit(*args).result()
        assert '@task(runner="threads")' in str(raised.value)

    run(away, body)
    assert stored.names_of("it") == ["Running", "Failed"]


@pytest.mark.parametrize("name", ["threads", "processes"])
@pytest.mark.parametrize("how", ["called", "submitted", "mapped"])
def test_a_task_may_name_its_runner(stored, name, how) -> None:
    """Submitted or called, it runs there, whatever the flow's runner; the others run where the flow's tasks do."""
    where = task(os.getpid, runner=name, name="where")
    usual = task(lambda x: os.getpid(), name="usual")

    @flow
    def both():
        if how == "called":
            return where(), usual(1)
        if how == "mapped":
            return task(lambda x: os.getpid(), runner=name, name="where").map([1]).result()[0], usual(1)
        return where.submit().result(), usual.submit(1).result()

    there, here = in_time(both)
    assert here == os.getpid() and (there == here) == (name == "threads")


def test_an_async_task_may_name_its_runner(stored) -> None:
    """Awaited, it runs there while the loop goes on."""

    @task(runner="processes")
    async def where():
        return os.getpid()

    @flow
    async def body():
        return await where()

    assert in_time(body().run) != os.getpid()


def test_a_runner_that_there_is_not_is_refused() -> None:
    """By name, where the task is made."""
    with pytest.raises(UsageError, match="runner='gpu' of @task must be threads, processes or dask"):
        task(runner="gpu")(of_a_module)


def test_the_setting_holds_for_functions(tmp_path, monkeypatch) -> None:
    """ORCH_RUNNER says where tasks run that name no runner, and the flow none."""
    monkeypatch.setenv("ORCH_RUNNER", "processes")
    monkeypatch.setenv("ORCH_HOME", str(tmp_path))  # a home keeps the settings it was opened with
    assert in_time(flow(lambda: task(os.getpid).submit().result())) != os.getpid()


def test_a_task_called_by_a_task_elsewhere_is_tracked(stored, away) -> None:
    """It is a run of its own, which is part of the one whose task called it."""

    @task
    def outer(x):
        return task_of_a_module(x) + task_of_a_module.submit(x).result()

    assert run(away, lambda: outer.submit(1).result()) == 4
    runs = stored.runs()
    contract = next(run for run in reversed(runs) if run.flow == "contract")
    inner = [run for run in runs if run.parent_run_id == contract.run_id]
    assert [run.state.name for run in inner] == ["Completed", "Completed"]


def test_what_is_said_of_an_asset_comes_back(stored, runner) -> None:
    """A task that makes one notes what it knows of it where it runs."""

    @materialize("s3://lake/rows", asset_deps=["s3://lake/raw"])
    def rows(n):
        add_asset_metadata("s3://lake/rows", {"rows": n})

    run(runner, lambda: rows.submit(3).result())
    [made] = materializations_of(stored.run())
    assert made.metadata == {"rows": 3} and [each.asset for each in made.upstream] == ["s3://lake/raw"]


def test_what_completed_elsewhere_is_kept(stored, away, tmp_path) -> None:
    """When the flow's body runs again, only what failed is performed."""
    counted = tmp_path / "counted"

    @task
    def count():
        with counted.open("a") as file:
            file.write("x")
        return 1

    @flow(task_runner=away, retries=1)
    def twice():
        n = count.submit().result()
        if flow_run.run_count == 1:
            raise ValueError
        return n

    assert in_time(twice) == 1 and counted.read_text() == "x"


@pytest.mark.parametrize("name", ["threads", "processes"])
def test_tasks_share_what_there_is(stored, name, tmp_path) -> None:
    """Of a resource that is not named there is one, so those who need it run one after the other."""
    marks = tmp_path / "marks"

    @task(resources={"GPU": 1})
    def train(n):
        with marks.open("a") as file:
            file.write("(")
        threading.Event().wait(0.05)
        with marks.open("a") as file:
            file.write(")")
        return n

    assert run(warm(name), lambda: train.map(range(4)).result()) == [0, 1, 2, 3]
    assert marks.read_text() == "()" * 4


NEEDS = {
    "more than there is": ({"GPU": 2}, "needs 2 of 'GPU', and there is 1. ORCH_RESOURCES=GPU=2"),
    "nothing": ({"GPU": 0}, "resources of @task say how much of what"),
}


@pytest.mark.parametrize("resources, words", NEEDS.values(), ids=NEEDS)
def test_what_can_never_be_had_is_refused(resources, words) -> None:
    """At once, with the way out."""
    with pytest.raises(UsageError, match=words):
        in_time(lambda: task(resources=resources)(of_a_module)(1))


def test_a_worker_that_has_it_is_found_by_dask(stored) -> None:
    """What a task needs goes along to Dask."""
    options = {"n_workers": 1, "threads_per_worker": 2, "resources": {"GPU": 1}, "processes": False}

    @task(resources={"GPU": 1})
    def train(n):
        return n

    assert run(DaskTaskRunner(cluster_kwargs=options), lambda: train.map(range(3)).result()) == [0, 1, 2]
