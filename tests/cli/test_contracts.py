"""What scripts rely on: the fields of every ``--json``, whole ids where output is piped; and what people see."""

import os
import pty
import re
import subprocess
from datetime import timedelta

import pytest

from orch_notebook.model.events import LogWritten, RunCreated, RunStateChanged, TaskStateChanged
from orch_notebook.model.graph import Graph
from orch_notebook.model.states import State, StateType
from orch_notebook.model.tasks import Task
from orch_notebook.promotion.reading import read_flow
from tests.books import write_book
from tests.cli.conftest import COMMAND

RUN = {
    *("run_id", "flow", "deployment", "parent_run_id", "state", "due_at", "created_at", "started_at", "ended_at"),
    *("attempt", "parameters", "worker"),
}
TASK = {
    *("name", "task_run_id", "cell_index", "state", "attempts", "started_at", "ended_at", "reads", "writes", "mutates"),
    "cached_from",
}
STATE = {"type", "name", "message"}
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
ODD = "[red]odd[/red] <b>x</b>"


@pytest.fixture
def failed_run(orch, book, store, monkeypatch):
    """A run that a worker claimed and that failed, with names and words full of markup."""
    odd = write_book(book.parent / "[red]odd.ipynb", ("title = 'x'", ["parameters"]), "print(1)")
    orch("promote", odd, "--name", "odd")
    made = orch("trigger", "odd", "-p", f"title={ODD}", "--json").json
    run_id = made["run_id"]
    now = store.run(run_id).created_at
    lease = store.claim_run(run_id, "elsewhere:1:1", "[red]ann", now + timedelta(days=1))
    tasks = (Task("load", cell_index=2, writes=("rows",)), Task("sum", cell_index=3, reads=("rows",), mutates=("log",)))
    error = {"error": f"ValueError: {ODD}", "traceback": [f"\x1b[31mValueError\x1b[0m: {ODD}"]}
    running, done = State(StateType.RUNNING), State(StateType.COMPLETED)
    events = [
        RunCreated(now, "[red]odd", Graph(tasks), {"title": ODD}),
        RunStateChanged(now, running),
        TaskStateChanged(now, "load", 1, running),
        LogWritten(now, "load", 1, 20, f"said {ODD}"),
        LogWritten(now, "", 0, 40, "the run itself"),
        TaskStateChanged(now + timedelta(seconds=2), "load", 1, done),
        TaskStateChanged(now, "sum", 1, running),
        TaskStateChanged(now, "sum", 1, State(StateType.FAILED, message=f"ValueError: {ODD}"), error),
        RunStateChanged(now + timedelta(seconds=3), State(StateType.FAILED, message=f"Cell 4: {ODD}")),
    ]
    store.append(lease, list(enumerate(events, 1)), now + timedelta(days=1), release=True)
    return run_id


def test_runs(orch, failed_run):
    """``runs --json`` is a list of runs with all their fields, newest first."""
    orch("trigger", "odd")
    found = orch("runs", "--json").json
    assert [run["state"]["name"] for run in found] == ["Scheduled", "Failed"]
    for run in found:
        assert run.keys() >= RUN
        assert run["state"].keys() == STATE
    done = found[1]
    assert (done["run_id"], done["flow"], done["deployment"]) == (failed_run, "[red]odd", "odd")
    assert (done["attempt"], done["parameters"], done["worker"]) == (1, {"title": ODD}, "[red]ann")
    assert done["parent_run_id"] is None
    for field in ("due_at", "created_at", "started_at", "ended_at"):
        assert INSTANT.fullmatch(done[field])
    assert found[0]["started_at"] is None


FILTERS = [
    (("--state", "failed"), 1),
    (("--state", "FAILED"), 1),
    (("--state", "late"), 0),
    (("--state", "timedout"), 0),
    (("--deployment", "odd"), 2),
    (("--deployment", "report"), 0),
    (("--limit", "1"), 1),
    (("--deployment", "odd", "--state", "scheduled", "--limit", "5"), 1),
]


