"""The options of ``@flow``, and the calls of flows."""

from __future__ import annotations

import threading

import pytest

from orch_notebook import Cancelled, Completed, Failed, SequentialTaskRunner, flow, suspend_flow_run, task
from orch_notebook.errors import FlowRunFailed, FlowRunSuspended, FlowRunTimedOut, ParameterError, UsageError
from orch_notebook.runtime import flow_run
from tests.functions.meanings import elsewhere, means
from tests.functions.meanings.of_tasks import failing


@means("flow", "@flow(name)")
def a_call_is_a_run_of_a_flow_of_that_name(stored, night) -> None:
    def my_flow():
        return 1

    assert (flow(my_flow)(), flow(name="other")(my_flow)()) == (1, 1)
    assert [run.flow for run in stored.runs()] == ["my-flow", "other"]


@means("@flow(description)", "@flow(version)")
def they_are_noted_with_the_run(stored, night) -> None:
    flow(description="Sums.\nMore.", version="2")(lambda: 1)()
    assert dict(stored.run().about) == {"version": "2", "description": "Sums."}


@means("@flow(flow_run_name)")
def a_template_over_the_parameters_or_a_function_names_the_run(stored, night) -> None:
    flow(flow_run_name="on {day}")(lambda day: 1)("monday")
    flow(flow_run_name=lambda: f"made of {flow_run.parameters['day']}")(lambda day: 1)("monday")
    assert [run.name for run in stored.runs()] == ["on monday", "made of monday"]


@means("@flow(tags)")
def tags_stand_with_the_run(stored, night) -> None:
    flow(tags=["night"])(lambda: 1)()
    assert stored.run().tags == ("night",)


@means("@flow(retries)", "@flow(retry_delay_seconds)")
def the_whole_body_runs_again_after_the_delay(stored, night) -> None:
    work, calls = failing(2)
    assert flow(retries=2, retry_delay_seconds=30)(lambda: work())() == 3 and len(calls) == 3
    run = stored.run()
    assert (run.ended_at - run.started_at).total_seconds() >= 60


@means("@flow(task_runner)")
def it_performs_what_is_submitted(stored, night) -> None:
    order = []
    note = task(lambda word: order.append(word))

    @flow(task_runner=SequentialTaskRunner())
    def one_by_one():
        note.map(range(20)).wait()

    one_by_one()
    assert order == list(range(20))


@means("@flow(timeout_seconds)")
def the_body_is_stopped_and_the_run_timed_out(stored) -> None:
    @flow(timeout_seconds=0.05)
    def spin():
        while True:
            pass

    with pytest.raises(FlowRunTimedOut):
        spin()
    assert (stored.run().state.type, stored.run().state.name) == ("FAILED", "TimedOut")


@means("@flow(validate_parameters)")
def parameters_are_coerced_or_refused_before_anything_runs(stored, night) -> None:
    def give(n: int):
        return n

    assert flow(give)("3") == 3 and flow(validate_parameters=False)(give)("3") == "3"
    with pytest.raises(ParameterError, match="Parameter 'n' of flow 'give' cannot be 'many'"):
        flow(give)("many")
    assert len(stored.runs()) == 2


@means("@flow(persist_result)")
def it_speaks_for_tasks_that_do_not(stored, night) -> None:
    counts = []
    for persist in (None, False):
        calls = []
        fail_once = failing(1)[0]
        work = task(lambda calls=calls: calls.append(1))
        flow(retries=1, persist_result=persist)(lambda work=work, fail_once=fail_once: (work(), fail_once()))()
        counts.append(len(calls))
    assert counts == [1, 2]


elsewhere("tests/functions/test_storing.py::test_what_a_flow_returns_need_not_be_held", "@flow(cache_result_in_memory)")
elsewhere("tests/functions/test_storing.py::test_what_a_flow_returns_is_kept_where_it_says",
          "flow.result", "flow.result(run_id)")  # fmt: skip
elsewhere("tests/functions/test_options.py::test_prints_go_into_the_log_where_wanted", "@flow(log_prints)")


@means("@flow(on_running)", "@flow(on_completion)", "@flow(on_failure)", "@flow(on_cancellation)",
       "flow.on_running", "flow.on_completion", "flow.on_failure", "flow.on_cancellation")  # fmt: skip
def hooks_are_told_flow_run_and_state(stored, night) -> None:
    told = []
    kinds = ("on_running", "on_completion", "on_failure", "on_cancellation")

    def noting(kind):
        return lambda of, run, state: told.append((kind, of.name, run.flow_name, state.type))

    for body in (lambda: 1, lambda: 1 / 0, lambda: Cancelled()):
        flow(name="told", **{kind: noting(kind) for kind in kinds})(body)(return_state=True)
        made = flow(name="told")(body)
        for kind in kinds:
            getattr(made, kind)(noting(kind))
        made(return_state=True)
    ends = [("on_completion", "COMPLETED"), ("on_failure", "FAILED"), ("on_cancellation", "CANCELLED")]
    expected = [(("on_running", "told", "told", "RUNNING"), (kind, "told", "told", end)) for kind, end in ends]
    assert told == [each for pair in expected for each in (*pair, *pair)]


