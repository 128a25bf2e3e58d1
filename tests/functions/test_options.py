"""The options of ``@task`` and ``@flow``, each as a behaviour."""

from __future__ import annotations

import logging
import threading
from datetime import datetime, timedelta

import pytest

from orch_notebook import Cancelled, Completed, Failed, exponential_backoff, flow, get_run_logger, task, wait
from orch_notebook.errors import MissingContext, ParameterError, ReturnedFailure, UsageError
from orch_notebook.runtime import deployment, flow_run, task_run
from tests.functions.conftest import in_time


class Flaky:
    """Fails until its nth call."""

    def __init__(self, succeeds_at=99, error=None):
        self.succeeds_at, self.error, self.calls = succeeds_at, error or ConnectionError("down"), 0

    def __call__(self):
        self.calls += 1
        if self.calls < self.succeeds_at:
            raise self.error
        return self.calls


def delays(stored, name="flaky"):
    """The seconds that each retry of the newest run was to wait."""
    events = [event for _, event in stored.home.store.events(stored.run().run_id) if getattr(event, "task", "") == name]
    waits = [event for event in events if event.state.name == "AwaitingRetry"]
    return [round((datetime.fromisoformat(wait.details["due_at"]) - wait.at).total_seconds(), 1) for wait in waits]


# options, how often it may fail, the seconds waited for each retry
RETRIES = {
    "none by default": ({}, 1, []),
    "at once by default": ({"retries": 2}, 3, [0, 0]),
    "a number": ({"retries": 2, "retry_delay_seconds": 10}, 3, [10, 10]),
    "a timedelta": ({"retries": 1, "retry_delay_seconds": timedelta(minutes=1)}, 2, [60]),
    "a list": ({"retries": 2, "retry_delay_seconds": [1, 100]}, 3, [1, 100]),
    "a list whose last repeats": ({"retries": 3, "retry_delay_seconds": [1, 7]}, 4, [1, 7, 7]),
    "a function": ({"retries": 2, "retry_delay_seconds": lambda retries: [retries, retries * 2]}, 3, [2, 4]),
    "exponential backoff": ({"retries": 3, "retry_delay_seconds": exponential_backoff(10)}, 4, [10, 20, 40]),
    "jitter of nothing": ({"retries": 1, "retry_jitter_factor": 3}, 2, [0]),
}


@pytest.mark.parametrize("options, attempts, expected", RETRIES.values(), ids=RETRIES)
@pytest.mark.parametrize("how", ["called", "submitted"])
def test_retries_wait_as_the_options_say(stored, night, how, options, attempts, expected) -> None:
    """Called or submitted, the same attempts at the same times."""
    work = Flaky()
    flaky = task(**options, name="flaky")(lambda: work())

    @flow
    def nightly():
        return flaky() if how == "called" else flaky.submit().result()

    with pytest.raises(ConnectionError):
        in_time(nightly)
    assert work.calls == attempts and delays(stored) == expected


def test_a_jitter_changes_a_delay_by_up_to_its_factor(stored, night) -> None:
    """A factor of 0.5 makes a wait of ten seconds one of five to fifteen."""
    flaky = task(retries=5, retry_delay_seconds=10, retry_jitter_factor=0.5, name="flaky")(Flaky().__call__)
    in_time(flow(lambda: flaky(return_state=True).name), return_state=True)
    assert len(delays(stored)) == 5 and all(4.999 <= delay <= 15.001 for delay in delays(stored))


class Gone(ConnectionError):
    """A kind of connection error."""


# options, error, how often it is tried
CONDITIONS = {
    "by class": ({"retry_on": ConnectionError}, ConnectionError(), 3),
    "by a class above": ({"retry_on": OSError}, Gone(), 3),
    "by several classes": ({"retry_on": (KeyError, ConnectionError)}, KeyError("x"), 3),
    "not of that class": ({"retry_on": KeyError}, ValueError(), 1),
    "a condition that holds": ({"retry_condition_fn": lambda task, run, state: state.is_failed()}, ValueError(), 3),
    "a condition that looks at the error": (
        {"retry_condition_fn": lambda task, run, state: "again" in str(state.result(raise_on_failure=False))},
        ValueError("no use"), 1,
    ),
    "a condition that fails": ({"retry_condition_fn": lambda task, run, state: 1 / 0}, ValueError(), 1),
    "both": ({"retry_on": ValueError, "retry_condition_fn": lambda task, run, state: False}, ValueError(), 1),
}  # fmt: skip


