"""Keys: what makes a task run again, and what does not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from orch_notebook.model.flows import CellFlow, CellTask
from orch_notebook.model.headers import TaskHeader
from orch_notebook.runtime.keys import Keys


def key_of(task, cells, environment):
    """Return the key of a task; the environment is source, executed as plain cells are."""
    namespace = {"__name__": "__main__"}
    exec(compile(environment, "<cell>", "exec"), namespace)
    flow = CellFlow("demo")
    flow.know(namespace)
    for name, source in cells.items():
        flow.define(CellTask(name, TaskHeader(cache=True), source))
    return Keys(flow, namespace).key(task)


CELLS = {"load": "x = [n]", "total": "s = f(x)"}
PLAIN = "n = 2\nk = 1\ndef g(v): return v.count(1)\ndef f(v): return sum(v) + g(v) * k\nunused = 1"

#: What is edited: in a task cell, or in the plain cells; from, to.
COUNTS = {
    "the source": ("load", "[n]", "[n, 1]"),
    "a constant": (None, "n = 2", "n = 3"),
    "a function": (None, "sum(v)", "max(v)"),
    "a method a function calls": (None, "v.count(1)", "v.index(1)"),
    "a constant in a function": (None, "count(1)", "count(2)"),
    "a function's function": (None, "return v.count(1)", "return 7"),
    "a constant that a function reads": (None, "k = 1", "k = 5"),
    "a default": (None, "def f(v)", "def f(v, w=1)"),
    "a keyword's default": (None, "def g(v)", "def g(v, *, w=1)"),
    "what is above it": ("load", "x = [n]", "x = [n] * 2"),
}
DOES_NOT_COUNT = {
    "a comment": ("total", "s = f(x)", "# Add it all up.\ns = f(x)  # here"),
    "spacing": ("total", "s = f(x)", "s   =  f( x )\n\n"),
    "a comment in a function": (None, "return sum(v)", "return (  # all of it\n        sum(v))"),
    "where a function stands": (None, "n = 2", "\n\n\nn = 2"),
    "what it does not use": (None, "unused = 1", "unused = 2"),
}


def edited(edit):
    task, before, after = edit
    cells = {name: source.replace(before, after) if name == task else source for name, source in CELLS.items()}
    plain = PLAIN if task else PLAIN.replace(before, after)
    assert (cells, plain) != (CELLS, PLAIN)
    return key_of("total", cells, plain)


@pytest.mark.parametrize("edit", COUNTS.values(), ids=COUNTS)
def test_what_could_change_the_result_changes_the_key(edit) -> None:
    """A task is never taken for fresh when running it could give something else."""
    assert edited(edit)[0] not in (None, key_of("total", CELLS, PLAIN)[0])


@pytest.mark.parametrize("edit", DOES_NOT_COUNT.values(), ids=DOES_NOT_COUNT)
def test_what_cannot_change_the_result_does_not(edit) -> None:
    """A comment costs no hour of training."""
    assert edited(edit) == key_of("total", CELLS, PLAIN)


#: Plain cells in two forms that must not share a key, for a task that does `s = f(3)`.
DIFFER = {
    "a closure's value": ["def make(n):\n    def f(x): return x * n\n    return f\nf = make(2)", "make(2)", "make(3)"],
    "a lambda's value": ["f = lambda x: x + 1", "x + 1", "x + 2"],
    "a method of a class": ["class f:\n    a = 1\n    def __init__(self, x): self.x = x", "self.x = x", "self.x = -x"],
    "an attribute of a class": ["class f:\n    a = 1\n    def __init__(self, x): self.x = x", "a = 1", "a = 2"],
    "a static method": ["class f:\n    def __init__(self, x): 0\n    @staticmethod\n    def g(): return 1", "1", "2"],
    "a property": ["class f:\n    def __init__(self, x): pass\n    @property\n    def g(self): return 1", "1", "2"],
    "a base class": ["class A: n = 1\nclass f(A):\n    def __init__(self, x): pass", "n = 1", "n = 2"],
    "the name of an attribute": ["def f(x): return x.real", "real", "imag"],
    "the name of a keyword": ["def g(**k): return k\ndef f(x): return g(a=x)", "a=x", "b=x"],
    "a set's members": ["def f(x): return x in {1, 2}", "{1, 2}", "{1, 3}"],
    "a type of constant": ["def f(x): return x + 1", "x + 1", "x + 1.0"],
    "what a decorator wraps": [
        "import functools\ndef d(g):\n    @functools.wraps(g)\n    def w(x): return g(x)\n    return w\n"
        "@d\ndef f(x): return x + 1", "x + 1", "x + 2",
    ],
}  # fmt: skip


@pytest.mark.parametrize("plain, before, after", DIFFER.values(), ids=DIFFER)
def test_functions_that_do_something_else_have_other_keys(plain, before, after) -> None:
    """Everything a function carries counts: names, constants, closures, defaults, and what classes hold."""
    cells = {"t": "s = f(3)"}
    assert plain.replace(before, after) != plain
    first, second = key_of("t", cells, plain)[0], key_of("t", cells, plain.replace(before, after))[0]
    assert None not in (first, second) and first != second
    assert first == key_of("t", cells, plain)[0]


def test_functions_may_call_each_other_in_a_circle() -> None:
    """Recursion is no reason to look for ever, and a change anywhere in the circle counts."""
    plain = "def f(x): return g(x - 1) if x else 0\ndef g(x): return f(x - 1) if x else 1"
    first = key_of("t", {"t": "s = f(3)"}, plain)[0]
    assert first is not None and first != key_of("t", {"t": "s = f(3)"}, plain.replace("else 1", "else 2"))[0]


def test_what_has_no_key_says_why() -> None:
    """What cannot be compared is always run, and so is what depends on it."""
    plain = "import threading\nlock = threading.Lock()"
    cells = {"a": "x = lock.locked()", "b": "y = x"}
    for task, reason in [("a", "it reads 'lock', whose value cannot be pickled"), ("b", "it needs 'a'")]:
        key, why = key_of(task, cells, plain)
        assert key is None and why.startswith("Not kept, so it always runs:") and reason in why


def test_age_is_counted_from_when_it_was_made() -> None:
    """In seconds."""
    keys = Keys(CellFlow("demo"), {})
    assert 59 < keys.age(datetime.now(UTC) - timedelta(seconds=60)) < 3600
