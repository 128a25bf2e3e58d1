"""Flows of modules that run by themselves: the same deployments, workers and records as those of notebooks."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from orch_notebook.errors import ModuleError, ParameterError, UsageError
from orch_notebook.functions.entrypoints import Entrypoint, read_entrypoint
from orch_notebook.orchestrator import open_orchestrator
from orch_notebook.promotion.deploying import Deployments
from orch_notebook.promotion.deployments import promote, trigger
from orch_notebook.promotion.performing import perform_run
from orch_notebook.promotion.retrying import retry
from orch_notebook.promotion.stopping import Stop
from orch_notebook.promotion.terms import Terms
from orch_notebook.promotion.upkeep import settle
from orch_notebook.runtime.clock import SystemClock
from orch_notebook.runtime.owners import this_owner
from orch_notebook.runtime.settings import Settings
from orch_notebook.runtime.store.opening import open_store
from tests.promotion.modules import write_module
from tests.waiting import until

NOW = SystemClock().now()


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module in a folder of its own; performing one of its runs leaves the process as it was."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("ORCH_RUN_ID", "")
    return write_module(tmp_path / "work")


@pytest.fixture
def at_home(settings, monkeypatch):
    """Have what the process itself opens be the store of the test."""
    for name, value in settings.environment.items():
        monkeypatch.setenv(name, value)


def place(module, name="nightly"):
    return Entrypoint(module, module.stem, name)


def claim(store, run):
    lease = store.claim_run(run.run_id, this_owner(), "", SystemClock().now() + timedelta(seconds=30))
    assert lease is not None
    return lease


def perform(store, settings, run, stop=None):
    """Perform a waiting run as a worker's process does, and settle it as the worker does."""
    lease = claim(store, run)
    state = perform_run(store, settings, lease, stop=stop)
    settle(store, lease, "ended with code 0", SystemClock().now())
    return state, store.run(run.run_id)


def test_a_flow_of_a_module_is_promoted_like_a_notebook(store, settings, clock, module) -> None:
    """Its file is pinned by content, its signature is the schema, its name and tags are the flow's."""
    made = promote(
        store, settings, clock.now(), place(module), "night", parameters=["day=monday"], terms=Terms(tags=("slow",))
    )
    assert (made.flow, made.plan.entrypoint, made.plan.notebook) == ("nightly", f"{module.stem}:nightly", str(module))
    assert made.plan.snapshot != str(module) and made.plan.folder == str(module.parent)
    assert [each["name"] for each in made.schema] == ["day", "n", "fails"]
    run = trigger(store, clock.now(), "night", {"n": 5})
    assert (run.parameters, run.tags, run.notebook) == ({"day": "monday", "n": 5}, ("slow",), None)
    module.write_text(module.read_text("utf-8") + "\n# edited\n", "utf-8")
    again = promote(store, settings, clock.now(), place(module), "night", parameters=["day=monday"])
    assert again.version == 2 and again.plan.snapshot != made.plan.snapshot
    assert Deployments(store, settings, clock).differences("night", 1, 2) != []


# what is promoted, with which parameters and terms, what is said
REFUSED = {
    "unknown parameter": ("nightly", ["nope=1", "day=x"], {}, ParameterError, "no parameter 'nope'.*The flow takes"),
    "missing": ("nightly", [], {}, ParameterError, "'day' .str. has no default"),
    "ill-typed": ("nightly", ["day=x", "n=many"], {}, ParameterError, "'n' takes int, not 'many'"),
    "no such flow": ("nightyl", [], {}, ModuleError, "Did you mean 'nightly'"),
    "no flow": ("helper", [], {}, ModuleError, "no flow; put @flow"),
    "a kernel": ("nightly", ["day=x"], {"kernel": "python3"}, UsageError, "kernel executes notebooks"),
}


