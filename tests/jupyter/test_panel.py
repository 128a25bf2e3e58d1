"""The panel's kernel side: what it tells browsers, when, and what it does with their clicks."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Event, current_thread
from typing import Any

import pytest

from orch_notebook.errors import OrchError, UsageError
from orch_notebook.jupyter.widgets import FlowPanel, Given, Kept, Page, PanelSource, Question, surface
from orch_notebook.model.events import LogWritten, TaskStateChanged
from orch_notebook.model.graph import Edge, Graph
from orch_notebook.model.parameters import read_parameters
from orch_notebook.model.runs import FlowRun, TaskRun
from orch_notebook.model.states import NAMES, State
from orch_notebook.model.tasks import RetryPolicy, Task

NOW = datetime(2026, 11, 20, 9, 14, tzinfo=UTC)
TYPE_OF = {name: kind for kind, names in NAMES.items() for name in names}
GRAPH = Graph(
    (Task("load", writes=("df",)), Task("plot", RetryPolicy(2), reads=("df",), cell_index=3)),
    (Edge("load", "plot", "read-after-write", "df"),),
)


def run_of(graph: Graph, state: str, *task_states: str, run_id: str = "run-1", **details: Any) -> FlowRun:
    """A run of `graph` whose tasks stand in these states."""
    tasks = [
        TaskRun(run_id, task, State(TYPE_OF[name], name), 0 if name == "Pending" else 1, NOW, None, details)
        for task, name in zip(graph.tasks, task_states, strict=True)
    ]
    return FlowRun(
        run_id, "nightly", State(TYPE_OF[state], state), NOW, started_at=NOW, graph=graph, tasks=tuple(tasks)
    )


class Source(PanelSource):
    """A source whose run a test sets by hand."""

    flow_name = "nightly"

    def __init__(self, graph: Graph = GRAPH) -> None:
        self.wiring = graph
        self.run: FlowRun | None = None
        self.next: int | None = None
        self.earlier: dict[str, FlowRun] = {}
        self.given: list[Given] = []
        self.history: list[TaskStateChanged] = []
        self.lines: list[LogWritten] = []
        self.asked: list[Any] = []
        self.refusal: Exception | None = None
        self.wanted: Question | None = None
        self.callback: Callable[[], None] | None = None

    def graph(self) -> Graph:
        return self.wiring

    def current(self) -> FlowRun | None:
        return self.run

    def past(self, run_id: str) -> FlowRun | None:
        return self.earlier.get(run_id)

    def log_tail(self, task: str, limit: int, run: FlowRun | None = None) -> list[LogWritten]:
        return [line for line in self.lines if line.task == task][-limit:]

    def states(self, task: str, run: FlowRun | None) -> list[TaskStateChanged]:
        return [event for event in self.history if event.task == task]

    def kept(self, task: str, run: FlowRun | None) -> list[Kept]:
        return [Kept("df", "DataFrame 2 × 1", "a\n1")]

    def usual(self) -> dict[str, float]:
        return {"plot": 2.5}

    def parameters(self) -> list[Given]:
        return self.given

    def pages(self) -> dict[str, Page]:
        return {"echo": lambda question: {"said": question["word"]}}

    def coming(self, select: tuple[str, ...] = ()) -> int | None:
        return self.next if not select else len(select)

    def start(
        self, select: tuple[str, ...], *, everything: bool = False, values: Mapping[str, str] | None = None
    ) -> None:
        if self.refusal:
            raise self.refusal
        self.asked.append(("start all" if everything else "start", select, *([values] if values else [])))

    def cancel(self, run_id: str = "") -> None:
        self.asked.append(("cancel", run_id, current_thread().name))

    def pause(self) -> None:
        self.asked.append("pause")

    def resume(self, answer: Mapping[str, str] | None = None, run_id: str = "") -> None:
        self.asked.append(("resume", answer, run_id))

    def question(self, run: FlowRun | None) -> Question | None:
        return self.wanted

    def retry(self) -> None:
        self.asked.append("retry")

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        self.callback = callback

        def unsubscribe() -> None:
            self.callback = None

        return unsubscribe


class Glass:
    """A surface that keeps what it was sent, and lets a test speak as the browser."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.arrived = Event()
        self.is_open = True

    def connect(self, receive: Callable[[Mapping[str, Any]], None], closed: Callable[[], None]) -> Glass:
        self.say, self.closed = receive, closed
        return self

    def send(self, message: Mapping[str, Any]) -> None:
        # What is sent must be plain JSON: this fails where it is not.
        self.sent.append(json.loads(json.dumps(message)))
        self.arrived.set()

    def mimebundle(self, **kwargs: Any) -> dict[str, str]:
        return {"text/plain": "panel"}

    def close(self) -> None:
        if self.is_open:
            self.is_open = False
            self.closed()


