"""What a value is, structurally: two of the same kind are alike, a change in place is seen and told in words."""

from __future__ import annotations

import collections
import io
import itertools
import random

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from orch_notebook.runtime import tokens
from orch_notebook.runtime.restoring import WayBack
from orch_notebook.runtime.surveys import Survey, fingerprint
from orch_notebook.runtime.tokens import Budget

X = np.random.default_rng(0).random((60, 3))
Y = (X[:, 0] > 0.5).astype(int)


class Box:
    """A plain object with attributes."""

    def __init__(self, **attributes):
        vars(self).update(attributes)

    @property
    def total(self):
        raise AssertionError("looking at an object runs no property")


class Slotted:
    """An object that keeps its attributes in slots."""

    __slots__ = ("x",)


def numbers():
    """Yield numbers."""
    yield from range(5)


def closure():
    """Return a function that carries a list."""
    seen = []
    return seen.append if False else lambda x: seen.append(x)


def frame():
    """Return a small frame."""
    return pd.DataFrame({"a": [1, 2, 3], "b": ["x", "y", "z"]})


def figure():
    """Return a figure with one line."""
    made = Figure()
    made.add_subplot().plot([1, 2], [3, 4])
    return made


def slotted():
    """Return an object with slots."""
    made = Slotted()
    made.x = [1]
    return made


#: How a value is made, how it is changed, and what is said of the change.
CHANGES = {
    "a list": (lambda: [1], lambda v: v.append(2), "1 item → 2 items"),
    "an item": (lambda: [1, 2], lambda v: v.__setitem__(0, 9), "other items"),
    "a list in a list": (lambda: [[1], [2]], lambda v: v[1].append(3), "1 item → 2 items"),
    "a dictionary": (lambda: {"a": 1}, lambda v: v.update(b=2), "1 key → 2 keys"),
    "a key": (lambda: {"a": 1}, lambda v: v.update(a=2), "['a'] is another"),
    "the order of keys": (lambda: {"a": 1, "b": 2}, lambda v: v.update(a=v.pop("a")), "another order"),
    "a set": (lambda: {1}, lambda v: v.add(2), "1 item → 2 items"),
    "a counter": (lambda: collections.Counter("ab"), lambda v: v.update("b"), "['b'] is another"),
    "a queue": (lambda: collections.deque([1]), lambda v: v.append(2), "1 item → 2 items"),
    "bytes": (lambda: bytearray(b"ab"), lambda v: v.__setitem__(0, 0), "other items"),
    "an attribute": (lambda: Box(x=1), lambda v: setattr(v, "x", 2), ".x is another"),
    "a new attribute": (lambda: Box(x=1), lambda v: setattr(v, "y", 2), ".y is new"),
    "an attribute that goes": (lambda: Box(x=1), lambda v: delattr(v, "x"), ".x is gone"),
    "a slot": (slotted, lambda v: setattr(v, "x", 3), ".x is another"),
    "an array": (lambda: np.zeros(3), lambda v: v.__setitem__(1, 5), "other values"),
    "a view's base": (lambda: np.zeros((2, 2)), lambda v: v[0].fill(1), "other values"),
    "an array of objects": (lambda: np.array([[1], None], dtype=object), lambda v: v[0].append(2), "1 item → 2 items"),
    "one date": (lambda: np.array(["2020-01-01"], "M8[D]"), lambda v: v.fill("2021"), "other values"),
    "a column": (frame, lambda v: v.__setitem__("a", 0), "column 'a' is another"),
    "a cell": (frame, lambda v: v.loc.__setitem__((1, "b"), "w"), "column 'b' is another"),
    "a new column": (frame, lambda v: v.insert(0, "c", 1), "3 rows × 2 columns → 3 rows × 3 columns"),
    "a row": (frame, lambda v: v.loc.__setitem__(3, (4, "w")), "3 rows × 2 columns → 4 rows × 2 columns"),
    "an index": (frame, lambda v: setattr(v, "index", [3, 4, 5]), "another index"),
    "a series": (lambda: pd.Series([1, 2]), lambda v: v.__setitem__(0, 7), "other values"),
    "a generator": (numbers, next, "moved on"),
    "an iterator": (lambda: iter([1, 2]), next, "moved on"),
    "what a zip draws from": (lambda: zip([1, 2], numbers(), strict=False), next, "moved on"),
    "a counter of itertools": (itertools.count, next, "moved on"),
    "a random generator": (lambda: random.Random(1), lambda v: v.random(), "moved on"),
    "numpy's generator": (lambda: np.random.default_rng(1), lambda v: v.random(), "moved on"),
    "numpy's old generator": (lambda: np.random.RandomState(1), lambda v: v.rand(), "moved on"),
    "a text in memory": (io.StringIO, lambda v: v.write("x"), "moved on"),
    "an estimator": (Ridge, lambda v: v.fit(X, Y), ".n_features_in_ is new"),
    "a step of a pipeline": (
        lambda: make_pipeline(StandardScaler(), LogisticRegression()),
        lambda v: v.fit(X, Y),
        ".classes_ is new",
    ),
    "a figure": (figure, lambda v: v.axes[0].plot([5, 6]), "1 plot, 1 line → 1 plot, 2 lines"),
    "a title": (figure, lambda v: v.axes[0].set_title("x"), "more is drawn"),
    "a label": (figure, lambda v: v.axes[0].set_xlabel("x"), "more is drawn"),
    "what a function carries": (closure, lambda v: v(1), "0 items → 1 item"),
    "what a method is bound to": (lambda: [].append, lambda v: v(1), "0 items → 1 item"),
    "an attribute of a class": (lambda: type("C", (), {"n": 1}), lambda v: setattr(v, "n", 2), ".n is another"),
}


