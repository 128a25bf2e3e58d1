"""``orch run`` on real notebooks in real kernels: what it says, how it exits, and what stands in the record after."""

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from orch_notebook.orchestrator import Orchestrator
from orch_notebook.promotion.notebooks import read_notebook
from tests.books import write_book
from tests.cli.conftest import COMMAND
from tests.waiting import until

pytestmark = [pytest.mark.kernel, pytest.mark.processes]


def states(shown):
    """Return the state name of every task of a run as ``show --json`` gives it."""
    return {task["name"]: task["state"]["name"] for task in shown["tasks"]}


@pytest.fixture
def show(orch, at_executed):
    """Returns what ``show --json`` says of a notebook's run."""
    return lambda name: orch("show", at_executed.run_id(name), "--json").json


def test_exit_codes_tell_how_runs_ended(executed):
    """0 when the run completed, else 1; never a traceback of ours."""
    assert {name: answer.code for name, answer in executed.answers.items()} == {
        "good": 0,
        "bad": 1,
        "plain": 1,
        "killed": 1,
    }
    assert {answer.err for answer in executed.answers.values()} == {""}


def test_progress_and_outcome_are_printed(executed):
    """Each task as it ends, then the table, the message and where the executed notebook is."""
    out = executed.answers["bad"].out
    assert "  Completed      fine\n" in out
    assert "bad  ✗ Failed" in out
    assert "of 4 tasks failed" in out
    assert "ValueError: [bold]no[/bold] <script>alert(1)</script>" in out
    assert "    raise ValueError(" in out
    path = Path(out.strip().splitlines()[-1].removeprefix("Executed notebook: "))
    assert path.name == "bad.ipynb"
    assert read_notebook(path)


def test_parameters_arrive(show):
    """What ``-p`` gives reaches the notebook and stands in the record, typed."""
    found = show("good")
    assert (found["parameters"], found["state"]["name"]) == ({"n": 7}, "Completed")
    assert states(found) == {"loud": "Completed", "lock": "Completed", "marked": "Completed"}
    printed = [output for output in read_notebook(found["executed_notebook"]).cells[5].outputs if "text" in output]
    assert printed[0].text == "[red]not red[/red] <b>not bold</b> 7\n"


def test_a_hundred_megabytes_are_capped_with_a_note(orch, at_executed, show):
    """The log and the notebook keep a part, say how much they did not keep, and stay small."""
    run_id = at_executed.run_id("good")
    lines = orch("logs", run_id, "--task", "loud").out.splitlines()
    assert sum(map(len, lines)) < 1_200_000
    assert "more characters were not kept" in lines[-1]
    assert Path(show("good")["executed_notebook"]).stat().st_size < 5_000_000


def test_what_cannot_be_pickled_is_noted(show):
    """A result that cannot be kept is a note on its task, not a failure."""
    (task,) = [task for task in show("good")["tasks"] if task["name"] == "lock"]
    assert (task["state"]["name"], task["error"]) == ("Completed", None)
    assert "lock" in task["note"]


def test_a_failing_task_names_its_line(show):
    """The traceback holds the user's line; what depended on it did not run; the others did."""
    found = show("bad")
    assert states(found) == {"fine": "Completed", "broken": "Failed", "leave": "Failed", "last": "UpstreamFailed"}
    broken = next(task for task in found["tasks"] if task["name"] == "broken")
    assert any("raise ValueError" in line for line in broken["traceback"])
    assert found["state"]["message"].startswith("2 of 4 tasks failed: ")


def test_exiting_is_failing(show):
    """What exits has failed, task or plain cell, and says with what; the kernel lives on."""
    leave = next(task for task in show("bad")["tasks"] if task["name"] == "leave")
    assert leave["error"] == "The task called sys.exit(3)."
    found = show("plain")
    assert states(found) == {"cell-0": "Completed", "cell-1": "Failed", "cell-2": "UpstreamFailed"}
    assert found["state"]["message"] == "Cell 2: SystemExit: 3"
    assert [task["cell_index"] for task in found["tasks"]] == [0, 1, 2]


def test_a_kernel_that_kills_itself_has_crashed(show):
    """Run and task end CRASHED; what was done before stays done; the notebook says it in its cell."""
    found = show("killed")
    assert (found["state"]["type"], states(found)) == ("CRASHED", {"first": "Completed", "suicide": "Lost"})
    assert "SIGKILL" in found["state"]["message"]
    cells = read_notebook(found["executed_notebook"]).cells
    assert "KernelDied" in str(cells[-1].outputs)
    assert "Lost" in cells[2].outputs[0].data["text/plain"]


