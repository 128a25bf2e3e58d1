"""Processes that wait for a run with their kernel started: taken once, told late, gone with whoever started them."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from orch_notebook.model.schedules import Interval
from orch_notebook.orchestrator import Orchestrator
from orch_notebook.promotion import spares as module
from orch_notebook.promotion.booting import EXTENSION, Environment, environment_of
from orch_notebook.promotion.execution import execute
from orch_notebook.promotion.launching import launch_process
from orch_notebook.promotion.notebooks import read_notebook
from orch_notebook.promotion.spares import Spares, due_soon
from orch_notebook.promotion.terms import Terms
from orch_notebook.runtime.clock import SystemClock
from orch_notebook.runtime.settings import Settings
from orch_notebook.runtime.store import Lease
from tests.books import write_book
from tests.waiting import is_gone, until

R, PYTHON = Environment("ir"), Environment("python3")
LEASE = Lease("run", "owner", 1, datetime(2026, 1, 1, tzinfo=UTC))

#: All of a kernel that could tell one run from the one before, or from a kernel started for it alone.
TELL = """
import json, os, sys
def told():
    shell = get_ipython()
    told = {
        "names": sorted(name for name in shell.user_ns if name not in ("told", "json", "os", "sys")),
        "hidden": sorted(shell.user_ns_hidden),
        "cwd": os.getcwd(),
        "variables": dict(sorted(os.environ.items())),
        "path": sys.path,
        "arguments": sys.argv[:1],
        "history": [line for _, _, line in shell.history_manager.get_range()][:-1],
        "folders": list(map(repr, shell.user_ns["_dh"])),
        "starting": shell.starting_dir,
        "count": shell.execution_count,
        "out": shell.user_ns["Out"],
        "magics": sorted(shell.magics_manager.magics["cell"]),
        "extensions": sorted(shell.extension_manager.loaded),
    }
    return json.dumps(told)
