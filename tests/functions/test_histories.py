"""Random lives of flow runs: whatever befalls them, in whatever order, they do what a simple model says.

Submits, maps, calls and subflows; tasks that return, fail, take too long; retries of tasks and of flows; pauses,
suspensions and their answers; cancels, deaths of the process, and repetitions of what did not end well.
"""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from orch_notebook.functions.futures import Future
from orch_notebook.model.events import Event, RunStateChanged, TaskAdded, TaskStateChanged
from orch_notebook.model.graph import Graph
from orch_notebook.model.states import State, StateType, may_follow
from orch_notebook.runtime.home import close_homes
from orch_notebook.testing import MEMORY, START
from tests.functions.expected import OPEN, Expected
from tests.functions.stage import DELAY, TIMEOUT, Stage, Step
from tests.runtime.test_engine_properties import check_agreement

T = StateType

#: How a call of the model may stand in the flow.
TYPES = {
    "Completed": {T.COMPLETED},
    "Cached": {T.COMPLETED},
    "Failed": {T.FAILED},
    "TimedOut": {T.FAILED},
    "UpstreamFailed": {T.CANCELLED},
    "Cancelled": {T.CANCELLED},
}

FATES = st.lists(st.sampled_from(["returns", "fails", "waits"]), max_size=4)


