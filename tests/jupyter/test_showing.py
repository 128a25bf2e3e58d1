"""``flow`` at the end of a cell: the notebook's own flow, or a function's, shown where nobody could click."""

from __future__ import annotations

from pathlib import Path

import nbformat
import papermill
import pytest
from nbconvert import HTMLExporter

from orch_notebook import flow
from orch_notebook.errors import UsageError
from tests.kernels import Kernel

pytestmark = pytest.mark.kernel

WIDGET = "application/vnd.jupyter.widget-view+json"
FRESH = "%reset -sf", "%reload_ext orch_notebook"
LOAD = "%%task load\nx = 1"
NIGHTLY = "from orch_notebook import flow, task\n@flow\ndef nightly(n=2):\n    return task(abs, name='size')(n)"

#: Cells, and what the last one shows (an error begins with its name).
BOOKS = {
    "plain flow": ((*FRESH, LOAD, "flow"), "load"),
    "its panel": ((*FRESH, LOAD, "x = 0\nflow.panel()"), "load"),
    "after a run": ((*FRESH, LOAD, "%flow run --quiet", "flow"), "notebook  ✓ Completed in"),
    "automagic": ((*FRESH, LOAD, "flow run --quiet", "x"), "1"),
    "automagic before": (("cd .", *FRESH, "cd .", LOAD, "%flow run --quiet", "x"), "1"),
    "automagic alone": ((*FRESH, LOAD, "flow"), "load"),
    "a flow of the person's own": (("%reset -sf", "flow = 3", "%reload_ext orch_notebook", "flow"), "3"),
    "one that comes later": ((*FRESH, "flow = 4", "%unload_ext orch_notebook", "flow"), "4"),
    "one that a task makes": ((*FRESH, "%%task f\nflow = 5", "%flow run --quiet", "flow"), "5"),
    "it is not listed": ((*FRESH, "a = 1", "%who_ls"), "['a']"),
    "it makes functions flows": ((*FRESH, "@flow\ndef f():\n    return 6\n\nf()"), "6"),
    "imported, it is one of the program": (
        (*FRESH, NIGHTLY, "%%task f\ny = flow(nightly.fn)(-7)", "%flow run --quiet", "y"), "7",
    ),
    "imported, it shows the same": ((*FRESH, LOAD, "from orch_notebook import flow\nflow"), "load"),
    "a function's flow": ((*FRESH, NIGHTLY, "nightly"), "No tasks."),
    "a function's flow after a run": ((*FRESH, NIGHTLY, "nightly(-3);", "nightly"), "nightly  ✓ Completed in"),
    "its panel too": ((*FRESH, NIGHTLY, "nightly(-3);", "nightly.panel()"), "nightly  ✓ Completed in"),
    "it goes with the extension": ((*FRESH, "%unload_ext orch_notebook", "flow"), "NameError: name 'flow' is not"),
    "without it there is no panel": (
        (*FRESH, "%unload_ext orch_notebook", "from orch_notebook import flow\nflow.panel()"),
        "UsageError: The panel comes with the notebook's extension: %load_ext orch_notebook",
    ),
    "without it a function's flow tells its last run": (
        (*FRESH, "%unload_ext orch_notebook", NIGHTLY, "nightly(-3);", "nightly"), "nightly  ✓ Completed in",
    ),
    "or that it has none": (
        (*FRESH, "%unload_ext orch_notebook", NIGHTLY.replace("nightly", "daily"), "daily"),
        "<flow 'daily'>: daily(n = 2) has not run yet",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("cells", "shown"), BOOKS.values(), ids=BOOKS)
def test_a_flow_at_the_end_of_a_cell_is_shown(
    kernel: Kernel, tmp_path: Path, cells: tuple[str, ...], shown: str
) -> None:
    """As the panel shows it, in plain HTML and text; the name is the person's own wherever they have one."""
    kernel.run(f"import os; os.environ['ORCH_HOME'] = {str(tmp_path)!r}")
    for cell in cells:
        last = kernel.run(cell)
    said = last.error or "\n".join(last.data())
    assert shown in said if last.error or len(shown) > 9 else said.startswith(shown)
    assert not last.data(WIDGET)


def test_the_name_is_none_of_the_program(fresh_kernel: Kernel) -> None:
    """A task that reads it is told that nothing defines it, as if it were not there."""
    fresh_kernel.run("%load_ext orch_notebook")
    assert "Task 'f' reads 'flow', which no cell above defines" in fresh_kernel.run("%%task f\ny = flow").error


def test_an_executed_notebook_keeps_no_widget(tmp_path: Path) -> None:
    """Whoever executes a notebook gets the static view in its place, and whoever converts that sees it."""
    cells = [
        "%load_ext orch_notebook",
        LOAD,
        "%flow",
        "%flow run",
        "flow",
        "flow.panel()",
        NIGHTLY,
        "nightly(-3)",
        "nightly",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, tmp_path / "book.ipynb")
    done = papermill.execute_notebook(
        str(tmp_path / "book.ipynb"), str(tmp_path / "done.ipynb"), progress_bar=False, log_output=False
    )
    assert "widgets" not in done.metadata
    shown = [[set(out.data) for out in cell.outputs if "data" in out] for cell in done.cells]
    assert [WIDGET in kinds for outputs in shown for kinds in outputs] == [False] * sum(map(len, shown))
    for cell in (3, 4, 5, 8):
        (output,) = done.cells[cell].outputs
        assert "Completed" in output.data["text/html"], cell
    page, _ = HTMLExporter().from_notebook_node(done)
    assert "widget-view" not in page
    assert page.count("data:image/svg+xml;base64,") >= 4


def test_outside_of_a_notebook_flow_only_makes_flows() -> None:
    """It shows its own words, and says what a panel comes with."""
    assert flow._repr_mimebundle_() == {"text/plain": repr(flow)}
    with pytest.raises(UsageError, match="%load_ext orch_notebook"):
        flow.panel()
