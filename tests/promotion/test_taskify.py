"""``%%task`` lines written into a notebook's file: what is added, and that nothing else changes."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import nbformat
import pytest

from orch_notebook.errors import NotebookError, UsageError
from orch_notebook.promotion.reading import read_flow
from orch_notebook.promotion.taskify import taskify, write_taskified
from tests.books import write_book

SOURCES = [
    ["import math\n", "import os"],
    ["rows = 3"],
    ["# Größe messen\n", "sizes = [math.pi] * rows"],
    ["%%time\n", "total = sum(sizes)"],
    ["print(total)"],
]
OUTPUT = {"name": "stdout", "output_type": "stream", "text": ["9.42 é\\ 1e-05\n"]}


def notebook(*, minor: int = 5, in_lines: bool = True) -> dict[str, object]:
    """Return a notebook as JSON holds it."""
    cells = []
    for index, lines in enumerate(SOURCES):
        cell = {
            "cell_type": "code",
            "execution_count": index,
            "id": f"c{index}",
            "metadata": {"collapsed": True, "tags": ["kept"]} if index == 2 else {},
            "outputs": [OUTPUT] if index == 4 else [],
            "source": lines if in_lines else "".join(lines),
        }
        if minor < 5:
            del cell["id"]
        cells.append(cell)
    metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    return {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": minor}


STYLES: dict[str, str] = {
    "as Jupyter writes it": json.dumps(notebook(), indent=1, ensure_ascii=False) + "\n",
    "no new line at the end": json.dumps(notebook(), indent=1, ensure_ascii=False),
    "two spaces": json.dumps(notebook(), indent=2),
    "tabs": json.dumps(notebook(), indent="\t"),
    "one line": json.dumps(notebook(), separators=(",", ":")),
    "one line with spaces": json.dumps(notebook()),
    "sources as texts": json.dumps(notebook(in_lines=False), indent=1),
    "an older format": json.dumps(notebook(minor=2), indent=1),
    "Windows line ends": json.dumps(notebook(), indent=1).replace("\n", "\r\n"),
    "a byte order mark": "\ufeff" + json.dumps(notebook(), indent=1),
    "escaped slashes": json.dumps(notebook(), indent=1).replace("9.42", "\\/9.42\\u003c"),
    "keys in another order": json.dumps({key: notebook()[key] for key in sorted(notebook(), reverse=True)}, indent=1),
}


def source_of(cell: dict[str, object]) -> str:
    """Return a cell's source in one piece."""
    return "".join(cell["source"])  # type: ignore[arg-type]


def is_contained(old: str, new: str) -> bool:
    """Whether an old text is the new one with some of it left out."""
    signs = iter(new)
    return all(sign in signs for sign in old)


@pytest.mark.parametrize("text", STYLES.values(), ids=STYLES)
def test_only_what_is_added_changes(tmp_path: Path, text: str) -> None:
    """Every style of JSON is kept, every old byte is there, and every old cell is as it was but for its new line."""
    path = tmp_path / "book.ipynb"
    path.write_bytes(text.encode())
    made = taskify(path)
    new = made.data.decode()
    assert is_contained(text, new)
    assert new.count("\r\n") >= text.count("\r\n")
    before, after = json.loads(text.lstrip("\ufeff")), json.loads(new.lstrip("\ufeff"))
    assert {key: after[key] for key in after if key != "cells"} == {k: before[k] for k in before if k != "cells"}
    first, *cells, last = after["cells"]
    assert (source_of(first), source_of(last)) == ("%load_ext orch_notebook", "%flow run")
    names = ["", "", "größe_messen", "total", "print_total"]
    assert len(cells) == len(names)
    for old, cell, name in zip(before["cells"], cells, names, strict=True):
        assert source_of(cell) == (f"%%task {name}\n" if name else "") + source_of(old)
        tags = ["parameters"] if source_of(old) == "rows = 3" else []
        assert cell["metadata"] == {**old["metadata"], **({"tags": tags} if tags else {})}
        assert {k: cell[k] for k in cell if k not in ("source", "metadata")} == {
            k: old[k] for k in old if k not in ("source", "metadata")
        }
    nbformat.validate(nbformat.from_dict(after))


