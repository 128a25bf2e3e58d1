"""Calling, submitting and mapping: each way of calling a task against its meaning."""

from __future__ import annotations

import threading

import pytest

from orch_notebook import allow_failure, as_completed, flow, quote, tags, task, unmapped, wait
from orch_notebook.errors import FlowRunFailed, OrchError, UpstreamFailed, UsageError
from orch_notebook.functions.futures import Future
from tests.functions.conftest import PATIENCE, in_time


@task
def double(x):
    return 2 * x


@task
def add(a, b=0):
    return a + b


@task
def fail(message="no rows", *ignored):
    raise ValueError(message)


@task
def give(value, *ignored):
    return value


# Each row is the body of a flow and what it returns.


def call_returns_the_value():
    return double(21)


def submit_returns_a_future():
    future = double.submit(21)
    return isinstance(future, Future) and future.result()


def a_future_is_an_argument():
    return add.submit(double.submit(1), b=double.submit(2)).result()


def a_future_is_an_argument_of_a_call():
    return add(double.submit(1), b=double.submit(2))


def futures_hide_in_lists_and_dicts():
    return give({"a": [double.submit(1), (double.submit(2), 5)], "b": {"c": double.submit(3)}})


def a_quoted_value_is_passed_as_it_is():
    future = double.submit(1)
    return give(quote([future]))[0] is future


def map_makes_one_run_for_each():
    return double.map([1, 2, 3]).result()


def map_takes_any_iterable():
    return double.map(range(3)).result() + double.map(x for x in (7, 8)).result()


def map_repeats_what_is_unmapped():
    return give.map([1, 2], unmapped([9, 9, 9])).result()


def map_repeats_what_cannot_be_iterated():
    return add.map([1, 2], 10).result()


def map_does_not_iterate_over_strings():
    return add.map(["a", "b"], "xy").result()


def map_takes_keywords():
    return add.map(a=[1, 2], b=[10, 20]).result()


def map_over_what_map_returned():
    return double.map(double.map([1, 2, 3])).result()


def map_over_a_future_of_a_list():
    return double.map(give.submit([1, 2])).result()


def map_over_nothing():
    return double.map([]).result()


def wait_for_orders():
    seen = []
    note = task(lambda word: seen.append(word))
    slow = note.submit("first")
    note.submit("second", wait_for=[slow]).result()
    note("third", wait_for=[slow])
    return seen


def return_state_of_a_call():
    state = double(1, return_state=True)
    return state.is_completed(), state.result()


def return_state_of_a_failed_call():
    state = fail(return_state=True)
    return state.is_failed(), state.message, str(state.result(raise_on_failure=False))


def return_state_of_submit():
    return double.submit(4, return_state=True).result()


def return_state_of_map():
    return [state.result() for state in double.map([1, 2], return_state=True)]


def a_state_is_an_argument():
    return double(double(1, return_state=True))


def allow_failure_gives_the_exception():
    return type(give(allow_failure(fail.submit()))).__name__


def allow_failure_gives_the_value_of_what_went_well():
    return give(allow_failure(double.submit(2)))


def allow_failure_in_a_list():
    return [type(each).__name__ for each in give(allow_failure([fail.submit(), double.submit(1)]))]


def allow_failure_of_one_only():
    bad = fail.submit()
    return give.submit(double.submit(1), allow_failure(bad)).result()


def an_exception_of_a_call_can_be_caught():
    try:
        fail("caught")
    except ValueError as error:
        return str(error)
    return "not raised"


def an_exception_of_a_future_can_be_caught():
    future = fail.submit("caught")
    try:
        future.result()
    except ValueError as error:
        return str(error), future.result(raise_on_failure=False) is error
    return "not raised"


def with_options_leaves_the_original():
    other = double.with_options(name="other", tags=["x"])
    return other(2), other.name, double.name, double.tags


def fn_runs_nothing_but_the_function():
    return double.fn(3)


