"""Timeouts, cancels and interrupts: the work really stops, every task run ends, and the state says how."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from orch_notebook import flow, task
from orch_notebook.errors import FlowRunCancelled, FlowRunTimedOut, TaskCancelled, TaskTimedOut
from orch_notebook.runtime.calls import TaskStopped
from tests.functions.conftest import PATIENCE, in_time
from tests.waiting import until


def spin():
    while True:
        pass


def wait_for_a_task():
    return task(spin, name="inner").submit().result()


def call_a_task():
    return task(spin, name="inner")()


def await_a_retry():
    return task(retries=1, retry_delay_seconds=1000, name="inner")(lambda: 1 / 0)()


FOREVER = [spin, wait_for_a_task, call_a_task, await_a_retry]
each_forever = pytest.mark.parametrize("work", FOREVER, ids=lambda work: work.__name__)


# What a task has submitted is not its own: somebody else may wait for it, so it goes on.
@pytest.mark.parametrize("work", [spin, call_a_task, await_a_retry], ids=lambda work: work.__name__)
@pytest.mark.parametrize("how", ["called", "submitted"])
def test_a_timeout_of_a_task_ends_it(stored, work, how) -> None:
    """Whatever it is in the midst of; the caller is told, and goes on; what it had called is ended too."""
    slow = task(timeout_seconds=0.1, name="slow")(work)

    @flow
    def patient():
        with pytest.raises(TaskTimedOut, match="It took longer than its timeout"):
            slow() if how == "called" else slow.submit().result()
        return "went on"

    assert in_time(patient) == "went on"
    assert stored.states()["slow"] == "TimedOut"
    assert set(stored.states().values()) <= {"TimedOut", "Cancelled"}


@each_forever
def test_a_timeout_of_a_flow_ends_it_and_its_tasks(stored, work) -> None:
    """It ends TimedOut, and everything that it had begun is ended with it."""
    late = flow(timeout_seconds=0.2, name="late")(work)
    with pytest.raises(FlowRunTimedOut, match="It took longer than its timeout"):
        in_time(late)
    assert stored.run("late").state.name == "TimedOut"
    assert set(stored.states().values()) <= {"Cancelled"}


@each_forever
def test_a_cancel_from_elsewhere_ends_a_flow(stored, work) -> None:
    """A request in the store stops the body and the tasks; the call raises."""
    begun = threading.Event()

    @flow
    def long():
        begun.set()
        work()

    def cancel():
        begun.wait(PATIENCE)
        stored.home.store.request(stored.home.store.runs()[0].run_id, "cancel", stored.home.clock.now())

    threading.Thread(target=cancel).start()
    with pytest.raises(FlowRunCancelled):
        in_time(long)
    assert stored.run().state.name == "Cancelled"
    assert set(stored.states().values()) <= {"Cancelled"}


def test_a_cancel_reaches_a_subflow_and_its_tasks(stored) -> None:
    """All of it is cancelled, whoever performs what."""
    begun = threading.Event()

    @task
    def deep():
        begun.set()
        spin()

    inner = flow(name="inner")(lambda: deep.submit().result())
    outer = flow(name="outer")(lambda: inner())

    def cancel():
        begun.wait(PATIENCE)
        [run] = stored.home.store.runs(flow="outer")
        stored.home.store.request(run.run_id, "cancel", stored.home.clock.now())

    threading.Thread(target=cancel).start()
    with pytest.raises(FlowRunCancelled):
        in_time(outer)
    assert [run.state.name for run in stored.runs()] == ["Cancelled", "Cancelled"]


def test_a_timeout_is_retried_unless_the_options_say_otherwise(stored) -> None:
    """Each attempt has its own time; retry_on=TimeoutError names timeouts, another class does not."""
    counts = {}

    def slow_once(word):
        counts[word] = counts.get(word, 0) + 1
        if counts[word] == 1:
            spin()
        return counts[word]

    for word, options, expected in (
        ("any", {}, "Completed"),
        ("timeouts", {"retry_on": TimeoutError}, "Completed"),
        ("others", {"retry_on": KeyError}, "TimedOut"),
    ):
        slow = task(timeout_seconds=0.1, retries=1, **options)(slow_once)
        assert in_time(slow, word, return_state=True).name == expected


def test_a_stopped_task_that_goes_on_cannot_begin_anything(stored) -> None:
    """Who swallows its stop may clean up, but what it calls of the package is refused."""
    seen = []
    other = task(lambda: seen.append("ran"), name="other")

    @task(timeout_seconds=0.1, name="stubborn")
    def stubborn():
        try:
            spin()
        except BaseException:
            seen.append("swallowed")
        try:
            other()
        except TaskStopped:
            seen.append("refused")
            raise

    assert in_time(stubborn, return_state=True).name == "TimedOut"
    assert seen == ["swallowed", "refused"]


def test_what_is_cancelled_says_so_to_who_waits(stored) -> None:
    """The result of a cancelled task run is TaskCancelled."""

    @flow
    def stops_one():
        future = task(spin, name="one").submit()
        future.performance.engine.cancel_task("one")
        return type(future.result(raise_on_failure=False))

    assert in_time(stops_one) is TaskCancelled


def test_who_was_told_to_stop_and_goes_on_is_said_to(stored, night) -> None:
    """Nothing can end a thread in a call of C: it is Running, and the log of the task run says why."""
    there, here = os.pipe()
    stuck = task(lambda: os.read(there, 1) and spin(), name="stuck", timeout_seconds=10)

    @flow
    def waits():
        future = stuck.submit()
        until(lambda: "goes on" in " ".join(line.text for line in stored.home.store.logs(future.performance.run_id)))
        before = future.state.name
        os.write(here, b"x")
        future.wait()
        return before, future.state.name

    try:
        assert in_time(waits) == ("Running", "TimedOut")
    finally:
        os.close(there)
        os.close(here)


@pytest.mark.parametrize("is_async", [False, True], ids=["plain", "async"])
def test_a_flow_that_is_cancelled_between_two_attempts_does_not_begin_again(stored, is_async) -> None:
    """While it waits for its delay there is no body to stop; the next one must not begin."""
    rounds = []

    def body():
        rounds.append(1)
        raise ConnectionError("down")

    async def async_body():
        body()

    again = flow(retries=1, retry_delay_seconds=1000, name="again")(async_body if is_async else body)

    def cancel():
        while not (runs := stored.home.store.runs()) or runs[0].state.name != "AwaitingRetry":
            time.sleep(0.01)
        stored.home.store.request(runs[0].run_id, "cancel", stored.home.clock.now())

    threading.Thread(target=cancel).start()
    with pytest.raises(FlowRunCancelled):
        in_time(lambda: again().run() if is_async else again())
    assert rounds == [1] and stored.run().state.name == "Cancelled"


@pytest.mark.parametrize("how", ["called", "submitted"])
def test_a_stop_that_hits_a_finalizer_is_not_lost(stored, how) -> None:
    """The interpreter forgets what is raised there, so it is raised again where the work goes on."""
    begun, heard = threading.Event(), []

    class Slow:
        def __del__(self):
            begun.set()
            try:
                spin()
            finally:
                heard.append("stopped")

    @task(name="slow")
    def slow():
        Slow()
        spin()

    @flow
    def patient():
        future = slow.submit() if how == "submitted" else None
        threading.Thread(target=lambda: begun.wait(PATIENCE) and engine().cancel_task("slow")).start()
        if future is None:
            slow(return_state=True)
        else:
            future.wait()
        return "went on"

    def engine():
        [finish] = stored.home.closing.values()
        return finish.__self__._engine

    assert in_time(patient) == "went on"
    assert heard == ["stopped"] and stored.states() == {"slow": "Cancelled"}


SCRIPT = """
import sys, time, signal, threading
from orch_notebook import flow, task

