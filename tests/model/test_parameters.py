"""Parameters of a notebook: what a cell declares, and which values it is given."""

import datetime
import json
import pickle
import sys
from subprocess import run

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orch_notebook.errors import ParameterError
from orch_notebook.model.annotations import admit
from orch_notebook.model.parameters import (
    Parameter,
    check_parameters,
    default_parameters,
    parse_assignments,
    read_parameters,
)

P = Parameter

# source of a cell, what it declares
CELLS = [
    ("", []),
    ("# nothing here", []),
    ("n = 200", [P("n", "int", 200)]),
    ("n: int = 200  # rows", [P("n", "int", 200, help="rows")]),
    ("n = 200  ## rows", [P("n", "int", 200, help="rows")]),
    ("n = 1  # type: float  the rate", [P("n", "float", 1, help="the rate")]),
    ("n = -3", [P("n", "int", -3)]),
    ("rate = 1e-3", [P("rate", "float", 0.001)]),
    ("fast = True", [P("fast", "bool", True)]),
    ("name = 'a # b'", [P("name", "str", "a # b")]),
    ("path = 'x=y'", [P("path", "str", "x=y")]),
    ("what = None", [P("what", "", None)]),
    ("n: int | None = None", [P("n", "int | None", None)]),
    ("n: 'int' = 1", [P("n", "int", 1)]),
    ("n: int", [P("n", "int", required=True)]),
    ("n: int = ...", [P("n", "int", required=True)]),
    ("layers = [64, 32]", [P("layers", "list", [64, 32])]),
    ("layers = [  # sizes\n  64,\n  32,\n]", [P("layers", "list", [64, 32], help="sizes")]),
    ("layers = [\n  64,  # first\n  32,\n]  # sizes", [P("layers", "list", [64, 32], help="sizes")]),
    ("grid = {'a': 1, 'b': [2]}", [P("grid", "dict", {"a": 1, "b": [2]})]),
    ("text = '''two\nlines'''", [P("text", "str", "two\nlines")]),
    (
        "size = (1, 2)",
        [P("size", "tuple", [1, 2], note="A given 'size' reaches the notebook as a list.")],
    ),
    ("a = b = 1", [P("a", "int", 1), P("b", "int", 1)]),
    ("a, b = 1, 'x'", [P("a", "int", 1), P("b", "str", "x")]),
    ("a = 1; b = 2  # both", [P("a", "int", 1, help="both"), P("b", "int", 2, help="both")]),
    ("n = 1\nn = 2", [P("n", "int", 2)]),
    ("import os\nn = 1\nprint(n)\nif n:\n    m = 2", [P("n", "int", 1)]),
    ("%matplotlib inline\nn = 1  # one\n!ls", [P("n", "int", 1, help="one")]),
    ("x.y = 1\nz[0] = 2", []),
    ("größe = 1", [P("größe", "int", 1)]),
]


@pytest.mark.parametrize(("source", "expected"), CELLS)
def test_a_cell_declares_parameters(source, expected):
    """Names, types, literal defaults and trailing comments are read, and nothing is run."""
    parameters = read_parameters(source)
    assert list(parameters) == expected
    assert [P.from_json(json.loads(json.dumps(each.to_json()))) for each in parameters] == expected
    assert pickle.loads(pickle.dumps(parameters)) == parameters


# source, name of the parameter whose default no one knows, what its note says
COMPUTED = [
    ("n = 1\nm = n * 10", "m", "'m' is computed from 'n' before given values arrive"),
    ("a = 1\nb = 2\nc = f'{a}-{b}'", "c", "'c' is computed from 'a', 'b'"),
    ("options = dict(a=1)", "options", "The default of 'options' is no literal"),
    ("import os\nhome = os.environ['HOME']", "home", "The default of 'home' is no literal"),
    ("raw = b'abc'", "raw", "The default of 'raw' is no literal"),
    ("table = {1: 'a'}", "table", "The default of 'table' is no literal"),
    ("z = 1 + 2j", "z", "no literal"),
]


