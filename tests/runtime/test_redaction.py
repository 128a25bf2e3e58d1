"""What keeps the values of secrets out of texts, in every way in which they are usually written."""

from __future__ import annotations

import base64
import html
import json
import urllib.parse

import pytest

from orch_notebook.errors import SecretExposed
from orch_notebook.runtime.redaction import Redactor

VALUE = "pä$s/w0rd+'\"&<x>\\ end"

# how a text holds the value
WAYS = {
    "as it is": lambda value: f"token={value};",
    "twice in a line": lambda value: f"{value}{value}",
    "its repr": repr,
    "the repr of a structure": lambda value: repr({"key": [value]}),
    "JSON": json.dumps,
    "JSON with its letters": lambda value: json.dumps(value, ensure_ascii=False),
    "a repr within JSON": lambda value: json.dumps(repr(value)),
    "JSON within JSON": lambda value: json.dumps(json.dumps(value)),
    "a URL": lambda value: "https://x/?t=" + urllib.parse.quote(value),
    "a URL, all quoted": lambda value: urllib.parse.quote(value, safe=""),
    "a form": lambda value: urllib.parse.urlencode({"t": value}),
    "HTML": html.escape,
    "base64": lambda value: base64.b64encode(value.encode()).decode(),
    "URL-safe base64": lambda value: base64.urlsafe_b64encode(value.encode()).decode(),
    "base64 of something longer": lambda value: base64.b64encode(f"user:{value}:end".encode()).decode(),
    "base64, one further": lambda value: base64.b64encode(f"users:{value}:end".encode()).decode(),
}


@pytest.mark.parametrize("value", [VALUE, "s3cr3tt0ken", "sk-123", "x" * 200], ids=["odd", "plain", "short", "long"])
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_value_is_found_however_it_is_written(way, value) -> None:
    """Nothing of it is left from which it could be read; text around it stays."""
    hides = Redactor()
    hides.add(value)
    text = way(value)
    said = hides.redact(f"before {text} after")
    assert "***" in said and said.startswith("before ") and said.endswith(" after")
    core = base64.b64encode(value.encode()).decode()[4:-4]
    for form in (value, repr(value)[1:-1], urllib.parse.quote(value), *([core] if len(core) > 4 else [])):
        assert form not in said


def test_each_line_of_a_value_counts() -> None:
    """A key of many lines is seldom printed whole; its short and blank lines are ordinary text."""
    hides = Redactor()
    hides.add("-----BEGIN-----\nMIIEpAIBAAKCAQ\nab\n\n-----END-----\n")
    assert hides.redact("> MIIEpAIBAAKCAQ <") == "> *** <"
    assert hides.redact("ab") == "ab"


def test_nothing_is_done_before_a_secret_is_known() -> None:
    """The same object comes back; whoever wants to know of the first is told, also late."""
    hides, told = Redactor(), []
    text = {"a": ["b"]}
    assert not hides and hides.redact_all(text) is text
    hides.when_first(lambda: told.append(1))
    hides.add({"user": "anna", "password": "opensesame"})
    hides.add("another one")
    hides.when_first(lambda: told.append(2))
    assert hides and told == [1, 2]
    assert hides.redact_all({"opensesame": ("x anna", 3, None)}) == {"***": ("x ***", 3, None)}


def test_bytes_that_hold_a_value_are_refused() -> None:
    """They would lie open in a file."""
    hides = Redactor()
    hides.add("opensesame")
    hides.check(b"nothing", memoryview(b"here"))
    with pytest.raises(SecretExposed):
        hides.check(b"fine", b"\x80\x05opensesame.")
