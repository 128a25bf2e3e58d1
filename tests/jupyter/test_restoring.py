"""What pages that were loaded again are told about the cells of a notebook; the way to them is a list."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest

from orch_notebook.jupyter.outlets import Address
from orch_notebook.jupyter.source import FlowSource
from orch_notebook.jupyter.widgets import restoring
from orch_notebook.jupyter.widgets.restoring import Restorer


class Glass:
    """A surface that keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[Mapping[str, Any]] = []
        self.arrived = Event()
        self.is_closed = False

    def send(self, message: Mapping[str, Any]) -> None:
        self.sent.append(message)
        self.arrived.set()

    def mimebundle(self, **kwargs: Any) -> Any:
        """Show nothing."""

    def close(self) -> None:
        self.is_closed = True


class Notebook:
    """Cells below which something is put out, and pages that come."""

    def __init__(self) -> None:
        self.glass = Glass()
        self.say: Callable[[Mapping[str, Any]], None] = lambda message: None
        self.restorer = Restorer(self._connect)

    def _connect(self, receive: Callable[[Mapping[str, Any]], None], closed: Callable[[], None]) -> Glass:
        self.say = receive
        return self.glass

    def put(self, kind: str, cell: str = "a", page: str = "first", of: str = "b1", **content: Any) -> None:
        """Let the outlet send something to a cell that this page executed."""
        parent = {"header": {"session": page}, "metadata": {"cellId": cell}}
        self.restorer.note(kind, content, Address(parent), of)

    def badge(self, words: str, *, is_new: bool = False, **where: str) -> None:
        """Show a task's badge, or change it."""
        content = {"data": {"text/html": words}, "metadata": {"orch_notebook": {"task": "load"}}}
        kind = "display_data" if is_new else "update_display_data"
        self.put(kind, **where, **content, transient={"display_id": where.get("of", "b1")})  # type: ignore[arg-type]

    def told(self) -> dict[str, list[str]]:
        """Return what was told since the last time: by cell, what stands there."""
        self.restorer.flush()
        cells = [cell for message in self.glass.sent for cell in message["cells"]]
        self.glass.sent.clear()
        return {cell["cell"]: [said(output) for output in cell["outputs"]] for cell in cells}


def said(output: Mapping[str, Any]) -> str:
    """Return what an output says."""
    assert "transient" not in output
    return str(output.get("text") or output["data"]["text/html"])


@pytest.fixture
def notebook() -> Iterator[Notebook]:
    """A notebook one page of which has executed a cell."""
    made = Notebook()
    made.restorer._surface = made._connect(made.restorer._receive, lambda: None)
    made.badge("Pending", is_new=True)
    yield made
    made.restorer.close()


def test_a_page_that_executed_the_cells_is_told_only_that_the_kernel_lives(notebook: Notebook) -> None:
    """What it shows already is not sent twice."""
    notebook.say({"type": "hello", "page": "first"})
    notebook.restorer.flush()
    assert notebook.glass.sent == [{"type": "restore", "kernel": notebook.restorer.kernel, "cells": []}]
    notebook.badge("Running")
    assert notebook.told() == {}


def test_a_page_that_comes_later_is_told_everything_and_then_what_changes(notebook: Notebook) -> None:
    """First what stands there, then each change, several at once being one."""
    notebook.badge("Running")
    notebook.put("stream", text="one")
    notebook.badge("Pending", is_new=True, cell="b", page="second", of="b2")
    notebook.say({"type": "hello", "page": "second"})
    assert notebook.told() == {"a": ["Running", "one"]}
    notebook.put("stream", text="two")
    notebook.badge("Completed")
    assert notebook.told() == {"a": ["Completed", "one", "two"]}
    assert notebook.told() == {}


