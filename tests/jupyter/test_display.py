"""Badges, outputs and summaries go where they belong; what is sent is recorded instead of shown."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from orch_notebook.jupyter import display
from orch_notebook.jupyter.display import LiveDisplay
from orch_notebook.jupyter.outlets import Address
from orch_notebook.model.graph import Graph
from orch_notebook.model.runs import FlowRun, TaskRun
from orch_notebook.model.states import NAMES, State
from orch_notebook.model.tasks import Task
from orch_notebook.runtime.capture import Capture, capturing

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
TYPE_OF = {name: kind for kind, names in NAMES.items() for name in names}


class Cells:
    """An outlet that notes ``(kind, to which cell, during which cell, what)``."""

    is_live = True

    def __init__(self) -> None:
        self.executing = ""
        self.sent: list[tuple[str, str, str, str]] = []

    def here(self) -> Address:
        return Address({"metadata": {"cellId": self.executing}})

    def send(self, kind: str, content: Mapping[str, Any], to: Address, running: Address, display_id: str = "") -> None:
        words = content.get("text") or content.get("data", {}).get("text/plain", "")
        self.sent.append((kind, str(to.cell_id), str(running.cell_id), words.partition("\n")[0]))

    def take(self) -> list[tuple[str, str, str, str]]:
        taken, self.sent = self.sent, []
        return taken


class Story:
    """A notebook whose tasks stand as a test says."""

    def __init__(self, *names: str) -> None:
        self.cells = Cells()
        self.display = LiveDisplay(self.cells, lambda: NOON)  # type: ignore[arg-type]
        self.tasks = {name: Task(name) for name in names}
        self.run: FlowRun | None = None
        for name in names:
            self.execute(name)
        self.cells.take()

    def execute(self, name: str) -> None:
        """Execute a task cell; the cell bears the task's name."""
        self.cells.executing = name
        self.display.place(name, f"id-{name}", TaskRun("", self.tasks[name]), 1)

    def stand(self, run: str, **states: str) -> None:
        """Let the run and its tasks stand so."""
        tasks = tuple(
            TaskRun(run, self.tasks[name], State(TYPE_OF[state], state), 1, NOON - timedelta(seconds=2), NOON)
            for name, state in states.items()
        )
        over = all(task.state.is_final for task in tasks)
        state = State(TYPE_OF["Completed" if over else "Running"])
        self.run = FlowRun(run, "story", state, NOON, graph=Graph(tuple(self.tasks.values())), tasks=tasks)

    def follow(self, cell: str, run: str, **states: str) -> None:
        """Begin to show a run that this cell started."""
        self.cells.executing = cell
        self.stand(run, **states)
        self.display.follow(lambda: self.run, lambda: self.run is None or self.run.state.is_final)

    def put_out(self, name: str, text: str) -> None:
        """Let a task print."""
        with capturing(Capture(lambda level, line: None)) as capture:
            self.display.begin(name, capture)
            capture.write("stdout", text)
        self.display.put_out(name, capture)


def test_a_badge_is_shown_where_its_cell_is_and_changed_there() -> None:
    """It appears once under the cell, and each change of state is an update of it; no change, no message."""
    story = Story("load")
    story.execute("load")
    assert story.cells.take() == [("display_data", "load", "load", "○ Pending  load")]
    story.follow("run", "1", load="Running")
    story.stand("1", load="Completed")
    story.display.finish()
    story.display.finish()
    kinds = [message[:2] for message in story.cells.take()]
    assert kinds == [("update_display_data", "load")] * 2


def test_what_a_run_puts_out_before_it_is_followed_waits_for_that() -> None:
    """A task that ends at once is shown in its own run's cell, not in that of the run before."""
    story = Story("load")
    story.follow("run 1", "1", load="Completed")
    story.display.finish()
    story.cells.take()
    with story.display.held():
        thread = threading.Thread(target=story.put_out, args=("load", "early"))
        thread.start()
        assert story.cells.take() == []
        story.follow("run 2", "2", load="Running")
    thread.join()
    story.display.finish()
    streams = [message for message in story.cells.take() if message[0] == "stream"]
    assert streams == [("stream", "load", "run 2", "early")]


def test_a_second_run_clears_the_cell_and_puts_the_badge_first() -> None:
    """What the earlier run printed goes before the new badge and the new lines come."""
    story = Story("load")
    story.follow("run", "1", load="Running")
    story.put_out("load", "once")
    story.stand("1", load="Completed")
    story.display.finish()
    story.follow("run", "2", load="Running")
    story.cells.take()
    story.put_out("load", "twice")
    assert [message[0] for message in story.cells.take()] == ["clear_output", "display_data", "stream"]
    story.stand("2", load="Completed")
    story.display.finish()