@pytest.mark.parametrize("make, change, said", CHANGES.values(), ids=CHANGES)
def test_a_change_in_place_is_seen_and_told(make, change, said) -> None:
    """However deep it lies, in words that say what happened; and a value that changes has another fingerprint."""
    value = make()
    mark, before = fingerprint(value), Survey({"value": value})
    assert list(before.changes(Survey({"value": value}))) == []
    change(value)
    told = [found.what for found in before.changes(Survey({"value": value}))]
    assert any(said in each for each in told), told
    assert fingerprint(value) != mark


@pytest.mark.parametrize("make", [row[0] for row in CHANGES.values()], ids=CHANGES)
def test_equal_values_have_the_same_fingerprint(make) -> None:
    """Wherever they lie in memory."""
    assert fingerprint(make()) == fingerprint(make())


RESTORABLE = [name for name in CHANGES if name not in ("a generator", "an iterator", "a counter of itertools",
              "what a zip draws from", "a figure", "a title", "a label")]  # fmt: skip


@pytest.mark.parametrize("name", RESTORABLE)
def test_what_changed_is_put_back_in_place(name: str) -> None:
    """The same object is what it was; whoever holds it, by whatever name, sees that."""
    make, change, _ = CHANGES[name]
    value = make()
    mark, way = fingerprint(value), WayBack(Survey({"value": value}))
    change(value)
    assert way.put_back() == []
    assert fingerprint(value) == mark


def test_what_cannot_be_put_back_is_named() -> None:
    """A generator that has moved on stays there."""
    box = Box(rows=numbers())
    way = WayBack(Survey({"box": box}))
    next(box.rows)
    assert way.put_back() == ["box.rows"]


LOOKS_ONLY = {
    "a frame": (
        frame,
        lambda v: (v.describe(), v.values, v.groupby("b").size(), repr(v), v.T, v.sort_values("a"), v["a"].sum()),
    ),
    "a model": (
        lambda: RandomForestClassifier(5, random_state=0).fit(X, Y),
        lambda v: (v.predict(X), v.score(X, Y), v.feature_importances_, repr(v)),
    ),
    "a search": (lambda: GridSearchCV(Ridge(), {"alpha": [1, 2]}).fit(X, Y), lambda v: v.predict(X)),
    "a figure": (figure, lambda v: v.savefig(io.BytesIO())),
    "an array": (lambda: np.arange(4.0), lambda v: (v.sum(), v[1:].mean(), v.reshape(2, 2), np.sort(v))),
}


