"""Bodies in processes, seen from a real kernel: what shows under a cell is what a thread would show."""

from __future__ import annotations

import pytest

from tests.kernels import Kernel
from tests.waiting import is_gone, until

pytestmark = [pytest.mark.kernel, pytest.mark.processes]

PLAIN = """
%load_ext orch_notebook
import logging, os, warnings
import matplotlib.pyplot as plt
from IPython.display import HTML, display
scale = 2
def inverse(x):
    return 1 / (x * scale - 2)
class Shown:
    def _repr_html_(self): return "<b>shown</b>"
def pools():
    import orch_notebook.jupyter.magics as magics
    return [pid for session in magics._sessions.values() for pid in session.orchestrator.pools.processes.pids]
"""


@pytest.fixture
def notebook(kernel: Kernel) -> Kernel:
    """A kernel in which the extension and the plain cells are there, and no tasks of other tests."""
    kernel.run("%unload_ext orch_notebook")
    assert kernel.run(PLAIN).status == "ok"
    return kernel


def run_task(notebook: Kernel, body: str, name: str):
    """Define a task that runs in a process, run it, and return what showed."""
    assert notebook.run(f"%%task {name} --runner processes\n{body}").status == "ok"
    return notebook.run(f"%flow run {name} --quiet")


def test_what_a_body_puts_out_shows_as_ever(notebook: Kernel) -> None:
    """Text, records, warnings, rich displays, figures and the last value, in every form Jupyter knows."""
    outcome = run_task(
        notebook,
        "print('printed')\nlogging.warning('logged')\nwarnings.warn('warned')\ndisplay(HTML('<i>rich</i>'))\n"
        "fig, ax = plt.subplots()\nax.plot([1, 2])\nShown()",
        "show",
    )
    assert outcome.status == "ok", outcome.traceback
    assert outcome.stream() == "printed\n"
    assert "WARNING:root:logged" in outcome.stream("stderr") and "UserWarning: warned" in outcome.stream("stderr")
    assert "<i>rich</i>" in outcome.data("text/html") and "<b>shown</b>" in outcome.data("text/html")
    assert len(outcome.data("image/png")) == 1


def test_what_a_body_makes_is_there(notebook: Kernel) -> None:
    """It ran elsewhere, over the notebook's own functions and classes."""
    outcome = run_task(notebook, "pid = os.getpid()\nmade = Shown()\nvalue = inverse(3)", "make")
    assert outcome.status == "ok", outcome.traceback
    told = notebook.run("print(pid != os.getpid(), pid in pools(), type(made) is Shown, value)")
    assert told.stream() == "True True True 0.25\n", told.traceback


def test_a_traceback_shows_the_cells_lines(notebook: Kernel) -> None:
    """Those of the task's cell and of the plain cell whose function failed, by their numbers."""
    outcome = run_task(notebook, "# a comment\nx = inverse(1)", "fail")
    assert outcome.status == "error"
    [shown] = [out for out in outcome.outputs if out.get("ename") == "ZeroDivisionError" and out["traceback"][1:]]
    text = "\n".join(shown["traceback"])
    assert "In[" in text and "line 3" in text and "inverse" in text and "# a comment" in text


def test_questions_are_refused(notebook: Kernel) -> None:
    """As in threads: nobody may be there."""
    assert "input() in a task" in run_task(notebook, "x = input('?')", "ask").traceback


def test_a_run_may_name_the_runner_of_all_its_tasks(notebook: Kernel) -> None:
    """Those that name one keep it."""
    notebook.run("%%task here --runner threads\nhere = os.getpid()")
    notebook.run("%%task there\nthere = os.getpid()")
    assert notebook.run("%flow run here there --quiet --runner processes").status == "ok"
    assert notebook.run("print(here == os.getpid(), there in pools())").stream() == "True True\n"


def test_a_process_that_dies_shows_one_line(notebook: Kernel) -> None:
    """No frame of ours; the kernel lives."""
    outcome = run_task(notebook, "os._exit(7)", "die")
    assert "ended with exit code 7" in outcome.traceback and "runners" not in outcome.traceback
    assert notebook.run("1").status == "ok"


def test_unloading_ends_the_processes(fresh_kernel: Kernel) -> None:
    """And so does the end of the kernel, however it comes."""
    fresh_kernel.run(PLAIN)
    run_task(fresh_kernel, "x = 1", "first")
    pids = eval(fresh_kernel.run("print(pools())").stream())
    assert pids
    fresh_kernel.run("%unload_ext orch_notebook")
    assert all(is_gone(pid) for pid in pids)
    fresh_kernel.run(PLAIN)
    run_task(fresh_kernel, "x = 1", "second")
    pids = eval(fresh_kernel.run("print(pools())").stream())
    fresh_kernel.shutdown()
    until(lambda: all(is_gone(pid) for pid in pids), "the ends of the processes")
