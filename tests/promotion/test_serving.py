"""``flow.deploy(…)`` and ``flow.serve(…)``: a flow that runs by itself, said in Python."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from orch_notebook.errors import ParameterError, UsageError
from orch_notebook.functions.loading import load
from orch_notebook.promotion.deployments import trigger
from orch_notebook.runtime.home import close_homes, open_home
from tests.promotion.test_modules import place

SCRIPT = """
from orch_notebook import flow, task

@flow
def nightly(day: str, n: int = 2):
    return task(abs, name="size")(-n), day

if __name__ == "__main__":
    nightly.serve("often", interval=3600, parameters={"day": "monday"}, limit=1)
"""


@pytest.fixture
def script(tmp_path, monkeypatch):
    """A script with a flow, in a folder of its own."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    path = tmp_path / "etl.py"
    path.write_text(SCRIPT)
    yield path
    close_homes()


def test_a_flow_is_deployed_from_python(script) -> None:
    """With schedules, values, tags and terms; a second time it is a new version; what makes no sense is refused."""
    nightly = load(place(script), script)
    made = nightly.deploy("night", cron="0 6 * * *", parameters={"day": "monday"}, tags=["slow"], retries=1)
    assert (made.name, made.flow, made.version, made.plan.retries, made.plan.tags) == (
        "night", "nightly", 1, 1, ("slow",),
    )  # fmt: skip
    assert len(made.schedules) == 1 and not made.is_paused
    assert nightly.to_deployment("often", interval=60, parameters={"day": "x"}).plan.queue == "often"
    assert nightly.deploy("night", paused=True, parameters={"day": "x"}).is_paused
    with pytest.raises(ParameterError, match="'n' takes int"):
        nightly.deploy("night", parameters={"day": "x", "n": "many"})
    with pytest.raises(UsageError, match="A deployment takes no image"):
        nightly.deploy("night", image="etl:1")


@pytest.mark.processes
def test_a_served_flow_runs_until_its_process_is_interrupted(script, environment) -> None:
    """Its runs have processes of their own; an interrupt ends it well, and its schedules rest."""
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    command = [sys.executable, str(script)]
    serving = subprocess.Popen(command, env=environment, cwd=script.parent, stderr=subprocess.PIPE, text=True)
    try:
        assert serving.stderr.readline().startswith("Serving 'often'.")
        store = open_home().store
        run = trigger(store, open_home().clock.now(), "often", {"n": 5})
        for _ in range(600):
            if store.run(run.run_id).state.is_final:
                break
            threading.Event().wait(0.1)
        ended = store.run(run.run_id)
        assert (ended.state.name, [each.name for each in ended.tasks]) == ("Completed", ["size"])
        serving.send_signal(signal.SIGINT)
        serving.communicate(timeout=60)
    finally:
        serving.kill()
    assert serving.returncode == 0 and store.deployment("often").is_paused