@pytest.mark.parametrize(("source", "name", "says"), COMPUTED)
def test_a_computed_default_is_said_to_be_so(source, name, says):
    """papermill does not compute such a value again, and whoever promotes the notebook is told."""
    parameters = read_parameters(source)
    (parameter,) = (each for each in parameters if each.name == name)
    assert parameter.computed
    assert says in parameter.note
    assert name not in default_parameters(parameters)


def test_an_annotation_of_the_users_own_is_shown_but_not_checked():
    """A type we cannot name admits every JSON value, with a note."""
    (frame,) = read_parameters("frame: pd.DataFrame = None")
    assert "annotated pd.DataFrame, which cannot be checked" in frame.note
    assert check_parameters([frame], {"frame": [1]}) == {"frame": [1]}


@pytest.mark.parametrize(
    ("source", "says"), [("n = 1\nm = = 2", "line 2"), ("n = 'a", "line 1"), ("n = 1\0", "null bytes")]
)
def test_a_cell_that_does_not_parse_says_where(source, says):
    """The error is one line that names the line."""
    with pytest.raises(ParameterError, match=says):
        read_parameters(source)


# annotation, what is given, what the notebook gets
ADMITTED = [
    ("int", 200, 200),
    ("int", "200", 200),
    ("int", 200.0, 200),
    ("int", "-5", -5),
    ("float", "0.5", 0.5),
    ("float", 1, 1.0),
    ("str", "200", "200"),
    ("str", "", ""),
    ("str", "[1]", "[1]"),
    ("bool", "true", True),
    ("bool", "False", False),
    ("bool", 0, False),
    ("list[int]", [1, "2"], [1, 2]),
    ("list[int]", "[1, 2]", [1, 2]),
    ("list[int]", "1,2", [1, 2]),
    ("list", "['a', 'b']", ["a", "b"]),
    ("List[str]", ["a"], ["a"]),
    ("dict[str, float]", {"a": "1"}, {"a": 1.0}),
    ("dict[str, float]", '{"a": 1}', {"a": 1.0}),
    ("Literal['a', 'b']", "a", "a"),
    ("Literal[1, 2]", "2", 2),
    ("typing.Literal['a']", "a", "a"),
    ("int | None", None, None),
    ("int | None", "null", None),
    ("int | None", "7", 7),
    ("Optional[int]", "None", None),
    ("Union[int, str]", "x", "x"),
    ("tuple[int, str]", [1, "a"], [1, "a"]),
    ("tuple[int, ...]", "(1, 2)", [1, 2]),
    ("set[int]", [1, 1], [1]),
    ("datetime.date", "2026-01-02", "2026-01-02"),
    ("dt.datetime", "2026-01-02T03:04", "2026-01-02T03:04:00"),
    ("date", datetime.date(2026, 1, 2), "2026-01-02"),
    ("Annotated[int, 'rows']", "3", 3),
    ("", {"any": ["thing"]}, {"any": ["thing"]}),
    ("", "200", "200"),
    ("Any", "200", "200"),
    ("pd.DataFrame", "x", "x"),
]


@pytest.mark.parametrize(("annotation", "value", "expected"), ADMITTED)
def test_a_fitting_value_is_admitted(annotation, value, expected):
    """Text of a command line becomes what the type asks for, and checking the result again changes nothing."""
    admitted = check_parameters([P("x", annotation, required=True)], {"x": value})["x"]
    assert admitted == expected
    assert type(admitted) is type(expected)
    assert check_parameters([P("x", annotation)], {"x": admitted})["x"] == expected


