"""The ``orch`` command as a test calls it: in this process where that is enough, in its own where it matters."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from orch_notebook.cli import main
from orch_notebook.runtime.settings import Settings
from orch_notebook.runtime.store.sqlite import SqliteStore
from tests.books import write_book

COMMAND = [sys.executable, "-m", "orch_notebook.cli"]


@dataclass(frozen=True)
class Answer:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The output, read."""
        return json.loads(self.out)


@pytest.fixture
def orch(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    """Calls ``orch`` in this process, its output piped; returns its :class:`Answer`."""

    def call(*arguments: object) -> Answer:
        monkeypatch.setattr(sys, "argv", ["orch", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return Answer(int(ended.value.code or 0), said.out, said.err)

    return call


@pytest.fixture
def store(orch_home: Path) -> Iterator[SqliteStore]:
    """The store behind the command."""
    opened = SqliteStore(Settings(orch_home).database)
    yield opened
    opened.close()


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A notebook with a parameter and two tasks, in the working directory."""
    monkeypatch.chdir(tmp_path)
    return write_book(
        tmp_path / "report.ipynb",
        ("n: int = 3  # rows", ["parameters"]),
        "%load_ext orch_notebook",
        "%%task load\nrows = list(range(n))",
        "%%task total\nsum_of_rows = sum(rows)\nrows.append(1)",
    )


#: Kills its kernel once it is stored that the task is at work: what is not stored yet dies, too.
SUICIDE = """
import os, time
from orch_notebook.runtime.settings import Settings
from orch_notebook.runtime.store.opening import open_store

store, states = open_store(Settings.from_environment()), {}
while states.get("suicide") != "Running":
    for run in store.runs(parent_run_id=os.environ["ORCH_RUN_ID"]):
        states = {task.name: task.state.name for task in store.run(run.run_id).tasks}
    time.sleep(0.01)
os.kill(os.getpid(), 9)
"""

#: Notebooks whose execution several tests look at; each is executed once.
BOOKS: dict[str, tuple[str | tuple[str, list[str]], ...]] = {
    "good": (
        ("n: int = 3", ["parameters"]),
        "%load_ext orch_notebook",
        "%%task loud\nfor _ in range(100):\n    print('x' * 999_999)\nprint('the end')",
        "%%task lock --cache\nimport threading\nlock = threading.Lock()",
        "%%task marked\nprint('[red]not red[/red] <b>not bold</b>', n)",
        "%flow run",
    ),
    "bad": (
        "%load_ext orch_notebook",
        "%%task fine\nx = 1",
        "%%task broken\nraise ValueError('[bold]no[/bold] <script>alert(1)</script>')",
        "%%task leave\nraise SystemExit(3)",
        "%%task last --after broken\ny = x",
    ),
    "plain": ("print('hello')", "import sys\nsys.exit(3)", "print('never')"),
    "killed": (
        "%load_ext orch_notebook",
        "%%task first\nx = 1",
        "%%task suicide --after first\n" + SUICIDE,
    ),
}


@dataclass(frozen=True)
class Executed:
    """A home in which every notebook of `BOOKS` has been executed by ``orch run``."""

    home: Path
    answers: dict[str, Answer]

    def run_id(self, name: str) -> str:
        """Return the id of the run of a notebook."""
        runs = SqliteStore(Settings(self.home).database).runs(flow=name, limit=9)
        return next(run.run_id for run in runs if run.parent_run_id is None)


@pytest.fixture(scope="session")
def executed(tmp_path_factory: pytest.TempPathFactory) -> Executed:
    """What ``orch run`` made of every notebook of `BOOKS`, each in a process of its own."""
    folder = tmp_path_factory.mktemp("executed")
    home = folder / "home"
    SqliteStore(Settings(home).database).close()
    answers: dict[str, Answer] = {}
    for name, cells in BOOKS.items():
        path = write_book(folder / f"{name}.ipynb", *cells)
        options = ["-p", "n=7"] if name == "good" else []
        done = subprocess.run(
            [*COMMAND, "run", str(path), *options],
            env={**os.environ, "ORCH_HOME": str(home)},
            capture_output=True,
            text=True,
        )
        answers[name] = Answer(done.returncode, done.stdout, done.stderr)
    return Executed(home, answers)


@pytest.fixture
def at_executed(executed: Executed, monkeypatch: pytest.MonkeyPatch) -> Executed:
    """The same, with ``ORCH_HOME`` set to it."""
    monkeypatch.setenv("ORCH_HOME", str(executed.home))
    return executed