class Still(FlowPanel):
    """A panel whose pump stands still, so that a test takes every step itself."""

    def _run(self) -> None:
        pass


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def glass() -> Glass:
    return Glass()


@pytest.fixture
def panel(source: Source, glass: Glass) -> Still:
    """A still panel that a browser has greeted."""
    panel = Still(source, connect=glass.connect, clock=lambda: NOW)
    glass.say({"type": "hello"})
    panel.flush()
    return panel


def test_a_hello_gets_everything(panel: Still, glass: Glass) -> None:
    """The first message to a browser is a snapshot with the diagram, names, sources and shapes."""
    (first,) = glass.sent
    assert (first["type"], first["seq"], first["run"]) == ("snapshot", 1, None)
    topology = first["topology"]
    assert topology["flow"] == "nightly"
    assert 'data-node="1"' in topology["svg"]
    assert topology["tasks"][1]["reads"] == [["df", "load"]]
    assert (topology["tasks"][1]["cell"], topology["tasks"][1]["attempts"]) == (4, 3)
    assert topology["nodes"] == [[0], [1]]
    assert first["tasks"][0]["tone"] == ""


def test_nothing_new_is_no_message(panel: Still, glass: Glass) -> None:
    """A change that shows nowhere costs nothing."""
    panel.flush()
    panel.flush()
    assert len(glass.sent) == 1


def test_a_change_is_told_as_a_delta_with_the_next_number(panel: Still, source: Source, glass: Glass) -> None:
    """Only the task that changed is sent, and the boxes that say something about it."""
    source.run = run_of(GRAPH, "Running", "Running", "Pending")
    panel.flush()
    source.run = run_of(GRAPH, "Running", "Completed", "Pending")
    panel.flush()
    snapshot, delta = glass.sent[1:]
    assert (snapshot["type"], snapshot["seq"], "topology" in snapshot) == ("snapshot", 2, False)
    assert (delta["type"], delta["seq"]) == ("delta", 3)
    assert list(delta["tasks"]) == ["0"]
    assert delta["tasks"]["0"]["word"] == "Completed"
    # "plot" no longer waits for "load", so its box is sent as well.
    assert {index: node["sub"] for index, node in delta["nodes"].items()} == {"0": "0 ms", "1": ""}
    assert delta["run"]["progress"] == "1 of 2 done · 1 pending"


def test_a_run_that_only_changes_its_own_state_is_told(panel: Still, source: Source, glass: Glass) -> None:
    """Cancelling shows before any task has noticed."""
    source.run = run_of(GRAPH, "Running", "Running", "Pending")
    panel.flush()
    source.run = replace(source.run, state=State(TYPE_OF["Cancelling"]))
    panel.flush()
    delta = glass.sent[-1]
    assert (delta["type"], delta["tasks"]) == ("delta", {})
    assert delta["controls"]["cancel"] == "The run is being cancelled."