def wait_tells_what_has_ended():
    futures = double.map([1, 2])
    done, not_done = wait(futures)
    return len(done), len(not_done)


def as_completed_gives_them_all():
    return sorted(future.result() for future in as_completed(double.map([3, 1, 2])))


def a_task_calls_a_task():
    @task
    def outer(x):
        return double(x) + double.submit(x).result()

    return outer(1), outer.submit(2).result()


def a_returned_future_is_its_result():
    @task
    def hand_on():
        return double.submit(8)

    return hand_on()


def a_generator_is_drained():
    @task
    def count(n):
        yield from range(n)

    return list(count(3)), count.submit(2).result()


def exceptions_of_downstream_name_the_culprit():
    future = give.submit(fail.submit())
    error = future.result(raise_on_failure=False)
    return type(error) is UpstreamFailed, error.culprit, future.state.is_cancelled()


CALLS = {
    call_returns_the_value: 42,
    submit_returns_a_future: 42,
    a_future_is_an_argument: 6,
    a_future_is_an_argument_of_a_call: 6,
    futures_hide_in_lists_and_dicts: {"a": [2, (4, 5)], "b": {"c": 6}},
    a_quoted_value_is_passed_as_it_is: True,
    map_makes_one_run_for_each: [2, 4, 6],
    map_takes_any_iterable: [0, 2, 4, 14, 16],
    map_repeats_what_is_unmapped: [1, 2],
    map_repeats_what_cannot_be_iterated: [11, 12],
    map_does_not_iterate_over_strings: ["axy", "bxy"],
    map_takes_keywords: [11, 22],
    map_over_what_map_returned: [4, 8, 12],
    map_over_a_future_of_a_list: [2, 4],
    map_over_nothing: [],
    wait_for_orders: ["first", "second", "third"],
    return_state_of_a_call: (True, 2),
    return_state_of_a_failed_call: (True, "ValueError: no rows", "no rows"),
    return_state_of_submit: 8,
    return_state_of_map: [2, 4],
    a_state_is_an_argument: 4,
    allow_failure_gives_the_exception: "ValueError",
    allow_failure_gives_the_value_of_what_went_well: 4,
    allow_failure_in_a_list: ["ValueError", "int"],
    allow_failure_of_one_only: 2,
    an_exception_of_a_call_can_be_caught: "caught",
    an_exception_of_a_future_can_be_caught: ("caught", True),
    with_options_leaves_the_original: (4, "other", "double", ()),
    fn_runs_nothing_but_the_function: 6,
    wait_tells_what_has_ended: (2, 0),
    as_completed_gives_them_all: [2, 4, 6],
    a_task_calls_a_task: (4, 8),
    a_returned_future_is_its_result: 16,
    a_generator_is_drained: ([0, 1, 2], [0, 1]),
    exceptions_of_downstream_name_the_culprit: (True, "fail", True),
}