def test_logs_hold_what_cells_printed(orch, at_executed):
    """Also of a notebook without tasks, under the name of its cell."""
    assert "[cell-0] hello\n" in orch("logs", at_executed.run_id("plain")).out


def test_the_list_for_people_leaves_out_what_belongs_to_another_run(orch, at_executed):
    """A notebook's own %flow run is in the JSON with its parent, and part of its run in the table."""
    found = orch("runs", "--json").json
    parents = {run["parent_run_id"] for run in found} - {None}
    assert parents == {at_executed.run_id(name) for name in ("good", "bad", "killed")}
    assert len(found) == 7
    assert len(orch("runs").out.splitlines()) == 1 + 4
    assert len(orch("runs", "--parent", next(iter(parents))).out.splitlines()) == 1 + 1


def test_html_is_written(orch, at_executed, tmp_path):
    """``show --html`` writes the executed notebook as one file in which markup of users is text."""
    target = tmp_path / "bad.html"
    assert orch("show", at_executed.run_id("bad"), "--html", target).out == f"{target}\n"
    assert "<script>alert(1)" not in target.read_text()
    answer = orch("show", at_executed.run_id("bad"), "--html", "/none/such/bad.html")
    assert (answer.code, answer.err.count("\n")) == (2, 1)


HOLD = """
import json, os, pathlib, time
pathlib.Path("held").write_text(str(os.getpid()))
give_up_at = time.monotonic() + 120
while time.monotonic() < give_up_at:
    time.sleep(0.02)
"""


def test_a_time_limit_ends_a_run(orch, tmp_path):
    """What takes longer than ``--timeout``, kernel and all, is interrupted; the run says that time was up."""
    path = write_book(tmp_path / "slow.ipynb", "import time\ntime.sleep(60)", "print('never')")
    answer = orch("run", path, "--timeout", "1s", "--json")
    assert (answer.code, answer.json["state"]["type"], answer.json["state"]["name"]) == (1, "FAILED", "TimedOut")
    first, last = states(answer.json).values()
    assert first in ("TimedOut", "UpstreamFailed")  # a kernel may take longer than a second to start
    assert last == "UpstreamFailed"
    assert "longer than 1 s" in answer.json["state"]["message"]


def test_the_log_says_what_a_plain_cell_raised(orch, tmp_path):
    """In a notebook with tasks a cell that is none may fail too; its traceback is in the run's log."""
    path = write_book(tmp_path / "setup.ipynb", "%load_ext orch_notebook", "open('no such file')", "%%task a\nx = 1")
    answer = orch("run", path, "--json")
    assert (answer.code, answer.json["tasks"]) == (1, [])
    assert answer.json["state"]["message"].startswith("Cell 2: FileNotFoundError")
    lines = orch("logs", answer.json["run_id"]).out
    assert "Cell 2 of 3 raised FileNotFoundError" in lines
    assert "open('no such file')" in lines
    assert "\x1b" not in lines


def heed_interrupts():
    # What a shell starts in the background ignores interrupts, and would hand that down through pytest.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_an_interrupt_cancels(tmp_path, orch_home, options):
    """Ctrl-C during ``orch run`` cancels the run and its tasks, ends the kernel, and exits with 130."""
    path = write_book(
        tmp_path / "long.ipynb", "%load_ext orch_notebook", f"%%task hold\n{HOLD}", "%%task next --after hold\nx = 1"
    )
    process = subprocess.Popen(
        [*COMMAND, "run", str(path), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=heed_interrupts,
    )
    orchestrator = Orchestrator()

    def is_held():
        assert process.poll() is None
        runs = [orchestrator.store.run(run.run_id) for run in orchestrator.store.runs()] if orch_home.exists() else []
        is_running = any(task.name == "hold" and task.state.name == "Running" for run in runs for task in run.tasks)
        return is_running and (tmp_path / "held").exists()

    until(is_held)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "Cancelling; interrupt again to leave at once.\n")
    (run,) = (each for each in orchestrator.runs() if each.parent_run_id is None)
    shown = orchestrator.show(run.run_id)
    assert (shown.state.name, shown.state.message) == ("Cancelled", "Cancelled by request.")
    assert {task.name: task.state.name for task in shown.tasks} == {"hold": "Cancelled", "next": "Cancelled"}
    assert not Path(f"/proc/{(tmp_path / 'held').read_text()}").exists()
    if options:
        assert json.loads(out)["state"]["name"] == "Cancelled"
    orchestrator.close()