def test_what_jupyter_wrote_is_as_jupyter_would_write_it(tmp_path: Path) -> None:
    """Saving the result in Jupyter changes nothing more."""
    path = tmp_path / "book.ipynb"
    path.write_text(nbformat.writes(nbformat.from_dict(notebook())) + "\n", "utf-8")
    new = taskify(path).data.decode()
    assert nbformat.writes(nbformat.reads(new, 4)) + "\n" == new


def test_tags_that_are_there_stay(tmp_path: Path) -> None:
    """`parameters` is put before tags that a cell has, and metadata that it has."""
    for metadata in ({"tags": ["mine"]}, {"tags": []}, {"name": "a"}):
        book = notebook()
        book["cells"][1]["metadata"] = metadata  # type: ignore[index]
        for indent in (1, None):
            path = tmp_path / "book.ipynb"
            path.write_text(json.dumps(book, indent=indent))
            found = json.loads(taskify(path).data)["cells"][2]["metadata"]
            assert found == {**metadata, "tags": ["parameters", *metadata.get("tags", [])]}


def test_the_result_is_a_flow(tmp_path: Path) -> None:
    """It reads as one, with the tasks it was given."""
    path = write_book(tmp_path / "a.ipynb", "import math", "xs = [1, 2]", "xs.append(3)", "print(xs)")
    made = taskify(path)
    flow = read_flow(write_taskified(made, tmp_path / "b.ipynb"))
    assert [task.name for task in flow] == list(made.plan.tasks.values()) == ["xs", "xs_append", "print_xs"]
    assert [edge.name for edge in flow.graph.edges] == ["xs", "xs"]


def test_what_runs_the_flow_already_is_not_added(tmp_path: Path) -> None:
    """A notebook may load the extension and run its flow before it has tasks."""
    path = write_book(tmp_path / "a.ipynb", "%load_ext orch_notebook", "x = [1]", "%flow run")
    made = taskify(path)
    assert (made.shift, len(json.loads(made.data)["cells"])) == (0, 3)


# the cells, what the error says
REFUSED = [
    (["%%task a\nx = 1"], "has tasks already"),
    (["import os", "def f(): pass"], "Its cells only import, define and set"),
    (["x = [1]", "print(_)"], "Cell 2 has to be executed at its place (it reads '_')"),
]


@pytest.mark.parametrize(("cells", "says"), REFUSED)
def test_what_cannot_be_done_is_said(tmp_path: Path, cells: list[str], says: str) -> None:
    """In one line, with the way out or the cell that stands in it."""
    with pytest.raises(UsageError) as caught:
        taskify(write_book(tmp_path / "a.ipynb", *cells))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_only_python_can_be_tasks(tmp_path: Path) -> None:
    """A notebook in another language is refused."""
    book = notebook()
    book["metadata"] = {"language_info": {"name": "R"}}
    path = tmp_path / "a.ipynb"
    path.write_text(json.dumps(book))
    with pytest.raises(NotebookError, match="written in r"):
        taskify(path)


def test_nothing_is_replaced_unasked(tmp_path: Path) -> None:
    """What is there stays, unless it is to be replaced; then links and modes stay."""
    path = write_book(tmp_path / "a.ipynb", "x = [1]")
    path.chmod(0o640)
    made, link = taskify(path), tmp_path / "link.ipynb"
    link.symlink_to(path)
    with pytest.raises(UsageError, match="exists"):
        write_taskified(made, link)
    assert write_taskified(made, link, replaces=True) == path
    assert link.is_symlink() and path.read_bytes() == made.data
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    with pytest.raises(NotebookError, match="cannot be written"):
        write_taskified(made, tmp_path / "none" / "b.ipynb")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.ipynb", "link.ipynb"]