@pytest.mark.parametrize("options, error, attempts", CONDITIONS.values(), ids=CONDITIONS)
def test_a_retry_depends_on_the_error(stored, options, error, attempts) -> None:
    """By class or by condition; what they do not name fails at once."""
    work = Flaky(error=error)
    flaky = task(retries=2, **options)(lambda: work())
    assert in_time(flaky, return_state=True).is_failed()
    assert work.calls == attempts


def test_a_task_that_succeeds_in_the_end_has_its_last_value(stored) -> None:
    """The earlier failures are in its history, and nowhere else."""
    work = Flaky(succeeds_at=3)
    flaky = task(retries=5, name="flaky")(lambda: work())
    assert in_time(flow(lambda: flaky())) == 3
    assert stored.names_of("flaky") == ["Running", *["Failed", "AwaitingRetry", "Retrying"] * 2, "Completed"]
    assert stored.run().tasks[0].attempt == 3


# a template or function, arguments, name of the task run
NAMES = {
    "nothing said": (None, {"x": 1}, "work"),
    "a template": ("work on {x} by {who}", {"x": 1}, "work on 1 by me"),
    "a template with a format": ("{day:%A}", {"day": datetime(2026, 1, 1)}, "Thursday"),
    "a function": (lambda: "made", {"x": 1}, "made"),
    "a function of the parameters": (lambda parameters: f"of {parameters['x']}", {"x": 5}, "of 5"),
}


@pytest.mark.parametrize("template, arguments, name", NAMES.values(), ids=NAMES)
def test_a_task_run_is_named_by_its_template(stored, template, arguments, name) -> None:
    """Templates see the arguments by parameter, defaults included."""

    @task(task_run_name=template)
    def work(x=0, who="me", day=None):
        return task_run.name

    assert in_time(work, **arguments) == name
    assert list(stored.states()) == [name]


@pytest.mark.parametrize("kind", ["template", "function"])
def test_a_flow_run_has_a_name_of_its_own(stored, kind) -> None:
    """The template sees the parameters; a function may ask the runtime."""
    named = "on {day}" if kind == "template" else lambda: f"on {flow_run.parameters['day']}"

    @flow(flow_run_name=named)
    def daily(day: str):
        return flow_run.name

    assert in_time(daily, "Monday") == "on Monday"


# Hooks


def note_hooks(seen, word):
    return lambda of, run, state: seen.append((word, of.name, run.name, state.name))


def test_hooks_of_a_task_are_told_its_states(stored) -> None:
    """Each attempt that begins, and the end once, with the last state."""
    seen = []
    work = Flaky(succeeds_at=2)
    hooks = {kind: note_hooks(seen, kind) for kind in ("on_running", "on_completion", "on_failure")}
    flaky = task(retries=1, name="flaky", **hooks)(lambda: work())
    in_time(flow(lambda: flaky.submit().result()))
    assert seen == [
        ("on_running", "flaky", "flaky", "Running"),
        ("on_running", "flaky", "flaky", "Running"),
        ("on_completion", "flaky", "flaky", "Completed"),
    ]


def test_hooks_are_done_before_anybody_is_told(stored) -> None:
    """Who waits for a future finds what its hooks have left, and so does who waits for the flow."""
    seen = []
    slow = task(on_completion=[lambda *told: seen.append(1)], on_failure=lambda *told: seen.append(2))(lambda: None)

    @flow
    def waits():
        slow.submit().result()
        return list(seen)

    assert in_time(waits) == [1]


def test_a_hook_that_fails_changes_nothing(stored, caplog) -> None:
    """It is logged, and the others are called."""
    seen = []

    @task
    def fine():
        return 1

    @fine.on_completion
    def bad(task, run, state):
        raise RuntimeError("hook")

    @fine.on_completion
    def good(task, run, state):
        seen.append(state.result())

    with caplog.at_level(logging.ERROR, logger="orch_notebook"):
        assert in_time(flow(lambda: fine())) == 1
    assert seen == [1] and "The hook 'bad' failed." in caplog.text