def test_a_thousand_changes_between_two_messages_are_one(source: Source, glass: Glass) -> None:
    """The pump coalesces: what was told in between is gone, the end is right."""
    graph = Graph(tuple(Task(f"t{number}") for number in range(1000)))
    source.wiring = graph
    panel = Still(source, connect=glass.connect, clock=lambda: NOW)
    source.run = run_of(graph, "Running", *["Pending"] * 1000)
    panel.flush()
    for state in ("Running", "Completed"):
        source.run = run_of(graph, "Running", *[state] * 1000)
    panel.flush()
    second = glass.sent[1]
    assert len(second["tasks"]) == 1000
    assert {face["word"] for face in second["tasks"].values()} == {"Completed"}
    assert len(json.dumps(second)) < 200_000


def test_a_run_ends_with_everything_once(panel: Still, source: Source, glass: Glass) -> None:
    """A lost last message would show no gap, so the end is a snapshot; after it silence."""
    source.run = run_of(GRAPH, "Running", "Completed", "Running")
    panel.flush()
    source.run = run_of(GRAPH, "Completed", "Completed", "Completed")
    panel.flush()
    panel.flush()
    assert [message["type"] for message in glass.sent] == ["snapshot", "snapshot", "snapshot"]
    assert glass.sent[-1]["run"]["is_final"]
    assert "topology" not in glass.sent[-1]


def test_a_new_wiring_is_drawn_anew(panel: Still, source: Source, glass: Glass) -> None:
    """A task defined between runs brings a new diagram."""
    source.wiring = Graph((*GRAPH.tasks, Task("report")), GRAPH.edges)
    panel.flush()
    assert [task["name"] for task in glass.sent[-1]["topology"]["tasks"]] == ["load", "plot", "report"]


def test_while_a_run_goes_on_its_own_wiring_is_shown(panel: Still, source: Source, glass: Glass) -> None:
    """A cell edited meanwhile belongs to the next run."""
    source.run = run_of(GRAPH, "Running", "Running", "Pending")
    source.wiring = Graph((Task("other"),))
    panel.flush()
    assert "topology" not in glass.sent[-1]
    source.run = run_of(GRAPH, "Completed", "Completed", "Completed")
    panel.flush()
    assert [task["name"] for task in glass.sent[-1]["topology"]["tasks"]] == ["other"]


def test_a_gap_is_healed_by_a_hello(panel: Still, source: Source, glass: Glass) -> None:
    """Whoever asks gets everything under the next number."""
    source.run = run_of(GRAPH, "Running", "Running", "Pending")
    panel.flush()
    glass.say({"type": "hello"})
    panel.flush()
    assert (glass.sent[-1]["seq"], "topology" in glass.sent[-1]) == (3, True)


def test_the_log_of_the_task_somebody_looks_at_follows_it(panel: Still, source: Source, glass: Glass) -> None:
    """It is sent when it is chosen and when it grows, not otherwise."""
    source.lines = [LogWritten(NOW, "plot", 1, 20, "one\ntwo\n"), LogWritten(NOW, "load", 1, 20, "other")]
    glass.say({"type": "select", "task": "plot"})
    panel.flush()
    panel.flush()
    source.lines.append(LogWritten(NOW, "plot", 1, 30, "\x1b[33mthree\x1b[0m"))
    panel.flush()
    details = [message for message in glass.sent if message["type"] == "detail"]
    assert [[line["text"] for line in detail["log"]] for detail in details] == [["one", "two"], ["one", "two", "three"]]


def test_a_failure_brings_its_traceback(panel: Still, source: Source, glass: Glass) -> None:
    """The traceback is sent with the log of the task, in plain lines."""
    source.run = run_of(GRAPH, "Failed", "Failed", "UpstreamFailed", traceback=["\x1b[31mValueError\x1b[0m: <no>"])
    glass.say({"type": "select", "task": "load"})
    panel.flush()
    assert glass.sent[-1]["traceback"] == ["ValueError: <no>"]


