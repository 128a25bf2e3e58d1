"""The contract of all runners, by the real engine: what a task sees, does and leaves is the same wherever it runs."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings

from orch_notebook.model.cells import Cell
from orch_notebook.model.events import TaskStateChanged
from orch_notebook.runtime.runners import Runner
from orch_notebook.runtime.runners.mixed import MixedRunner
from orch_notebook.runtime.runners.pooling import ProcessPool
from orch_notebook.runtime.runners.processes import ProcessRunner
from orch_notebook.runtime.runners.threads import ThreadRunner
from orch_notebook.runtime.shipping import Stayed
from tests.late_programs import LATE
from tests.model.cells.programs import programs
from tests.model.cells.test_programs import keep_what_runs, picture
from tests.runtime.test_programs import PROGRAMS, Notebook
from tests.runtime.test_random_programs import AsFlow, TopToBottom

pytestmark = pytest.mark.processes

PATIENCE = 60.0

#: What the processes of this machine are asked for; more would only wait for each other.
WIDTH = 2


@pytest.fixture(scope="module")
def pool() -> Iterator[ProcessPool]:
    """Processes that all tests of this module share, as the runs of a session do."""
    pool = ProcessPool(WIDTH)
    yield pool
    pool.close()


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Workers of Dask that all tests of this module share."""
    from orch_notebook.runtime.runners.dask import DaskCluster

    cluster = DaskCluster(cluster_kwargs={"n_workers": WIDTH, "threads_per_worker": 1})
    yield cluster
    cluster.close()


@pytest.fixture(params=["threads", "processes", "dask"])
def make_runner(request: pytest.FixtureRequest, pool: ProcessPool) -> Callable[[], Runner]:
    """What makes a runner of each kind."""
    if request.param == "dask":
        cluster = request.getfixturevalue("cluster")
        from orch_notebook.runtime.runners.dask import DaskRunner

        return lambda: DaskRunner(cluster)
    return (lambda: ThreadRunner(WIDTH)) if request.param == "threads" else (lambda: ProcessRunner(pool))


@pytest.fixture
def processes(pool: ProcessPool) -> ProcessRunner:
    """A runner of processes."""
    return ProcessRunner(pool)


class Lines(list[tuple[str, str]]):
    """Recorded lines; somebody may wait for one."""

    def __init__(self, awaited: str) -> None:
        super().__init__()
        self.awaited = awaited
        self.heard = threading.Event()

    def append(self, line: tuple[str, str]) -> None:
        """Take a line."""
        super().append(line)
        if line[1] == self.awaited:
            self.heard.set()


def details_of(notebook: Notebook, task: str) -> dict[str, Any]:
    """Return what is recorded of how a task ended."""
    return dict(
        next(
            event.details or {}
            for event in reversed(notebook.recorded.events)
            if isinstance(event, TaskStateChanged) and event.task == task
        )
    )


def notes_of(notebook: Notebook) -> dict[str, str]:
    """Return the notes of all tasks that have one."""
    found = {task.name: details_of(notebook, task.name).get("note", "") for task in notebook.flow}
    return {name: note for name, note in found.items() if note}


@pytest.mark.parametrize("cells, plain, expected", PROGRAMS.values(), ids=PROGRAMS)
def test_the_result_is_that_of_running_top_to_bottom(make_runner, cells, plain, expected) -> None:
    """Names hold what a plain notebook would leave."""
    notebook = Notebook(*cells, plain=plain)
    assert notebook.run(runner=make_runner()) == ["Completed"] * len(cells)
    assert {name: notebook.names.get(name) for name in expected} == expected


#: Programs of the table that hand on what cannot be pickled, by what it is.
UNPICKLABLE = {
    "a generator that goes on later": "generator",
    "a generator expression drawn from later": "generator",
}


@pytest.mark.parametrize("name", LATE)
def test_a_function_sees_the_calling_tasks_versions(name, processes) -> None:
    """In another process too: the whole table of late binding, but for what has to stay where it was made."""
    plain, cells, expected = LATE[name]
    notebook = Notebook(*cells, plain=plain)
    states = notebook.run(runner=processes)
    if name in UNPICKLABLE:
        errors = [details_of(notebook, task.name).get("error", "") for task in notebook.flow]
        assert any(f"({UNPICKLABLE[name]}), which cannot be sent back" in error for error in errors)
        return
    assert states == ["Completed"] * len(cells)
    assert {name: notebook.names[name] for name in expected} == expected