print(told())
"""
#: These a run has from the worker, or from the process that executes it.
OWN = re.compile("ORCH_.*|JPY_PARENT_PID|PYTHONUNBUFFERED")


@dataclass
class Shadow:
    """Stands for a spare process."""

    settings: Settings
    environment: Environment
    started_at: float = field(default_factory=time.monotonic)
    is_alive: bool = True
    closed: int = 0

    def ask_to_end(self):
        self.closed += 1
        self.is_alive = False

    def close(self):
        pass


@pytest.fixture
def shadows(monkeypatch):
    """Have no process started; the shadows that stand for them."""
    made = []

    def make(settings, environment):
        made.append(Shadow(settings, environment))
        return made[-1]

    monkeypatch.setattr(module, "Spare", make)
    monkeypatch.setattr(module, "is_memory_short", lambda: False)
    monkeypatch.setattr(module, "LOOK_EVERY", 0.0)
    monkeypatch.setattr(module, "CALM", 0.0)
    return made


# how many are kept, what is due soon and how many of it are asked for, what ran before, the kernels that are started
WANTED = [
    (0, [(PYTHON, 0)], [], []),
    (2, [], [], []),
    (2, [(PYTHON, 0)], [], ["python3"]),
    (2, [(PYTHON, 0), (R, 0), (PYTHON, 0)], [], ["python3", "ir"]),
    (3, [(PYTHON, 0), (PYTHON, 0)], [R], ["python3", "python3", "ir"]),
    (2, [], [R], ["ir", "ir"]),
    (0, [(PYTHON, 0), (R, 2)], [], ["ir", "ir"]),
    (1, [(PYTHON, 0), (R, 1)], [], ["ir", "python3"]),
    (2, [(Environment("python3", ("json",)), 0), (PYTHON, 0)], [], ["python3", "python3"]),
]


@pytest.mark.parametrize(("count", "due", "ran", "kernels"), WANTED)
def test_what_is_due_next_is_ready_first(tmp_path, shadows, count, due, ran, kernels):
    """As many as asked for are kept, for what is due soon and then for what ran lately, one started at a time."""
    spares = Spares(Settings(tmp_path), count, ["csv"], lambda: iter(due))
    for environment in ran:
        assert spares.take(environment) is None
    for started in range(5):
        assert len(shadows) == min(started, len(kernels))
        spares.tend()
    assert [each.environment.kernel for each in shadows] == kernels
    assert all("csv" in each.environment.preload for each in shadows)


def test_each_serves_one_run_of_its_kernel(tmp_path, shadows):
    """A spare process is taken once, by a run that needs its kernel, and one that has died by none."""
    spares = Spares(Settings(tmp_path))
    for environment in (PYTHON, R, PYTHON):
        spares.start(environment)
    first, other, last = shadows
    last.is_alive = False
    assert spares.take(Environment("julia")) is None
    assert spares.take(Environment("python3", ("json",))) is first
    assert spares.take(PYTHON) is None
    assert spares.take(R) is other
    assert len(spares) == 0


def test_a_run_gets_the_kernel_with_its_modules(tmp_path, shadows):
    """Of several that are ready the one that has most of them, and of those the one with the fewest others."""
    spares = Spares(Settings(tmp_path))
    names = ((), ("json", "csv"), ("json",), ("csv",))
    for modules in names:
        spares.start(Environment("python3", modules))
    wanted = [("json",), ("json", "csv"), ("json",), ("json",)]
    taken = [spares.take(Environment("python3", modules)).environment.preload for modules in wanted]
    assert taken == [("json",), ("json", "csv"), (), ("csv",)]


def test_what_a_deployment_asks_for_is_kept_for_its_runs(tmp_path, shadows):
    """Others do not take it, however near it is to what they need; its own runs take it before any other."""
    mine = Environment("python3", ("json",))
    spares = Spares(Settings(tmp_path), 1, ["csv"], lambda: iter([(PYTHON, 0), (mine, 1)]))
    for _ in range(3):
        spares.tend()
    assert [each.environment.preload for each in shadows] == [("json", "csv"), ("csv",)]
    own, common = shadows
    assert spares.take(mine) is own and spares.take(mine) is common
    spares.tend()
    assert shadows[-1].environment.preload == ("json", "csv")
    assert spares.take(PYTHON) is None and len(spares) == 1


def test_what_is_old_or_takes_memory_that_lacks_is_ended(tmp_path, shadows, monkeypatch):
    """A process that nobody took for long is ended, and all are while memory is short; none is started then."""
    spares = Spares(Settings(tmp_path), 2, (), lambda: iter([(PYTHON, 0)] * 2))
    spares.tend()
    spares.tend()
    shadows[0].started_at -= module.KEEP + 1
    spares.tend()
    assert [each.is_alive for each in shadows] == [False, True, True]
    monkeypatch.setattr(module, "is_memory_short", lambda: True)
    spares.tend()
    assert [each.is_alive for each in shadows] == [False] * 3
    assert len(spares) == 0


def test_what_a_run_takes_is_read_from_its_notebook(tmp_path):
    """The kernel is the notebook's unless another is named; with tasks in it the extension is wanted, too."""
    plain = write_book(tmp_path / "plain.ipynb", "x = 1")
    tasks = write_book(tmp_path / "tasks.ipynb", "%load_ext orch_notebook", "%%task a\nx = 1")
    assert environment_of(plain) == PYTHON
    assert environment_of(plain, "ir") == R
    assert environment_of(tasks) == Environment("python3", (EXTENSION,))
    assert environment_of(tasks, preload=["json"]) == Environment("python3", (EXTENSION, "json"))
    assert environment_of(tmp_path / "none.ipynb") == Environment("")