def test_clicks_are_handed_on(panel: Still, source: Source, glass: Glass) -> None:
    """▶ and ■ call the source on the thread they came on, and nothing else."""
    glass.say({"type": "run", "select": ["plot+"], "everything": False})
    glass.say({"type": "run", "select": [], "everything": True})
    glass.say({"type": "cancel", "run_id": "run-1"})
    glass.say({"type": "run", "select": [], "everything": False, "values": {"n": "3"}})
    glass.say({"type": "pause"})
    glass.say({"type": "resume", "run_id": "run-2", "answer": {}})
    glass.say({"type": "retry"})
    assert source.asked == [
        ("start", ("plot+",)),
        ("start all", ()),
        ("cancel", "run-1", current_thread().name),
        ("start", (), {"n": "3"}),
        "pause",
        ("resume", None, "run-2"),
        "retry",
    ]


def test_a_panel_says_how_many_tasks_would_run(panel: Still, source: Source, glass: Glass) -> None:
    """When a run has ended; a change of that number alone is told, once."""
    source.run = run_of(GRAPH, "Completed", "Completed", "Completed")
    panel.flush()
    for number in (None, 0, 1, 2):
        source.next = number
        panel.flush()
        panel.flush()
        assert glass.sent[-1]["controls"]["coming"] == number
    assert len(glass.sent) == 5


def test_a_message_is_heard_before_it_is_obeyed(panel: Still, source: Source, glass: Glass) -> None:
    """Whoever clicks knows at once that the kernel listens, whatever comes of the click."""
    source.refusal = UsageError("no")
    glass.say({"type": "run", "id": 7, "select": []})
    assert [message["type"] for message in glass.sent[-2:]] == ["heard", "refused"]
    assert glass.sent[-2]["id"] == 7


def test_an_earlier_run_is_shown_in_place_of_the_latest(panel: Still, source: Source, glass: Glass) -> None:
    """With the wiring it had; nothing can be started from it, and the latest comes back when it is asked for."""
    old = Graph((Task("load"), Task("old")))
    source.run = run_of(GRAPH, "Completed", "Completed", "Completed")
    source.earlier["run-0"] = run_of(old, "Failed", "Failed", "Completed", run_id="run-0")
    panel.flush()
    glass.say({"type": "look", "run_id": "run-0"})
    panel.flush()
    shown = glass.sent[-1]
    assert (shown["past"], shown["run"]["word"]) == ("run-0", "Failed")
    assert [task["name"] for task in shown["topology"]["tasks"]] == ["load", "old"]
    assert shown["controls"]["run"] == "This is an earlier run."
    glass.say({"type": "look", "run_id": ""})
    panel.flush()
    assert (glass.sent[-1]["past"], glass.sent[-1]["run"]["word"]) == ("", "Completed")


def test_a_failed_run_can_be_retried(panel: Still, source: Source, glass: Glass) -> None:
    """The message says how many tasks that would perform."""
    source.run = run_of(GRAPH, "Failed", "Completed", "Failed")
    panel.flush()
    controls = glass.sent[-1]["controls"]
    assert (controls["retry"], controls["again"]) == ("", 1)
    assert controls["cancel"] == "Nothing is running."


def test_a_task_shows_what_is_known_of_it(panel: Still, source: Source, glass: Glass) -> None:
    """Its states, what it left, why it waits, how long it usually takes, and its earlier attempts."""
    source.run = run_of(GRAPH, "Running", "Completed", "Retrying")
    source.run = replace(source.run, tasks=(source.run.tasks[0], replace(source.run.tasks[1], attempt=2)))
    for attempt, name in ((1, "Running"), (1, "Failed"), (2, "Retrying")):
        source.history.append(TaskStateChanged(NOW, "plot", attempt, State(TYPE_OF[name], name)))
    glass.say({"type": "select", "task": "plot"})
    panel.flush()
    snapshot, detail = glass.sent[-2:]
    assert snapshot["usual"] == [None, 2.5]
    assert snapshot["tasks"][1]["tries"] == [[NOW.timestamp(), NOW.timestamp(), "failed"]]
    assert [line["word"] for line in detail["states"]] == ["Running", "Failed", "Retrying"]
    assert detail["waits"] == [["load", "plot reads df from load"]]
    assert detail["things"][0]["kind"] == "DataFrame 2 × 1"


