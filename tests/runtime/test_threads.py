"""The runner contract, held by the thread runner: calls are performed, stopped, and never hit by another's stop."""

from __future__ import annotations

import contextvars
import itertools
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

import pytest

from orch_notebook.runtime.calls import Call, TaskStopped
from orch_notebook.runtime.runners.threads import ThreadRunner

PATIENCE = 20.0
word: contextvars.ContextVar[str] = contextvars.ContextVar("word", default="")


class Outcome:
    """How one call went, and a wake-up for who waits for it."""

    def __init__(self, work: Callable[[], Any], following: Call | None = None, begins: bool = True) -> None:
        self.error: BaseException | None = None
        self.details: Any = None
        self.thread: int | None = None
        self.over = threading.Event()
        self._following = following
        self.call = Call("task", 1, lambda call: begins, lambda task, attempt: work(), self._end)

    def _end(self, call: Call, details: Any, error: BaseException | None) -> Call | None:
        self.details, self.error, self.thread = details, error, threading.get_ident()
        self.over.set()
        return self._following

    def wait(self) -> Outcome:
        assert self.over.wait(PATIENCE), "The call has not ended."
        return self


@pytest.fixture
def runner():
    """A runner of four threads."""
    runner = ThreadRunner(4)
    yield runner
    runner.close()


def test_a_call_gives_what_it_returns_or_raises(runner) -> None:
    """Either the details or the error reach the end of the call, never both."""

    def fail() -> None:
        raise ValueError("no rows")

    good, bad = Outcome(lambda: {"note": "fine"}), Outcome(fail)
    for outcome in (good, bad):
        runner.start(outcome.call)
        outcome.wait()
    assert (good.details, good.error) == ({"note": "fine"}, None)
    assert bad.details is None and isinstance(bad.error, ValueError)


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), TaskStopped(), BaseException()])
def test_whatever_is_raised_ends_the_call_and_not_the_thread(runner, error: BaseException) -> None:
    """Even what is no Exception is an outcome, and the next call finds a thread."""

    def fail() -> None:
        raise error

    for _ in range(8):
        outcome = Outcome(fail)
        runner.start(outcome.call)
        assert outcome.wait().error is error
    after = Outcome(lambda: None)
    runner.start(after.call)
    assert after.wait().error is None


def test_as_many_calls_run_at_once_as_there_are_threads(runner) -> None:
    """Four calls that wait for each other all get there."""
    gate = threading.Barrier(4)
    outcomes = [Outcome(lambda: gate.wait(PATIENCE) is None or None) for _ in range(4)]
    for outcome in outcomes:
        runner.start(outcome.call)
    assert [outcome.wait().error for outcome in outcomes] == [None] * 4


def test_a_thread_goes_straight_on_with_what_its_call_released(runner) -> None:
    """What the end of a call hands back is performed in the same thread."""
    second = Outcome(lambda: None)
    second.call.has_begun = True
    first = Outcome(lambda: None, following=second.call)
    runner.start(first.call)
    assert first.wait().thread == second.wait().thread


def test_a_call_that_is_no_longer_wanted_is_not_performed(runner) -> None:
    """When its beginning is refused, neither its work nor its end is called."""
    done: list[str] = []
    refused = Outcome(lambda: done.append("work"), begins=False)
    runner.start(refused.call)
    after = Outcome(lambda: None)
    runner.start(after.call)
    after.wait()
    assert not done and not refused.over.is_set()


def test_calls_see_the_context_in_which_the_runner_was_made() -> None:
    """Context variables of the caller are seen, and what a call sets no other sees."""
    word.set("made here")
    runner = ThreadRunner(1)
    word.set("changed later")
    seen: list[str] = []

    def look() -> None:
        seen.append(word.get())
        word.set("spoilt")

    for _ in range(2):
        outcome = Outcome(look)
        runner.start(outcome.call)
        outcome.wait()
    runner.close()
    assert seen == ["made here", "made here"]


def spin() -> None:
    while True:
        pass


def stop(runner: ThreadRunner, call: Call) -> bool:
    call.stop_reason = "cancel"
    return runner.stop(call)


def test_a_busy_loop_is_stopped(runner) -> None:
    """The stop is raised inside the loop."""
    begun = threading.Event()
    outcome = Outcome(lambda: (begun.set(), spin()))
    runner.start(outcome.call)
    assert begun.wait(PATIENCE)
    assert stop(runner, outcome.call)
    assert isinstance(outcome.wait().error, TaskStopped)