FLOW_ENDS = {
    "completed": (lambda: 1, ["on_running", "on_completion"]),
    "failed": (lambda: 1 / 0, ["on_running", "on_failure"]),
    "cancelled": (lambda: Cancelled(), ["on_running", "on_cancellation"]),
}


@pytest.mark.parametrize("body, expected", FLOW_ENDS.values(), ids=FLOW_ENDS)
def test_hooks_of_a_flow_are_told_how_it_ended(stored, body, expected) -> None:
    """One of them, once; coroutines are awaited."""
    seen = []

    async def later(of, run, state):
        seen.append("on_completion")

    kinds = ("on_running", "on_failure", "on_cancellation")
    hooks = {kind: [lambda of, run, state, kind=kind: seen.append(kind)] for kind in kinds}
    in_time(flow(**hooks, on_completion=[later])(body), return_state=True)
    assert seen == expected


# How flows end

VERDICTS = {
    "a value": (lambda: 5, "Completed", 5),
    "nothing": (lambda: None, "Completed", None),
    "an exception": (lambda: {}["x"], "Failed", KeyError),
    "a state": (lambda: Completed(message="enough", data=3), "Completed", 3),
    "a state that says failed": (lambda: Failed(message="too few"), "Failed", ReturnedFailure),
    "a state with an error": (lambda: Failed(data=ValueError("x")), "Failed", ValueError),
    "a state of a name of its own": (lambda: Completed(name="Enough"), "Enough", None),
    "a future": (lambda: task(lambda: 4).submit(), "Completed", 4),
    "a future that failed": (lambda: task(lambda: 1 / 0).submit(), "Failed", ZeroDivisionError),
    "states": (lambda: [Completed(data=1), Completed(data=2)], "Completed", [1, 2]),
    "states of which one failed": (lambda: [Completed(), Failed(message="x")], "Failed", ReturnedFailure),
    "futures": (lambda: task(lambda x: x).map([1, 2]), "Completed", [1, 2]),
    "an empty list": (list, "Completed", []),
}


@pytest.mark.parametrize("body, name, value", VERDICTS.values(), ids=VERDICTS)
def test_a_flow_ends_as_its_return_value_says(stored, body, name, value) -> None:
    """Values complete it, exceptions fail it, states and futures speak for themselves."""
    state = in_time(flow(name="verdict")(body), return_state=True)
    assert state.name == name
    result = state.result(raise_on_failure=False)
    assert isinstance(result, value) if isinstance(value, type) else result == value
    assert stored.run("verdict").state.type == state.type


def test_a_task_may_return_a_state(stored) -> None:
    """Completed ends it well with that value, Failed fails it."""
    assert in_time(task(lambda: Completed(data=3, message="fine"))) == 3
    with pytest.raises(ReturnedFailure, match="too few"):
        in_time(task(lambda: Failed(message="too few")))


def test_a_flow_with_retries_runs_its_body_again(stored, night) -> None:
    """After its delay; the run is the same, and says so."""
    counts = []

    @flow(retries=2, retry_delay_seconds=30)
    def again():
        counts.append(flow_run.run_count)
        if len(counts) < 3:
            raise ConnectionError("down")
        return len(counts)

    assert in_time(again) == 3 and counts == [1, 2, 3]
    [run] = stored.runs()
    names = [event.state.name for _, event in stored.home.store.events(run.run_id) if not hasattr(event, "task")
             and hasattr(event, "state")]  # fmt: skip
    assert names == ["Running", *["AwaitingRetry", "Retrying"] * 2, "Completed"]
    assert run.ended_at - run.started_at >= timedelta(seconds=60)


def test_a_task_that_failed_has_its_retries_again_when_the_body_runs_again(stored) -> None:
    """It is the same task run, whose attempts count on."""
    work = Flaky(succeeds_at=4)
    flaky = task(retries=1, name="flaky")(lambda: work())
    assert in_time(flow(retries=1)(lambda: flaky())) == 4
    assert stored.run().tasks[0].attempt == 4 and list(stored.states()) == ["flaky"]


# Parameters


@flow
def typed(n: int, share: float = 0.5, names: list[str] | None = None, since: datetime | None = None):
    return n, share, names, since


