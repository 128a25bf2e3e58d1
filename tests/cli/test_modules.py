"""``orch run module.py:flow`` and ``orch deploy``: flows of modules from the command line."""

from __future__ import annotations

import sys

import pytest

from orch_notebook.runtime.home import close_homes
from tests.promotion.modules import write_module


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module in the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield write_module(tmp_path)
    close_homes()


def test_a_flow_runs_here_and_is_shown(orch, module) -> None:
    """Parameters are read by their types, the tasks are shown as they go, and the code is 0."""
    answer = orch("run", f"{module.name}:nightly", "-p", "day=monday", "-p", "n=4")
    assert answer.code == 0
    for words in ("Completed      load", "monday  ✓ Completed", "2 of 2 done", "day=monday, n=4, fails=0"):
        assert words in answer.out
    found = orch("runs", "--json").json
    assert [(run["flow"], run["parameters"]["n"]) for run in found] == [("nightly", 4)]


def test_a_flow_that_fails_says_why(orch, module) -> None:
    """The code is 1, as with a notebook; with --json nothing else is printed."""
    answer = orch("run", f"{module.stem}:nightly", "-p", "day=x", "-p", "fails=9", "--json")
    assert (answer.code, answer.json["state"]["message"]) == (1, "ConnectionError: down")
    foretold = orch("retry", answer.json["run_id"], "--dry-run").out
    assert "it failed" in foretold and "1 of" in foretold


# the words after 'orch', and what is said in one line
BAD = {
    "no flow named": (["run", "{module}"], "has several flows"),
    "no such flow": (["run", "{module}:nighlty"], "Did you mean 'nightly'"),
    "no such file": (["run", "nowhere.py:x"], "There is no module nowhere.py."),
    "missing parameter": (["run", "{module}:nightly"], "'day' (str) has no default"),
    "ill-typed": (["run", "{module}:nightly", "-p", "day=1", "-p", "n=x"], "'n' takes int, not 'x'"),
    "a kernel": (["run", "{module}:nightly", "--kernel", "python3"], "A kernel executes notebooks"),
    "a broken module": (["run", "broken.py:x"], "broken.py cannot be loaded, line 2: ZeroDivisionError"),
    "no Python": (["deploy", "nonsense.py:x"], "nonsense.py cannot be loaded, line 1: SyntaxError"),
    "it exits": (["deploy", "exits.py:x"], "cannot be loaded, line 1: SystemExit: 3"),
}


@pytest.mark.parametrize("words, said", BAD.values(), ids=BAD.keys())
def test_what_cannot_run_is_told_in_one_line(orch, module, words, said) -> None:
    """Code 2, one line on standard error, no traceback."""
    (module.parent / "broken.py").write_text("x = 1\ny = x / 0\n")
    (module.parent / "nonsense.py").write_text("def (:\n")
    (module.parent / "exits.py").write_text("raise SystemExit(3)\n")
    answer = orch(*(word.format(module=module.name) for word in words))
    assert answer.code == 2 and answer.out == ""
    assert said in answer.err and answer.err.count("\n") == 1


def test_a_flow_is_deployed(orch, module) -> None:
    """Under the flow's own name unless another is given; the list shows module and flow."""
    answer = orch("deploy", f"{module.name}:nightly", "-p", "day=monday", "--cron", "0 6 * * *", "--json")
    assert (
        answer.code == 0 and answer.json["name"] == "nightly" and answer.json["entrypoint"] == f"{module.stem}:nightly"
    )
    assert f"{module.name}:waits" in orch("deploy", f"{module.name}:waits", "other").out
    shown = orch("deployments").out
    assert f"{module.name}:nightly" in shown and "other" in shown
