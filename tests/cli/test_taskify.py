"""``orch taskify``: what it writes and says, and that the result runs as the notebook did."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from orch_notebook.promotion.execution import execute
from orch_notebook.promotion.notebooks import read_notebook
from tests.books import write_book
from tests.cli.conftest import Answer

Call = Callable[..., Answer]

CELLS = ["import math", "rows = 3", "sizes = [math.sqrt(each) for each in range(rows)]", "print(sum(sizes))"]


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """An ordinary notebook."""
    return write_book(tmp_path / "plain.ipynb", *CELLS)


def test_it_writes_beside_the_notebook_and_tells_what(orch: Call, plain: Path) -> None:
    """The notebook stays, the result bears its name, and every task is listed with its cell."""
    before = plain.read_bytes()
    answer = orch("taskify", plain)
    target = plain.with_name("plain-tasks.ipynb")
    assert answer.code == 0
    assert answer.out.splitlines()[:4] == [
        f"Wrote {target}: 2 tasks.",
        "  cell 4    sizes",
        "  cell 5    print_sum",
        "Cell 3 is tagged 'parameters': set its values with 'orch run -p NAME=VALUE'.",
    ]
    assert f"orch run {target}" in answer.out
    assert plain.read_bytes() == before
    assert len(read_notebook(target).cells) == len(CELLS) + 2


def test_json_names_the_cells_of_the_result(orch: Call, plain: Path) -> None:
    """Indexes are those of the notebook that was written."""
    target = plain.with_name("out.ipynb")
    assert orch("taskify", plain, "-o", target, "--json").json == {
        "notebook": str(target),
        "tasks": [{"name": "sizes", "cell_index": 3}, {"name": "print_sum", "cell_index": 4}],
        "parameters": 2,
        "kept": [],
    }
    assert orch("graph", target, "--json").json["tasks"][0]["cell_index"] == 3


def test_nothing_is_overwritten_unasked(orch: Call, plain: Path) -> None:
    """Neither the result of last time nor the notebook itself."""
    assert orch("taskify", plain).code == 0
    again = orch("taskify", plain)
    assert (again.code, "exists" in again.err, "--force" in again.err) == (2, True, True)
    assert orch("taskify", plain, "--force").code == 0
    itself = orch("taskify", plain, "-o", plain, "--force")
    assert (itself.code, "--in-place" in itself.err) == (2, True)
    assert orch("taskify", plain, "-o", "x.ipynb", "--in-place").code == 2
    assert "%%task" not in plain.read_text()
    assert orch("taskify", plain, "--in-place").code == 0
    twice = orch("taskify", plain, "--in-place")
    assert (twice.code, "has tasks already" in twice.err) == (2, True)


def test_what_keeps_cells_plain_is_told(orch: Call, tmp_path: Path) -> None:
    """With the cell, and why."""
    path = write_book(tmp_path / "a.ipynb", "x = [1]", "y = input(x)", "print(y)")
    assert "Cell 3 has to be executed at its place (it asks somebody with input())" in orch("taskify", path).out


#: Order matters at every step: rebinding, changes in place, functions that read what is bound later, magics, errors.
STORY = [
    "import random\nrandom.seed(4)",
    "def scaled(x):\n    return x * scale",
    "scale = 2\nxs = [1, 2, 3]",
    "print(scaled(1))",
    "%%time\nys = [scaled(x) for x in xs]",
    "ys",
    "scale = 10\nprint(scaled(1), random.random())",
    "xs.append(4)\nxs",
    "for _ in range(3):\n    print(_, end=' ')",
    "def scaled(x):\n    return -x",
    "print([scaled(x) for x in xs], ys, random.random())",
    "class Box:\n    def __init__(self, x): self.x = x\n    def __repr__(self): return f'Box {self.x}'",
    "box = Box(xs)\nbox",
    "box.x = scaled(5)\nbox",
    "from IPython.display import display\ndisplay(box, xs)\nlen(xs)",
    "!echo shell",
    "import json\nprint(json.dumps(ys))",
    "%%capture said\nprint('said', scale)",
    "print(said.stdout)",
    "count = iter(range(9))\nnext(count)",
    "next(count)",
    "del scale",
    "1 + 1;",
]


def shown(cell: object) -> list[tuple[str, str]]:
    """Return what a cell shows, without times."""
    found = []
    for output in cell.outputs:  # type: ignore[attr-defined]
        text = output.text if output.output_type == "stream" else output.data["text/plain"]
        found += [(output.output_type, line) for line in text.splitlines() if " time" not in line and "CPU" not in line]
    return found


@pytest.mark.kernel
@pytest.mark.processes
def test_the_result_shows_what_the_notebook_showed(orch: Call, tmp_path: Path) -> None:
    """Cell by cell, of a notebook in which the order of cells matters everywhere."""
    path = write_book(tmp_path / "story.ipynb", *STORY)
    execute(path, output=tmp_path / "out" / "story.ipynb")
    plainly = read_notebook(tmp_path / "out" / "story.ipynb").cells
    made = orch("taskify", path, "--json").json
    assert len(made["tasks"]) >= 18
    answer = orch("run", made["notebook"], "--json")
    assert answer.code == 0, answer.out
    cells = read_notebook(json.loads(answer.out)["executed_notebook"]).cells[1:-1]
    for before, after in zip(plainly, cells, strict=True):
        is_task = after.source.startswith("%%task")
        after.outputs = after.outputs[1:] if is_task else after.outputs  # the badge comes first
        assert shown(after) == shown(before), before.source