#: What a task puts out below its badge, and what stands there then.
STORIES: tuple[tuple[str, tuple[tuple[str, dict[str, Any]], ...], list[str]], ...] = (
    (
        "cleared",
        (("stream", {"text": "old"}), ("clear_output", {"wait": False}), ("stream", {"text": "new"})),
        ["Pending", "new"],
    ),
    (
        "cleared when the next comes",
        (("stream", {"text": "old"}), ("clear_output", {"wait": True})),
        ["Pending", "old"],
    ),
    (
        "replaced",
        (("stream", {"text": "old"}), ("clear_output", {"wait": True}), ("stream", {"text": "new"})),
        ["Pending", "new"],
    ),
    (
        "a display of its own, changed",
        (
            ("display_data", {"data": {"text/html": "1 %"}, "transient": {"display_id": "own"}}),
            ("update_display_data", {"data": {"text/html": "2 %"}, "transient": {"display_id": "own"}}),
        ),
        ["Pending", "2 %"],
    ),
)


@pytest.mark.parametrize(("what", "sent", "stands"), STORIES, ids=[story[0] for story in STORIES])
def test_what_stands_below_a_cell_is_what_a_front_end_would_show(
    notebook: Notebook, what: str, sent: tuple[tuple[str, dict[str, Any]], ...], stands: list[str]
) -> None:
    """Clearing, waiting to clear and displays that change are followed."""
    for kind, content in sent:
        notebook.put(kind, **content)
    notebook.say({"type": "hello", "page": "second"})
    assert notebook.told() == {"a": stands}


def test_a_cell_that_is_executed_again_begins_anew(notebook: Notebook) -> None:
    """The badge before is forgotten, whatever still arrives for it."""
    notebook.put("stream", text="old")
    notebook.badge("Pending again", is_new=True, of="b2")
    notebook.badge("Completed")
    notebook.say({"type": "hello", "page": "second"})
    assert notebook.told() == {"a": ["Pending again"]}


def test_what_belongs_to_no_cell_is_nobodys(notebook: Notebook) -> None:
    """Front ends that tell no cell ids, and outputs of no task, are left out."""
    notebook.put("stream", of="", text="of no task")
    notebook.restorer.note("stream", {"text": "of no cell"}, Address(), "b1")
    notebook.say({"type": "hello", "page": "second"})
    assert notebook.told() == {"a": ["Pending"]}


def test_the_kernel_speaks_first_where_it_hears_no_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cell that blocks the kernel keeps the page's greeting waiting, but not what the kernel says."""
    monkeypatch.setattr(restoring, "KNOCKS", (0.0,))
    notebook = Notebook()
    notebook.restorer.open()
    assert notebook.glass.arrived.wait(30)
    assert notebook.glass.sent == [{"type": "restore", "kernel": notebook.restorer.kernel, "cells": []}]
    notebook.restorer.close()


#: By what a kernel says of itself and whether a cell waits for the run: what its panel cannot do.
DEAF = (
    (("kernel subshells",), True, ()),
    (("debugger",), True, ("pause", "resume")),
    (("debugger",), False, ()),
)


@pytest.mark.parametrize(("features", "is_waiting", "limits"), DEAF)
def test_what_a_kernel_would_not_hear_is_not_offered(
    features: tuple[str, ...], is_waiting: bool, limits: tuple[str, ...]
) -> None:
    """A kernel without subshells hears no click while a cell waits for the run; the reason says what to do."""
    shell = SimpleNamespace(kernel=SimpleNamespace(kernel_info={"supported_features": list(features)}))
    session = SimpleNamespace(shell=shell, steering=SimpleNamespace(is_waiting=is_waiting), orchestrator=None)
    found = FlowSource(session, "nightly").limits()  # type: ignore[arg-type]
    assert tuple(found) == limits
    assert all("%flow run --background" in why for why in found.values())


def test_its_thread_answers_a_page_and_ends_with_the_session() -> None:
    """Opened, it tells who comes; closed, the way is closed too."""
    notebook = Notebook()
    connected = Event()

    def connect(receive: Callable[[Mapping[str, Any]], None], closed: Callable[[], None]) -> Glass:
        notebook.say = receive
        connected.set()
        return notebook.glass

    notebook.restorer._connect = connect
    notebook.restorer.open()
    notebook.restorer.open()
    assert connected.wait(30)
    notebook.say({"type": "hello", "page": "first"})
    assert notebook.glass.arrived.wait(30)
    notebook.restorer.close()
    assert notebook.glass.is_closed
