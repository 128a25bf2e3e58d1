"""The panel's further pages: history, comparison, promotion, and what tasks left; each asked as the browser asks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nbformat
import pytest

from orch_notebook.errors import NotebookError, ParameterError, UsageError
from orch_notebook.jupyter.document import NotebookFile
from orch_notebook.jupyter.previews import artifact_preview, value_preview
from orch_notebook.jupyter.widgets import Given
from orch_notebook.jupyter.widgets.history import HistoryPage
from orch_notebook.jupyter.widgets.promoting import PromotePage
from orch_notebook.model.flows import CellFlow, CellTask
from orch_notebook.model.headers import TaskHeader
from orch_notebook.model.parameters import read_parameters
from orch_notebook.orchestrator import Orchestrator
from orch_notebook.runtime.settings import Settings
from orch_notebook.runtime.store.shelves import Artifact
from orch_notebook.testing import ManualClock
from tests.books import write_book


def nowhere() -> None:
    """Tell what is known of the file of a notebook that was never saved."""


@pytest.fixture
def orchestrator(orch_home: Path) -> Iterator[Orchestrator]:
    """One over a store of its own."""
    found = Orchestrator(Settings(orch_home))
    yield found
    found.close()


def run_once(orchestrator: Orchestrator, second: str, *, path: str | None = None, **parameters: Any) -> str:
    """Run a flow of two tasks to its end; return the run's id."""
    cells = [CellTask("load", TaskHeader(), "x = 1"), CellTask("use", TaskHeader(), second)]
    flow = CellFlow("nightly", cells)
    handle = orchestrator.cells.start(flow, {}, parameters=parameters, path=path)
    handle.wait(30)
    return handle.run_id


def test_the_history_is_runs_against_tasks(orchestrator: Orchestrator) -> None:
    """Newest first, a row for each task that any of them had, with tone, word and seconds; of this flow alone."""
    page = HistoryPage(orchestrator, "nightly", nowhere)
    assert page({"grid": True})["grid"] == {"runs": [], "rows": [], "left": 0}
    first = run_once(orchestrator, "y = x / 0", n=200)
    second = run_once(orchestrator, "y = x", n=300)
    grid = json.loads(json.dumps(page({"grid": True})["grid"]))
    assert [run["run_id"] for run in grid["runs"]] == [second, first]
    assert grid["rows"] == ["load", "use"]
    assert [run["tasks"]["1"][:2] for run in grid["runs"]] == [["completed", "Completed"], ["failed", "Failed"]]
    assert grid["runs"][0]["parameters"] == [["n", "300"]]
    assert HistoryPage(orchestrator, "other", nowhere)({"grid": True})["grid"]["runs"] == []


