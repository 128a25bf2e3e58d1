"""The panel in every state a run can be in, on a bare page: no accessibility violation, no text taken for markup."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page as Sheet
from playwright.sync_api import expect

from orch_notebook.jupyter.widgets import Given, Kept, Page, PanelSource, Question
from orch_notebook.jupyter.widgets.content import detail
from orch_notebook.jupyter.widgets.forms import given
from orch_notebook.jupyter.widgets.picture import Picture
from orch_notebook.jupyter.widgets.surface import front_end
from orch_notebook.model.events import LogWritten, TaskStateChanged
from orch_notebook.model.graph import Edge, Graph
from orch_notebook.model.parameters import read_parameters
from orch_notebook.model.runs import FlowRun, TaskRun
from orch_notebook.model.states import NAMES, State
from orch_notebook.model.tasks import RetryPolicy, Task
from tests.browser.axe import AXE, find_violations
from tests.browser.driver import Browser

pytestmark = pytest.mark.skipif(
    not AXE.exists(), reason="the front end's packages are not installed: npm ci --prefix js"
)

NOW = datetime(2026, 11, 20, 9, 14, tzinfo=UTC)
TYPE_OF = {name: kind for kind, names in NAMES.items() for name in names}
EVIL = "<img src=x onerror='window.hacked=1'>"

CHAIN = Graph(
    (
        Task("load", writes=("df",), tags=("io",)),
        Task("clean", RetryPolicy(2), reads=("df",), writes=("kept",)),
        Task("plot", reads=("kept",)),
        Task(EVIL, reads=("kept",)),
    ),
    (
        Edge("load", "clean", "read-after-write", "df"),
        Edge("clean", "plot", "read-after-write", "kept"),
        Edge("clean", EVIL, "write-after-read", "kept"),
    ),
)

#: Tasks that make something outside of the flow.
MADE = Graph(
    (
        Task("extract", assets=("s3://lake/raw/orders.csv",), asset_deps=("postgres://shop/orders",)),
        Task("tidy", assets=("s3://lake/clean.csv", "file:///tmp/report.html")),
        Task("tell"),
    ),
    (Edge("extract", "tidy", "read-after-write", "rows"), Edge("tidy", "tell", "read-after-write", "kept")),
)


def layered(width: int, depth: int) -> Graph:
    """Layers of tasks, each reading two of the layer before."""
    tasks = [Task(f"step_{layer}_{place}") for layer in range(depth) for place in range(width)]
    edges = [
        Edge(f"step_{layer - 1}_{(place + way) % width}", f"step_{layer}_{place}", "read-after-write", "x")
        for layer in range(1, depth)
        for place in range(width)
        for way in (0, 1)
        if width > 1 or not way
    ]
    return Graph(tuple(tasks), tuple(edges))


#: By scene: the graph, the state of the run, those of its tasks (the last for all that are left).
SCENES: dict[str, tuple[Graph, str, tuple[str, ...]]] = {
    "idle": (CHAIN, "", ()),
    "running": (CHAIN, "Running", ("Completed", "Retrying", "Pending")),
    "failed": (CHAIN, "Failed", ("Completed", "Failed", "UpstreamFailed")),
    "cached": (CHAIN, "Completed", ("Cached",)),
    "paused": (CHAIN, "Paused", ("Completed", "Pending")),
    "crashed": (CHAIN, "Crashed", ("Completed", "Lost", "Cancelled")),
    "one": (layered(1, 1), "Completed", ("Completed",)),
    "assets": (MADE, "Running", ("Completed", "Running")),
    "forty": (layered(8, 5), "Running", (*["Completed"] * 20, *["Running"] * 4, "Pending")),
    "thousand": (layered(100, 10), "Running", (*["Completed"] * 500, *["Running"] * 16, "Pending")),
}


class Source(PanelSource):
    """A run that stands still."""

    flow_name = "nightly"

    def __init__(self, graph: Graph, state: str, states: tuple[str, ...]) -> None:
        self.wiring, self.run = graph, None
        if not state:
            return
        tasks = []
        for place, task in enumerate(graph.tasks):
            name = states[min(place, len(states) - 1)]
            began = (
                NOW + timedelta(seconds=place * 0.4) if name not in ("Pending", "UpstreamFailed", "Cached") else None
            )
            ended = began + timedelta(seconds=3) if began and State(TYPE_OF[name], name).is_final else None
            attempt = 2 if name == "Retrying" else 1 if began else 0
            details = {"traceback": ["ValueError: " + EVIL], "error": EVIL} if name == "Failed" else {}
            tasks.append(TaskRun("r", task, State(TYPE_OF[name], name), attempt, began, ended, details))
        found = State(TYPE_OF[state], state)
        ended = NOW + timedelta(seconds=9) if found.is_final else None
        self.run = FlowRun("r", "nightly", found, NOW, started_at=NOW, ended_at=ended, graph=graph, tasks=tuple(tasks))

    def graph(self) -> Graph:
        return self.wiring

    def current(self) -> FlowRun | None:
        return self.run

    def states(self, task: str, run: FlowRun | None) -> list[TaskStateChanged]:
        names = ("Running", "Failed", "AwaitingRetry", "Retrying")
        return [
            TaskStateChanged(NOW + timedelta(seconds=place), task, 2 if place == 3 else 1, State(TYPE_OF[name], name))
            for place, name in enumerate(names)
        ]

    def usual(self) -> dict[str, float]:
        return {task.name: 3.0 for task in self.wiring.tasks}

    def parameters(self) -> list[Given]:
        return [Given(each, "200") for each in read_parameters("n: int = 200  # rows to draw")]

    def pages(self) -> dict[str, Page]:
        return dict.fromkeys(("history", "promote"), dict)

    def question(self, run: FlowRun | None) -> Question | None:
        """A run that is paused waits to be told something."""
        if run is None or run.state.name != "Paused":
            return None
        fields = read_parameters(f"ok: bool = False\nby: str = 'x'  # {EVIL}")
        return Question("child", EVIL, [Given(each, "") for each in fields], NOW)

    def coming(self, select: tuple[str, ...] = ()) -> int | None:
        return 2


def messages(source: Source) -> list[dict[str, Any]]:
    """What a kernel would send a browser that looks at the second task."""
    picture = Picture(source)
    sent: list[Any] = [picture.snapshot(NOW + timedelta(seconds=12))]
    names = [task.name for task in source.wiring.tasks]
    watched = names[min(1, len(names) - 1)]
    log = [LogWritten(NOW, watched, 1, 20 + 10 * (line % 3), f"{line} {EVIL}") for line in range(8)]
    kept = [
        Kept("kept", "DataFrame 2 × 1", "   a\n0  1"),
        Kept("report", "link", "https://example.org", is_artifact=True),
    ]
    states = source.states(watched, source.run)
    sent.append(detail(watched, source.wiring, log, picture.task_runs.get(watched), states, kept, 1))
    found: list[dict[str, Any]] = json.loads(json.dumps(sent))
    return found


RUNS = [
    {
        "run_id": name,
        "tone": tone,
        "word": tone.capitalize(),
        "at": NOW.timestamp() - 86400 * day,
        "seconds": 9.0 + day,
        "deployment": "nightly",
        "parameters": [["n", "200"]],
        "tasks": {"0": ["completed", "Completed", 3.0], "1": [tone, tone.capitalize(), 2.0]},
    }
    for day, (name, tone) in enumerate((("r", "running"), ("q", "failed"), ("p", "completed")))
]
FORM = {
    "name": "nightly",
    "notebook": "nightly.ipynb as saved at 09:14:00",
    "problem": "",
    "zones": ["UTC", "Europe/Madrid"],
    "zone": "Europe/Madrid",
    "parameters": given(Source(CHAIN, "", ()).parameters()),
    "deployments": [
        {
            "name": "nightly",
            "version": 3,
            "schedules": ["At 06:00 every day (UTC)"],
            "next": "Sat 21 Nov 06:00",
            "is_paused": True,
            "runs": [["completed", "Completed", "p"], ["failed", "Failed", "q"]],
            "tells": ["failed → $SLACK"],
        }
    ],
    "has_worker": False,
    "facts": [["failed", "a run failed"], ["late", "a run is due and has not started"]],
    "said": "",
}
ANSWERS = {
    "History": {"grid": {"runs": RUNS, "rows": ["load", EVIL], "left": 0}},
    "Promote": {"form": FORM},
}

#: A widget's model without Jupyter: what the panel says is kept, what the kernel says is handed in.
SHOW = """async script => {
    const { default: make } = await import(URL.createObjectURL(new Blob([script], { type: "text/javascript" })));
    const hearers = [];
    window.said = [];
    const model = {
        send: message => { window.said.push(message); window.tell({ type: "heard", id: message.id }); },
        on: (name, hear) => name === "msg:custom" && hearers.push(hear),
        off: () => {},
    };
    window.tell = message => hearers.forEach(hear => hear(message));
    const widget = make();
    widget.initialize({ model });
    widget.render({ model, el: document.querySelector("main") });
}"""
PAPER = {"light": "#ffffff", "dark": "#111111", "contrast": "#ffffff"}
FITS = "() => document.documentElement.scrollWidth <= innerWidth"


@pytest.fixture(scope="module")
def sheet(browser: Browser) -> Iterator[Sheet]:
    """A bare page."""
    page = browser.open_sheet()
    yield page
    page.context.close()


def show(sheet: Sheet, source: Source, theme: str, width: int) -> None:
    """Put a new panel on the page, in front of what a front end's theme says."""
    script, style = front_end()
    is_forced = theme == "contrast"
    sheet.emulate_media(
        forced_colors="active" if is_forced else "none", reduced_motion="reduce" if is_forced else "no-preference"
    )
    dark = theme == "dark"
    colours = f"--jp-layout-color1:{PAPER[theme]};--jp-ui-font-color1:{'#e6e6e6' if dark else '#1d2129'}"
    sheet.set_viewport_size({"width": width, "height": 900})
    sheet.set_content(
        f'<!doctype html><html lang="en"><head><title>Panel</title><style>{style}</style></head>'
        f'<body style="margin:8px;background:{PAPER[theme]};{colours}"><main></main></body></html>'
    )
    sheet.evaluate(SHOW, script)
    for message in messages(source):
        sheet.evaluate("message => window.tell(message)", message)
    sheet.locator(".orch-head").wait_for()