SHARED = {
    "an alias in another task": (["a = [1]", "b = a", "a.append(2)", "c = len(b)"], {"c": 2}),
    "a part of a container": (["a = [1]", "rows = [a, a]", "rows[0].append(2)", "c = len(a)"], {"c": 2}),
    "a container of the environment": (["table['x'] = 1", "c = len(table)"], {"c": 1, "table": {"x": 1}}),
    "a view of an array": (
        ["import numpy as np\na = np.zeros(4)", "v = a[1:3]", "a += 1", "c = v.sum()", "v[0] = 5", "d = a[1]"],
        {"c": 2, "d": 5},
    ),
    "a class": (["class C: n = 1", "c = C()", "C.n = 2", "d = c.n"], {"d": 2}),
    "an object in two names": (
        ["class C: pass\nx = C()", "y = {'it': x}", "x.n = 1", "c = y['it'].n", "d = type(y['it']) is C"],
        {"c": 1, "d": True},
    ),
    "what a failed attempt had changed": (["a = [1]", "a.append(2)\nif len(a) < 9: raise ValueError"], {"a": [1]}),
}  # fmt: skip


@pytest.mark.parametrize("cells, expected", SHARED.values(), ids=SHARED)
def test_names_that_share_an_object_still_do(processes, cells, expected) -> None:
    """A change made in another process is seen through every name, in every other process."""
    notebook = Notebook(*cells, plain="table = {}")
    notebook.run(runner=processes)
    assert {name: notebook.names[name] for name in expected} == expected


STATES = {
    "random": (
        ["import random\nrandom.seed(1)", "a = random.random()", "b = random.random()"],
        "import random\nrandom.seed(1)\na = random.random()\nb = random.random()",
    ),
    "numpy": (
        ["import numpy as np\nnp.random.seed(1)", "a = np.random.rand()", "b = np.random.rand()"],
        "import numpy as np\nnp.random.seed(1)\na = np.random.rand()\nb = np.random.rand()",
    ),
    "environ": (
        ["import os\nos.environ['ORCH_TEST'] = 'x'", "a = os.environ['ORCH_TEST']", "del os.environ['ORCH_TEST']",
         "b = 'ORCH_TEST' in os.environ"],
        "a, b = 'x', False",
    ),
    "options of frames": (
        ["import pandas as pd\npd.set_option('display.max_rows', 7)", "a = pd.get_option('display.max_rows')",
         "pd.reset_option('display.max_rows')", "b = pd.get_option('display.max_rows')"],
        "a, b = 7, 60",
    ),
    "style of figures": (
        ["import matplotlib as m\nm.rcParams['lines.linewidth'] = 7.0", "a = m.rcParams['lines.linewidth']",
         "m.rcParams['lines.linewidth'] = 1.5", "b = m.rcParams['lines.linewidth']"],
        "a, b = 7.0, 1.5",
    ),
    "warnings": (
        ["import warnings\nwarnings.simplefilter('error', UserWarning)",
         "try:\n    warnings.warn('x')\n    a = 'silent'\nexcept UserWarning:\n    a = 'raised'", "b = 1"],
        "a, b = 'raised', 1",
    ),
    "the folder": (
        ["import os\nhere = os.getcwd()", "os.chdir('/')", "a = os.getcwd()", "os.chdir(here)", "b = 1"],
        "a, b = '/', 1",
    ),
}  # fmt: skip


@pytest.mark.parametrize("cells, plain", STATES.values(), ids=STATES)
def test_hidden_state_goes_along(processes, cells, plain) -> None:
    """What one task does to a generator, an option or the environment, the next one finds, in whichever process."""
    expected: dict[str, Any] = {}
    exec(plain, expected)
    notebook, before = Notebook(*cells), list(warnings.filters)
    assert notebook.run(runner=processes) == ["Completed"] * len(cells)
    warnings.filters[:] = before
    assert (notebook.names["a"], notebook.names["b"]) == (expected["a"], expected["b"])
    assert not notes_of(notebook)