# Whoever runs the tests may ignore interrupts, as a shell's background does, and its children inherit that.
signal.signal(signal.SIGINT, {heard})

@task(timeout_seconds=1 if {timeout!r} == "task" else None)
def sleep(seconds):
    print("begun", flush=True)
    time.sleep(seconds)

@flow(timeout_seconds=1 if {timeout!r} == "flow" else None)
def main():
    {body}

try:
    print(main(return_state=True).name)
except KeyboardInterrupt:
    print("interrupted")
"""

#: What blocks the main thread in C, and what the timeout or interrupt makes of it.
BLOCKED = {
    "a timeout breaks a sleep where interrupts are ignored": ("task", "sleep(60)", 0, "Failed"),
    "a task's timeout breaks a sleep in the main thread": ("task", "sleep(60)", None, "Failed"),
    "a flow's timeout breaks a sleep in the main thread": (
        "flow", "print('begun', flush=True); time.sleep(60)", None, "TimedOut",
    ),
    "a flow's timeout breaks a wait for a task": ("flow", "sleep.submit(60).result()", None, "TimedOut"),
    "an interrupt breaks a sleep": (None, "sleep(60)", signal.SIGINT, "interrupted"),
    "an interrupt breaks a wait": (None, "sleep.submit(60).result()", signal.SIGINT, "interrupted"),
}  # fmt: skip


@pytest.mark.processes
@pytest.mark.parametrize("timeout, body, number, expected", BLOCKED.values(), ids=BLOCKED)
def test_a_blocking_call_in_the_main_thread_is_broken(stored, environment, timeout, body, number, expected) -> None:
    """Long before it would have ended by itself; and the process ends, though a thread still sleeps."""
    began = time.monotonic()
    heard = "signal.SIG_IGN" if number == 0 else "signal.default_int_handler"
    script = SCRIPT.format(timeout=timeout, body=body, heard=heard)
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    process = subprocess.Popen([sys.executable, "-c", script], env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "begun\n"
    if number:
        process.send_signal(number)
    said, _ = process.communicate(timeout=40)
    assert said.split() == [expected] and process.returncode == 0
    assert time.monotonic() - began < 40