@pytest.mark.parametrize("body, expected", CALLS.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_a_call_means_what_it_means_in_prefect(stored, body, expected) -> None:
    """Inside a flow, each way of calling gives its value, and the run ends as completed."""
    state = in_time(flow(body), return_state=True)
    failing = "culprit" in body.__name__
    assert state.result() == expected
    assert failing or stored.run().state.name == "Completed"


OUTSIDE = [
    call_returns_the_value, a_future_is_an_argument, map_makes_one_run_for_each, map_over_what_map_returned,
    wait_for_orders, return_state_of_a_failed_call, allow_failure_in_a_list, a_task_calls_a_task,
    an_exception_of_a_call_can_be_caught,
]  # fmt: skip


@pytest.mark.parametrize("body", OUTSIDE, ids=lambda body: body.__name__)
def test_outside_of_a_flow_a_call_is_just_tracked(stored, body) -> None:
    """The values are the same; each call is a run of its own."""
    assert in_time(body) == CALLS[body]
    assert stored.runs() and {len(run.tasks) >= 1 for run in stored.runs()} == {True}


def test_a_failed_future_of_another_run_fails_who_needs_it(stored) -> None:
    """It says which one, and is not tried again in vain."""
    future = give.with_options(retries=3).submit(fail.submit())
    error = future.result(raise_on_failure=False)
    assert (type(error), error.culprit, future.state.name) == (UpstreamFailed, "fail", "Failed")
    assert stored.names_of("give", "give") == ["Running", "Failed"]


def test_two_runs_of_a_task_have_two_names(stored) -> None:
    """Names are unique in a run and count up; edges come from futures and from values that tasks returned."""

    @flow
    def numbers():
        first = give([1, 2])
        second = double.submit(3)
        return give(first, second), double(4)

    numbers()
    assert list(stored.states()) == ["give", "double", "give-2", "double-2"]
    graph = stored.run().graph
    assert [(edge.before, edge.after) for edge in graph.edges] == [("double", "give-2"), ("give", "give-2")]


def test_a_name_of_the_users_making_never_clashes(stored) -> None:
    """A template may give the same name twice, or one that counting would give."""
    named = double.with_options(task_run_name="run-{x}")

    @flow
    def clash():
        named(2)
        named(2)
        named.with_options(task_run_name=lambda parameters: f"call {parameters['x']}")(7)
        double.with_options(name="run")(1)
        double.with_options(name="run")(1)

    clash()
    assert list(stored.states()) == ["run-2", "run-2-2", "call 7", "run", "run-3"]


MAPPED_BADLY = {
    "nothing to iterate over": (lambda: double.map(3), "Nothing to map 'double' over"),
    "lengths that differ": (lambda: add.map([1, 2], b=[1]), r"different lengths \(a: 2, b: 1\)"),
}


@pytest.mark.parametrize("call, said", MAPPED_BADLY.values(), ids=MAPPED_BADLY)
def test_a_bad_map_is_refused_before_anything_runs(stored, call, said) -> None:
    """The message names the task, and the lengths."""
    with pytest.raises(UsageError, match=said):
        call()
    assert stored.runs() == []


def test_tasks_really_run_side_by_side(stored) -> None:
    """Two submitted tasks meet at a barrier, which they could not one after the other."""
    barrier = threading.Barrier(2)
    meet = task(lambda: barrier.wait(PATIENCE))

    @flow
    def pair():
        return [future.result() >= 0 for future in (meet.submit(), meet.submit())]

    assert in_time(pair) == [True, True]


@pytest.mark.parametrize("how", ["the task itself", "a task it calls", "a flow it calls"])
def test_submits_within_tasks_cannot_deadlock(stored, monkeypatch, how) -> None:
    """A thread that waits for a task gives its place away, however deep the tasks are nested."""
    monkeypatch.setenv("ORCH_THREADS", "2")

    def both(depth):
        return sum(tree.map([depth - 1] * 2).result())

    within = {"the task itself": both, "a task it calls": task(both), "a flow it calls": flow(both)}[how]

    @task
    def tree(depth):
        return within(depth) if depth else 1

    @flow
    def forest():
        return tree.submit(5).result()

    assert in_time(forest) == 32
    assert sum(task.name.startswith("tree") for run in stored.runs() for task in run.tasks) == 63


def test_a_bounded_pool_stays_bounded(stored, monkeypatch) -> None:
    """Never more tasks at work than there are threads, though some wait."""
    monkeypatch.setenv("ORCH_THREADS", "2")
    lock, working, most = threading.Lock(), [], []

    @task
    def leaf(n):
        with lock:
            working.append(n)
            most.append(len(working))
        sum(range(2000))
        with lock:
            working.remove(n)
        return n

    @task
    def branch(n):
        return sum(leaf.map(range(n)).result())

    @flow
    def busy():
        return branch.map([10] * 6).result()

    assert in_time(busy) == [45] * 6
    # Who takes a place back does not wait for it, so for a moment there may be one more for each that had waited.
    assert max(most) <= 2 + 2


def test_a_failure_nobody_looked_at_fails_the_flow(stored) -> None:
    """The run ends Failed, names the task, and the call raises with the task's error as its cause."""

    @flow
    def careless():
        fail.submit("lost")
        return "fine"

    with pytest.raises(FlowRunFailed, match="nobody asked how they ended: 'fail'") as caught:
        in_time(careless)
    assert isinstance(caught.value.__cause__, ValueError)
    assert stored.run().state.name == "Failed"


LOOKED_AT = {
    "asked for its result": lambda future: future.result(raise_on_failure=False),
    "asked for its state": lambda future: future.wait() and future.state,
    "allowed": lambda future: give(allow_failure(future)),
    "a rule that takes failures": lambda future: give.with_options(when="all_done")(future),
}


@pytest.mark.parametrize("look", LOOKED_AT.values(), ids=LOOKED_AT)
def test_a_failure_that_was_looked_at_is_the_flows_own_matter(stored, look) -> None:
    """Who has asked how a task ended has decided to go on."""

    @flow
    def careful():
        look(fail.submit())
        return "fine"

    assert in_time(careful) == "fine"
    assert stored.run().state.name == "Completed"


def test_a_future_says_why_it_cannot_travel(stored) -> None:
    """Pickling one fails with the way out."""
    import pickle

    @flow
    def carry():
        with pytest.raises(OrchError, match="pass it as an argument"):
            pickle.dumps(double.submit(1))

    carry()


def test_tags_are_added_by_a_block(stored) -> None:
    """Tags of the task and of the blocks around the call are with the task run."""

    @flow
    def tagged():
        with tags("night"), tags("gpu"):
            double.with_options(tags="own")(1)
        double(2)

    tagged()
    assert [task.task.tags for task in stored.run().tasks] == [("own", "night", "gpu"), ()]


class Model:
    """Something with methods that are tasks."""

    scale = 3

    @task
    def fit(self, x):
        return self.scale * x

    @task
    @classmethod
    def load(cls, x):
        return cls.scale + x

    @task
    @staticmethod
    def save(x):
        return -x

    @classmethod
    @task
    def load_inside(cls, x):
        return cls.scale + x

    @staticmethod
    @task
    def save_inside(x):
        return -x

    @flow
    def train(self, x: int):
        return self.fit(x), self.fit.submit(x).result(), self.fit.map([1, 2]).result()


METHODS = {
    "of an instance": (lambda: Model().fit(2), 6),
    "of a class": (lambda: Model.load(2), 5),
    "of a class, by an instance": (lambda: Model().load(2), 5),
    "static": (lambda: Model.save(2), -2),
    "static, by an instance": (lambda: Model().save(2), -2),
    "of a class, decorated inside": (lambda: Model.load_inside(2), 5),
    "static, decorated inside": (lambda: Model().save_inside(2), -2),
    "a flow": (lambda: Model().train("2"), (6, 6, [3, 6])),
}


@pytest.mark.parametrize("call, expected", METHODS.values(), ids=METHODS)
def test_methods_are_tasks_too(stored, call, expected) -> None:
    """Methods, class methods, static methods: with the decorator outside or inside."""
    assert in_time(call) == expected


def test_a_traceback_is_mostly_the_persons() -> None:
    """Between a flow's line and the one that failed in its task nothing is ours; what is above them is hidden."""

    @task
    def inner():
        raise ValueError("deep")

    @task
    def outer(number):
        return inner()

    @flow
    def nested():
        return outer.submit(1).result()

    with pytest.raises(ValueError, match="deep") as raised:
        nested()
    frames = [entry.name for entry in raised.traceback]
    assert frames[0] == "test_a_traceback_is_mostly_the_persons" and frames[-3:] == ["nested", "outer", "inner"]
    # pytest leaves out what IPython leaves out
    assert [entry.name for entry in raised.traceback if not entry.ishidden(raised)] == [frames[0], *frames[-3:]]
