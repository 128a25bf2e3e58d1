"""Task cells in a real kernel: what one sees below them, and what stops them."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest

from orch_notebook.jupyter.routes import DisplayRoutes
from orch_notebook.model.views.words import plain
from orch_notebook.runtime.capture import Capture, capturing
from tests.kernels import Kernel

pytestmark = pytest.mark.kernel

WHERE = [
    ("%%task broken\nn / 0", 2),
    ("%%task broken --tag x\n\n  \nn / 0", 4),
    ("\n\n%%task broken\nn / 0", 2),
    ("%%task broken\n%time m = n\nn / 0", 3),
    ("%%task broken\n!true\n\nn / 0", 4),
]

DRAW = "%%task {0}\nimport matplotlib.pyplot as plt\nfigure_{0}, axes_{0} = plt.subplots(figsize=(1, 1))"


def test_a_task_that_is_the_first_to_import_pyplot_shows_its_figure(fresh_kernel: Kernel) -> None:
    """Tasks have figures of their own even if matplotlib arrives with one of them, and plain cells keep theirs."""
    for cell in ("%load_ext orch_notebook", DRAW.format("one"), DRAW.format("two")):
        fresh_kernel.run(cell)
    shown = fresh_kernel.run("%flow run --quiet")
    assert shown.error == ""
    assert len(shown.data("image/png")) == 2
    assert len(fresh_kernel.run("plt.plot([1, 2]);").data("image/png")) == 1
    assert fresh_kernel.run("plt.get_fignums()").data() == ["[]"]


INTERACTIVITY = ("all", "last_expr_or_assign", "none", "last_expr")
VALUES = ("1\nx = 2\nx", "x\ny = 3", "x\ny += 1;", "for i in range(2):\n    i", "y: int = 4", "x, y = 5, 6", "y;")


@pytest.mark.parametrize("mode", INTERACTIVITY)
def test_values_are_shown_as_the_person_wants_it(kernel: Kernel, mode: str) -> None:
    """What is set as ``ast_node_interactivity`` holds for tasks as for plain cells."""
    kernel.run("%reload_ext orch_notebook")
    kernel.run(f"%config InteractiveShell.ast_node_interactivity = {mode!r}")
    plainly = [value for body in ("x = 1; y = 2", *VALUES) for value in kernel.run(body).data()]
    for number, body in enumerate(("x = 1; y = 2", *VALUES)):
        after = f" --after t{number - 1}" if number else ""
        kernel.run(f"%%task t{number}{after}\n{body}")
    assert kernel.run("%flow run --quiet").data() == plainly
    kernel.run("%config InteractiveShell.ast_node_interactivity = 'last_expr'")


def test_figures_show_where_and_when_a_plain_cell_shows_them(fresh_kernel: Kernel) -> None:
    """Below the error of a cell that drew before it failed; not at all where the backend does not show them."""
    for cell in ("%load_ext orch_notebook", DRAW.format("one") + "\n1 / 0"):
        fresh_kernel.run(cell)
    kinds = [output["output_type"] for output in fresh_kernel.run("%flow run --quiet").outputs]
    assert kinds[:2] == ["error", "display_data"]
    fresh_kernel.run("import matplotlib.pyplot as plt\nplt.switch_backend('agg')")
    fresh_kernel.run("%flow remove one")
    fresh_kernel.run(DRAW.format("two"))
    shown = fresh_kernel.run("%flow run --quiet")
    assert (shown.error, shown.data("image/png")) == ("", [])
    # Nor after plt.ioff(), unless they are shown.
    fresh_kernel.run("%matplotlib inline\nplt.ioff()")
    fresh_kernel.run("%flow remove two")
    fresh_kernel.run(DRAW.format("three"))
    fresh_kernel.run(DRAW.format("four") + "\nplt.show()")
    shown = fresh_kernel.run("%flow run --quiet")
    assert (shown.error, len(shown.data("image/png"))) == ("", 1)


def test_the_last_value_bears_the_number_of_its_cell(kernel: Kernel) -> None:
    """`[3]:` stands before the value of the third cell, whenever the flow runs."""
    for cell in ("%reload_ext orch_notebook", "n = 1"):
        kernel.run(cell)
    kernel.run("%%task value\nn + 1")
    number = kernel.run("0").outputs[0]["execution_count"]
    shown = kernel.run("%flow run")
    assert [out["execution_count"] for out in shown.outputs if out["output_type"] == "execute_result"] == [number - 1]


@pytest.mark.parametrize(("cell", "line"), WHERE)
def test_a_traceback_tells_cell_and_line(kernel: Kernel, cell: str, line: int) -> None:
    """Both are those that the person sees, blank lines and magics counted."""
    kernel.run("%reload_ext orch_notebook")
    number = kernel.run("n = 0; n").outputs[0]["execution_count"] + 1
    kernel.run(cell)
    shown = plain(kernel.run("%flow run").traceback)
    assert f"Cell In[{number}], line {line}" in shown
    assert f"----> {line} n / 0" in shown
    # What is recorded of it, as the summary and `orch show` have it, says the same.
    recorded = kernel.run("%flow status").data()[0]
    assert f"  Cell In[{number}], line {line}\n" in recorded
    assert "ipykernel" not in recorded


HELP = ("%%task --help", "%task --help")


@pytest.mark.parametrize("cell", HELP)
def test_help_is_given_without_a_body(kernel: Kernel, cell: str) -> None:
    """IPython refuses a cell magic that has no body; ours answers."""
    kernel.run("%reload_ext orch_notebook")
    assert "--retries" in kernel.run(cell).stream()


def test_a_task_without_a_body_is_refused(kernel: Kernel) -> None:
    """The answer says where the code goes."""
    kernel.run("%reload_ext orch_notebook")
    for cell in ("%%task idle", "%%task idle\n", "%%task idle\n\n  \n"):
        assert kernel.run(cell).error.startswith("UsageError: This task has nothing to do yet"), cell


#: The body of a task in whose versions `x` is 1, and what it prints; outside, `x` is 5.
MAGICS = [
    ("%%time\ny = x + 1\nprint(y)", "2\n"),
    ("%time y = x + 1\nprint(y)", "2\n"),
    ("%%capture said\nprint('said', x)", ""),
    ("%%timeit -n 1 -r 1\nassert x == 1", ""),
    ("%who int", ".*\\bx\t.*\n"),
    ("names = !echo $x\nprint(*names)", "1\n"),
    ("!echo {x}", "1\r?\n"),
    ("print(get_ipython().user_ns['x'], get_ipython().ev('x'))", "1 1\n"),
]


@pytest.mark.parametrize(("body", "printed"), MAGICS)
def test_magics_see_the_names_of_their_task(kernel: Kernel, body: str, printed: str) -> None:
    """They read its versions, bind names for it, and leave what is outside alone until it completes."""
    for cell in ("%reload_ext orch_notebook", "%%task one\nx = 1", f"%%task two\n{body}", "%%task three\nx = 5"):
        kernel.run(cell)
    shown = kernel.run("%flow run --quiet")
    assert shown.error == ""
    text = "".join(line for line in shown.stream().splitlines(True) if "time" not in line and "loop" not in line)
    assert re.fullmatch(printed, text.replace("CPU", "")), text
    assert kernel.run("x").data() == ["5"]


STUCK = "%%task stuck\nfrom time import sleep\nslept = sleep(3)"


def see(kernel: Kernel, *words: str) -> None:
    """Wait until the kernel shows something with all these words in its first line."""
    while True:
        data = kernel.client.get_iopub_msg(timeout=30)["content"].get("data") or {}
        first = data.get("text/plain", "").partition("\n")[0]
        if all(word in first for word in words):
            return


def test_whoever_interrupts_twice_is_answered_in_words(fresh_kernel: Kernel) -> None:
    """A call that cannot be interrupted is named, nothing new starts, and its badge says how it ended once it has."""
    for cell in ("%load_ext orch_notebook", STUCK, "%%task after\nlate = slept"):
        fresh_kernel.run(cell)
    cell = fresh_kernel.start("%flow run")
    see(fresh_kernel, "Running", "stuck")
    fresh_kernel.interrupt()
    see(fresh_kernel, "Cancelling", "notebook")
    fresh_kernel.interrupt()
    shown = fresh_kernel.wait(cell)
    assert shown.error.startswith("FlowRunCancelled: Flow 'notebook' is being cancelled, but 'stuck' is inside a call")
    assert "KeyboardInterrupt" not in shown.traceback
    assert fresh_kernel.run("6 * 7").data() == ["42"]
    see(fresh_kernel, "Cancelled", "stuck")
    see(fresh_kernel, "Cancelled", "notebook")


def test_a_value_that_cannot_be_shown_tells_so_under_its_task() -> None:
    """The traceback of a broken ``__repr__`` goes where the task's outputs go, and outside of tasks where it did."""
    told: list[str] = []

    class Shell:
        display_pub = SimpleNamespace(publish=None, clear_output=None)
        magics_manager = SimpleNamespace()
        display_formatter = SimpleNamespace(format=None)
        displayhook, display_trap = print, SimpleNamespace(hook=print, old_hook=None)

        def _showtraceback(self, kind: type, error: BaseException, lines: list[str]) -> None:
            told.append(kind.__name__)

    shell, capture = Shell(), Capture(lambda level, text: None)
    routes = DisplayRoutes(shell)
    routes.open()
    shell._showtraceback(KeyError, KeyError("outside"), [])
    with capturing(capture):
        shell._showtraceback(ValueError, ValueError("inside"), ["line"])
    routes.close()
    error = {"output_type": "error", "ename": "ValueError", "evalue": "inside", "traceback": ["line"]}
    assert (told, capture.take()) == (["KeyError"], [error])
    assert "_showtraceback" not in vars(shell)


def test_what_was_drawn_before_a_failure_is_shown(fresh_kernel: Kernel) -> None:
    """A figure that a failing task has begun appears, as it does below a plain cell that fails."""
    fresh_kernel.run("%load_ext orch_notebook")
    fresh_kernel.run(DRAW.format("one") + "\n1 / 0")
    assert len(fresh_kernel.run("%flow run").data("image/png")) == 1
