"""The test command: which steps it takes, in which order, and where it stops; its tools are stood in for by scripts."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.test_house import ROOT

#: Notes how it was called and fails when asked to.
TOOL = """#!/bin/sh
echo "$(basename "$0") $*" >> "$CALLS"
case "$0 $*" in *"$FAIL"*) exit 7;; esac
"""

INSTALL = "python -m pip install -q -e .[dev]"
STEPS = [
    INSTALL,
    "python -m ruff check",
    "python -m ruff format --check",
    "python -m mypy",
    "npm ci --no-audit --no-fund --loglevel=error",
    "npm run --silent check",
    "npm test --silent",
    f"python -m pytest -n {min(max(os.cpu_count() or 2, 2), 8)} --dist worksteal",
]

NEEDED = [
    "pyproject.toml",
    "tests/run.py",
    "tests/browser/__init__.py",
    "tests/browser/chromium.py",
    "tests/databases/__init__.py",
    "tests/databases/postgres.py",
]

Command = Callable[..., tuple[int, list[str], str]]


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """The test command in a checkout of its own; returns its exit code, the calls it made and what it printed."""
    for name in NEEDED:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    for tool in (".venv-test/bin/python", *(f"bin/{name}" for name in ("npm", "chromium", "initdb", "postgres"))):
        path = tmp_path / tool
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(TOOL)
        path.chmod(0o755)
    (tmp_path / "js" / "node_modules").mkdir(parents=True)

    def run(*arguments: str, fail: str = "nothing", **env: str) -> tuple[int, list[str], str]:
        calls = tmp_path / "calls"
        calls.write_text("")
        env = {"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin", "CALLS": str(calls), "FAIL": fail, **env}
        line = [sys.executable, str(tmp_path / "tests" / "run.py"), *arguments]
        ended = subprocess.run(line, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        made = [call for call in calls.read_text().splitlines() if "pip --version" not in call]
        return ended.returncode, made, ended.stdout

    return run


def test_all_steps_come_in_order(command: Command) -> None:
    """Without arguments everything is checked, and pytest is the last; the second time nothing is installed again."""
    assert command()[:2] == (0, STEPS)
    assert command()[:2] == (0, [step for step in STEPS if step != INSTALL and not step.startswith("npm ci")])


@pytest.mark.parametrize(("fail", "steps"), [("ruff check", 2), ("mypy", 4), ("npm run", 6), ("-m pytest", 8)])
def test_the_first_failing_step_is_the_last(command: Command, fail: str, steps: int) -> None:
    """A step that fails ends the command with its exit code; nothing after it runs."""
    code, calls, _ = command(fail=fail)
    assert (code, calls) == (7, STEPS[:steps])


def test_arguments_go_to_pytest_alone(command: Command) -> None:
    """With arguments only pytest runs, and what it says is the last thing said."""
    code, calls, said = command("-k", "some name", fail="-m pytest")
    assert (code, calls) == (7, [INSTALL, "python -m pytest -k some name"])
    assert said.rstrip().endswith("── pytest ──")


def test_what_failed_to_install_is_tried_again(command: Command) -> None:
    """A half-done installation is not taken for a whole one."""
    assert command(fail="pip install")[:2] == (7, [INSTALL])
    assert command("-x")[:2] == (0, [INSTALL, "python -m pytest -x"])
