"""``%flow open`` and ``%flow resume`` in a real kernel: a run that failed by itself is mended and finished there."""

import os
import re
from pathlib import Path

import pytest

from orch_notebook.orchestrator import Orchestrator
from orch_notebook.promotion.notebooks import read_notebook
from orch_notebook.runtime.settings import Settings
from tests.books import write_book
from tests.kernels import Kernel

pytestmark = [pytest.mark.kernel, pytest.mark.processes]

PAGE = (Path(__file__).parents[2] / "docs" / "failures.md").read_text("utf-8")


def noted(cell: str) -> str:
    """Return a cell that notes in the file `log` that its code runs, if it is a task."""
    head, _, body = cell.partition("\n")
    if not head.startswith("%%task"):
        return cell.replace("numpy as np", "numpy as np\nfrom noting import note").strip()
    return f"{head}\nnoted = note({head.split()[1]!r})\n{body}".strip()


#: The notebook that the documentation shows; its first cell declares the parameters.
CELLS = [noted(cell) for cell in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)]
MENDED = "%%task fit\nnoted = note('fit')\nmean = rows.mean() / count"


def write(path: Path, cells: list[str]) -> Path:
    """Write the notebook."""
    return write_book(path, (cells[0], ["parameters"]), *cells[1:])


@pytest.fixture
def failed(tmp_path: Path, monkeypatch):
    """A run of a notebook that failed, by itself: its home, its path and its id."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "noting.py").write_text("def note(task):\n    with open('log', 'a') as file: file.write(task + ' ')\n")
    path = write(tmp_path / "nb.ipynb", CELLS)
    orchestrator = Orchestrator(Settings(tmp_path / "home"))
    execution = orchestrator.execute(path, {"n": 3})
    execution.wait()
    yield orchestrator, path, execution.run_id
    orchestrator.close()


def test_a_failed_run_is_opened_mended_and_finished(failed, tmp_path):
    """Inputs, parameters and environment are there and the failure is shown; resuming runs what is mended and lacks."""
    orchestrator, path, run_id = failed
    environment = {**os.environ, "ORCH_HOME": str(tmp_path / "home"), "JPY_SESSION_NAME": str(path)}
    log = tmp_path / "log"
    assert log.read_text().split() == ["load", "clean", "size", "fit"]
    for fate in orchestrator.foresee_retry(run_id):
        line = f"{'runs  ' if fate.runs else 'loaded'}  {fate.task:<5}  {fate.reason}"
        assert f"  {line.replace(run_id[-8:], '1a2b3c4d')}\n" in PAGE
    with Kernel(tmp_path, environment) as kernel:
        kernel.run("%load_ext orch_notebook")
        # Another notebook than the run's: it says so, and touches nothing.
        write(path, [cell.replace("len(rows)", "rows.size") for cell in CELLS])
        refused = kernel.run(f"%flow open {run_id[-8:]}")
        assert "differs from what run" in refused.error
        assert "cell 5" in refused.error
        assert "+count = rows.size" in refused.error
        assert kernel.run("'np' in globals(), 'rows' in globals()").data() == ["(False, False)"]

        write(path, CELLS)
        opened = kernel.run(f"%flow open {run_id[-8:]}")
        assert opened.status == "ok", opened.traceback
        (text,) = opened.data()
        assert f"Failed: run {run_id[-8:]}, task fit, cell 6" in text
        assert "AssertionError: no mean" in text
        assert "mean = rows.mean() / (count - count)" in text
        assert "count  1500  from size" in text
        assert "Parameters: n = 3" in text
        assert "Restored: load, size." in text
        assert "Not there: rows" in text
        assert "lock" in text
        assert log.read_text().split() == ["load", "clean", "size", "fit"]
        assert kernel.run("n, count, note.__name__").data() == ["(3, 1500, 'note')"]

        kernel.run(MENDED)
        resumed = kernel.run("%flow resume")
        assert resumed.status == "ok", resumed.traceback
        assert kernel.run("round(float(mean), 2), float(rows[0, 0])").data() == ["(1.0, -1.0)"]
        assert "has completed" in kernel.run("%flow resume").error
    # What could not be kept ran again; what completed did not.
    assert log.read_text().split()[4:] == ["clean", "fit", "tell"]
    made = next(run for run in orchestrator.runs() if run.retry_of == run_id)
    made = orchestrator.show(made.run_id)
    assert (made.state.name, made.attempt, made.parameters) == ("Completed", 2, {"n": 3})
    assert {task.name: task.state.name for task in made.tasks} == {
        "load": "Cached", "clean": "Completed", "size": "Cached", "fit": "Completed", "tell": "Completed",
    }  # fmt: skip
    notes = {task.name: task.details.get("note", "") for task in made.tasks}
    assert "mended after run " + run_id[-8:] in notes["fit"]
    assert "mended" not in notes["tell"]
    compared = orchestrator.compare(run_id, made.run_id)
    assert compared.source[0] == "cell 6"
    assert "    +mean = rows.mean() / count" in compared.source
    assert [(pair.name, *pair.states) for pair in compared.tasks][3:] == [
        ("fit", "Failed", "Completed"),
        ("tell", "UpstreamFailed", "Completed"),
    ]
    executed = [str(cell.source) for cell in read_notebook(orchestrator.store.plan(made.run_id).snapshot).cells]
    assert (executed[5], executed[4]) == (MENDED, CELLS[4])


def test_the_last_run_of_a_session_is_resumed_in_memory(fresh_kernel):
    """Without a name, ``%flow resume`` finishes the session's own last run as its next attempt."""
    kernel = fresh_kernel
    kernel.run("%load_ext orch_notebook\ndone = []")
    assert "Nothing has run here yet" in kernel.run("%flow resume").error
    kernel.run("%%task a\ndone.append('a')\nx = 1")
    kernel.run("%%task b\ny = 1 / (x - 1)")
    assert "ZeroDivisionError" in kernel.run("%flow run").traceback
    kernel.run("%%task b\ny = 1 / x")
    assert kernel.run("%flow resume").status == "ok"
    assert kernel.run("done, y").data() == ["(['a'], 1.0)"]
    assert "has completed" in kernel.run("%flow resume").error
    look = (
        "from orch_notebook.orchestrator import Orchestrator\n"
        "last, first = Orchestrator().runs()\n"
        "last.retry_of == first.run_id, last.attempt, last.state.name, first.state.name"
    )
    assert kernel.run(look).data() == ["(True, 2, 'Completed', 'Failed')"]