class Lives(RuleBasedStateMachine):
    """One flow after the other, with its model beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.stage = Stage()
        self.model = Expected()
        self.count = 0

    def teardown(self) -> None:
        self.stage.close()

    # the body

    def listens(self) -> bool:
        return self.model.listens

    def step(self, step: Step) -> None:
        self.model.take(step)
        self.stage.program.append(step)
        self.stage.words.put("step")

    def draw_inputs(self, data: st.DataObject) -> tuple[int, ...]:
        futures = [call for call, called in self.model.calls.items() if called.step.kind in ("submit", "map")]
        return tuple(data.draw(st.lists(st.sampled_from(futures), max_size=2, unique=True))) if futures else ()

    def prepare(self, fates: list[str]) -> int:
        """Return a number that no call has yet, with its fates."""
        self.count += 1
        self.model.fates[self.count].extend(fates)
        self.stage.fates[self.count].extend(fates)
        return self.count

    @precondition(listens)
    @rule(
        data=st.data(),
        kind=st.sampled_from(["submit", "submit", "call"]),
        fates=FATES,
        retries=st.sampled_from([0, 0, 1, 2]),
        delay=st.sampled_from([0, DELAY]),
        timeout=st.sampled_from([None, TIMEOUT]),
        when=st.sampled_from(["all_success", "all_success", "all_done"]),
    )
    def submit(self, data, kind, fates, retries, delay, timeout, when) -> None:
        inputs = self.draw_inputs(data)
        number = self.prepare(fates)
        self.step(Step(kind, (number,), number, inputs, retries, delay, timeout, when))

    @precondition(listens)
    @rule(data=st.data(), fates=st.lists(FATES, min_size=1, max_size=3), retries=st.integers(0, 1))
    def map(self, data, fates, retries) -> None:
        inputs = self.draw_inputs(data)
        numbers = [self.prepare(each) for each in fates]
        self.step(Step("map", tuple(numbers), numbers[0], inputs, retries))

    @precondition(listens)
    @rule(fates=FATES)
    def subflow(self, fates) -> None:
        number = self.prepare(fates)
        self.step(Step("subflow", (number,), number))

    @precondition(listens)
    @rule(data=st.data(), kind=st.sampled_from(["submit", "call"]))
    def same_again(self, data, kind) -> None:
        """Call once more what has completed: it is done once more."""
        done = [
            called.number
            for called in self.model.calls.values()
            if called.state in ("Completed", "Cached") and not called.step.inputs and called.step.kind != "subflow"
        ]
        if done:
            number = data.draw(st.sampled_from(done))
            self.count += 1
            self.model.fates[number].clear()
            self.stage.fates[number].clear()
            self.step(Step(kind, (self.count,), number))

    @precondition(listens)
    @rule(data=st.data())
    def ask(self, data) -> None:
        futures = [call for call, called in self.model.calls.items() if called.step.kind in ("submit", "map")]
        if futures:
            self.step(Step("ask", (data.draw(st.sampled_from(futures)),)))

    @precondition(listens)
    @rule(kind=st.sampled_from(["pause", "suspend"]))
    def wait_for_somebody(self, kind) -> None:
        self.count += 1
        self.step(Step(kind, (self.count,), self.count))

    @precondition(listens)
    @rule(word=st.sampled_from(["raise", "return", "return"]))
    def end_the_body(self, word) -> None:
        self.model.say(word)
        self.stage.words.put(word)

    # the tasks, and time

    @precondition(lambda self: self.model.at_gates)
    @rule(data=st.data(), fate=st.sampled_from(["returns", "returns", "fails"]))
    def open(self, data, fate) -> None:
        number = data.draw(st.sampled_from(sorted(self.model.at_gates)))
        self.model.open(number, fate)
        self.stage.gates[number].put(fate)

    @precondition(lambda self: not self.model.is_over)
    @rule(seconds=st.sampled_from([DELAY, TIMEOUT]))
    def time_passes(self, seconds) -> None:
        self.model.pass_time(seconds)
        self.stage.clock.advance(seconds)

    # what befalls the run

    @precondition(lambda self: self.model.state in ("Paused", "Suspended"))
    @rule()
    def somebody_answers(self) -> None:
        number = self.model.program[self.model.position].number
        self.model.answer(number)
        self.stage.answer(number)

    @precondition(lambda self: not self.model.is_over)
    @rule()
    def cancel(self) -> None:
        self.stage.cancel()
        self.model.end("Cancelled")

    @rule()
    def die(self) -> None:
        if not self.model.is_over and self.model.state != "Suspended":
            self.model.end("Crashed")
        self.stage.die()
        self.model.now = (self.stage.clock.now() - START).total_seconds()

    @precondition(lambda self: self.model.state in ("Failed", "Cancelled", "Crashed"))
    @rule()
    def retry(self) -> None:
        self.model.go()
        self.stage.retry()

    @initialize()
    def first(self) -> None:
        self.begin()

    @precondition(lambda self: self.model.is_over)
    @rule()
    def begin(self) -> None:
        self.model.begin()
        self.stage.begin()

    # what holds

    @invariant()
    def it_does_what_the_model_says(self) -> None:
        """The same work was done as often, every call stands where it should, with its value."""
        stage, model = self.stage, self.model
        if stage.thread is None:
            return
        stage.until(lambda: not self.difference(), self.difference)
        if model.state == "Crashed":
            return
        for call, called in model.calls.items():
            real = stage.seen.get(call)
            if real is None or called.is_open:
                continue
            ended, value = (real.state_now, real.value) if isinstance(real, Future) else (real, real.data)
            assert ended.type in TYPES[called.state], called
            assert ended.type != StateType.COMPLETED or value == called.value, called

    def difference(self) -> str:
        """Return in what the flow does not stand as its model; empty if it does."""
        stage, model = self.stage, self.model
        found = [("at gates", set(stage.gates), model.at_gates)]
        found += [("performed", stage.performed, model.performed)]
        found += [("ended", stage.has_ended, model.is_over or model.state == "Suspended")]
        if not model.is_over and model.state != "Suspended":
            found += [("place", (stage.rounds, stage.position), (model.attempt, model.position))]
            going_on = [
                call for call, real in tuple(stage.seen.items()) if isinstance(real, Future) and not real.is_done
            ]
            found += [("going on", going_on, [call for call in tuple(stage.seen) if model.goes_on(call)])]
        for what, real, wanted in found:
            if real != wanted:
                return f"{what}: {real}, not {wanted}; {stage.ended}"
        stage.home.ledger.flush()
        run = stage.store.run(stage.run_id)
        state = "Running" if run.state.name == "Retrying" else run.state.name
        if state != model.state:
            return f"the run is {run.state.name}, not {model.state}; {stage.ended}"
        stands = Counter("Running" if task.state.name == "Retrying" else task.state.name for task in run.tasks)
        wanted = Counter(called.state for called in model.calls.values() if called.is_open)
        if Counter({name: count for name, count in stands.items() if name in OPEN}) != wanted:
            return f"its tasks are {stands}, not {wanted}"
        if state == "AwaitingRetry" and not stage.waits_for_its_time:
            return "it does not wait for its time yet"
        return ""

    @invariant()
    def the_store_tells_what_happened(self) -> None:
        """Rows are what the events give, every step is one the table allows, and who has ended belongs to nobody."""
        store = self.stage.store
        if not self.stage.run_id:
            return
        owned = {lease.run_id for lease in store.owned_runs()}
        for run_id in (self.stage.run_id, *[run.run_id for run in store.runs(parent_run_id=self.stage.run_id)]):
            run = store.run(run_id)
            history = store.events(run_id)
            seqs = [seq for seq, _ in history]
            assert seqs == sorted(set(seqs))
            new = replace(run, state=State(StateType.PENDING), tasks=(), graph=Graph(), started_at=None, ended_at=None)
            check_agreement(run, new, history)
            check_order(history)
            if run.state.is_final:
                assert run_id not in owned
                assert all(task.state.is_final for task in run.tasks), run


def check_order(history: list[tuple[int, Event]]) -> None:
    """Every state follows the one before as the table says."""
    before: dict[str, StateType] = {}
    for _, event in history:
        if isinstance(event, TaskStateChanged | RunStateChanged):
            name = event.task if isinstance(event, TaskStateChanged) else ""
            assert may_follow(before.get(name, StateType.PENDING), event.state.type), (name, event)
            before[name] = event.state.type
        elif isinstance(event, TaskAdded):
            before.pop(event.task.name, None)


@pytest.fixture
def quick_home(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A home in memory, whose leases last longer than any story."""
    place = MEMORY if os.access(MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="orch-", dir=place) as folder:
        monkeypatch.setenv("ORCH_HOME", folder)
        monkeypatch.setenv("ORCH_LEASE", "1e6")
        monkeypatch.setenv("ORCH_THREADS", "32")
        yield
        close_homes()


@pytest.mark.timeout(1800)  # at night there are many
def test_whatever_befalls_a_run_it_does_what_a_simple_model_says(quick_home) -> None:
    """Lives of runs at random: the same work done as often, the same states, values and rows, after every blow."""
    many = settings().max_examples
    # The suite plays the same lives every time; the nightly profile draws new ones.
    few = settings(max_examples=many // 10, stateful_step_count=25, derandomize=many <= 300)
    run_state_machine_as_test(Lives, settings=few)
