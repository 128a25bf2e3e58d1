"""Serializers: every value comes back as it was, or is refused; nothing changes silently."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import json
import math
import pathlib
import uuid
from typing import Any

import pydantic
import pytest

import orch_notebook
from orch_notebook.errors import SecretExposed, UsageError
from orch_notebook.functions.serializers import (
    CompressedJSONSerializer,
    CompressedPickleSerializer,
    CompressedSerializer,
    JSONSerializer,
    PickleSerializer,
    Serializer,
    dump,
    reader,
    serializer_of,
)
from orch_notebook.runtime.redaction import redactor


@dataclasses.dataclass
class Row:
    """A row."""

    n: int
    tags: tuple[str, ...] = ()


class Colour(enum.Enum):
    """A colour."""

    RED = "red"


class Region(pydantic.BaseModel):
    """A region."""

    name: str
    shops: dict[str, int] = {}
    since: dt.date | None = None


class Hidden(pydantic.BaseModel):
    """Says less in JSON than it holds."""

    name: str
    size: int = pydantic.Field(exclude=True, default=0)


VALUES: list[Any] = [
    None,
    True,
    3,
    -2.5,
    math.inf,
    "é\0",
    [1, [2]],
    {"a": {"b": []}},
    (1, (2, "x")),
    {1: "one", (2, 3): "pair"},
    {1, 2},
    frozenset({"a"}),
    b"\x00\xff",
    {"__class__": "fake", "data": 1},
    dt.datetime(2026, 11, 20, 9, tzinfo=dt.UTC),
    dt.timedelta(seconds=90),
    decimal.Decimal("1.10"),
    uuid.UUID(int=7),
    pathlib.Path("/srv"),
    Row(3, ("a",)),
    [Row(1)],
    Colour.RED,
    Region(name="north", shops={"a": 1}, since=dt.date(2026, 1, 1)),
]


@pytest.mark.parametrize("name", ["pickle", "json", "compressed/pickle", "compressed/json", "compressed/json+gzip"])
@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_value_comes_back_as_it_was(name, value) -> None:
    """Also what JSON has no word for, and what it would silently make something else."""
    serializer = serializer_of(name)
    assert serializer.type == name
    back = reader(name, None).loads(dump(serializer, value))
    assert back == value and type(back) is type(value)


def test_json_is_plain_where_it_can_be() -> None:
    """So that others can read it."""
    assert json.loads(JSONSerializer().dumps({"rows": [1, None, "x"]})) == {"rows": [1, None, "x"]}
    assert JSONSerializer(dumps_kwargs={"indent": 1}).dumps([1]) == b"[\n 1\n]"


class Local:
    """Nothing that pydantic knows."""


LOST = {
    "an object": object(),
    "a class without fields": Local(),
    "a hidden field": Hidden(name="a", size=3),
    "a class that is found nowhere": type("Nowhere", (), {})(),
}


@pytest.mark.parametrize("value", LOST.values(), ids=LOST)
def test_what_json_would_not_give_back_is_refused(value) -> None:
    """Rather kept not at all than as something else."""
    with pytest.raises((TypeError, pydantic.PydanticUserError, ValueError)):
        JSONSerializer().dumps(value)


def test_a_serializer_of_ones_own() -> None:
    """With a type it is read by whoever has it; one that has only dumps and loads is told by its class."""

    class Reversed(Serializer):
        type = "reversed"

        def dumps(self, obj):
            return obj.encode()[::-1]

        def loads(self, blob):
            return blob[::-1].decode()

    own = serializer_of(Reversed())
    assert dump(own, "abc") == b"cba" and reader("reversed", own).loads(b"cba") == "abc"
    assert reader("reversed", None) is None and reader("pickle", own).type == "pickle"
    assert serializer_of(json_like := type("Like", (), {"dumps": staticmethod(str), "loads": staticmethod(int)})()).type
    assert serializer_of(json_like).loads("3") == 3
    assert PickleSerializer(picklelib="pickle").loads(PickleSerializer("pickle").dumps({1})) == {1}


@pytest.mark.parametrize("given", ["yaml", "compressed/", "compressed/yaml", "compressed/json+nolib", 3, None])
def test_what_is_no_serializer_is_refused(given) -> None:
    """Where it is said."""
    with pytest.raises(UsageError):
        serializer_of(given)


@pytest.fixture
def secret():
    """A value that nobody should see."""
    redactor.add("hunter2-hunter2")
    yield "hunter2-hunter2"
    redactor.forget()


class Rot(Serializer):
    """Hides texts."""

    type = "rot"

    def dumps(self, obj: Any) -> bytes:
        """Write a text shifted."""
        return bytes((each + 1) % 256 for each in obj.encode())


@pytest.mark.parametrize(
    "serializer",
    [*map(serializer_of, ("pickle", "json", "compressed/pickle", "compressed/json")), Rot()],
    ids=lambda each: each.type,
)
def test_a_secret_is_never_written(secret, serializer) -> None:
    """Not compressed either, nor by a serializer that nobody knows."""
    with pytest.raises(SecretExposed):
        dump(serializer, f"token {secret}")


def test_prefects_names_are_there() -> None:
    """``from orch_notebook import JSONSerializer`` and the others."""
    for kind in (PickleSerializer, JSONSerializer, CompressedPickleSerializer, CompressedJSONSerializer):
        assert getattr(orch_notebook, kind.__name__) is kind and kind().type
    assert CompressedSerializer(serializer="json", compressionlib="zlib").type == "compressed/json+zlib"