@pytest.mark.parametrize(("options", "count"), FILTERS, ids=[" ".join(row[0]) for row in FILTERS])
def test_runs_are_narrowed(orch, book, failed_run, options, count):
    """Deployment, state (type or name, any case) and limit narrow the list together."""
    orch("promote", book)
    orch("trigger", "odd")
    assert len(orch("runs", *options, "--json").json) == count


def test_show(orch, failed_run):
    """``show --json`` adds the tasks with all their fields, and where the executed notebook is."""
    found = orch("show", failed_run, "--json").json
    assert found.keys() >= RUN | {"tasks", "executed_notebook"}
    load, total = found["tasks"]
    for task in (load, total):
        assert task.keys() >= TASK
        assert task["state"].keys() == STATE
    assert (load["name"], load["cell_index"], load["attempts"], load["writes"]) == ("load", 2, 1, ["rows"])
    assert (load["duration"], INSTANT.fullmatch(load["ended_at"]) is not None) == (2.0, True)
    assert (total["state"]["type"], total["reads"], total["mutates"]) == ("FAILED", ["rows"], ["log"])
    assert (total["error"], total["cached_from"]) == (f"ValueError: {ODD}", None)


def test_logs(orch, failed_run):
    """``logs`` prints every line as it was written; ``--json`` adds when, where and how; ``--task`` narrows."""
    lines = orch("logs", failed_run, "--json").json
    assert [line["text"] for line in lines] == [f"said {ODD}", "the run itself"]
    assert lines[0].keys() == {"at", "run_id", "task", "attempt", "level", "text"}
    assert [line["level"] for line in lines] == [20, 40]
    printed = orch("logs", failed_run).out.splitlines()
    assert printed[0].endswith(f"  [load] said {ODD}")
    assert printed[1].endswith(" E the run itself")
    assert len(orch("logs", failed_run, "--task", "load", "--json").json) == 1
    assert orch("logs", failed_run, "--task", "laod").err.startswith("orch: There is no task 'laod'")


def test_graph(orch, book):
    """``graph --json`` has exactly the tasks and edges that the cells define."""
    found = orch("graph", book, "--json").json
    nothing = {key: [] for key in ("mutates", "deletes", "uses", "changes", "exclusive", "undefined", "problems")}
    nothing["opaque"] = None
    load = {"name": "load", "cell_index": 2, "reads": ["n"], "writes": ["rows"], "bindings": {"n": None}}
    total = {
        "name": "total",
        "cell_index": 3,
        "reads": ["rows"],
        "writes": ["sum_of_rows"],
        "mutates": ["rows"],
        "bindings": {"rows": "load"},
    }
    assert found == {
        "tasks": [nothing | load, nothing | total],
        "edges": [{"from": "load", "to": "total", "rule": "read-after-write", "name": "rows"}],
    }
    assert "    waits: total reads rows from load\n" in orch("graph", book).out
    assert orch("graph", book, "--dot").out.startswith("digraph")
    assert orch("graph", book, "--svg", book.with_suffix(".svg")).code == 0
    assert book.with_suffix(".svg").read_text().startswith("<svg")
    assert len(read_flow(book)) == 2


def test_promote_and_deployments(orch, book):
    """``promote --json`` gives the deployment, ``deployments --json`` lists them all."""
    made = orch("promote", book, "--cron", "0 6 * * *", "--tz", "Europe/Madrid", "-p", "n=200", "--json").json
    assert orch("deployments", "--json").json == [made]
    assert (made["name"], made["version"], made["flow"], made["notebook"]) == ("report", 1, "report", str(book))
    assert (made["parameters"], made["is_paused"]) == ({"n": 200}, False)
    assert made["schedules"] == [{"kind": "cron", "expression": "0 6 * * *", "timezone": "Europe/Madrid"}]
    assert orch("pause", "report").code == 0
    assert orch("deployments", "--json").json[0]["is_paused"]
    assert "It is paused. Wake it: orch unpause report" in orch("promote", book).out
    assert "awake" not in orch("unpause", "report").out  # promoted anew without a schedule, nothing is to wake
    assert orch("promote", book, "--every", "30s", "--json").json["version"] == 3


