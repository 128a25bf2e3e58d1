"""The messages between kernel and browser: one schema, written in Python and in TypeScript."""

from __future__ import annotations

import re
import types
import typing
from pathlib import Path
from typing import Any, Literal, NotRequired, get_args, get_origin, get_type_hints, is_typeddict

import pytest

from orch_notebook.jupyter.widgets import faces, messages, pages

SOURCE = (Path(__file__).parents[2] / "js" / "src" / "messages.ts").read_text(encoding="utf-8")

#: Every interface of the TypeScript module: its fields and their types.
INTERFACES = {
    name: dict(re.findall(r"^  (\w+\??): (.+);$", body, re.MULTILINE))
    for name, body in re.findall(r"^export interface (\w+) \{\n(.*?)^\}", SOURCE, re.MULTILINE | re.DOTALL)
}

TYPES = {
    name: kind
    for module in (faces, pages, messages)
    for name in module.__all__
    if is_typeddict(kind := getattr(module, name))
}


def in_typescript(kind: Any) -> str:
    """Write a Python type the way TypeScript does."""
    plain = {Any: "unknown", str: "string", int: "number", float: "number", bool: "boolean", type(None): "null"}
    if kind in plain:
        return plain[kind]
    if is_typeddict(kind):
        return str(kind.__name__)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return f'"{arguments[0]}"'
    if origin is list:
        part = in_typescript(arguments[0])
        return f"({part})[]" if get_origin(arguments[0]) in (typing.Union, types.UnionType) else f"{part}[]"
    if origin is tuple:
        return "[" + ", ".join(map(in_typescript, arguments)) + "]"
    if origin is dict:
        return f"Record<string, {in_typescript(arguments[1])}>"
    if origin in (typing.Union, types.UnionType):
        return " | ".join(map(in_typescript, arguments))
    raise TypeError(kind)


def fields_of(kind: Any) -> dict[str, str]:
    """Return a message type's fields in TypeScript's notation."""
    hints = get_type_hints(kind, include_extras=True)
    found = {}
    for name, hint in hints.items():
        optional = get_origin(hint) is NotRequired
        found[name + "?" * optional] = in_typescript(get_args(hint)[0] if optional else hint)
    return found


@pytest.mark.parametrize("name", TYPES)
def test_a_message_is_the_same_in_both_languages(name: str) -> None:
    """Same fields in the same order, same types, same optional ones."""
    assert list(fields_of(TYPES[name]).items()) == list(INTERFACES[name].items())


def test_neither_language_knows_a_message_the_other_does_not() -> None:
    """No type stands on one side alone."""
    assert set(TYPES) == set(INTERFACES)


@pytest.mark.parametrize("name", ["FromKernel", "FromBrowser"])
def test_both_ends_speak_of_the_same_messages(name: str) -> None:
    """What may be sent in each direction is the same union."""
    written = re.search(rf"export type {name} = ([^;]+);", SOURCE)
    assert written
    assert written[1].split(" | ") == [kind.__name__ for kind in get_args(getattr(messages, name))]