STAYING = {
    "an iterator that is drawn from": (["it = iter([1, 2])", "a = next(it)", "b = next(it)"], "b", 2, "list_iterator"),
    "a cached function": (
        ["a = f()", "calls.append(1)", "b = f()"], "b", 0, "the cache of f()",
    ),
    "text that is executed": (["x = 1", "exec('x = 2')", "b = x"], "b", 2, "executes text"),
    "settings that any task may depend on": (
        ["import locale, decimal\ndecimal.getcontext().prec = 5", "b = str(decimal.Decimal(1) / 3)"], "b", "0.33333",
        "the state of settings",
    ),
    "a library's own state": (
        ["import json.decoder", "json.decoder.tried = 2", "b = json.decoder.tried"], "b", 2, "",
    ),
}  # fmt: skip


@pytest.mark.parametrize("cells, name, value, reason", STAYING.values(), ids=STAYING)
def test_what_cannot_be_exact_elsewhere_runs_here_and_says_so(processes, cells, name, value, reason) -> None:
    """The outcome is that of a plain notebook; a note tells why a process was not used."""
    plain = "from functools import cache\ncalls = []\n@cache\ndef f(): return len(calls)"
    notebook = Notebook(*cells, plain=plain)
    assert notebook.run(runner=processes) == ["Completed"] * len(cells)
    assert notebook.names[name] == value
    assert not reason or any(reason in note for note in notes_of(notebook).values())


def test_what_a_task_puts_out_comes_while_it_runs(make_runner) -> None:
    """A line is recorded at once, not when the task ends."""
    lines = Lines("one")
    notebook = Notebook("print('one')\nwhile True: pass")
    notebook.lines = lines
    stopper = threading.Thread(target=lambda: lines.heard.wait(PATIENCE) and notebook.engine.cancel())
    stopper.start()
    assert notebook.run(runner=make_runner()) == ["Cancelled"]
    stopper.join()
    assert lines == [("t0", "one")]


def test_prints_logs_and_warnings_come_back(processes) -> None:
    """Standard streams, log records and warnings are lines of the task, in order."""
    notebook = Notebook(
        "import logging, sys, warnings\nprint('out')\nlogging.getLogger('mine').error('logged %d', 1)\n"
        "print('err', file=sys.stderr)\nwarnings.simplefilter('always')\nwarnings.warn('warned')\n'last'"
    )
    before = list(warnings.filters)
    assert notebook.run(runner=processes) == ["Completed"]
    warnings.filters[:] = before
    texts = [text for _, text in notebook.lines]
    assert texts[:3] == ["out", "logged 1", "err"] and "UserWarning: warned" in texts[3]


def test_a_failure_shows_the_users_lines(make_runner) -> None:
    """Those of the cell and of the functions it calls, and no frame of ours."""
    notebook = Notebook("def f(x):\n    return 1 / x", "# comment\nf(0)")
    assert notebook.run(runner=make_runner()) == ["Completed", "Failed"]
    details = details_of(notebook, "t1")
    assert details["error"] == "ZeroDivisionError: division by zero"
    lines = [line.strip() for line in details["traceback"] if "^" not in line and "~" not in line]
    assert lines == [
        "Traceback (most recent call last):",
        'File "<task t1>", line 2, in <module>',
        "f(0)",
        'File "<task t0>", line 2, in f',
        "return 1 / x",
        "ZeroDivisionError: division by zero",
    ]


ERRORS = {
    "an error of the notebook": ("class Odd(Exception): pass\nraise Odd('n')", "Odd: n"),
    "an error that cannot be made again": (
        "class Two(Exception):\n    def __init__(self, a, b): super().__init__(f'{a} {b}')\nraise Two(1, 2)",
        "Two: 1 2",
    ),
    "an error that holds a lock": (
        "import threading\nerror = ValueError('held')\nerror.lock = threading.Lock()\nraise error", "ValueError: held",
    ),
    "the end of the program": ("import sys\nsys.exit(3)", "The task called sys.exit(3)."),
    "a syntax error in text": ("compile('a b', 'x', 'exec')", "SyntaxError: invalid syntax"),
}  # fmt: skip


