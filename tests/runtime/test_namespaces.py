"""Late binding by the real engine: a function sees the calling task's versions, wherever and however it is called."""

from __future__ import annotations

from typing import Any

import pytest

from orch_notebook.runtime import bodies
from orch_notebook.runtime.bodies import compile_cell, evaluate
from orch_notebook.runtime.namespaces import Namespaces
from tests.late_programs import LATE
from tests.runtime.test_programs import Notebook

#: How tasks are performed: one at a time in either order, or many at once.
WAYS: dict[str, dict[str, Any]] = {
    "oldest first": {},
    "newest first": {"last_first": True},
    "threads": {"threads": 16},
}


@pytest.mark.parametrize("plain, cells, expected", LATE.values(), ids=LATE)
def test_the_table_itself_is_what_plain_execution_gives(plain, cells, expected) -> None:
    """Whatever the table says of a program is true of it in a plain notebook."""
    names: dict[str, Any] = {"__name__": "__main__"}
    for source in (plain, *cells):
        for code in compile_cell(source, "<cell>"):
            if code is not None:
                evaluate(code, names, names)
    assert {name: names[name] for name in expected} == expected


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("plain, cells, expected", LATE.values(), ids=LATE)
def test_a_function_sees_the_calling_tasks_versions(plain, cells, expected, way) -> None:
    """In any order, and many at once: names end as running the cells top to bottom leaves them."""
    notebook = Notebook(*cells, plain=plain)
    assert notebook.run(**way) == ["Completed"] * len(cells)
    assert {name: notebook.names[name] for name in expected} == expected


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("plain, cells, expected", LATE.values(), ids=LATE)
def test_a_flow_that_runs_again_gives_the_same(plain, cells, expected, way) -> None:
    """What the first run left in the live namespace is not seen by the functions of the second."""
    notebook = Notebook(*cells, plain=plain)
    above = set(notebook.names)
    notebook.run()
    exec(compile(plain, "<plain>", "exec"), notebook.names)
    base = {name: value for name, value in notebook.names.items() if name in above}
    assert notebook.run(base=base, everything=True, **way) == ["Completed"] * len(cells)
    assert {name: notebook.names[name] for name in expected} == expected


FAILING = {
    "its own statement": ("k = 9\nassert f() == 9\nraise ValueError", "k = 1\ndef f(): return k", "a = f()"),
    "a function": (
        "count()\nraise ValueError", "n = 0\ndef count():\n    global n\n    n += 1\ndef f(): return n", "a = f() + 1"
    ),
    "text that is executed": ("exec('k = 9; m = 9')\nraise ValueError", "k = 1\ndef f(): return k", "a = 1"),
    "a body that cannot be read": ("exec(chr(107) + '=9')\nraise ValueError", "k = 1\ndef f(): return k", "a = 1"),
}  # fmt: skip


@pytest.mark.parametrize("source, plain, above", FAILING.values(), ids=FAILING)
def test_a_failed_task_leaves_no_global_behind(source, plain, above) -> None:
    """What it bound before it failed is gone, whoever bound it."""
    notebook = Notebook(above, source, plain=plain)
    before = {**notebook.names, "a": 1}
    assert notebook.run() == ["Completed", "Failed"]
    assert notebook.names == before


def test_what_running_tasks_need_stays_while_others_publish() -> None:
    """A name that a body reaches by way of functions keeps its version until the body is done."""
    live = {"n": 1}
    spaces = Namespaces(live, {"a": ["n"], "b": ["n"], "c": []})
    with spaces.body("a", {"n": 2}), spaces.body("b", {"n": 2}):
        spaces.publish({"n": 3, "m": 4})
        assert live == {"n": 2, "m": 4}
        spaces.leave("a")
        assert live["n"] == 2
    assert live == {"n": 3, "m": 4}


def test_a_name_that_is_absent_is_absent_for_functions() -> None:
    """What only a lower task defines is not there, and comes back when the body is done."""
    live = {"n": 1}
    spaces = Namespaces(live, {"a": ["n"]})
    with spaces.body("a", {}):
        assert "n" not in live
    assert live == {"n": 1}


def test_leaving_twice_does_no_harm() -> None:
    """A stop may come in between; who leaves again changes nothing."""
    live = {"n": 1}
    spaces = Namespaces(live, {"a": ["n"]})
    with spaces.body("a", {"n": 2}):
        spaces.leave("a")
        live["n"] = 5
    assert live == {"n": 5}


def test_annotations_are_evaluated_where_they_stand() -> None:
    """A cell is compiled by its own future imports alone, so an unknown name in an annotation is an error."""
    body, _ = compile_cell("def f(x: later): pass", "<cell>")
    assert body is not None
    with pytest.raises(NameError, match="later"):
        exec(body, {})
    postponed, _ = compile_cell("from __future__ import annotations\ndef f(x: later): pass", "<cell>")
    assert postponed is not None
    exec(postponed, {})


@pytest.mark.parametrize("source", ["x = 1", "get_ipython().run_cell_magic('time', '', 'x = 1\\n')"])
def test_a_tree_that_another_thread_spoils_is_made_again(monkeypatch, source) -> None:
    """CPython 3.11 raises a SystemError where two threads make syntax trees at once; the cell is read again then."""
    spoilt = [SystemError("AST constructor recursion depth mismatch")] * 2

    def sometimes(*given, **options):
        if spoilt and len(given) > 3:  # a tree is wanted
            raise spoilt.pop()
        return compile(*given, **options)

    monkeypatch.setattr(bodies, "compile", sometimes, raising=False)
    body, _ = compile_cell(source, "<cell>")
    names: dict = {}
    exec(body, names)
    assert (names["x"], spoilt) == (1, [])
