"""A second run performs only what must be performed, from inputs as they were at its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from orch_notebook.runtime.copies import Copies
from tests.runtime.test_programs import Notebook


@pytest.fixture
def copies(tmp_path: Path):
    """A place for copies that goes with the test."""
    found = Copies(tmp_path / "copies", 100_000_000)
    yield found
    found.close()


def performed(notebook: Notebook, *select: str, **how) -> str:
    """Run a notebook again and return the numbers of the tasks that were performed, all of which completed."""
    notebook.run(*select, **how)
    states = {e.task: e.state.name for e in notebook.recorded.events if hasattr(e, "task") and hasattr(e, "state")}
    assert set(states.values()) <= {"Completed", "Cached"}, states
    return " ".join(sorted(name.removeprefix("t") for name, state in states.items() if state == "Completed"))


def fresh_names(notebook: Notebook) -> dict:
    """Return the names that running all cells top to bottom anew would leave."""
    names = {"__name__": "__main__"}
    for cell in notebook.flow.cells:
        exec(compile(cell.source if hasattr(cell, "source") else cell.body, "<cell>", "exec"), names)
    return {name: value for name, value in names.items() if not callable(value) and not name.startswith("__")}


def same(notebook: Notebook) -> None:
    """Hold the namespace against that of a plain notebook."""
    expected = fresh_names(notebook)
    assert {name: notebook.names.get(name) for name in expected} == expected


CHAIN = ["a = [n]", "b = a + [2]", "c = sum(b)", "d = len(a)"]
MUTATION = [
    "rows = [1]",
    "first = len(rows)",
    "rows.append(2)",
    "last = len(rows)",
    "rows.append(4)",
    "end = len(rows)",
]
ALIAS = ["rows = [1]\ntable = {'rows': rows}", "rows.append(2)", "shown = list(table['rows'])"]
LATE_ALIAS = ["rows = [1]", "other = 0", "rows.append(2)", "end = (list(rows), other)"]
REBINDING = ["x = [1]", "x = x + [2]", "x = x + [3]", "y = sum(x)"]
HIDDEN = ["import random\nrandom.seed(7)", "a = random.random()", "b = random.random()", "c = a + b"]

#: Cells, the plain cells above them; what is edited (a task's number, or "plain") and how; what is performed then.
EDITS = {
    "nothing": (CHAIN, "n = 1", None, "", ""),
    "a comment": (CHAIN, "n = 1", 1, "b = a + [2]  # more", ""),
    "the last": (CHAIN, "n = 1", 2, "c = max(b)", "2"),
    "the middle": (CHAIN, "n = 1", 1, "b = a + [3]", "1 2"),
    "the first": (CHAIN, "n = 1", 0, "a = [n, n]", "0 1 2 3"),
    "a constant": (CHAIN, "n = 1", "plain", "n = 5", "0 1 2 3"),
    "what is not used": (CHAIN, "n = 1", "plain", "n = 1\nm = 2", ""),
    "a reader before a change": (MUTATION, "", 1, "first = str(rows)", "1"),
    "a reader between changes": (MUTATION, "", 3, "last = str(rows)", "3"),
    "a change": (MUTATION, "", 2, "rows.append(3)", "2 3 4 5"),
    "the last change": (MUTATION, "", 4, "rows.append(5)", "4 5"),
    "what is changed": (MUTATION, "", 0, "rows = [7]", "0 1 2 3 4 5"),
    "a change through another name": (ALIAS, "", 1, "rows.append(3)", "1 2"),
    "another name for what is changed": (LATE_ALIAS, "", 1, "other = rows", "1 2 3"),
    "a rebinding": (REBINDING, "", 1, "x = x + [5]", "1 2 3"),
    "the last rebinding": (REBINDING, "", 2, "x = x + [5]", "2 3"),
    "a draw": (HIDDEN, "", 2, "b = random.random() * 2", "2 3"),
    "an earlier draw": (HIDDEN, "", 1, "a = random.randint(1, 9)", "1 2 3"),
    "a constant list that a task changes": (["log.append(1)", "n = len(log)"], "log = []", 0, "log.append(2)", "0 1"),
    "its reader": (["log.append(1)", "n = len(log)"], "log = []", 1, "n = list(log)", "1"),
    "a function": (["s = f(2)", "t = s + 1", "u = 1"], "def f(x): return x", "plain", "def f(x): return -x", "0 1"),
    "what a function uses": (
        ["s = f(2)", "u = 1"], "k = 2\ndef f(x): return x * k", "plain", "k = 3\ndef f(x): return x * k", "0",
    ),
    "a cached function": (
        ["s = f(2)", "u = 1"], "import functools\n@functools.cache\ndef f(x): return x", "plain",
        "import functools\n@functools.cache\ndef f(x): return -x", "0",
    ),
    "a name that a plain cell binds too": (["y = x", "x = 5", "z = x"], "x = 1", 2, "z = -x", "2"),
    "a cell that nobody can read": (
        ["x = [1]", "exec(code)", "y = x + [0]"], "code = 'x.append(2)'", 2, "y = list(x)", "2",
    ),
    "what stands above such a cell": (
        ["x = [1]", "y = x + [0]", "exec(code)"], "code = 'x.append(2)'", 1, "y = list(x)", "0 1 2",
    ),
}  # fmt: skip


@pytest.mark.parametrize("with_copies", [True, False], ids=["copies", "no copies"])
@pytest.mark.parametrize("cells, plain, where, edit, expected", EDITS.values(), ids=EDITS)
def test_after_an_edit_the_names_are_those_of_a_fresh_notebook(
    copies, cells, plain, where, edit, expected, with_copies
) -> None:
    """Only what the edit concerns is performed; without copies whoever made what is gone is performed too."""
    notebook = Notebook(*cells, plain=plain, copies=copies if with_copies else None)
    assert performed(notebook) == " ".join(str(number) for number in range(len(cells)))
    assert performed(notebook) == ""
    if where == "plain":
        notebook.execute(edit)
    elif where is not None:
        notebook.define(f"t{where}", edit)
    if not with_copies and "log.append" in cells[0] and where == 0:
        return  # a plain cell's list cannot be made again by anybody but the person
    again = performed(notebook)
    assert again == expected if with_copies else set(again.split()) >= set(expected.split())
    same(notebook)
    assert performed(notebook) == ""