@pytest.mark.parametrize("source, error", ERRORS.values(), ids=ERRORS)
def test_whatever_is_raised_is_recorded_alike(make_runner, source, error) -> None:
    """The last line of what is recorded names the error and its message."""
    notebook = Notebook(source)
    assert notebook.run(runner=make_runner()) == ["Failed"]
    assert details_of(notebook, "t0")["error"].splitlines()[-1].removeprefix("__main__.") == error


def test_a_failed_task_is_tried_again(make_runner, tmp_path) -> None:
    """The second attempt begins with what the first one was given."""
    notebook = Notebook("a = [1]")
    tried = tmp_path / "tried"
    notebook.define(
        "t1", f"from pathlib import Path\nif not Path({str(tried)!r}).exists():\n"
        f"    Path({str(tried)!r}).touch()\n    raise ValueError\nb = a + [2]", retries=1,
    )  # fmt: skip
    assert notebook.run(runner=make_runner()) == ["Completed", "Completed"]
    assert notebook.names["b"] == [1, 2]


STOPPED = {
    "a loop": "while True: pass",
    "an await": "import asyncio\nawait asyncio.sleep(3600)",
}


@pytest.mark.parametrize("source", STOPPED.values(), ids=STOPPED)
def test_a_timeout_ends_the_work(make_runner, source) -> None:
    """The task ends TimedOut."""
    notebook = Notebook()
    notebook.define("t0", source, timeout=1.0)
    assert notebook.run(runner=make_runner()) == ["TimedOut"]


def test_a_body_that_is_stopped_may_clean_up(make_runner) -> None:
    """It is told where it stands, once, and what it then puts out is heard."""
    notebook = Notebook("n = 0\ntry:\n    print('on')\n    while n >= 0: n += 1\nfinally:\n    print('cleaned')")
    notebook.lines = lines = Lines("on")
    stopper = threading.Thread(target=lambda: lines.heard.wait(PATIENCE) and notebook.engine.cancel())
    stopper.start()
    assert notebook.run(runner=make_runner()) == ["Cancelled"]
    stopper.join()
    assert lines == [("t0", "on"), ("t0", "cleaned")]


def test_runners_mix_in_one_run(pool) -> None:
    """Each task runs where it says, and they hand on to each other."""
    makers = {"threads": lambda: ThreadRunner(WIDTH), "processes": lambda: ProcessRunner(pool)}
    places = {"t0": "threads", "t1": "processes", "t2": "threads", "t3": "processes"}
    notebook = Notebook(*["import os\np0 = os.getpid()", *[f"p{n} = os.getpid(), p{n - 1}" for n in (1, 2, 3)]])
    assert notebook.run(runner=MixedRunner(places.__getitem__, lambda name: makers[name]())) == ["Completed"] * 4
    third, (second, (first, zeroth)) = notebook.names["p3"]
    assert zeroth == second and first in pool.pids and third in pool.pids and zeroth not in pool.pids


# A process for each body is slow; the nightly profile looks at 600 examples.
@pytest.mark.timeout(3600)
@settings(max_examples=settings().max_examples // 8, suppress_health_check=list(HealthCheck))
@given(programs())
def test_random_programs_give_in_processes_what_top_to_bottom_gives(pool, cells: list[Cell]) -> None:
    """Names and which of them share an object, and printed text; what cannot be pickled is refused by name."""
    cells = keep_what_runs(cells)
    expected = TopToBottom(cells)
    try:
        flow = AsFlow(cells)
    except Exception as refused:
        assert "reads" in str(refused)
        return
    states = flow.run(runner=ProcessRunner(pool))
    assume(not any("cannot be sent" in error for error in flow.errors().values()))
    assume(not any(isinstance(value, Stayed) for value in flow.names.values()))
    assert set(states) <= {"Completed"}, flow.errors()
    for cell in cells:
        if cell.is_task:
            assert flow.printed(cell.name) == expected.printed[cell.name]
    assert picture(flow.names) == picture(expected.names)