COERCED = {
    "an integer in a string": ({"n": "3"}, (3, 0.5, None, None)),
    "an integer for a float": ({"n": 3, "share": 1}, (3, 1.0, None, None)),
    "a tuple for a list": ({"n": 3, "names": ("a",)}, (3, 0.5, ["a"], None)),
    "an instant in a string": ({"n": 1, "since": "2026-01-02T03:04:05"}, (1, 0.5, None, datetime(2026, 1, 2, 3, 4, 5))),
}


@pytest.mark.parametrize("given, expected", COERCED.values(), ids=COERCED)
def test_parameters_are_made_what_their_annotations_say(stored, given, expected) -> None:
    """As pydantic understands them."""
    assert in_time(typed, **given) == expected


REFUSED = {
    "not a number": ({"n": "many"}, "Parameter 'n' of flow 'typed' cannot be 'many'"),
    "missing": ({}, "missing a required argument: 'n'"),
    "unknown": ({"n": 1, "m": 2}, "unexpected keyword argument 'm'"),
    "deep inside": (
        {"n": 1, "names": ["a", 5]},
        "names' of flow 'typed' cannot be .*1: input should be a valid string",
    ),
}


@pytest.mark.parametrize("given, said", REFUSED.values(), ids=REFUSED)
def test_bad_parameters_are_refused_before_anything_runs(stored, given, said) -> None:
    """By name and type; no run is made."""
    with pytest.raises(ParameterError, match=said):
        in_time(typed, **given)
    assert stored.runs() == []


def test_validation_can_be_switched_off(stored) -> None:
    """Then parameters are what was given."""
    assert in_time(typed.with_options(validate_parameters=False), "many")[0] == "many"


def test_parameters_of_a_model_are_built(stored) -> None:
    """A dict becomes the model that the annotation names."""
    from pydantic import BaseModel

    class Config(BaseModel):
        depth: int

    def build(config):
        return config.depth

    build.__annotations__["config"] = Config
    assert in_time(flow(build), {"depth": "7"}) == 7


def test_what_a_run_was_given_is_recorded(stored) -> None:
    """What JSON knows as it is, the rest as its repr."""
    in_time(flow(lambda n, o: None, name="given"), 3, object) if False else in_time(
        flow(lambda n, o: None), 3, {1: print}
    )
    assert stored.run().parameters["n"] == 3 and "built-in function print" in str(stored.run().parameters["o"])


# Logs and runtime


def test_a_run_has_a_logger(stored, capsys) -> None:
    """Lines are kept with their level under the run or task run, and shown on stderr."""

    @task
    def work():
        get_run_logger().warning("in %s", "task")

    @flow
    def logged():
        get_run_logger().info("in flow")
        get_run_logger().debug("not shown")
        work()

    logged()
    lines = stored.home.store.logs(stored.run().run_id)
    assert [(line.task, line.level, line.text) for line in lines] == [("", 20, "in flow"), ("work", 30, "in task")]
    said = capsys.readouterr().err
    assert "| WARNING | Task run 'work' - in task" in said and "Flow run 'logged-" in said


def test_outside_of_runs_there_is_no_run_logger() -> None:
    """It says so."""
    with pytest.raises(MissingContext, match="no flow or task is running here"):
        get_run_logger()


PRINTS = {
    "the flow's": ({"log_prints": True}, {}, ["from flow", "from task"]),
    "the task's own": ({}, {"log_prints": True}, ["from task"]),
    "not the task's": ({"log_prints": True}, {"log_prints": False}, ["from flow"]),
    "nobody's": ({}, {}, []),
}


@pytest.mark.parametrize("of_flow, of_task, expected", PRINTS.values(), ids=PRINTS)
def test_prints_go_into_the_log_where_wanted(stored, capsys, of_flow, of_task, expected) -> None:
    """And they are still printed."""

    @task(**of_task)
    def work():
        print("from task")

    @flow(**of_flow)
    def loud():
        print("from flow")
        work.submit().result()

    loud()
    assert stored.lines() == expected
    assert capsys.readouterr().out.split("\n") == ["from flow", "from task", ""]


