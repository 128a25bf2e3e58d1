"""What values of parameters may be: read from annotations and comments, held, said, and given to forms."""

from __future__ import annotations

import pytest

from orch_notebook.errors import ParameterError
from orch_notebook.model.forms import form_of
from orch_notebook.model.parameters import Parameter, check_parameters, read_parameters

CASES = [
    ("n: int = 3  # rows [1..100]", [1, "100"], [0, 101, "500"], "int from 1 to 100"),
    ("n: int = 3  # [>= 1]", [1, 10**9], [0], "int at least 1"),
    ("n = 0.5  # [< 1]", [0.99, -1], [1, 1.5], "float below 1"),
    ("n: float = 0  # [-1.5..1e3]", [-1.5, 1000], [-1.6, 1001], "float from -1.5 to 1000.0"),
    (
        "n: date = '2026-01-05'  # [2026-01-01..2026-01-31]",
        ["2026-01-31"],
        ["2025-12-31", "2026-02-01"],
        "from 2026-01",
    ),
    ("n = 'a'  # which [a | b]", ["b"], ["c", "a | b"], "str one of a, b"),
    ("n: int = 1  # [1 | 5]", [5, "1"], [2], "int one of 1, 5"),
    ("n: str = 'x1'  # [/^[a-z][0-9]$/]", ["b2"], ["22", "b22"], "str matching"),
    ("n: Literal['a', 'b'] = 'a'", ["b"], ["c"], "Literal['a', 'b']"),
    ("n: Annotated[int, Field(ge=1, lt=10)] = 1", [9], [0, 10], "takes int at least 1 and below 10"),
    ("n: Annotated[int, Ge(1), Le(3)] | None = None", [None, 3], [4], "takes int | None from 1 to 3"),
    ("n: Annotated[str, StringConstraints(pattern='^a')] = 'a'", ["ab"], ["b"], "str matching ^a"),
    ("n: Annotated[list[int], Field(max_length=2, ge=0)] = []", [[1, 2]], [[1, 2, 3], [-1]], "list[int]"),
    ("n: Annotated[int, Field(multiple_of=5)] = 5", [10], [3], "a multiple of 5"),
]


@pytest.mark.parametrize(("source", "kept", "refused", "says"), CASES, ids=[row[0] for row in CASES])
def test_limits_hold(source, kept, refused, says):
    """Values within are taken, as text too; others are refused by name, type and limit; JSON holds it all."""
    schema = tuple(Parameter.from_json(each.to_json()) for each in read_parameters(source))
    for value in kept:
        check_parameters(schema, {"n": value})
    for value in refused:
        with pytest.raises(ParameterError) as raised:
            check_parameters(schema, {"n": value})
        assert "Parameter 'n' takes" in str(raised.value)
        assert says in str(raised.value)


def test_other_brackets_are_text():
    """Units, references and lists in a comment are part of the help; limits are not."""
    sources = {"x = 1  # length [cm]": "length [cm]", "x = 1  # see [1]": "see [1]", "x = 1  # rows [1..9]": "rows"}
    assert [read_parameters(source)[0].help for source in sources] == list(sources.values())


def test_a_default_beyond_its_limits_is_noted():
    """The notebook's own default is not refused, but whoever promotes it is told."""
    [parameter] = read_parameters("n: int = 0  # [1..9]")
    assert parameter.note == "The default of 'n' is not from 1 to 9."
    assert parameter.words() == "n: int = 0 (from 1 to 9)"


def test_what_cannot_be_a_limit_is_refused():
    """A range with nothing in it and a pattern that does not parse are the author's mistake."""
    with pytest.raises(ParameterError, match="nothing in it"):
        read_parameters("d: date = '2026-01-01'  # [2026-02-01..2026-01-01]")
    with pytest.raises(ParameterError, match="does not parse"):
        read_parameters("d = 'x'  # [/(/]")


def test_forms_get_a_schema():
    """Types, limits, choices, defaults and help are in the words of JSON schema."""
    form = form_of(
        read_parameters(
            "n: int = 3  # rows [1..9]\nday: date  # [2026-01-01..]\nk: int = 1  # [1 | 5]\nw: Literal['a', 'b'] = 'a'"
        )
    )
    assert form["properties"] == {
        "n": {"type": "integer", "minimum": 1, "maximum": 9, "description": "rows", "default": 3},
        "day": {"type": "string", "format": "date", "formatMinimum": "2026-01-01"},
        "k": {"type": "integer", "enum": [1, 5], "default": 1},
        "w": {"type": "string", "enum": ["a", "b"], "default": "a"},
    }
    assert (form["required"], form["additionalProperties"]) == (["day"], False)