def test_a_stop_that_comes_before_the_work_is_not_lost(runner) -> None:
    """Between the beginning of a call and its first line there is no gap in which a stop goes unheard."""
    outcome = Outcome(spin)

    def begin(call: Call) -> bool:
        assert not stop(runner, call)  # nobody performs it yet
        return True

    outcome.call.begin = begin
    runner.start(outcome.call)
    assert isinstance(outcome.wait().error, TaskStopped)


def test_stopping_what_has_ended_does_nothing(runner) -> None:
    """The answer is no, and the thread goes on to the next call unharmed."""
    outcome = Outcome(lambda: None)
    runner.start(outcome.call)
    outcome.wait()
    assert not stop(runner, outcome.call)


def test_a_second_stop_is_not_raised_a_second_time(runner) -> None:
    """A task that cleans up after the first stop is left in peace."""
    begun, cleaning, done, clean = threading.Event(), threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        try:
            begun.set()
            spin()
        finally:
            cleaning.set()
            done.wait(PATIENCE)
            sum(range(100))
            clean.set()

    outcome = Outcome(work)
    runner.start(outcome.call)
    assert begun.wait(PATIENCE) and stop(runner, outcome.call)
    assert cleaning.wait(PATIENCE)
    runner.stop(outcome.call)
    done.set()
    assert isinstance(outcome.wait().error, TaskStopped) and clean.is_set()


@pytest.fixture
def hasty():
    """Threads take turns a thousand times as often as usual, so that races happen."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(5e-6)
    yield
    sys.setswitchinterval(usual)


def test_a_stop_never_hits_the_next_call_of_its_thread(hasty) -> None:
    """Hammered: stops that race with the end of a call are taken back before the next one begins."""
    runner = ThreadRunner(1)
    outcomes: dict[str, list[BaseException | None]] = {"target": [], "innocent": []}
    targets: SimpleQueue[Call | None] = SimpleQueue()
    noticed, over = SimpleQueue(), SimpleQueue()
    lengths, delays = itertools.cycle(range(0, 300, 7)), itertools.cycle(range(0, 3000, 97))
    # Who is quicker is chance, but for one race in fifty that the stop must win, and one that it must lose.
    races, chases = itertools.cycle(range(50)), itertools.cycle(range(50))

    def work(task: str, attempt: int) -> None:
        race = next(races) if task == "target" else None
        if race is not None:
            noticed.put(None)  # the race begins when both are there
        while race == 0:
            pass
        for _ in range(0 if race == 1 else next(lengths)):
            pass

    def end(call: Call, details: Any, error: BaseException | None) -> Call | None:
        outcomes[call.task].append(error)
        if call.task == "target":
            over.put(None)
        if len(outcomes["innocent"]) >= 1500:
            targets.put(None)
            return None
        following = Call("innocent" if call.task == "target" else "target", 1, lambda call: True, work, end)
        following.has_begun = True
        if following.task == "target":
            targets.put(following)
        return following

    def chase() -> None:
        while (call := targets.get()) is not None:
            noticed.get()
            race = next(chases)
            for _ in range(0 if race == 0 else next(delays)):
                pass
            if race == 1:
                over.get()
            stop(runner, call)
            if race != 1:
                over.get()

    chaser = threading.Thread(target=chase, daemon=True)
    chaser.start()
    runner.start(Call("innocent", 1, lambda call: True, work, end))
    chaser.join(PATIENCE)
    assert not chaser.is_alive()
    runner.close()
    assert [error for error in outcomes["innocent"] if error is not None] == []
    kinds = Counter(type(error) for error in outcomes["target"])
    assert kinds.keys() == {TaskStopped, type(None)}


LATE_STOPS = """
import sys, threading
from orch_notebook.runtime.calls import Call
from orch_notebook.runtime.runners.threads import ThreadRunner

sys.setswitchinterval(1e-6)
runner, left = ThreadRunner(1), 300
ended = threading.Event()

def end(call, details, error):
    global left
    left -= 1
    if not left:
        ended.set()
        return None
    return make()

def work(task, attempt):
    # Stopped by itself as its very last act: mostly the raise is still pending when the work is over.
    call.stop_reason = "cancel"
    runner.stop(call)

def make():
    global call
    call = Call("t", 1, lambda call: True, work, end)
    call.has_begun = True
    return call

runner.start(make())
ended.wait()
lines = []
sys.settrace(lambda frame, event, argument: lines.append(event) or None)
def traced():
    return 1
traced()
sys.settrace(None)
print(len(lines) > 0)
"""


def test_a_stop_that_came_late_leaves_nothing_pending() -> None:
    """A raise that is taken back would be counted for good, and a thread that a debugger traces would hang."""
    done = subprocess.run([sys.executable, "-c", LATE_STOPS], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "True\n", done.stderr