FIELDS = [
    ("n: int = 200  # rows to draw", "integer", [], "rows to draw"),
    ("n: int = 3  # rows [1..9]", "integer", [], "rows · from 1 to 9"),
    ("n: float | None = None", "number", [], ""),
    ("n: date = '2026-01-02'", "date", [], "A given 'n' reaches the notebook as ISO text."),
    ("n: bool = True", "", ["True", "False"], ""),
    ("n: Literal['a', 'b'] | None = None", "", ["a", "b", "None"], ""),
    ("n = 'x'  # which [x | y]", "", ["x", "y"], "which"),
    (
        "n: SecretStr = 'x'",
        "secret",
        [],
        "'n' is annotated SecretStr, which cannot be checked; any JSON value is taken.",
    ),
    ("n: list[int] = [1]", "", [], ""),
]


@pytest.mark.parametrize(("line", "kind", "choices", "said"), FIELDS, ids=[line for line, *_ in FIELDS])
def test_parameters_are_a_form_made_from_their_types(
    panel: Still, source: Source, glass: Glass, line: str, kind: str, choices: list[str], said: str
) -> None:
    """Each with the field that fits its type, what can be chosen, its help and limits, and the value it has now."""
    source.given = [Given(each, "300") for each in read_parameters(line)]
    glass.say({"type": "hello"})
    panel.flush()
    (field,) = glass.sent[-1]["parameters"]
    assert (field["name"], field["value"], field["is_required"]) == ("n", "300", False)
    assert (field["kind"], field["choices"], field["help"]) == (kind, choices, said)


def test_what_a_run_waits_to_be_told_is_a_form(panel: Still, source: Source, glass: Glass) -> None:
    """It comes and goes without any task changing; a flow that the run began is called by its name."""
    source.run = run_of(GRAPH, "Running", "Running", "Pending")
    panel.flush()
    fields = [Given(each, "") for each in read_parameters("ok: bool = False\nby: str = 'nobody'")]
    source.wanted = Question("child", "<approve>", fields, NOW)
    panel.flush()
    asked = glass.sent[-1]["asked"]
    assert (asked["run_id"], asked["words"]) == ("child", "'<approve>' waits for an answer.")
    assert [field["name"] for field in asked["fields"]] == ["ok", "by"]
    source.wanted = Question("run-1", "nightly", (), NOW)
    panel.flush()
    assert glass.sent[-1]["asked"]["words"] == "The run waits for the go-ahead."
    source.wanted = None
    panel.flush()
    panel.flush()
    assert [message["type"] for message in glass.sent[-3:]] == ["delta"] * 3
    assert glass.sent[-1]["asked"] is None


def test_a_page_gets_its_answer_or_the_reason(panel: Still, glass: Glass) -> None:
    """A question is answered under its own number; one that cannot be answered says why in one line."""
    for question in ({"word": "hello"}, {}):
        glass.say({"type": "ask", "id": 5, "page": "echo", "question": question})
        panel.flush()
    answers = [message for message in glass.sent if message["type"] == "answer"]
    assert [(answer["id"], answer["data"], answer["error"]) for answer in answers] == [
        (5, {"said": "hello"}, ""),
        (5, None, "'word'"),
    ]


def test_a_refusal_is_one_line_in_the_panel(panel: Still, source: Source, glass: Glass) -> None:
    """What the source would not do is told where somebody clicked; the panel goes on."""
    source.refusal = UsageError("A run goes on\nalready.")
    glass.say({"type": "run", "select": []})
    assert glass.sent[-1] == {"type": "refused", "text": "A run goes on already."}