elsewhere("tests/promotion/test_modules.py::test_a_run_whose_process_is_killed_goes_on_in_another", "@flow(on_crashed)")


@means("flow()", "flow(return_state)")
def the_return_value_decides_how_it_ends(stored, night) -> None:
    bad = task(lambda: 1 / 0)
    ends = {
        "a value": (lambda: 1, "COMPLETED"),
        "an exception": (lambda: 1 / 0, "FAILED"),
        "a state": (lambda: Failed(message="too few"), "FAILED"),
        "states": (lambda: [Completed(), Completed()], "COMPLETED"),
        "a future that failed": (lambda: bad.submit(), "FAILED"),
        "a failure that was seen": (lambda: bad.submit().wait() and bad(return_state=True).name, "FAILED"),
        "a failure nobody saw": (lambda: bad.submit() and None, "FAILED"),
        "a failure somebody saw": (lambda: bad(return_state=True) and None, "COMPLETED"),
    }
    found = {what: str(flow(body)(return_state=True).type) for what, (body, _) in ends.items()}
    assert found == {what: end for what, (_, end) in ends.items()}
    with pytest.raises(FlowRunFailed):
        flow(ends["a failure nobody saw"][0])()


@means("flow(wait_for)")
def a_subflow_is_a_task_run_that_waits_for_others(stored, night) -> None:
    order = []
    inner = flow(name="inner")(lambda: order.append("inner") or threading.get_ident())

    @flow(name="outer")
    def outer():
        first = task(lambda: order.append("first"), name="first").submit()
        return inner(wait_for=[first]) == threading.get_ident()

    assert outer() and order == ["first", "inner"]
    [parent], [child] = stored.runs("outer"), stored.runs("inner")
    assert child.parent_run_id == parent.run_id and list(stored.states("outer")) == ["first", "inner"]
    assert parent.tasks[1].details["child_run_id"] == child.run_id


@means("flow.with_options")
def a_copy_differs(stored, night) -> None:
    work, calls = failing(9)
    once = flow(name="once")(lambda: work())
    once.with_options(retries=1)(return_state=True), once(return_state=True)
    assert len(calls) == 3


@means("flow.fn")
def the_bare_function_is_no_run(stored, night) -> None:
    assert flow(lambda x: x).fn(3) == 3 and stored.runs() == []


@means("flow.retry", "flow.retry(run_id)", "flow.retry(return_state)")
def what_completed_is_not_run_again(stored, night) -> None:
    work, calls = failing(1)
    done = []

    @flow
    def nightly(n: int):
        return task(lambda: done.append(n) or n, name="done")() + task(work, name="work")()

    nightly(5, return_state=True)
    state = nightly.retry(stored.run().run_id, return_state=True)
    assert state.result() == 7 and done == [5] and len(calls) == 2
    with pytest.raises(UsageError, match="only what did not end well"):
        nightly.retry(stored.run().run_id)


@means("flow.resume", "flow.resume(run_id)", "flow.resume(run_input)", "flow.resume(return_state)",
       "suspend_flow_run", "suspend_flow_run(wait_for_input)")  # fmt: skip
def a_suspended_run_holds_no_process_and_goes_on_with_the_answer(stored, night) -> None:
    done = []

    @flow
    def asks():
        task(lambda: done.append(1), name="once")()
        return suspend_flow_run(wait_for_input=int)

    for answer in ("5", 6):
        with pytest.raises(FlowRunSuspended):
            asks()
        waiting = stored.home.store.runs()[0]
        assert (waiting.state.type, waiting.state.name) == ("PAUSED", "Suspended") and not stored.home.closing
        assert asks.resume(waiting.run_id, answer, return_state=True).result() == int(answer)
    assert done == [1, 1]


@means("flow.visualize")
def the_tasks_are_drawn_and_not_run(stored, night) -> None:
    load, clean = task(lambda: 1 / 0, name="load"), task(lambda rows: rows, name="clean")
    graph = flow(lambda: clean(load())).visualize().graph
    assert [(edge.before, edge.after) for edge in graph.edges] == [("load", "clean")] and stored.runs() == []


elsewhere("tests/jupyter/test_showing.py::test_a_flow_at_the_end_of_a_cell_is_shown", "flow.panel")
elsewhere("tests/promotion/test_serving.py::test_a_served_flow_runs_until_its_process_is_interrupted",
          "flow.serve", "flow.serve(name)")  # fmt: skip
elsewhere("tests/promotion/test_serving.py::test_a_flow_is_deployed_from_python",
          "flow.deploy", "flow.deploy(name)", "flow.to_deployment", "flow.to_deployment(name)")  # fmt: skip
