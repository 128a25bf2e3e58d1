"""The options of ``@task`` and ``@materialize``, and the calls of tasks."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta

import pytest

from orch_notebook import INPUTS, NO_CACHE, flow, get_run_logger, materialize, task, transaction
from orch_notebook.errors import TaskTimedOut, UpstreamFailed, UsageError
from orch_notebook.model.assets import materializations_of
from orch_notebook.runtime import task_run
from tests.functions.meanings import elsewhere, means


def failing(times, error=ConnectionError):
    """Return a function that fails so often, and the list of its calls."""
    calls = []

    def work():
        calls.append(1)
        if len(calls) <= times:
            raise error("down")
        return len(calls)

    return work, calls


def waits(stored):
    """Return the seconds between the failure of each attempt and the instant at which the next was due."""
    events = [event for _, event in stored.home.store.events(stored.run().run_id) if hasattr(event, "task")]
    found = [event for event in events if getattr(event, "state", None) and event.state.name == "AwaitingRetry"]
    due = [datetime.fromisoformat(event.details["due_at"]) for event in found]
    return [round((at - event.at).total_seconds(), 2) for at, event in zip(due, found, strict=True)]


@means("@task(name)")
def the_name_is_that_of_its_runs(stored, night) -> None:
    task(name="fetch rows")(lambda: 1)()
    assert list(stored.states()) == ["fetch rows"]


@means("@task(description)", "@task(version)")
def they_are_told_and_change_nothing(stored, night) -> None:
    def work():
        """Count."""
        return 1

    assert task(work).description == "Count."
    described = task(description="Sums", version="2")(work)
    assert (described.description, described.options.version, described()) == ("Sums", "2", 1)


@means("@task(tags)")
def tags_select_the_limit_and_stand_with_the_run(stored, night) -> None:
    assert task(tags=["gpu", "gpu"])(lambda: task_run.tags)() in (["gpu"], ("gpu",))
    assert stored.run().tasks[0].task.tags == ("gpu",)


@means("@task(task_run_name)")
def a_template_or_a_function_names_each_run(stored, night) -> None:
    named = task(task_run_name="of {x}")(lambda x: x)
    flow(lambda: (named(1), named.with_options(task_run_name=lambda: "made")(2)))()
    assert list(stored.states()) == ["of 1", "made"]


@means("@task(retries)")
def a_failed_attempt_is_followed_by_so_many(stored, night) -> None:
    work, calls = failing(9)
    assert task(retries=2)(work)(return_state=True).is_failed() and len(calls) == 3
    assert stored.run().tasks[0].attempt == 3


@means("@task(retry_delay_seconds)")
def a_number_a_list_whose_last_repeats_or_a_function_says_how_long(stored, night) -> None:
    for delays, expected in ((7, [7, 7, 7]), ([1, 5], [1, 5, 5]), (lambda retries: [retries, 1, 2], [3, 1, 2])):
        task(retries=3, retry_delay_seconds=delays)(failing(9)[0])(return_state=True)
        assert waits(stored) == expected
    with pytest.raises(UsageError, match="at most 50"):
        task(retries=60, retry_delay_seconds=[1] * 51)(print)


@means("@task(retry_jitter_factor)")
def it_keeps_the_mean_and_bounds_the_wait_above(stored, night) -> None:
    task(retries=40, retry_delay_seconds=10, retry_jitter_factor=0.5)(failing(99)[0])(return_state=True)
    found = waits(stored)
    assert len(set(found)) > 20 and max(found) <= 15.001 and 8 < sum(found) / 40 < 12
    task(retries=2, retry_jitter_factor=3)(failing(9)[0])(return_state=True)
    assert waits(stored) == [0, 0]


@means("@task(retry_condition_fn)")
def it_is_asked_with_task_run_and_state_and_false_fails_now(stored, night) -> None:
    asked = []

    def condition(of, run, state):
        asked.append((of.name, run.name, state.is_failed()))
        return len(asked) < 2

    work, calls = failing(9)
    task(name="flaky", retries=5, retry_condition_fn=condition)(work)(return_state=True)
    assert asked == [("flaky", "flaky", True)] * 2 and len(calls) == 2


@means("@task(retry_on)")
def only_these_errors_are_tried_again(stored, night) -> None:
    for error, times in ((ConnectionResetError, 3), (ValueError, 1)):
        work, calls = failing(9, error)
        task(retries=2, retry_on=ConnectionError)(work)(return_state=True)
        assert len(calls) == times


@means("@task(timeout_seconds)")
def the_work_is_stopped_and_the_run_timed_out(stored) -> None:
    left = threading.Event()

    @task(timeout_seconds=timedelta(milliseconds=50))
    def spin():
        try:
            while True:
                pass
        finally:
            left.set()

    state = spin.submit(return_state=True)
    assert (state.type, state.name, left.is_set()) == ("FAILED", "TimedOut", True)
    with pytest.raises(TaskTimedOut):
        state.result()


@means("@task(when)")
def a_rule_decides_by_how_others_ended(stored, night) -> None:
    bad, good = task(lambda: 1 / 0), task(lambda: 1)
    said = task(lambda *given: "ran")

    def after(rule, *before):
        state = said.with_options(when=rule).submit(wait_for=[each.submit() for each in before], return_state=True)
        return state.name

    @flow
    def rules():
        return {
            "all_success": (after("all_success", good, good), after("all_success", good, bad)),
            "all_done": (after("all_done", good, bad), after("all_done", bad)),
            "one_success": (after("one_success", good, bad), after("one_success", bad)),
            "one_failed": (after("one_failed", good, bad), after("one_failed", good)),
            "none_failed": (after("none_failed", good, good), after("none_failed", good, bad)),
            "always": (after("always", good), after("always", bad)),
        }

    found = rules(return_state=True)
    assert found.data == {
        "all_success": ("Completed", "UpstreamFailed"),
        "all_done": ("Completed", "Completed"),
        "one_success": ("Completed", "UpstreamFailed"),
        "one_failed": ("Completed", "Skipped"),
        "none_failed": ("Completed", "UpstreamFailed"),
        "always": ("Completed", "Completed"),
    }


elsewhere("tests/functions/test_runners.py::test_a_task_may_name_its_runner", "@task(runner)")
elsewhere("tests/functions/test_runners.py::test_tasks_share_what_there_is", "@task(resources)")


def recorded(**options):
    """Return a task that notes what it is given, and its notes."""
    calls = []
    return task(lambda x=0, day=0: calls.append(x) or x, name="recorded", **options), calls


@means("@task(cache_policy)")
def the_same_inputs_give_the_kept_result_in_other_runs_too(stored, night) -> None:
    work, calls = recorded(cache_policy=INPUTS - "day")
    assert [work(1), work(1, day=2), work(2)] == [1, 1, 2] and calls == [1, 2]
    assert [run.tasks[0].state.name for run in stored.runs()] == ["Completed", "Cached", "Completed"]
    work, calls = recorded(cache_policy=NO_CACHE)
    assert [work(1), work(1)] == [1, 1] and calls == [1, 1]


@means("@task(cache_key_fn)")
def a_function_of_context_and_parameters_makes_the_key(stored, night) -> None:
    work, calls = recorded(cache_key_fn=lambda context, parameters: str(parameters["x"] % 2))
    assert [work(1), work(3), work(2)] == [1, 1, 2] and calls == [1, 2]


@means("@task(cache_expiration)")
def a_kept_result_holds_for_so_long(stored, night) -> None:
    work, calls = recorded(cache_policy=INPUTS, cache_expiration=timedelta(hours=1))
    work(1)
    night.advance(3000)
    work(1)
    night.advance(3000)
    work(1)
    assert calls == [1, 1]


@means("@task(refresh_cache)")
def the_kept_result_is_made_anew(stored, night) -> None:
    work, calls = recorded(cache_policy=INPUTS)
    work(1), work.with_options(refresh_cache=True)(1), work(1)
    assert calls == [1, 1]


@means("@task(persist_result)")
def what_is_not_kept_runs_again_with_the_flow(stored, night) -> None:
    counts = []
    for persist in (None, True, False):
        work, calls = recorded(persist_result=persist)
        fail_once = failing(1)[0]
        flow(retries=1)(lambda work=work, fail_once=fail_once: (work(1), fail_once()))()
        counts.append(len(calls))
    assert counts == [1, 1, 2]


elsewhere("tests/functions/test_storing.py::test_results_are_kept_where_and_as_it_is_said",
          "@task(result_storage)", "@task(result_serializer)",
          "@flow(result_storage)", "@flow(result_serializer)")  # fmt: skip
elsewhere("tests/functions/test_storing.py::test_a_storage_key_names_the_result_and_finds_it_again",
          "@task(result_storage_key)")  # fmt: skip
elsewhere("tests/functions/test_storing.py::test_a_result_that_is_not_held_is_read_when_asked_for",
          "@task(cache_result_in_memory)")  # fmt: skip


@means("@task(log_prints)")
def what_is_printed_is_a_line_of_the_log_at_info(stored, night) -> None:
    flow(lambda: (task(lambda: print("kept"), log_prints=True)(), task(lambda: print("not kept"))()))()
    assert [(line.level, line.text) for line in stored.home.store.logs(stored.run().run_id)] == [(20, "kept")]
    flow(log_prints=True)(lambda: (task(lambda: print("inherited"))(), task(lambda: print("no"), log_prints=False)()))()
    assert stored.lines() == ["inherited"]


@means("@task(on_running)", "@task(on_completion)", "@task(on_failure)",
       "task.on_running", "task.on_completion", "task.on_failure")  # fmt: skip
def hooks_are_told_task_run_and_state(stored, night) -> None:
    told = []
    kinds = ("on_running", "on_completion", "on_failure")

    def noting(kind):
        return lambda of, run, state: told.append((kind, of.name, run.name, state.name))

    given = {kind: [noting(kind)] for kind in kinds}
    task(name="good", **given)(lambda: 1)(), task(name="bad", **given)(lambda: 1 / 0)(return_state=True)
    expected = [("on_running", "good", "good", "Running"), ("on_completion", "good", "good", "Completed"),
                ("on_running", "bad", "bad", "Running"), ("on_failure", "bad", "bad", "Failed")]  # fmt: skip
    assert told == expected
    told.clear()
    for name, work in (("good", lambda: 1), ("bad", lambda: 1 / 0)):
        made = task(name=name)(work)
        for kind in kinds:
            getattr(made, kind)(noting(kind))
        made(return_state=True)
    assert told == expected


@means("@task(on_rollback)", "@task(on_commit)", "task.on_rollback", "task.on_commit")
def hooks_of_a_transaction_undo_or_confirm(stored, night) -> None:
    told = []

    def block(fails):
        given = {"on_rollback": [lambda txn: told.append("undo a")], "on_commit": [lambda txn: told.append("keep a")]}
        first, second = task(**given)(lambda: 1), task(lambda: 2)
        second.on_rollback(lambda txn: told.append("undo b"))
        second.on_commit(lambda txn: told.append("keep b"))
        with transaction():
            first(), second()
            if fails:
                raise ValueError("later")

    for fails in (False, True):
        flow(block)(fails, return_state=True)
    assert told == ["keep a", "keep b", "undo b", "undo a"]


@means("@task(asset_deps)", "@materialize(assets)", "@materialize(materialized_by)", "materialize", "materialize(by)")
def what_a_task_makes_is_recorded_with_what_it_was_made_from(stored, night) -> None:
    made = materialize("s3://lake/rows.csv", by="dbt", asset_deps=["postgres://db/raw"])(lambda: 1)
    flow(lambda: made())()
    [found] = materializations_of(stored.run())
    assert (found.asset, found.made_by) == ("s3://lake/rows.csv", "dbt")
    assert [each.asset for each in found.upstream] == ["postgres://db/raw"]


@means("@task(viz_return_value)")
def the_diagram_is_drawn_with_it(stored, night) -> None:
    rows = task(list, name="rows", viz_return_value=[1, 2])
    plot = task(lambda row: row, name="plot")
    graph = flow(lambda: [plot(row) for row in rows()]).visualize().graph
    assert [each.name for each in graph.tasks] == ["rows", "plot", "plot-2"] and stored.runs() == []


# Calls


@means("task", "task()", "task(return_state)")
def a_call_runs_in_the_callers_thread_and_blocks(stored, night) -> None:
    where = task(lambda: threading.get_ident())
    assert where() == threading.get_ident()
    state = task(lambda: 1 / 0)(return_state=True)
    assert state.is_failed() and isinstance(state.data, ZeroDivisionError)


@means("task(wait_for)", "task.submit(wait_for)", "task.map(wait_for)")
def it_does_not_begin_before_these_have_ended_well(stored, night) -> None:
    order = []
    note = task(lambda word, fails=False: order.append(word) or (1 / 0 if fails else word))

    @flow
    def waiting():
        first = note.submit("first")
        second = note.submit("second", wait_for=[first])
        note("third", wait_for=[second])
        note.map(["fourth"], wait_for=[second]).wait()
        bad = note.submit("bad", fails=True)
        states = [note.submit("never", wait_for=[bad]).result(raise_on_failure=False)]
        states += [note("never", wait_for=[bad], return_state=True).result(raise_on_failure=False)]
        states += note.map(["never"], wait_for=[bad]).result(raise_on_failure=False)
        return [type(state) for state in states]

    assert waiting(return_state=True).data == [UpstreamFailed] * 3
    assert order == ["first", "second", "third", "fourth", "bad"]


@means("task.submit", "task.submit(return_state)")
def futures_in_arguments_are_resolved_however_deep(stored, night) -> None:
    give = task(lambda x: x)

    @flow
    def nested():
        deep = give.submit({"a": [give.submit(1), (give.submit(2),)]})
        return deep.result(), give.submit(3, return_state=True).result(), threading.get_ident()

    assert nested()[:2] == ({"a": [1, (2,)]}, 3)


@means("task.map", "task.map(return_state)")
def one_run_for_each_element(stored, night) -> None:
    add = task(lambda a, b=0: a + b, name="add")
    found = flow(lambda: (add.map([1, 2], b=10).result(), [each.name for each in add.map([1], return_state=True)]))()
    assert found == ([11, 12], ["Completed"]) and len(stored.run().tasks) == 3


elsewhere("tests/promotion/test_background.py::test_a_map_can_be_put_by", "task.map(deferred)")
elsewhere("tests/promotion/test_background.py::test_a_call_is_performed_by_whoever_serves_the_task",
          "task.delay", "task.serve", "task.serve(limit)", "serve", "serve(limit)")  # fmt: skip
elsewhere("tests/promotion/test_background.py::test_an_async_task_is_served_and_awaited",
          "task.apply_async", "task.apply_async(args)", "task.apply_async(kwargs)")  # fmt: skip


@means("task.with_options")
def a_copy_differs_and_the_original_does_not(stored, night) -> None:
    work, calls = failing(9)
    once = task(work)
    once.with_options(retries=2)(return_state=True), once(return_state=True)
    assert len(calls) == 4


@means("task.fn")
def the_bare_function_is_no_task_run(stored, night) -> None:
    assert task(lambda x: x).fn(3) == 3 and stored.runs() == []


@means("get_run_logger", "get_run_logger(context)")
def a_line_belongs_to_the_task_run_that_said_it(stored, night) -> None:
    flow(lambda: task(lambda: get_run_logger().warning("hot"), name="oven")())()
    assert [(line.task, line.level) for line in stored.home.store.logs(stored.run().run_id)] == [("oven", 30)]