@pytest.mark.parametrize("message", [{}, {"type": "nonsense"}, {"type": "run"}, {"type": "select", "task": 7}])
def test_a_message_nobody_sends_does_nothing(panel: Still, source: Source, glass: Glass, message: Any) -> None:
    """What does not follow the schema is passed over."""
    glass.say(message)
    assert source.asked == []
    assert len(glass.sent) == 1


def test_a_flow_without_tasks_is_no_error(glass: Glass) -> None:
    """An empty flow is a snapshot without a diagram; the browser says what to do."""
    panel = Still(Source(Graph()), connect=glass.connect, clock=lambda: NOW)
    panel.flush()
    assert (glass.sent[0]["tasks"], glass.sent[0]["topology"]["svg"]) == ([], "")


def test_a_diagram_that_cannot_be_drawn_leaves_the_table(
    source: Source, glass: Glass, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without Graphviz the panel says so in the diagram's place and works otherwise."""

    def broken(text: str) -> str:
        raise OrchError("The diagram needs Graphviz.")

    monkeypatch.setattr("orch_notebook.jupyter.widgets.picture.layout", broken)
    panel = Still(source, connect=glass.connect, clock=lambda: NOW)
    panel.flush()
    assert glass.sent[0]["topology"]["excuse"] == "The diagram needs Graphviz."
    assert len(glass.sent[0]["tasks"]) == 2


def test_a_change_from_any_thread_wakes_the_pump(source: Source, glass: Glass) -> None:
    """The real pump sends after a stored change, and its thread ends with the panel."""
    panel = FlowPanel(source, connect=glass.connect, clock=lambda: NOW)
    assert source.callback is not None
    source.callback()
    assert glass.arrived.wait(30)
    assert glass.sent[0]["type"] == "snapshot"
    panel.close()
    assert panel.is_closed
    assert source.callback is None
    assert not panel._pump.is_alive()


def test_a_widget_closed_from_outside_ends_the_pump(source: Source, glass: Glass) -> None:
    """Closing all widgets of a kernel leaves no thread and no subscription behind."""
    panel = FlowPanel(source, connect=glass.connect, clock=lambda: NOW)
    glass.close()
    panel._pump.join(30)
    assert not panel._pump.is_alive()
    assert source.callback is None


def test_a_source_that_fails_once_does_not_silence_the_panel(
    source: Source, glass: Glass, caplog: pytest.LogCaptureFixture
) -> None:
    """An error while looking is logged, and the next change is shown."""
    wiring, looked = source.graph, Event()

    def failing() -> Graph:
        source.graph = wiring  # type: ignore[method-assign]
        looked.set()
        raise RuntimeError("not now")

    source.graph = failing  # type: ignore[method-assign]
    with caplog.at_level(logging.ERROR):
        panel = FlowPanel(source, connect=glass.connect, clock=lambda: NOW)
        assert source.callback is not None
        source.callback()
        assert looked.wait(30)
        source.callback()
        assert glass.arrived.wait(30)
        panel.close()
    assert "could not show a change of 'nightly'" in caplog.text


def test_times_are_told_by_the_kernels_clock(panel: Still, source: Source, glass: Glass) -> None:
    """Every message bears the kernel's now, so that a browser whose clock differs counts right."""
    source.run = run_of(GRAPH, "Running", "Running", "Pending")
    panel.flush()
    assert glass.sent[-1]["now"] == NOW.timestamp()
    assert glass.sent[-1]["tasks"][0]["started_at"] == (NOW - timedelta(0)).timestamp()


def test_a_checkout_without_the_built_front_end_says_how_to_build_it(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names what is missing and the command that makes it."""
    monkeypatch.setattr(surface, "STATIC", tmp_path)
    with pytest.raises(OrchError, match=r"pip install -e \."):
        surface.front_end()