def test_the_runtime_tells_code_about_its_run(stored) -> None:
    """Names, ids, parameters, attempts and tags; nothing outside of runs."""

    @task(tags=["gpu"])
    def scale(x, y=2):
        return task_run.id, task_run.name, task_run.task_name, task_run.parameters, task_run.run_count, task_run.tags

    @flow
    def told(n: int = 1):
        return flow_run.id, flow_run.flow_name, flow_run.parameters, flow_run.run_count, scale(5)

    run_id, flow_name, parameters, count, inside = told()
    assert (flow_name, parameters, count) == ("told", {"n": 1}, 1) and run_id == stored.run().run_id
    assert inside == (f"{run_id}/scale", "scale", "scale", {"x": 5, "y": 2}, 1, ["gpu"])
    assert (flow_run.id, flow_run.parameters, flow_run.tags, task_run.name, deployment.name) == (
        None,
        {},
        [],
        None,
        None,
    )


# when=

WHENS = {
    "all_success": (["ok", "bad"], "UpstreamFailed"),
    "all_done": (["ok", "bad"], "Completed"),
    "one_success": (["ok", "bad"], "Completed"),
    "one_failed": (["ok", "bad"], "Completed"),
    "none_failed": (["ok", "ok"], "Completed"),
    "always": (["bad", "bad"], "Completed"),
}


@pytest.mark.parametrize("when, upstream, expected", [(when, *row) for when, row in WHENS.items()], ids=WHENS)
def test_a_task_runs_when_its_rule_says(stored, when, upstream, expected) -> None:
    """After tasks that ended as they did; the values of those that failed are their exceptions."""
    ok, bad = task(lambda: 1, name="ok"), task(lambda: 1 / 0, name="bad")
    after = task(lambda given: [type(each).__name__ for each in given], name="after", when=when)

    @flow
    def rules():
        futures = [{"ok": ok, "bad": bad}[name].submit() for name in upstream]
        wait(futures)
        last = after.submit(futures)
        last.wait()
        return last.state.name

    assert in_time(rules, return_state=True).result(raise_on_failure=False) == expected


def test_one_failed_without_a_failure_is_skipped(stored) -> None:
    """And what needs it is skipped too; the flow is none the worse."""
    ok = task(lambda: 1)
    alarm = task(lambda *given: "alarm", name="alarm", when="one_failed")

    @flow
    def calm():
        last = task(lambda x: x, name="last").submit(alarm.submit(ok.submit()))
        return last.state.name if last.wait() else None

    assert in_time(calm) == "Skipped"
    assert stored.run().state.name == "Completed"


# Mistakes

MISTAKES = {
    "an unknown option": (lambda: task(retrys=3), "@task has no option 'retrys'. Did you mean 'retries'?"),
    "an unknown option of a flow": (
        lambda: flow(timeout=3),
        "@flow has no option 'timeout'. Did you mean 'timeout_seconds'?",
    ),
    "retries below zero": (lambda: task(retries=-1), "retries of @task must be a whole number from 0, not -1."),
    "a timeout of nothing": (lambda: task(timeout_seconds=0), "timeout_seconds of @task must be above 0, not 0."),
    "an unknown rule": (lambda: task(when="some"), "when='some' of @task must be one of all_success"),
    "not an exception": (lambda: task(retry_on="ValueError"), "retry_on of @task must hold exception classes"),
    "not a hook": (lambda: task(on_failure=["mail"]), "on_failure of @task must hold functions"),
    "too many delays": (lambda: task(retry_delay_seconds=[1] * 51), "holds 51 delays; at most 50"),
    "a negative delay": (lambda: task(retry_delay_seconds=-1), "must not be below 0"),
}


@pytest.mark.parametrize("make, said", MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_told_where_it_is_made(make, said) -> None:
    """When the decorator is read, not when the flow runs."""
    with pytest.raises(UsageError) as caught:
        make()
    assert said in str(caught.value)


def test_a_task_runner_bounds_what_runs_at_once(stored) -> None:
    """ThreadPoolTaskRunner(max_workers=1) runs one task at a time."""
    from orch_notebook import ThreadPoolTaskRunner

    lock, most = threading.Lock(), []
    held = []

    @task
    def alone(n):
        with lock:
            held.append(n)
            most.append(len(held))
        sum(range(5000))
        with lock:
            held.remove(n)

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=1))
    def narrow():
        alone.map(range(20)).result()

    in_time(narrow)
    assert max(most) == 1