def test_notebooks_of_one_name_have_histories_of_their_own(
    orchestrator: Orchestrator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A notebook elsewhere is another flow, whatever its name; what a worker made of this one belongs to it."""
    monkeypatch.delenv("ORCH_NOTEBOOK", raising=False)
    here, there = (tmp_path / folder / "nightly.ipynb" for folder in ("here", "there"))
    for book in (here, there):
        write_book(book, "x = 1")
    (tmp_path / "link").symlink_to(here.parent)
    unknown = run_once(orchestrator, "y = x")
    mine = run_once(orchestrator, "y = x", path=str(here))
    other = run_once(orchestrator, "y = x", path=str(there))
    orchestrator.deployments.promote(tmp_path / "link" / "nightly.ipynb", "nightly")
    due = orchestrator.deployments.trigger("nightly").run_id
    for book, runs in ((here, [due, mine, unknown]), (there, [other, unknown])):
        monkeypatch.setenv("JPY_SESSION_NAME", str(book))
        grid = HistoryPage(orchestrator, "nightly", lambda: NotebookFile({}).place)({"grid": True})["grid"]
        assert [run["run_id"] for run in grid["runs"]] == runs
        assert {each.run_id for each in orchestrator.task_history("nightly", path=str(book))} == set(runs) - {due}
    assert len(orchestrator.flow_runs("nightly")) == 4


def test_two_runs_are_compared(orchestrator: Orchestrator) -> None:
    """What they were given, how they and their tasks ended; what is the same says so."""
    ids = run_once(orchestrator, "y = x / 0", n=200, rate=1), run_once(orchestrator, "y = x", n=300, rate=1)
    lines = HistoryPage(orchestrator, "nightly", nowhere)({"left": ids[0], "right": ids[1]})["lines"]
    found = {(line["kind"], line["name"]): line for line in lines}
    assert (found["parameter", "n"]["left"], found["parameter", "n"]["right"]) == ("200", "300")
    assert found["parameter", "rate"]["is_same"]
    assert (found["run", "state"]["left"], found["run", "state"]["right"]) == ("Failed", "Completed")
    assert found["task", "use"]["left"].startswith("Failed")


def test_what_a_cell_publishes_belongs_to_its_task(orchestrator: Orchestrator) -> None:
    """The panel shows an artifact with the task that made it, and its run is compared by it."""
    publish = "from orch_notebook import create_markdown_artifact\ncreate_markdown_artifact({!r}, key='note')"
    ids = [run_once(orchestrator, publish.format(text)) for text in ("one", "two")]
    (artifact,) = orchestrator.artifacts(ids[0])
    assert (artifact.task, artifact.name, artifact.data) == ("use", "note", "one")
    lines = HistoryPage(orchestrator, "nightly", nowhere)({"left": ids[0], "right": ids[1]})["lines"]
    assert [(line["left"], line["right"]) for line in lines if line["name"] == "note"] == [("one", "two")]


def test_a_question_that_is_no_question_is_refused(orchestrator: Orchestrator) -> None:
    """Each page says that it cannot answer."""
    with pytest.raises(UsageError):
        HistoryPage(orchestrator, "nightly", nowhere)({})
    with pytest.raises(UsageError):
        PromotePage(orchestrator, Path, tuple)({"do": "nothing"})


@pytest.fixture
def notebook(tmp_path: Path) -> Path:
    """A saved notebook with a parameters cell."""
    cell = nbformat.v4.new_code_cell("n: int = 200  # rows", metadata={"tags": ["parameters"]})
    found = nbformat.v4.new_notebook(cells=[cell, nbformat.v4.new_code_cell("print(n)")])
    found.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(found, tmp_path / "report.ipynb")
    return tmp_path / "report.ipynb"


@pytest.fixture
def page(orch_home: Path, notebook: Path) -> Iterator[PromotePage]:
    """The promote page of that notebook, on a Friday at noon."""
    found = Orchestrator(Settings(orch_home), clock=ManualClock(datetime(2026, 11, 20, 12, tzinfo=UTC)))
    parameters = [Given(each, "200") for each in read_parameters("n: int = 200  # rows")]
    yield PromotePage(found, lambda: notebook, lambda: parameters)
    found.close()


PREVIEWS = [
    (
        {"cron": "0 6 * * 1-5", "zone": "Europe/Madrid"},
        "At 06:00 on Monday through Friday (Europe/Madrid)",
        ["Mon 23 Nov 06:00", "Tue 24 Nov 06:00", "Wed 25 Nov 06:00", "Thu 26 Nov 06:00", "Fri 27 Nov 06:00"],
    ),
    ({"every": "6h", "zone": "UTC"}, "every 6 h", [f"{day} {hour}:00" for day, hour in (
        ("Fri 20 Nov", 18), ("Sat 21 Nov", "00"), ("Sat 21 Nov", "06"), ("Sat 21 Nov", 12), ("Sat 21 Nov", 18))]),
    ({"zone": "UTC"}, "It runs when somebody asks for it.", []),
]  # fmt: skip


@pytest.mark.parametrize(("question", "words", "due"), PREVIEWS)
def test_a_schedule_is_read_out_before_it_is_saved(
    page: PromotePage, question: dict[str, str], words: str, due: list[str]
) -> None:
    """In plain language, with the next five due times on the wall clock of its zone."""
    found = page({"do": "preview", **question})["preview"]
    assert found["words"].startswith(words)
    assert (found["due"], found["problem"]) == (due, "")


@pytest.mark.parametrize("question", [{"cron": "0 25 * * *"}, {"every": "soon"}, {"cron": "* * * * *", "zone": "Mars"}])
def test_a_schedule_that_is_none_says_what_is_wrong(page: PromotePage, question: dict[str, str]) -> None:
    """As a line in the preview, while somebody types, and nothing is made."""
    found = page({"do": "preview", **question})["preview"]
    assert found["problem"] and not found["due"]


NOTICES = [
    ({}, "", ""),
    ({"notify": "$SLACK", "on": "failed, too-long:2h"}, "failed, too-long:2h → $SLACK", ""),
    ({"notify": "slack://a/b", "on": "failed"}, "failed → slack://… (f71496e0)", ""),
    ({"notify": "ann@example.org", "on": "failed"}, "", "is no address: write mailto://…"),
    ({"notify": "$SLACK", "on": "fialed"}, "", "Nobody can be told 'fialed'. Did you mean 'failed'?"),
    ({"notify": "$SLACK", "on": "too-long"}, "", "'too-long' is not complete"),
    ({"notify": "$SLACK", "on": ""}, "", "Nobody can be told ''. There are failed, recovered"),
]


@pytest.mark.parametrize(("fields", "notice", "doubt"), NOTICES)
def test_who_will_be_told_is_read_out_before_it_is_saved(
    page: PromotePage, fields: dict[str, str], notice: str, doubt: str
) -> None:
    """What, and where to, no secret of the address in it; or what is wrong, and then nothing can be promoted."""
    found = page({"do": "preview", **fields})["preview"]
    assert found["notice"] == notice
    assert doubt in found["doubt"] and bool(doubt) == bool(found["doubt"])
    if doubt:
        with pytest.raises(UsageError):
            page({"do": "promote", "name": "nightly", **fields})
    told = page({"do": "form"} if doubt else {"do": "promote", "name": "nightly", **fields})["form"]["deployments"]
    assert [line["tells"] for line in told] == ([] if doubt else [[notice] if notice else []])


def test_a_notebook_is_promoted_paused_and_triggered(page: PromotePage) -> None:
    """The form shows what stands; each act answers with the form as it is then."""
    form = page({"do": "form"})["form"]
    assert (form["name"], form["deployments"], form["problem"]) == ("report", [], "")
    assert form["notebook"].startswith("report.ipynb as saved at ")
    fields = {"name": "nightly", "cron": "0 6 * * *", "zone": "UTC", "retries": "2", "delay": "60", "overlap": "skip"}
    form = page({"do": "promote", **fields, "values": {"n": "300"}})["form"]
    assert form["said"] == "Promoted: 'nightly', version 1."
    (line,) = form["deployments"]
    assert (line["schedules"], line["is_paused"]) == (["At 06:00 every day (UTC)"], False)
    assert page({"do": "pause", "name": "nightly"})["form"]["deployments"][0]["is_paused"]
    assert not page({"do": "unpause", "name": "nightly"})["form"]["deployments"][0]["is_paused"]
    runs = page({"do": "trigger", "name": "nightly"})["form"]["deployments"][0]["runs"]
    assert [word for _, word, _ in runs] == ["Scheduled"]


def test_a_value_of_the_wrong_type_is_refused_by_name(page: PromotePage) -> None:
    """Before anything is made."""
    with pytest.raises(ParameterError, match="'n' takes int"):
        page({"do": "promote", "name": "nightly", "values": {"n": "many"}})
    assert page({"do": "form"})["form"]["deployments"] == []


def test_a_notebook_that_was_never_saved_says_so_in_the_forms_place(orchestrator: Orchestrator) -> None:
    """The reason and what to do, in the words of the error."""

    def nowhere() -> Path:
        raise NotebookError("The front end does not tell where this notebook is.")

    assert "does not tell" in PromotePage(orchestrator, nowhere, tuple)({"do": "form"})["form"]["problem"]


class Frame:
    """Looks like a frame, and is too large to be written."""

    shape, columns = (1_000_000, 2), ("a", "b")

    def head(self, count: int) -> str:
        return f"the first {count} rows"


class Broken:
    def __repr__(self) -> str:
        raise ValueError("no")


VALUES = [
    (Frame(), "Frame 1000000 × 2", "the first 5 rows"),
    ([1, 2], "list, 2", "[1, 2]"),
    (list(range(100_000)), "list, 100000", "[0, 1, 2,"),
    ("text" * 1000, "str, 4000", "texttext"),
    (Broken(), "Broken", "It cannot be shown: ValueError: no"),
    (3.5, "float", "3.5"),
]


@pytest.mark.parametrize(("value", "kind", "text"), VALUES, ids=[kind for _, kind, _ in VALUES])
def test_a_value_is_shown_in_a_few_lines(value: Any, kind: str, text: str) -> None:
    """Its type and size, and its beginning, however large it is and whatever its code does."""
    found = value_preview("it", value)
    assert found.kind == kind
    assert found.text.startswith(text)
    assert len(found.text) <= 1500


ARTIFACTS = [
    ("table", {"a": [1, 2], "b": [3, 4]}, '["a", "b"]'),
    ("markdown", "# Hello", "# Hello"),
    ("link", {"link": "https://example.org", "text": "here"}, "https://example.org"),
    ("progress", 40.0, "40 %"),
]


@pytest.mark.parametrize(("kind", "data", "text"), ARTIFACTS)
def test_an_artifact_is_shown_in_a_few_lines(kind: str, data: Any, text: str) -> None:
    """What it holds, by its kind."""
    found = artifact_preview(Artifact("1", kind, data, "report", "what it is"))
    assert (found.name, found.kind, found.is_artifact) == ("report", f"{kind} · what it is", True)
    assert found.text.startswith(text)