@pytest.mark.parametrize("make, use", LOOKS_ONLY.values(), ids=LOOKS_ONLY)
def test_using_a_value_is_no_change(make, use) -> None:
    """What libraries compute when they are asked and keep for themselves does not count."""
    value = make()
    before = Survey({"value": value})
    use(value)
    assert [found.what for found in before.changes(Survey({"value": value}))] == []


def test_the_time_that_a_search_took_is_no_part_of_it() -> None:
    """Two searches that found the same are alike."""
    assert len({fingerprint(GridSearchCV(Ridge(), {"alpha": [1, 2]}).fit(X, Y)) for _ in range(3)}) == 1


def test_names_are_shared_by_shortest_path() -> None:
    """A change is told by the name that reaches it in the fewest steps."""
    inner = [1]
    before = Survey({"rows": [inner, [2]], "first": inner})
    inner.append(3)
    [change] = before.changes(Survey(before.roots))
    assert (change.name, change.path) == ("first", "first")


def test_what_holds_itself_is_looked_at_once() -> None:
    """Circles end."""
    ring: list[object] = [1]
    ring.append(ring)
    other: list[object] = [1]
    other.append(other)
    assert fingerprint(ring) == fingerprint(other)


def test_looking_moves_nothing_on() -> None:
    """Iterators, files and generators stand where they stood."""
    values = {"it": iter([1, 2]), "gen": numbers(), "zip": zip("ab", "cd", strict=True), "text": io.StringIO("abc")}
    Survey(values)
    assert (next(values["it"]), next(values["gen"]), next(values["zip"]), values["text"].read()) == (
        1,
        0,
        ("a", "c"),
        "abc",
    )


def test_what_is_too_big_is_read_in_samples_and_that_is_said() -> None:
    """A small budget is kept, and a change at either end is still seen."""
    big, small = np.zeros(1_000_000), Budget(1_000)
    before = Survey({"big": big}, small)
    big[-1] = 1
    assert small.is_exceeded
    assert list(before.changes(Survey({"big": big}, Budget(1_000))))


def test_what_cannot_be_looked_into_is_named_and_never_differs() -> None:
    """Two locks are alike, and their kind is told."""
    survey = Survey({"thing": object()})
    assert survey.closed == {"object"}
    assert fingerprint(object()) == fingerprint(object())


def test_sharing_is_part_of_the_structure() -> None:
    """A list that stands twice in another is not two lists."""
    one = [1]
    assert fingerprint([one, one]) != fingerprint([[1], [1]])


@pytest.mark.parametrize(
    "value", [1, 1.5, "x", None, (1, "a"), frozenset({1}), range(3), np.float64(2), pd.Timestamp(0)]
)
def test_plain_values_have_tokens(value) -> None:
    """What nobody can change needs no looking into."""
    assert tokens.token(value) == tokens.token(value) is not None


BODY = "def f(a):\n    if a:\n        a = np.array(a)\n        a += 1\n    return [np.abs(i) for i in a]\n"
OTHER_BODIES = {
    "operator": BODY.replace("+=", "-="),
    "constant": BODY.replace("1", "2"),
    "condition": BODY.replace("if a", "if not a"),
    "place": BODY.replace("        a += 1", "    a += 1"),
    "name": BODY.replace("abs", "exp"),
}


def code_of(*texts: str):
    """Return the function that texts define which are compiled one by one."""
    names: dict[str, object] = {"__name__": "__main__"}
    for text in texts:
        exec(compile(text, "cell", "exec"), names)
    return names["f"]


def test_a_function_is_the_same_however_its_cell_was_compiled() -> None:
    """With the import of what it uses, or statement by statement as IPython compiles a plain cell."""
    load = "import math as np\n"
    assert fingerprint(code_of(load + BODY)) == fingerprint(code_of(load, BODY))


@pytest.mark.parametrize("body", OTHER_BODIES.values(), ids=OTHER_BODIES)
def test_another_body_is_another_function(body) -> None:
    """One sign, one constant, one indent."""
    assert fingerprint(code_of("import math as np\n", BODY)) != fingerprint(code_of("import math as np\n", body))
