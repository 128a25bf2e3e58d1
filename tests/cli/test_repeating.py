"""``orch retry`` on real runs in real kernels: what completed is not run again, whatever became of the run."""

import json
import os
import signal
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from tests.books import write_book
from tests.cli.conftest import COMMAND
from tests.waiting import until

pytestmark = [pytest.mark.kernel, pytest.mark.processes]

#: Each task leaves a line in the file `log`; the fourth waits until somebody makes the file `go`.
CELLS = (
    ("n: int = 2", ["parameters"]),
    """
    %load_ext orch_notebook
    import os, time
    import numpy as np
    def note(task):
        with open("log", "a") as file:
            file.write(f"{task} {os.getpid()} {os.environ['ORCH_RUN_ID']}\\n")
    """,
    "%%task load\nnote('load')\ndata = np.arange(n * 1_000.0)\nprint('loaded', len(data))",
    "%%task clean\nnote('clean')\ndata[0] = -1",
    "%%task middle\nnote('middle')\nmean = data.mean()",
    """
    %%task hold --after middle
    note('hold')
    while not os.path.exists('go'):
        time.sleep(0.02)
    lowest = data.min()
    """,
    "%%task tell\nnote('tell')\nround(mean), float(lowest)",
)


def lines(folder: Path) -> list[list[str]]:
    """Return what the tasks have noted: their names, processes and runs."""
    path = folder / "log"
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def test_after_a_kill_only_what_had_not_completed_is_run(orch, tmp_path, monkeypatch):
    """kill -9 in the midst of a task: those above are loaded, with what they put out; runs are counted in a file."""
    monkeypatch.chdir(tmp_path)
    write_book(tmp_path / "nb.ipynb", *CELLS)
    command = subprocess.Popen([*COMMAND, "run", "nb.ipynb", "-p", "n=3"], stdout=subprocess.DEVNULL)
    until(lambda: len(lines(tmp_path)) == 4, "the task that holds")
    _, kernel, run_id = lines(tmp_path)[3]

    def is_stored():
        """Whether the beginning of the task is: what is not stored yet dies, too."""
        tasks = orch("show", run_id, "--json").json["tasks"]
        return ("hold", "Running") in [(task["name"], task["state"]["name"]) for task in tasks]

    until(is_stored)
    parent = Path(f"/proc/{kernel}/stat").read_text().rpartition(")")[2].split()[1]
    for pid in (parent, kernel):  # the process of the run, and its kernel
        os.kill(int(pid), signal.SIGKILL)
    command.wait(60)
    foretold = {fate["task"]: fate["runs"] for fate in orch("retry", run_id, "--dry-run", "--json").json}
    assert foretold == {"load": False, "clean": False, "middle": False, "hold": True, "tell": True}
    (tmp_path / "go").touch()
    answer = orch("retry", run_id, "--from", "middle", "--json")
    made = answer.json
    assert (answer.code, made["attempt"], made["retry_of"], made["parameters"]) == (0, 2, run_id, {"n": 3})
    states = {task["name"]: task["state"]["name"] for task in made["tasks"]}
    loaded, run = dict.fromkeys(["load", "clean"], "Cached"), dict.fromkeys(["middle", "hold", "tell"], "Completed")
    assert states == {**loaded, **run}
    assert Counter(task for task, _, _ in lines(tmp_path)) == {"load": 1, "clean": 1, "middle": 2, "hold": 2, "tell": 1}
    assert all(run_id[-8:] in task["note"] for task in made["tasks"][:2])
    cells = json.loads(Path(made["executed_notebook"]).read_text())["cells"]
    put_out = ["".join(o.get("text") or o["data"]["text/plain"]) for cell in cells for o in cell["outputs"][1:]]
    assert put_out[:2] == ["loaded 3000\n", "(1499, -1.0)"]
    assert "--from TASK" in orch("retry", made["run_id"]).err
    assert "--from TASK" in orch("resume", made["run_id"]).err
    compared = orch("compare", run_id, made["run_id"], "--json").json
    assert compared["tasks"][0]["states"] == ["Completed", "Cached"]
    assert (compared["parameters"], compared["source"]) == ({}, [])
    assert "differs" in orch("compare", run_id, made["run_id"]).out