REFUSED = [
    ("int", "abc", "Parameter 'x' takes int, not 'abc'."),
    ("int", "1.5", "takes int, not '1.5'."),
    ("int", 1.5, "takes int, not 1.5."),
    ("int", True, "takes int, not True."),
    ("int | None", False, "takes int | None, not False."),
    ("int", None, "takes int, not None."),
    ("int", [1], "takes int, not [1]."),
    ("float", "nan", "which JSON cannot hold"),
    ("float", "much", "takes float, not 'much'."),
    ("str", 5, "takes str, not 5."),
    ("bool", "maybe", "takes bool, not 'maybe'."),
    ("list[int]", ["1", "x"], "not ['1', 'x'], in which item 1 does not fit."),
    ("list[int]", "1;2", "takes list[int], not '1;2'."),
    ("dict[str, float]", {"a": "b"}, "in which key 'a' does not fit."),
    ("Literal['a', 'b']", "c", "takes Literal['a', 'b'], not 'c'."),
    ("date", "yesterday", "takes date, not 'yesterday'."),
    ("date", 0, "takes date, not 0."),
    ("date | None", "5", "takes date | None, not '5'."),
    ("", {1, 2}, "takes a JSON value, not {1, 2} (set)"),
    ("", float("inf"), "takes a JSON value, not inf"),
    ("str", "y" * 10_000, None),
    ("int", "y" * 10_000, "not 'yyyyyyyyyyyy...yyyyyyyyyyyyy'."),
]


@pytest.mark.parametrize(("annotation", "value", "says"), REFUSED)
def test_an_unfitting_value_is_refused(annotation, value, says):
    """The error is one short line: the parameter, what it takes and what came."""
    schema = [P("x", annotation)]
    if says is None:
        assert check_parameters(schema, {"x": value}) == {"x": value}
        return
    with pytest.raises(ParameterError) as caught:
        check_parameters(schema, {"x": value})
    assert says in str(caught.value)
    assert len(str(caught.value)) < 250
    assert caught.value.parameters == ["x"]


def test_every_mistake_is_named_at_once():
    """Unknown, missing and ill-typed parameters come in one error, with all that are known at its end."""
    schema = read_parameters("n: int = 200\nname: str\nrate = 0.5")
    with pytest.raises(ParameterError) as caught:
        check_parameters(schema, {"rat": 1, "n": "many"})
    assert str(caught.value) == (
        "There is no parameter 'rat'. Did you mean 'rate'? Parameter 'n' takes int, not 'many'. "
        "Parameter 'name' (str) has no default and must be given. "
        "The notebook takes n: int = 200, name: str, rate: float = 0.5."
    )
    assert caught.value.parameters == ["rat", "n", "name"]


def test_a_notebook_without_parameters_says_so():
    """Giving a parameter to a notebook that takes none says what is lacking."""
    with pytest.raises(ParameterError, match="takes none: no cell is tagged 'parameters'"):
        check_parameters([], {"n": 1})


ASSIGNMENTS = [
    (["n=200"], {"n": "200"}),
    (["name=a=b", "empty="], {"name": "a=b", "empty": ""}),
    (["n=1", "n=2"], {"n": "2"}),
    (["m=[1, 2]"], {"m": [1, 2]}),
    (["m=plain"], {"m": "plain"}),
    (["text=5"], {"text": "5"}),
]


@pytest.mark.parametrize(("words", "expected"), ASSIGNMENTS)
def test_assignments_are_read(words, expected):
    """Text stays text until a type asks for more; an untyped parameter takes what its text spells."""
    schema = read_parameters("n: int = 1\nm = None\ntext: str = ''")
    assert parse_assignments(words, schema) == expected


@pytest.mark.parametrize("word", ["n", "=5", "2n=1", "a b=1", ""])
def test_a_bad_assignment_is_quoted(word):
    """What is not name=value is refused with the word that came."""
    with pytest.raises(ParameterError, match="is given as name=value"):
        parse_assignments([word])


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(sorted({row[0] for row in ADMITTED})), json_values)
def test_any_value_is_admitted_for_good_or_refused(annotation, value):
    """Every JSON value ends admitted, the same when checked again, or in a ParameterError."""
    try:
        admitted = check_parameters([P("x", annotation)], {"x": value})["x"]
    except ParameterError:
        return
    if admitted == admitted and admitted not in (float("inf"), float("-inf")):
        assert admit(annotation, admitted) == admitted


def test_reading_parameters_needs_no_pydantic():
    """Looking at a notebook stays quick: pydantic is loaded when the first value is checked."""
    code = (
        "import sys; from orch_notebook.model.parameters import *; "
        "read_parameters('n: int = 1'); assert 'pydantic' not in sys.modules"
    )
    assert run([sys.executable, "-c", code], check=False).returncode == 0