def test_what_is_due_soon_is_known_from_the_schedules(tmp_path):
    """Only deployments that are awake and due before a spare process would be too old count, the first first."""
    orchestrator = Orchestrator(Settings(tmp_path))
    book = write_book(tmp_path / "a.ipynb", "x = 1")
    now = orchestrator.clock.now()
    for name, seconds in (("later", 600), ("soon", 60), ("tomorrow", 86_400), ("asleep", 60)):
        rule = Interval(seconds, now)
        orchestrator.deployments.promote(book, name, schedules=[rule])
    orchestrator.deployments.pause("asleep")
    rules = [Interval(seconds, now) for seconds in (30, 45)]
    orchestrator.deployments.promote(book, "warm", schedules=rules, terms=Terms(preload=("json",), warm=2))
    assert list(due_soon(orchestrator.store, now)) == [(Environment("python3", ("json",)), 2), (PYTHON, 0), (PYTHON, 0)]
    assert list(due_soon(orchestrator.store, now - timedelta(hours=1))) == []
    orchestrator.close()


def kernels_of(pid):
    """Return the kernels that a process has started."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()
    except OSError:
        return []
    return [int(each) for each in children if b"ipykernel_launcher" in Path(f"/proc/{each}/cmdline").read_bytes()]


@pytest.mark.processes
@pytest.mark.kernel
def test_nothing_of_one_run_or_of_waiting_is_found_in_another(tmp_path):
    """In a kernel that waited for its run all is as in one started for it: folder, variables, path, history, names."""
    there, home = tmp_path / "there", tmp_path / "home"
    there.mkdir()
    book = write_book(there / "tell.ipynb", TELL)
    settings = Settings(home)
    orchestrator = Orchestrator(settings)
    spares = Spares(settings)
    spares.start(Environment("python3", ("colorsys", "no_such_module")))
    until(lambda: kernels_of(spares._spares[0].process.pid))
    orchestrator.deployments.promote(book, "tell")
    run_id = orchestrator.deployments.trigger("tell").run_id
    lease = orchestrator.store.claim_run(run_id, "me", "me", SystemClock().now() + timedelta(seconds=60))
    launch = launch_process(settings, orchestrator.store, spares)(lease, lambda: None)
    assert launch.ended.wait(60)
    assert launch.said == "ended with code 0", (home / "runs" / run_id / "process.log").read_text()
    assert not list((home / "runs" / run_id).glob("*.kernel.log"))
    waited = told_in(orchestrator.show(run_id).executed_notebook)
    assert waited["variables"]["ORCH_RUN_ID"] == run_id
    orchestrator.close()

    fresh = told_in(execute(book, output=tmp_path / "out.ipynb").output)
    for told in (waited, fresh):
        told["variables"] = {name: value for name, value in told["variables"].items() if not OWN.fullmatch(name)}
    assert waited == fresh
    assert fresh["cwd"] == str(there)
    assert fresh["history"] == []


def told_in(notebook):
    """Return what the only cell of an executed notebook told."""
    (output,) = read_notebook(notebook).cells[0].outputs
    assert output.output_type == "stream", output
    return json.loads(output.text)


@pytest.mark.processes
@pytest.mark.kernel
def test_whoever_dies_leaves_no_kernel_behind(tmp_path):
    """A spare process that is closed, killed, or whose starter is killed, leaves neither itself nor its kernel."""
    code = (
        "import sys, time, pathlib\n"
        "from orch_notebook.promotion.booting import Environment, Spare\n"
        "from orch_notebook.runtime.settings import Settings\n"
        f"home = Settings(pathlib.Path({str(tmp_path)!r})).environment\n"
        "found = [Spare(home, Environment('python3')) for _ in range(3)]\n"
        "print(*(each.process.pid for each in found), flush=True)\n"
        "sys.stdin.readline()\n"
        "found[0].close()\n"
        "time.sleep(60)\n"
    )
    owner = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    pids = list(map(int, owner.stdout.readline().split()))
    kernels = [until(lambda pid=pid: kernels_of(pid))[0] for pid in pids]
    owner.stdin.write("\n")
    owner.stdin.flush()
    until(lambda: is_gone(pids[0]) and is_gone(kernels[0]))
    os.kill(pids[1], signal.SIGKILL)
    until(lambda: is_gone(kernels[1]))
    assert not is_gone(kernels[2])
    owner.kill()
    owner.communicate()
    until(lambda: is_gone(pids[2]) and is_gone(kernels[2]))
