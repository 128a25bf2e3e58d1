"""A flow explained: every face says the same of tasks and edges."""

from __future__ import annotations

import pytest

from orch_notebook.model.explanations import explain
from orch_notebook.model.flows import CellFlow, CellTask, PlainCell
from orch_notebook.model.headers import TaskHeader
from orch_notebook.model.views import explanation_html, explanation_text


def flow_of(*cells: tuple[str, str] | tuple[str, str, dict]) -> CellFlow:
    """A flow of cells by name and body; a name in parentheses is a plain cell."""
    made: list[CellTask | PlainCell] = []
    for index, (name, body, *options) in enumerate(cells):
        header = TaskHeader(**(options[0] if options else {}))
        made.append(PlainCell(name, body) if name.startswith("(") else CellTask(name, header, body, cell_index=index))
    flow = CellFlow("book", made)
    flow.know({"get_ipython"})
    return flow


def edge(before: str, after: str, rule: str, name: str) -> dict[str, str]:
    return {"from": before, "to": after, "rule": rule, "name": name}


FLOWS = {
    "read-after-write": (
        [("a", "x = 1"), ("b", "y = x")],
        {"b": {"reads": ["x"], "writes": ["y"], "bindings": {"x": "a"}}},
        [edge("a", "b", "read-after-write", "x")],
    ),
    "write-after-read": (
        [("a", "x = [1]"), ("b", "print(x)"), ("c", "x.append(2)")],
        {"c": {"reads": ["x"], "mutates": ["x"], "bindings": {"x": "a"}}},
        [
            edge("a", "b", "read-after-write", "x"),
            edge("a", "c", "read-after-write", "x"),
            edge("b", "c", "write-after-read", "x"),
        ],
    ),
    "alias": (
        [("a", "x = [1]; y = x"), ("b", "y.append(2)"), ("c", "print(x)")],
        {"c": {"reads": ["x"], "bindings": {"x": "a"}}},
        [
            edge("a", "b", "read-after-write", "y"),
            edge("a", "c", "read-after-write", "x"),
            edge("b", "c", "alias", "x"),
        ],
    ),
    "hidden-state": (
        [("(env)", "import numpy as np"), ("a", "np.random.seed(1)"), ("b", "x = np.random.rand()")],
        {"b": {"reads": ["np"], "writes": ["x"], "bindings": {"np": None}, "changes": ["state:numpy.random"]}},
        [edge("a", "b", "hidden-state", "numpy.random")],
    ),
    "file": (
        [("a", "with open('f.txt', 'w') as f: f.write('1')"), ("b", "x = open('f.txt').read()")],
        {"a": {"writes": ["f"], "changes": ["file:f.txt"]}},
        [edge("a", "b", "file", "f.txt")],
    ),
    "after": (
        [("a", "print(1)"), ("b", "print(2)", {"after": ("a",)})],
        {"b": {"reads": [], "bindings": {}}},
        [edge("a", "b", "after", "")],
    ),
    "barrier": (
        [("a", "x = 1"), ("b", "get_ipython().system('ls')"), ("c", "y = 2")],
        {"b": {"opaque": "it runs a shell command: !ls"}, "c": {"opaque": None}},
        [
            edge("a", "b", "read-after-write", "x"),
            edge("a", "b", "barrier", "it runs a shell command: !ls"),
            edge("b", "c", "barrier", "it runs a shell command: !ls"),
        ],
    ),
    "a name that nothing defines": (
        [("a", "y = x + z")],
        {
            "a": {
                "reads": ["x", "z"],
                "bindings": {"x": None, "z": None},
                "undefined": ["x", "z"],
                "problems": [
                    "Task 'a' reads 'x', which no cell above defines. Define it in a cell above, or name it with "
                    "--outputs where a task makes it."
                ],
            }
        },
        [],
    ),
    "an override that does not fit": (
        [("a", "x = 1"), ("b", "y = 2", {"inputs": ("x",)})],
        {"b": {"problems": ["--inputs names 'x', which the cell does not read."]}},
        [edge("a", "b", "read-after-write", "x")],
    ),
    "a name that is taken away": ([("a", "x = 1"), ("b", "del x")], {"b": {"deletes": ["x"]}}, None),
}


@pytest.mark.parametrize(("cells", "tasks", "edges"), FLOWS.values(), ids=FLOWS)
def test_each_rule_is_explained_with_its_name(cells, tasks, edges) -> None:
    """The JSON has per task what it does to names and where they come from, per edge the rule and the name."""
    found = explain(flow_of(*cells)).to_json()
    by_name = {task["name"]: task for task in found["tasks"]}
    for name, expected in tasks.items():
        assert {key: by_name[name][key] for key in expected} == expected
    if edges is not None:
        assert sorted(found["edges"], key=str) == sorted(edges, key=str)
    for task in found["tasks"]:
        assert sorted(task["bindings"]) == task["reads"]


def test_a_part_of_a_flow_is_explained_alone() -> None:
    """What was not selected is not told, but for where names come from."""
    flow = flow_of(("a", "x = 1"), ("b", "y = x"), ("c", "z = y"))
    found = explain(flow, flow.graph.select(["b+"]))
    assert [task.name for task in found.tasks] == ["b", "c"]
    assert [(one.before, one.after) for one in found.edges] == [("b", "c")]
    assert found.tasks[0].bindings == {"x": "a"}


def test_words_and_table_tell_the_same() -> None:
    """Terminal and notebook show names, makers, reasons and problems; what users wrote is escaped."""
    flow = flow_of(("(env)", "n = 2"), ("a<b>", "x = [n]"), ("c", "x.append(q)"))
    explanation = explain(flow)
    assert explanation_text(explanation) == (
        "a<b>  (cell 2)\n"
        "    reads n\n"
        "    writes x\n"
        "c  (cell 3)\n"
        "    reads q, x@a<b>\n"
        "    mutates x\n"
        "    waits: c reads x from a<b>\n"
        "    ! Task 'c' reads 'q', which no cell above defines. Define it in a cell above, or name it with --outputs "
        "where a task makes it."
    )
    html = explanation_html(explanation)
    for words in ("a&lt;b&gt;", "x@a&lt;b&gt;", "c reads x from a&lt;b&gt;", "which no cell above defines"):
        assert words in html
    assert "<b>a<b>" not in html
