"""The page on dependencies: each of its notebooks is executed, plainly and as a flow, and explained as it says."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from orch_notebook.model.explanations import explain
from orch_notebook.model.headers import split_task_cell
from orch_notebook.model.views import reason
from orch_notebook.promotion.reading import read_flow
from tests.kernels import Kernel, Outcome
from tests.test_house import ROOT

PAGE = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Book:
    """One notebook of the page, and what is said of it there."""

    title: str
    cells: tuple[str, ...]
    waits: tuple[str, ...]
    prints: str
    edits: tuple[str, ...] = ()
    again: tuple[str, ...] = ()
    prints_again: str = ""


def read_page() -> list[Book]:
    """Return the notebooks of the page, one for each section that has cells."""
    books = []
    for part in PAGE.split("\n## ")[1:]:
        blocks = re.findall(r"^```(python|text [a-z ]+)\n(.*?)^```$", part, re.DOTALL | re.MULTILINE)
        said = {kind: text for kind, text in blocks if kind != "python"}
        if not said:
            continue
        start = [kind for kind, _ in blocks].index("text waits")
        cells, edits = ([text for kind, text in some if kind == "python"] for some in (blocks[:start], blocks[start:]))
        books.append(
            Book(
                part.partition("\n")[0],
                tuple(cells),
                tuple(said["text waits"].splitlines()),
                said["text prints"],
                tuple(edits),
                tuple(said.get("text runs again", "").splitlines()),
                said.get("text prints again", ""),
            )
        )
    return books


BOOKS = read_page()
each_book = pytest.mark.parametrize("book", BOOKS, ids=lambda book: book.title)


def text_of(outcome: Outcome) -> str:
    """What a cell printed, and its last value."""
    assert not outcome.error, outcome.error
    return "".join(
        out["text"] if out["output_type"] == "stream" else out["data"]["text/plain"] + "\n"
        for out in outcome.outputs
        if out["output_type"] in ("stream", "execute_result")
    )


def test_there_are_ten_notebooks_and_every_rule_is_among_their_reasons() -> None:
    """The page is what it says it is."""
    assert len(BOOKS) >= 10
    said = "\n".join(line for book in BOOKS for line in book.waits)
    for words in (
        " reads ",
        " changes ",
        " shares ",
        " uses random",
        " uses the file ",
        " keeps its place ",
        " is told ",
    ):
        assert words in said


@each_book
def test_the_page_says_why_tasks_wait(book: Book, tmp_path) -> None:
    """The reasons are exactly those found, and nothing is wrong with any task."""
    path = tmp_path / "book.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell(cell) for cell in book.cells]), path)
    explanation = explain(read_flow(path))
    assert [reason(edge) for edge in explanation.edges] == list(book.waits)
    assert not [problem for task in explanation.tasks for problem in task.problems]


@pytest.mark.kernel
@each_book
def test_a_flow_prints_what_its_cells_print(book: Book, kernel: Kernel) -> None:
    """Top to bottom in a kernel that does not know us, and as a flow in whatever order: the same, as on the page."""
    kernel.run("%reset -sf")
    plain = ""
    for cell in book.cells:
        split = split_task_cell(cell)
        plain += text_of(kernel.run(cell if split is None else split[1]))
    assert plain == book.prints
    kernel.run("%reset -sf")
    kernel.run("%reload_ext orch_notebook")
    badges: dict[str, int] = {}
    for cell in book.cells:
        for message in kernel.run(cell).messages:
            if display_id := message["content"].get("transient", {}).get("display_id"):
                badges[display_id] = len(badges)
    assert run_flow(kernel, badges) == book.prints
    for cell in book.edits:
        (display_id,) = (m["content"]["transient"]["display_id"] for m in kernel.run(cell).messages if shows(m))
        name = cell.splitlines()[0].split()[1]
        badges[display_id] = [task.split()[1] for task in book.cells if task.startswith("%%task")].index(name)
    if book.edits:
        assert run_flow(kernel, badges) == book.prints_again
        status = kernel.run("%flow status").data()[0]
        ran = re.findall(r"^ +\S+ Completed(?: [\d.]+ \w+)+ +(\w+)", status, re.MULTILINE)
        assert tuple(ran) == book.again
    kernel.run("%unload_ext orch_notebook")


def shows(message: dict[str, Any]) -> bool:
    """Whether a message shows a badge for the first time."""
    return message["msg_type"] == "display_data" and "transient" in message["content"]


def run_flow(kernel: Kernel, badges: dict[str, int]) -> str:
    """Run the flow and return what its tasks print, from top to bottom whatever ran first."""
    outcome = kernel.run("%flow run --quiet")
    assert not outcome.error, outcome.error
    found = [""] * (max(badges.values()) + 1)
    for message in outcome.messages:
        owner = badges.get(message["metadata"].get("orch_notebook", {}).get("display_id"))
        content = message["content"]
        if message["msg_type"] == "stream" and owner is not None:
            found[owner] += content["text"]
        elif message["msg_type"] == "execute_result" and owner is not None:
            found[owner] += content["data"]["text/plain"] + "\n"
    return "".join(found)
