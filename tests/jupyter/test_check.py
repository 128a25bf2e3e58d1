"""``%flow check`` in a real kernel: the report under its cell, and nothing else changed."""

from __future__ import annotations

import os

import pytest

from orch_notebook.promotion.checks import REPORT_TYPE
from tests.kernels import Kernel

pytestmark = pytest.mark.kernel

EXTENSION = """
def load_ipython_extension(shell):
    shell.register_magic_function(abs_of, "line")

def abs_of(line):
    return abs(int(line))
"""

LOADER = """
def load(shell):
    shell.run_line_magic("load_ext", "ours")
    return 1

def use(shell):
    return shell.run_line_magic("abs_of", "-3")
"""

LIBRARY = "def tidy(rows):\n    rows.append(99)\n    return len(rows)\n"


def run(kernel: Kernel, *cells: str) -> None:
    """Execute cells that must go well."""
    for cell in cells:
        assert kernel.run(cell).error == "", cell


def test_a_race_is_shown_with_its_line(fresh_kernel: Kernel, tmp_path) -> None:
    """As text, as HTML and as data; mended so, the flow is clean; values, badges and versions stay as they were."""
    (tmp_path / "mylib.py").write_text(LIBRARY)
    run(
        fresh_kernel,
        "%load_ext orch_notebook\nimport mylib, numpy as np\nlog = ['start']\nnp.random.seed(3)",
        "%%task load\nrows = [1, 2]\nlog.append('load')\nnp.random.rand()",
        "%%task count\nprint(len(rows))",
        "%%task tidy\nm = mylib.tidy(rows)",
        "%flow run --quiet",
    )
    shown = fresh_kernel.run("%flow check")
    assert shown.error == "" and shown.stream() == ""
    [report] = shown.data(REPORT_TYPE)
    assert [(found["task"], found["line"]) for found in report["findings"]] == [("tidy", "%%task tidy --mutates rows")]
    assert "'orch check NOTEBOOK' compares it with plain cells, too" in shown.data()[0]
    assert "%%task tidy --mutates rows" in shown.data()[0] and "tidy" in shown.data("text/html")[0]
    assert fresh_kernel.run("rows, m, log").data() == ["([1, 2, 99], 3, ['start', 'load'])"]
    assert fresh_kernel.run("[n for n in globals() if n.startswith('orch')]").data() == ["[]"]
    run(fresh_kernel, "%%task tidy --mutates rows\nm = mylib.tidy(rows)", "%flow run tidy --quiet")
    assert fresh_kernel.run("%flow check").data(REPORT_TYPE)[0]["is_clean"]


def test_figures_and_values_are_compared_and_shown_nowhere(fresh_kernel: Kernel) -> None:
    """What tasks put out during a check stays out of the notebook."""
    run(
        fresh_kernel,
        "%load_ext orch_notebook\nimport matplotlib.pyplot as plt",
        "%%task draw\nplt.plot([1, 2])\nprint('drawn')",
        "%%task value\n{'a': 1}",
        "%%task other\nplt.hist([1, 2, 2]);",
    )
    shown = fresh_kernel.run("%flow check --seed 4 --orders 2")
    assert shown.stream() == "" and len(shown.outputs) == 1
    assert shown.data(REPORT_TYPE)[0]["is_clean"], shown.data()[0]
    assert fresh_kernel.run("plt.get_fignums()").data() == ["[]"]


def test_what_is_wrong_is_said_in_one_line(kernel: Kernel) -> None:
    """An empty flow, an unknown flow, and --all-cells where nobody tells which notebook."""
    run(kernel, "%reload_ext orch_notebook")
    assert kernel.run("%flow check").error.startswith("NotFound: This notebook has no tasks yet")
    assert "There is no flow 'b'" in kernel.run("%flow check --flow b").error
    assert "does not tell where this notebook is" in kernel.run("%flow check --all-cells").error


def test_a_magic_that_another_task_loads_is_a_hidden_order(fresh_kernel: Kernel, tmp_path) -> None:
    """Though it stays loaded in the kernel: before every run of the flow it is taken away again."""
    (tmp_path / "ours.py").write_text(EXTENSION)
    (tmp_path / "loader.py").write_text(LOADER)
    run(
        fresh_kernel,
        "%load_ext orch_notebook\nimport loader\nshell = get_ipython()",
        "%%task load\na = loader.load(shell)",
        "%%task use\nb = loader.use(shell)",
    )
    [report] = fresh_kernel.run("%flow check").data(REPORT_TYPE)
    assert [(found["task"], found["line"]) for found in report["findings"]] == [("use", "%%task use --after load")]
    assert "UsageError" in fresh_kernel.run("%abs_of -3").stream("stderr")


def test_interrupting_ends_it(fresh_kernel: Kernel, tmp_path) -> None:
    """The kernel's interrupt cancels the check, puts everything back and leaves the session usable."""
    os.mkfifo(tmp_path / "begun")
    run(
        fresh_kernel,
        "%load_ext orch_notebook\nfrom time import sleep\nfrom pathlib import Path\nlog = []",
        "%%task slow\nlog.append(1)\nPath('begun').write_text('x')\nfor _ in range(6000):\n    sleep(0.05)",
    )
    check = fresh_kernel.start("%flow check")
    assert (tmp_path / "begun").read_text() == "x"  # who reads a pipe waits for who writes
    fresh_kernel.interrupt()
    assert fresh_kernel.wait(check).error.startswith("FlowRunCancelled: The check of flow")
    assert fresh_kernel.run("log").data() == ["[]"]
