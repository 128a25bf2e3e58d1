"""``orch secret``: values kept, listed by name alone, and forgotten."""

from __future__ import annotations

import io

import pytest

from orch_notebook import Secret
from orch_notebook.runtime.home import close_homes
from orch_notebook.runtime.redaction import redactor


@pytest.fixture(autouse=True)
def forgotten():
    """Forget the secrets of a test when it ends."""
    yield
    close_homes()
    redactor.forget()


def test_a_secret_is_set_listed_and_deleted(orch, monkeypatch) -> None:
    """The value is read from standard input and never printed; setting it again replaces it."""
    for value in ("first-value", "second-value\n"):
        monkeypatch.setattr("sys.stdin", io.StringIO(value))
        answer = orch("secret", "set", "token")
        assert (answer.code, answer.out) == (0, "Secret 'token' is kept.\n")
    assert Secret.load("token").get() == "second-value"
    assert orch("secret", "list").out == "token\n" and orch("secret", "list", "--json").json == ["token"]
    assert orch("secret", "delete", "token").code == 0
    assert orch("secret", "list").out.startswith("No secrets yet.")


def test_what_cannot_be_done_is_told_in_one_line(orch, monkeypatch) -> None:
    """A value too short, a name that is not there."""
    monkeypatch.setattr("sys.stdin", io.StringIO("ab"))
    for words in (("set", "x"), ("delete", "x")):
        answer = orch("secret", *words)
        assert answer.code == 2 and answer.err.count("\n") == 1