@pytest.mark.parametrize("name, given, terms, kind, said", REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_run_is_refused_when_it_is_promoted(tmp_path, module, name, given, terms, kind, said) -> None:
    """Nothing is kept, and the error names the thing and the way out."""
    settings = Settings(tmp_path / "home")
    with pytest.raises(kind, match=said):
        promote(None, settings, NOW, place(module, name), "night", parameters=given, terms=Terms(**terms))


def test_a_worker_performs_the_run_itself(store, settings, module, at_home) -> None:
    """The claimed run is the flow's own: its tasks, logs, name and tags are there, and no child."""
    promote(store, settings, NOW, place(module), "night", parameters=["day=monday"])
    module.write_text("raise RuntimeError('edited since')", "utf-8")
    state, run = perform(store, settings, trigger(store, NOW, "night", {"n": 4}))
    assert (state.name, run.state.name, run.name, run.tags) == ("Completed", "Completed", "monday", ("etl",))
    assert [(task.name, task.state.name) for task in run.tasks] == [("load", "Completed"), ("hold", "Completed")]
    assert run.parameters == {"day": "monday", "n": 4, "fails": 0}
    assert [line.text for line in store.logs(run.run_id)] == ["for night"]
    assert store.owned_runs() == [] and len(store.runs()) == 1


def test_a_repetition_runs_only_what_failed(store, settings, module, at_home) -> None:
    """The deployment's retry is a run of its own; what completed in the first is taken from there."""
    terms = Terms(retries=1)
    promote(store, settings, NOW, place(module), "night", parameters={"day": "x", "fails": 1}, terms=terms)
    state, first = perform(store, settings, trigger(store, NOW, "night", {}))
    assert (state.name, first.state.message) == ("Failed", "ConnectionError: down")
    [again, _] = store.runs()
    assert again.retry_of == first.run_id and again.tags == ("etl",)
    state, second = perform(store, settings, again)
    assert state.name == "Completed"
    assert {task.name: task.state.name for task in second.tasks} == {"load": "Cached", "hold": "Completed"}
    assert (module.parent / "marks.txt").read_text().split() == ["load", "hold", "hold"]


def cancel(store, run_id, stop):
    store.request(run_id, "cancel", SystemClock().now())


def stop_worker(store, run_id, stop):
    stop.request("the worker was stopped")


# what happens to the run, and how it ends
ENDS = {
    "a timeout": ({"timeout": 0.3}, None, "TimedOut", "longer than its timeout"),
    "too much memory": ({"memory": 1_000_000}, None, "Failed", "MemoryExceeded: It took"),
    "a cancel": ({}, cancel, "Cancelled", ""),
    "the end of its worker": ({}, stop_worker, "Crashed", "interrupted: the worker was stopped"),
}


@pytest.mark.parametrize("terms, act, name, said", ENDS.values(), ids=ENDS.keys())
def test_a_run_is_ended_from_outside(tmp_path, orch_home, module, terms, act, name, said) -> None:
    """Its sleep of a minute is cut short; the record says why."""
    settings = Settings(orch_home)
    deployments = Deployments(store := open_store(settings), settings, SystemClock())
    deployments.promote(f"{module}:waits", "w", terms=Terms(**terms))
    run, stop = deployments.trigger("w"), Stop()

    def acting() -> None:
        until((module.parent / "marks.txt").exists)
        act(store, run.run_id, stop)

    if act is not None:
        threading.Thread(target=acting, daemon=True).start()
    state, ended = perform(store, settings, run, stop)
    store.close()
    assert (state.name, ended.state.name) == (name, name) and said in ended.state.message


# what has become of the module since, and what the run says
BROKEN = {
    "its pinned copy is gone": (lambda plan: Path(plan.snapshot).unlink(), "cannot be loaded: FileNotFoundError"),
    "its folder is gone": (lambda plan: Path(plan.folder).rename(plan.folder + "-moved"), "cannot be entered"),
}


@pytest.mark.parametrize("act, said", BROKEN.values(), ids=BROKEN.keys())
def test_a_run_whose_module_is_lost_fails_and_says_so(orch_home, module, act, said) -> None:
    """It ends FAILED with one line, whatever is missing."""
    settings = Settings(orch_home)
    deployments = Deployments(store := open_store(settings), settings, SystemClock())
    made = deployments.promote(f"{module}:nightly", "w", parameters={"day": "x"})
    act(made.plan)
    state, run = perform(store, settings, deployments.trigger("w"))
    store.close()
    assert state.name == run.state.name == "Failed" and said in run.state.message


def test_a_tracked_module_is_executed_as_it_stands(orch_home, module) -> None:
    """With `track` no copy is made: what was edited since is what runs."""
    settings = Settings(orch_home)
    deployments = Deployments(store := open_store(settings), settings, SystemClock())
    deployments.promote(f"{module}:nightly", "t", parameters={"day": "x"}, terms=Terms(track=True))
    module.write_text(module.read_text("utf-8").replace("for %s", "edited, for %s"), "utf-8")
    _, run = perform(store, settings, deployments.trigger("t"))
    lines = [line.text for line in store.logs(run.run_id)]
    store.close()
    assert lines == ["edited, for t"]


def test_a_run_begun_here_is_repeated_elsewhere(orch_home, module) -> None:
    """``orch run`` leaves how it is executed; named tasks and what comes from them run again, the rest does not."""
    with open_orchestrator() as orchestrator:
        first = orchestrator.perform(f"{module}:nightly", {"day": "x", "fails": 1})
        assert first.state.name == "Failed"
        store, settings = orchestrator.store, orchestrator.settings
        state, second = perform(store, settings, retry(store, first, SystemClock().now()))
        assert {task.name: task.state.name for task in second.tasks} == {"load": "Cached", "hold": "Completed"}
        state, third = perform(store, settings, retry(store, second, SystemClock().now(), ["load"]))
        assert {task.name: task.state.name for task in third.tasks} == {"load": "Completed", "hold": "Completed"}
        assert state.name == "Completed" and third.attempt == 3


#: Kills its process in the second task, once the end of the first is stored.
KILLED = """
import os, signal, time
from orch_notebook import flow, task
from orch_notebook.runtime import flow_run
from orch_notebook.runtime.home import open_home

@task
def first():
    open("first", "a").write("1")
    return 1

@task
def second(n):
    if not os.path.exists("died"):
        open("died", "w").close()
        while "Completed" not in [task.state.name for task in open_home().store.run(flow_run.id).tasks]:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGKILL)
    return n + 1

@flow
def work():
    return second(first())

@work.on_failure
def never(flow, run, state):
    open("failed", "w").close()
"""
#: What is called when the process has died; written aside and moved, for who waits for it.
HOOKED = KILLED.replace("@flow\n", "@flow(on_crashed=[told])\n").replace(
    "@task\ndef first",
    """async def told(flow, run, state):
    with open("told.part", "w") as file:
        file.write(f"{flow.name} {run.id} {run.name} {run.parameters} {state.name}: {state.message}")
    os.rename("told.part", "told")

@task
def first""",
    1,
)


@pytest.mark.processes
def test_a_run_whose_process_is_killed_goes_on_in_another(orch_home, tmp_path) -> None:
    """A real worker, a real kill -9: the run ends CRASHED, its repetition does not run again what had completed."""
    module = write_module(tmp_path / "work", HOOKED)
    settings = Settings(orch_home)
    deployments = Deployments(store := open_store(settings), settings, SystemClock())
    deployments.promote(f"{module}:work", "w", terms=Terms(retries=1))
    deployments.trigger("w")
    subprocess.run([sys.executable, "-m", "orch_notebook.cli", "worker", "--until-idle"], timeout=60, check=True)
    [second, first] = [store.run(run.run_id) for run in store.runs()]
    store.close()
    assert first.state.name == "Crashed" and signal.SIGKILL.name in first.state.message
    assert [task.state.name for task in first.tasks] == ["Completed", "Lost"]
    assert (second.state.name, [task.state.name for task in second.tasks]) == ("Completed", ["Cached", "Completed"])
    assert (module.parent / "first").read_text() == "1" and not (module.parent / "failed").exists()
    told = module.parent / "told"
    until(told.exists)
    assert told.read_text().startswith(f"work {first.run_id} work {{}} Crashed: The process that executed it")


def test_an_entrypoint_is_read_as_a_person_writes_it(module, monkeypatch) -> None:
    """By path or by dotted name; the folder is where imports of the module begin."""
    monkeypatch.chdir(module.parent)
    package = module.parent / "pack" / "inner"
    package.mkdir(parents=True)
    for folder in (package, package.parent):
        (folder / "__init__.py").touch()
    (package / "deep.py").write_text("x = 1")
    assert read_entrypoint(f"{module.name}:nightly") == place(module)
    assert read_entrypoint(f"{module.stem}:nightly") == place(module)
    deep = read_entrypoint("pack.inner.deep:work")
    assert (deep.file, deep.folder, deep.text) == (package / "deep.py", module.parent, "pack.inner.deep:work")
    with pytest.raises(ModuleError, match=r"There is no module 'pack\.none'"):
        read_entrypoint("pack.none:work")
