"""The kernel that tests drive tells what a notebook would show."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.kernels import Kernel

pytestmark = pytest.mark.kernel

UPDATED = """
from IPython.display import display
handle = display("one", display_id=True)
handle.update("two")
"""


@pytest.mark.parametrize(
    ("code", "stdout", "last", "error"),
    [
        ("print('a'); 1 + 1", "a\n", ["2"], ""),
        ("import sys; print('b', file=sys.stderr)", "", [], ""),
        ("1 / 0", "", [], "ZeroDivisionError: division by zero"),
        ("x ===", "", [], "SyntaxError: invalid syntax"),
        (UPDATED, "", ["'two'"], ""),
        ("from IPython.display import clear_output; print(1); clear_output(); print(2)", "2\n", [], ""),
        ("print(1); clear_output(wait=True); print(2)", "2\n", [], ""),
    ],
)
def test_an_outcome_holds_what_the_notebook_would_show(
    kernel: Kernel, code: str, stdout: str, last: list[str], error: str
) -> None:
    """Streams, values, errors, updates and clears arrive as a notebook would keep them."""
    kernel.run("from IPython.display import clear_output")
    outcome = kernel.run(code)
    assert (outcome.stream(), outcome.data()) == (stdout, last)
    assert outcome.error.split(" (")[0] == error
    assert outcome.status == ("error" if error else "ok")


def test_a_later_cell_may_change_what_an_earlier_one_showed(kernel: Kernel) -> None:
    """An update by display_id reaches the outcome of the cell that showed it first."""
    first = kernel.run("from IPython.display import display; handle = display('early', display_id=True)")
    kernel.run("handle.update('late')")
    assert first.data() == ["'late'"]


def test_the_death_of_a_kernel_is_an_outcome(fresh_kernel: Kernel) -> None:
    """A cell that kills its kernel ends as dead instead of hanging the test."""
    assert fresh_kernel.run("import os; os._exit(3)").status == "dead"


def test_tests_live_in_a_world_of_their_own(kernel: Kernel, orch_home: Path, environment: dict[str, str]) -> None:
    """Neither the test nor its kernel sees the home or the Jupyter folders of the person who runs it."""
    assert environment["ORCH_HOME"] == str(orch_home) == os.environ["ORCH_HOME"]
    assert not orch_home.exists()
    names = ("HOME", "IPYTHONDIR", "JUPYTER_DATA_DIR")
    seen = kernel.run(f"import os; print(*[os.environ[name] for name in {names!r}], sep='\\n')").stream().split()
    assert seen == [os.environ[name] for name in names]
    assert all("orch-tests-" in path for path in seen)