def tell(sheet: Sheet, tab: str) -> None:
    """Answer what a page has asked."""
    sheet.evaluate(
        "([page, data]) => window.tell({ type: 'answer', id: 1, page, data, error: '' })", [tab.lower(), ANSWERS[tab]]
    )


def each_tab(sheet: Sheet, look: Callable[[str], object]) -> None:
    """Open every tab in turn and look."""
    for name in ("Graph", "Timeline", "Tasks", "History", "Promote"):
        sheet.get_by_role("tab", name=name).click()
        if name in ANSWERS:
            tell(sheet, name)
        look(name)


@pytest.mark.parametrize("scene", SCENES)
def test_every_state_is_accessible(sheet: Sheet, shots: Path, scene: str) -> None:
    """In each tab, light, dark and high contrast, wide and narrow; and what a person wrote is text everywhere."""
    found: list[str] = []
    ways = [("light", 1400), ("dark", 700), ("contrast", 500), ("dark", 1400)]
    if scene not in ("running", "failed"):
        ways = [ways[list(SCENES).index(scene) % 2]]
    for theme, width in ways:
        show(sheet, Source(*SCENES[scene]), theme, width)

        def look(tab: str, where: str = f"{theme} {width}") -> None:
            found.extend(f"{where}, {tab}: {line}" for line in find_violations(sheet, "main"))
            sheet.locator(".orch-panel").screenshot(
                path=shots / f"state-{scene}-{tab.lower()}-{where.replace(' ', '-')}.png"
            )

        each_tab(sheet, look)
        assert sheet.evaluate(FITS)
        assert sheet.evaluate("() => document.getAnimations().length > 0") <= (theme != "contrast")
        assert not sheet.evaluate("() => window.hacked || document.querySelector('main img')")
    assert not found, "\n".join(dict.fromkeys(found))


def test_assets_stand_between_tasks(sheet: Sheet) -> None:
    """Drums that no state colours and nobody can choose; what a task comes from is drawn out through them."""
    show(sheet, Source(*SCENES["assets"]), "light", 1400)
    sheet.get_by_role("tab", name="Graph").click()
    expect(sheet.locator(".orch-diagram .asset")).to_have_count(4)
    expect(sheet.locator(".orch-diagram .asset .sub").first).to_have_text("s3://lake/raw")
    sheet.locator(".orch-diagram .asset").first.click()
    expect(sheet.locator(".orch-diagram .node.selected")).to_have_count(0)
    sheet.get_by_role("button", name="tell").click()
    expect(sheet.locator(".orch-diagram .node.selected .name")).to_have_text("tell")
    expect(sheet.locator(".orch-diagram .edge.hot")).to_have_count(7)