def test_a_task_that_clears_its_cell_keeps_its_badge() -> None:
    """Clearing at once and clearing when the next output comes both leave the badge standing first."""
    story = Story("load")
    story.follow("run", "1", load="Running")
    story.cells.take()
    with capturing(Capture(lambda level, line: None)) as capture:
        story.display.begin("load", capture)
        for wait, text in ((False, "one"), (True, "two")):
            capture.put({"output_type": "clear_output", "wait": wait})
            story.display.put_out("load", capture)
            cleared = [message[0] for message in story.cells.take()]
            assert cleared == ([] if wait else ["clear_output", "display_data"])
            capture.write("stdout", text)
            story.display.put_out("load", capture)
            shown = [message[0] for message in story.cells.take()]
            assert shown == (["clear_output", "display_data", "stream"] if wait else ["stream"])
    story.stand("1", load="Completed")
    story.display.finish()


def test_a_cell_executed_again_leaves_the_run_that_goes_on() -> None:
    """Its new badge says Pending until the next run; the run that goes on does not touch it."""
    story = Story("load", "plot")
    story.follow("run", "1", load="Running", plot="Pending")
    story.execute("load")
    story.cells.take()
    story.stand("1", load="Completed", plot="Completed")
    story.display.finish()
    shown = story.display._places["load"].shown
    assert "Pending" in shown
    story.follow("run", "2", load="Completed", plot="Completed")
    story.display.finish()
    assert "Completed" in story.display._places["load"].shown


def test_a_thousand_badges_are_not_sent_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """One round sends so many and no more; the end of the run sends them all."""
    names = [f"task-{number}" for number in range(2 * display.ROUND)]
    story = Story(*names)
    monkeypatch.setattr(display, "INTERVAL", 3600)
    story.follow("run", "1", **dict.fromkeys(names, "Running"))
    assert len(story.cells.take()) == display.ROUND
    story.stand("1", **dict.fromkeys(names, "Completed"))
    story.display.finish()
    assert len(story.cells.take()) == len(names)


def test_a_task_that_is_stale_is_to_come_again_and_says_why() -> None:
    """The badges of the tasks that are named change, once; they change back when nothing is stale any more."""
    story = Story("load", "plot")
    story.follow("run", "1", load="Completed", plot="Failed")
    story.display.finish()
    story.cells.take()
    story.cells.executing = "constants"
    for _ in range(2):
        story.display.mark({"load": "n: 3 → 4", "plot": "'df' comes from a newer 'load'"})
    assert story.cells.take() == [("update_display_data", "load", "constants", "○ Pending  load  stale: n: 3 → 4")]
    story.display.mark({})
    assert [words[:11] for *_, words in story.cells.take()] == ["✓ Completed"]


def test_a_cell_executed_again_shows_what_its_fresh_task_left() -> None:
    """Executing a cell clears it; below the new badge stands again what the task put out, under the cell's number."""
    story = Story("load")
    story.follow("run", "1", load="Running")
    story.put_out("load", "three rows")
    story.stand("1", load="Completed")
    story.display.finish()
    story.cells.take()
    story.cells.executing = "load"
    last = story.display.last("load")
    assert last is not None and last.state.name == "Completed"
    story.display.place("load", "id-2", last, 7)
    assert [(kind, words) for kind, _, _, words in story.cells.take()] == [
        ("display_data", "✓ Completed 2.0 s  load"),
        ("stream", "three rows"),
    ]


def test_what_a_kept_result_put_out_is_shown_in_a_new_kernel() -> None:
    """Once, and not where the cell shows something already."""
    story = Story("load")
    story.follow("run", "1", load="Running")
    for _ in range(2):
        story.display.put_again("load", [{"output_type": "stream", "name": "stdout", "text": "three rows"}])
    assert [words for kind, _, _, words in story.cells.take() if kind == "stream"] == ["three rows"]


def test_a_mark_does_not_cover_what_a_run_shows_meanwhile() -> None:
    """What is stale is worked out by a thread of its own, which may come when another one shows how the run ended."""
    story = Story("load")
    here, came = story.cells.here, threading.Event()
    story.cells.here = lambda: came.set() or here()  # type: ignore[func-returns-value, method-assign]
    failed = TaskRun("r1", story.tasks["load"], State(TYPE_OF["Failed"], "Failed"), 1, NOON, NOON)
    with story.display._sending:
        marking = threading.Thread(target=story.display.mark, args=({"load": "it has not run yet"},))
        marking.start()
        assert came.wait(10)
        story.display._send_badge(story.display._places["load"], failed)
    marking.join(10)
    assert [words for _, _, _, words in story.cells.take() if "Pending" in words] == []
    assert story.display.last("load") is failed
