"""On which terms a deployment runs: what is refused when it is promoted, and what a run finds."""

from pathlib import Path

import pytest

from orch_notebook.errors import UsageError
from orch_notebook.model.sizes import parse_size
from orch_notebook.promotion.deployments import promote, trigger
from orch_notebook.promotion.terms import Terms, read_variables
from tests.books import write_book


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("DB_PASSWORD", "looks like a secret"),
        ("API_KEY", "looks like a secret"),
        ("github_token", "looks like a secret"),
        ("ORCH_HOME", "ORCH_ is ours"),
        ("two words", "letters, digits"),
        ("", "letters, digits"),
    ],
)
def test_some_variables_are_refused(name, words):
    """Secrets do not belong into a store that others read; our own variables are not to be bent."""
    with pytest.raises(UsageError, match=words):
        Terms(env={name: "x"})


def test_variables_of_a_command_line():
    """A value may hold anything, also nothing; a word without = is no variable."""
    assert read_variables(["A=1", "B=x=y", "C="]) == {"A": "1", "B": "x=y", "C": ""}
    with pytest.raises(UsageError, match="NAME=VALUE"):
        read_variables(["A"])


@pytest.mark.parametrize("text", ["", "lots", "-1GB", "0", "1 XB", "1e9"])
def test_amounts_that_are_none(text):
    """Each is refused, with how to write one."""
    with pytest.raises(UsageError, match="Write a number with a unit"):
        parse_size(text)


def test_a_tracked_deployment_runs_the_file_as_it_is(store, settings, clock, book):
    """A pinned one keeps what was promoted; memory and variables are kept with the plan."""
    terms = {"pinned": Terms(memory=10**9, env={"MODE": "test"}), "tracked": Terms(track=True)}
    runs = {}
    for name, each in terms.items():
        promote(store, settings, clock.now(), book, name, terms=each)
        runs[name] = trigger(store, clock.now(), name, {}).run_id
    write_book(book, "print('edited')")
    plans = {name: store.plan(run_id) for name, run_id in runs.items()}
    assert (plans["pinned"].memory, plans["pinned"].env) == (10**9, {"MODE": "test"})
    assert "edited" not in Path(plans["pinned"].snapshot).read_text()
    assert "edited" in Path(plans["tracked"].snapshot).read_text()
    assert store.deployment("tracked").to_json()["is_tracked"]
