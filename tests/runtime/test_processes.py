"""Processes that perform bodies: they end when they must, take nobody along, and leave nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from orch_notebook.errors import ProcessDied
from orch_notebook.runtime.runners.pooling import ProcessPool
from orch_notebook.runtime.runners.processes import ProcessRunner
from tests.runtime.test_programs import Notebook
from tests.runtime.test_runners import Lines, details_of, notes_of
from tests.waiting import is_gone, until

pytestmark = pytest.mark.processes

PATIENCE = 60.0


@pytest.fixture
def pool() -> Iterator[ProcessPool]:
    """Two processes of one's own."""
    pool = ProcessPool(2)
    yield pool
    pool.close()


DEATHS = {
    "exit": ("import os\nos._exit(3)", "ended with exit code 3"),
    "segfault": ("import ctypes\nx = ctypes.string_at(0)", "was killed by SIGSEGV"),
    "out of memory": ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "memory runs out"),
}


@pytest.mark.parametrize("source, said", DEATHS.values(), ids=DEATHS)
def test_a_process_that_dies_crashes_its_task_and_no_other(pool, source, said) -> None:
    """The task ends Crashed and says how; those beside it complete, and those after it have a process again."""
    notebook = Notebook(f"print('last words')\n{source}", "a = 1", "b = a + 1")
    assert notebook.run(runner=ProcessRunner(pool)) == ["Crashed", "Completed", "Completed"]
    details = details_of(notebook, "t0")
    assert said in details["error"] and "'t0'" in details["error"] and details["traceback"] == []
    assert ("t0", "last words") in notebook.lines


def test_a_crash_follows_the_retry_rule(pool, tmp_path) -> None:
    """The second attempt has a process of its own."""
    notebook = Notebook()
    tried = str(tmp_path / "tried")
    notebook.define(
        "t0",
        f"import os, pathlib\nif not pathlib.Path({tried!r}).exists():\n"
        f"    pathlib.Path({tried!r}).touch()\n    os._exit(1)\na = 1",
        retries=1,
    )
    assert notebook.run(runner=ProcessRunner(pool)) == ["Completed"]
    assert notebook.recorded.states_of("t0") == ["Running", "Crashed", "AwaitingRetry", "Retrying", "Completed"]


def test_a_process_that_died_idle_is_replaced(pool) -> None:
    """Nobody's task pays for it."""
    notebook = Notebook("a = 1")
    notebook.run(runner=ProcessRunner(pool))
    [pid] = pool.pids
    os.kill(pid, signal.SIGKILL)
    assert notebook.run(runner=ProcessRunner(pool), everything=True) == ["Completed"]
    assert pid not in pool.pids


STUBBORN = {
    "that sleeps": "import time\ntime.sleep(3600)",
    "that refuses": "while True:\n    try:\n        while True: pass\n    except BaseException:\n        pass",
    "that holds the interpreter": "import ctypes\nctypes.PyDLL(None).sleep(3600)",
    "that started others": "import os, time\nif os.fork() == 0:\n    time.sleep(3600)\ntime.sleep(3600)",
}


@pytest.mark.parametrize("source", STUBBORN.values(), ids=STUBBORN)
def test_a_stop_really_ends_a_body(pool, source) -> None:
    """Whatever it does, its process and what that has started are gone when the run has ended."""
    notebook = Notebook("import os\nprint(os.getpgrp())\nprint('on')\n" + source)
    notebook.lines = lines = Lines("on")
    stopper = threading.Thread(target=lambda: lines.heard.wait(PATIENCE) and notebook.engine.cancel())
    stopper.start()
    assert notebook.run(runner=ProcessRunner(pool)) == ["Cancelled"]
    stopper.join()
    group = int(notebook.lines[0][1])
    until(lambda: not [pid for pid in members(group) if not is_gone(pid)])
    assert Notebook("a = 1").run(runner=ProcessRunner(pool)) == ["Completed"]


