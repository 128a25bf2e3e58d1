"""What went wrong, looked at afterwards: `%tb`, `%debug`, and questions that tasks may not ask."""

from __future__ import annotations

import pytest

from orch_notebook.model.views.words import plain
from tests.kernels import Kernel

pytestmark = pytest.mark.kernel

HELPERS = "def outer(n):\n    def inner(m):\n        return 1 / m\n    return inner(n)"
BROKEN = "%%task broken\ndivisor = 0\nanswer = outer(divisor)"
RUNS = ["%flow run --quiet", "%flow run --quiet --background"]


def over(kernel: Kernel) -> None:
    """Wait until the run that goes on in the background has ended."""
    kernel.run(
        "from orch_notebook.jupyter.magics import _sessions\n_sessions[id(get_ipython())].steering.handle.wait(30)"
    )


@pytest.mark.parametrize("run", RUNS)
def test_the_traceback_and_the_debugger_show_the_failing_task(kernel: Kernel, run: str) -> None:
    """Its own lines and those of functions of plain cells, with the values they had; not the run that failed of it."""
    kernel.run("%reload_ext orch_notebook")
    place = kernel.run(f"{HELPERS}\n0").outputs[0]["execution_count"]
    kernel.run(BROKEN)
    kernel.run(run)
    over(kernel)
    shown = plain(kernel.run("%tb").traceback)
    for words in (
        f"Cell In[{place + 1}], line 3\n",
        "----> 3 answer = outer(divisor)",
        f"Cell In[{place}], line 4, in outer(n)",
        f"Cell In[{place}], line 3, in outer.<locals>.inner(m)",
        "----> 3         return 1 / m",
        "ZeroDivisionError: division by zero",
    ):
        assert words in shown
    assert "FlowRunFailed" not in shown
    assert "orch_notebook" not in shown
    debugged = plain(kernel.run("%debug", answers=("p m", "up", "up", "p divisor", "q")).stream())
    assert "inner()" in debugged
    assert debugged.count("\n0\n") == 2
    assert "answer = outer(divisor)" in debugged


def test_what_fails_later_takes_its_place(kernel: Kernel) -> None:
    """A plain cell that fails after the run is what the debugger shows then, as ever."""
    for cell in ("%reload_ext orch_notebook", HELPERS, BROKEN, "%flow run --quiet", "missing"):
        kernel.run(cell)
    assert "NameError" in plain(kernel.run("%tb").traceback)


def test_of_several_failures_the_first_is_kept_and_a_retry_that_works_is_none(kernel: Kernel) -> None:
    """An attempt that was repeated with success leaves nothing."""
    for cell in (
        "%reload_ext orch_notebook",
        "from pathlib import Path",
        "%%task shaky --retries 1\ntried = Path('tried').exists()\nPath('tried').touch()\n1 / tried",
        "%%task first --after shaky\nraise ValueError('first')",
        "%flow run --quiet",
    ):
        shown = kernel.run(cell)
    assert "FlowRunFailed" in shown.traceback
    assert "ValueError: first" in plain(kernel.run("%tb").traceback)


QUESTIONS = {
    "input": "%%task ask\nname = input('Who? ')",
    "getpass": "%%task ask\nimport getpass\nname = getpass.getpass('Who? ')",
    "a function of a plain cell": "%%task ask\nname = who()",
}


@pytest.mark.parametrize("cell", QUESTIONS.values(), ids=QUESTIONS)
@pytest.mark.parametrize("run", RUNS)
def test_a_task_that_asks_is_told_what_to_do_instead(kernel: Kernel, run: str, cell: str) -> None:
    """Even where somebody is there to answer; its own line is the last of the traceback."""
    for before in ("%reload_ext orch_notebook", "def who():\n    return input('Who? ')", cell):
        kernel.run(before)
    shown = kernel.run(run, answers=("nobody",))
    over(kernel)
    status = kernel.run("%flow status").data()[0]
    assert "in a task: nobody may be there to answer" in status
    assert "Make the value a parameter of the notebook" in status
    if "background" not in run:
        assert "questions.py" not in plain(shown.traceback)


def test_plain_cells_ask_as_ever(kernel: Kernel) -> None:
    """While the extension is loaded, and after it has gone."""
    ask = "name = input('Who? ')\nname"
    for cell in ("%reload_ext orch_notebook", "1", "%unload_ext orch_notebook", "%load_ext orch_notebook"):
        kernel.run(cell)
        assert kernel.run(ask, answers=("Ada",)).data() == ["'Ada'"], cell