def test_trigger(orch, book):
    """``trigger --json`` gives the run that now waits."""
    orch("promote", book, "-p", "n=5")
    made = orch("trigger", "report", "-p", "n=6", "--json").json
    assert made.keys() >= RUN
    assert (made["state"]["type"], made["parameters"], made["deployment"]) == ("SCHEDULED", {"n": 6}, "report")


def test_nothing_is_a_list_too(orch):
    """Where there is nothing yet, ``--json`` is an empty list, and people are told how to begin."""
    assert (orch("runs", "--json").json, orch("deployments", "--json").json) == ([], [])
    assert orch("runs").out == "No runs.\n"
    assert "orch promote" in orch("deployments").out


def test_markup_is_text(orch, failed_run):
    """Names, values, errors and log lines are shown as they were written, on every face."""
    runs, shown = orch("runs").out, orch("show", failed_run).out
    for said in ("[red]odd", f"title={ODD}"):
        assert said in runs and said in shown
    assert f"ValueError: {ODD}" in shown
    assert f"Cell 4: {ODD}" in shown


def test_piped_output_has_whole_ids(orch, failed_run):
    """What a script reads from a table can be given back to ``orch``."""
    head, row = orch("runs").out.splitlines()
    assert head.split()[:2] == ["Run", "Flow"]
    assert row.split()[0] == failed_run


@pytest.mark.parametrize("part", [slice(None), slice(-8, None), slice(-4, None), slice(0, 20)])
def test_part_of_an_id_is_enough(orch, failed_run, part):
    """The end that people are shown, or any other end or beginning that is unique, names a run."""
    assert orch("show", failed_run[part], "--json").json["run_id"] == failed_run


def test_runs_of_a_parent_are_found_by_part_of_its_id(orch, failed_run):
    """``--parent`` takes what the other commands take."""
    assert orch("runs", "--parent", failed_run[-8:], "--json").json == []


def in_terminal(*arguments, columns=80):
    """Return the lines that a command prints in a terminal of so many columns, without colours."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(columns), "LINES": "50", "TERM": "xterm-256color"}
    process = subprocess.Popen([*COMMAND, *arguments], stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    said = b""
    try:
        while chunk := os.read(ours, 65536):
            said += chunk
    except OSError:  # how Linux says that the other side is closed
        pass
    os.close(ours)
    process.wait(60)
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", said.decode()).replace("\r", "").splitlines()


def test_a_terminal_of_80_columns_shows_whole_short_ids(orch, book, failed_run):
    """Nothing is broken in two: short ids, states and times stay whole, long texts give way."""
    orch("promote", book, "--name", "a-rather-long-name-for-a-deployment", "--cron", "*/7 3 * * 1-5", "-p", "n=12345")
    orch("trigger", "a-rather-long-name-for-a-deployment")
    lines = in_terminal("runs")
    assert max(map(len, lines)) <= 80
    assert [line.split()[0] for line in lines[1:]][1] == failed_run[-8:]
    assert "✗ Failed" in lines[2] and "○ Scheduled" in lines[1]
    assert len(lines) == 3
    for command in (("show", failed_run), ("deployments",)):
        assert max(map(len, in_terminal(*command))) <= 80


def test_help_is_complete(orch):
    """Every command is listed with a whole sentence, and each has its help."""
    listed = orch("--help").out.split("Commands:")[1].splitlines()
    commands = [line.split()[0] for line in listed if line.strip()]
    assert {"run", "promote", "worker", "deployments", "trigger", "runs", "show", "logs", "cancel", "graph"} <= {
        *commands
    }
    assert all(line.endswith(".") and "..." not in line for line in listed if line.strip())
    for command in commands:
        answer = orch(command, "--help")
        assert (answer.code, answer.err) == (0, "")
        assert answer.out.startswith(f"Usage: orch {command} ")
    assert orch().out == orch("--help").out
    assert re.fullmatch(r"orch_notebook \d+\.\d+\.\d+\n", orch("--version").out)