def members(group: int) -> list[int]:
    """Return the processes of a group."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group:
            found.append(int(path.parent.name))
    return found


def test_a_cancelled_run_ends_its_bodies(pool) -> None:
    """What runs is stopped, what waits never begins."""
    notebook = Notebook("print('on')\nwhile True: pass", "x = 1\nwhile True: pass", "y = x")
    notebook.lines = lines = Lines("on")
    stopper = threading.Thread(target=lambda: lines.heard.wait(PATIENCE) and notebook.engine.cancel())
    stopper.start()
    assert set(notebook.run(runner=ProcessRunner(pool))) == {"Cancelled"}
    stopper.join()


def test_processes_are_warm_from_run_to_run_and_end_with_the_pool(pool) -> None:
    """The second run finds the process of the first; closing leaves none."""
    notebook = Notebook("import os\na = os.getpid()")
    pids = []
    for _ in range(3):
        notebook.run(runner=ProcessRunner(pool), everything=True)
        pids.append(notebook.names["a"])
    assert len(set(pids)) == 1 and pool.pids == pids[:1]
    pool.close()
    assert not pool.pids and is_gone(pids[0])


def test_what_a_body_worked_on_is_freed(pool) -> None:
    """A warm process holds nothing of its last task."""
    big = "class Big: pass\nbig = Big()\nbig.me = big\nbig.data = bytearray(2_000_000)\ndef f(): return big\n"
    kept = "vars(__import__('builtins'))['orch_big']"
    notebook = Notebook(big + f"import weakref\n{kept} = weakref.ref(big)")
    notebook.define("t1", f"alive = {kept}() is not None\ndel {kept}", after=("t0",))
    one = ProcessRunner(pool, workers=1)
    assert notebook.run(runner=one) == ["Completed"] * 2
    assert notebook.names["alive"] is False


ORPHANS = """
import os, sys
from orch_notebook.runtime.runners.pooling import ProcessPool
from orch_notebook.runtime.runners.processes import ProcessRunner
from tests.runtime.test_programs import Notebook

notebook = Notebook("import os\\nprint(os.getpid())\\nwhile True: pass")
class Tell(list):
    def append(self, line):
        os.write(1, line[1].encode() + b"\\n")
notebook.lines = Tell()
notebook.run(runner=ProcessRunner(ProcessPool(1)))
"""


def test_no_process_outlives_the_one_that_started_it() -> None:
    """Killed without warning, a kernel leaves nothing behind."""
    parent = subprocess.Popen([sys.executable, "-c", ORPHANS], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait(PATIENCE)
    parent.stdout.close()
    until(lambda: is_gone(pid))


UNGUARDED = """
from orch_notebook.runtime.runners.pooling import ProcessPool
from orch_notebook.runtime.runners.processes import ProcessRunner
from tests.runtime.test_programs import Notebook

print("once")
notebook = Notebook("a = 1")
print(notebook.run(runner=ProcessRunner(ProcessPool(1))))
"""


def test_a_script_needs_no_guard_and_ends_by_itself(tmp_path) -> None:
    """Its main module is not imported again, and idle processes keep nobody from ending."""
    script = tmp_path / "script.py"
    script.write_text(UNGUARDED)
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (done.returncode, done.stdout.splitlines()) == (0, ["once", "['Completed']"]), done.stderr


def test_what_cannot_travel_fails_at_once_and_is_not_tried_again(pool) -> None:
    """The error names the variable and the way out; another attempt would be no different."""
    notebook = Notebook(lock=threading.Lock())
    notebook.define("t0", "a = lock", retries=3)
    assert notebook.run(runner=ProcessRunner(pool)) == ["Failed"]
    assert notebook.recorded.states_of("t0") == ["Running", "Failed"]
    assert "'lock'" in details_of(notebook, "t0")["error"] and "--runner threads" in details_of(notebook, "t0")["error"]


def test_a_bystander_that_was_missed_after_all_is_explained(pool) -> None:
    """The error about the name says why it is not there."""
    notebook = Notebook("a = f()", f=None, lock=threading.Lock())
    exec("def f(): return lock", notebook.names)  # the source of this one nobody has seen
    assert notebook.run(runner=ProcessRunner(pool)) == ["Failed"]
    error = details_of(notebook, "t0").get("error", "")
    assert "'lock' could not be sent to this process" in error and "--runner threads" in error


def test_what_nobody_reads_may_stay_where_it_was_made(pool, tmp_path) -> None:
    """A file that a ``with`` leaves closed fails no task; who uses the name afterwards is told."""
    path = tmp_path / "numbers"
    path.write_text("1 2")
    notebook = Notebook(f"with open({str(path)!r}) as file:\n    a = file.read()")
    assert notebook.run(runner=ProcessRunner(pool)) == ["Completed"]
    assert notebook.names["a"] == "1 2"
    assert notes_of(notebook) == {"t0": "'file' stayed in the process: it cannot be pickled."}
    with pytest.raises(AttributeError, match=r"TextIOWrapper.*--runner threads"):
        notebook.names["file"].read()


def test_a_note_says_why_a_body_ran_in_a_thread(pool) -> None:
    """And where it did not have to, there is none."""
    notebook = Notebook("it = iter([1])", "a = next(it)", "b = a")
    assert notebook.run(runner=ProcessRunner(pool)) == ["Completed"] * 3
    assert notes_of(notebook) == {"t1": "Run in a thread: it changes a list_iterator in place."}


def test_the_error_of_a_death_survives_pickling() -> None:
    """It may be raised in yet another process."""
    import pickle

    error = pickle.loads(pickle.dumps(ProcessDied("The process died.", task="a", exitcode=-9)))
    assert (error.task, error.exitcode, str(error)) == ("a", -9, "The process died.")
