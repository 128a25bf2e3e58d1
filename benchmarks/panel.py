"""What the panel costs: its size, the time of kernel and browser while a thousand tasks change, a click, a picture.

``python benchmarks/panel.py`` needs a source checkout with its test packages and Chromium; it prints the figures as
JSON beside their budgets.  A made-up source moves the tasks, so nothing but the panel is measured; the click is on a
real run.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from orch_notebook.jupyter.widgets.surface import STATIC
from tests.browser.chromium import HOW_TO_INSTALL, find_chromium
from tests.browser.driver import Browser, Page, Server
from tests.browser.flows import Gates, expect_badge, panel

BUDGETS = {
    "script_bytes": 60 * 1024,
    "kernel_cpu_percent": 5.0,
    "messages_per_second": 10.0,
    "click_to_stored_ms": 100.0,
    "first_picture_5000_s": 2.0,
}

SOURCE = """
import json, threading, time
from dataclasses import replace
from datetime import UTC, datetime
from orch_notebook.jupyter.widgets import FlowPanel, PanelSource
from orch_notebook.model.graph import Edge, Graph
from orch_notebook.model.runs import FlowRun, TaskRun
from orch_notebook.model.states import State, StateType
from orch_notebook.model.tasks import Task

def layered(width, depth):
    tasks = [Task(f"step_{layer}_{place}") for layer in range(depth) for place in range(width)]
    edges = [Edge(f"step_{layer - 1}_{(place + way) % width}", f"step_{layer}_{place}", "read-after-write", "x")
             for layer in range(1, depth) for place in range(width) for way in (0, 1, 5)]
    return Graph(tasks, edges)

class Moving(PanelSource):
    flow_name = "moving"
    def __init__(self, graph):
        now = datetime.now(UTC)
        self.wiring, self.tell = graph, lambda: None
        self.states = {task.name: TaskRun("r", task) for task in graph.tasks}
        self.run = FlowRun("r", "moving", State(StateType.RUNNING), now, started_at=now, graph=graph)
    def graph(self): return self.wiring
    def current(self): return replace(self.run, tasks=tuple(self.states.values()))
    def subscribe(self, callback):
        self.tell = callback
        return lambda: None
    def become(self, name, state):
        now = datetime.now(UTC)
        before = self.states[name]
        ended = now if state is StateType.COMPLETED else None
        self.states[name] = TaskRun("r", before.task, State(state), 1, before.started_at or now, ended)
        self.tell()
    def move(self, seconds):
        names = list(self.states)
        pause = seconds / len(names) / 2
        for name in names:
            for state in (StateType.RUNNING, StateType.COMPLETED):
                self.become(name, state)
                time.sleep(pause)

def measure(source, seconds=10):
    began, cpu = time.perf_counter(), time.process_time()
    source.move(seconds)
    return time.perf_counter() - began, time.process_time() - cpu

def count(panel):
    sent, send = [], panel._surface.send
    panel._surface.send = lambda message: (sent.append(len(json.dumps(message))), send(message))
    return sent
"""

THOUSAND = "source = Moving(layered(100, 10))\npanel = FlowPanel(source)\nsent = count(panel)\npanel"
ALONE = "seconds, alone = measure(Moving(layered(100, 10)))"
WATCHED = "sent.clear(); seconds, watched = measure(source)\n" + (
    "print(json.dumps({'seconds': seconds, 'cpu': watched, 'alone': alone, 'messages': len(sent), 'bytes': sum(sent)}))"
)
FIVE = "large = layered(250, 20)\nFlowPanel(Moving(large))"
LONG = """() => { window.blocks = []; new PerformanceObserver(list =>
    window.blocks.push(...list.getEntries().map(entry => entry.duration))).observe({ entryTypes: ["longtask"] }) }"""
#: From here to the frame in which one diagram more can be seen; the page's own clock, which waits for nobody.
DRAWN = """() => {
    const count = () => document.querySelectorAll(".orch-diagram").length;
    const [began, before] = [performance.now(), count()];
    const look = () => {
        if (count() > before) window.drawnAfter = performance.now() - began;
        else requestAnimationFrame(look);
    };
    look();
}"""
RUN = (
    "%load_ext orch_notebook\nfrom gate import gate",
    "%%task waits\npassed = gate('click')",
    "%flow",
    "%flow run --background",
    "from orch_notebook.orchestrator import Orchestrator\n_o = Orchestrator()\n_run = _o.runs(limit=1)[0]\n"
    "print([event.at.timestamp() for _, event in _o.events(_run.run_id) if type(event).__name__ == 'RunStateChanged'"
    " and event.state.type == 'CANCELLING'][0])",
)
CLICKED = "() => document.addEventListener('click', () => { window.clickedAt = Date.now() / 1000 }, true)"


def printed(page: Page, cell: int) -> str:
    """What a cell printed."""
    return "".join(output.get("text", "") for output in page.outputs(cell))


def changes(browser: Browser, server: Server) -> dict[str, Any]:
    """A thousand tasks that change state twice each in ten seconds, and the first picture of five thousand."""
    with browser.open(server.write("thousand.ipynb", SOURCE, THOUSAND, ALONE, WATCHED, FIVE)) as page:
        page.run(0)
        page.run(1)
        page.output(1).locator(".orch-diagram").wait_for()
        page.run(2)
        page.evaluate(LONG)
        page.run(3)
        found = json.loads(printed(page, 3))
        blocks = page.evaluate("() => window.blocks")
        page.evaluate(DRAWN)
        page.start(4)
        drawn = page.wait("() => window.drawnAfter")
        page.wait_idle()
    return {
        "kernel_cpu_percent": round(100 * (found["cpu"] - found["alone"]) / found["seconds"], 2),
        "messages_per_second": round(found["messages"] / found["seconds"], 1),
        "kilobytes_per_second": round(found["bytes"] / found["seconds"] / 1000, 1),
        "longest_block_in_browser_ms": round(max(blocks, default=0)),
        "first_picture_5000_s": round(drawn / 1000, 2),
    }


def click(browser: Browser, server: Server) -> float:
    """Milliseconds from a click on ■ to the instant of the fact that the run is being cancelled."""
    gates = Gates(server, "click")
    with browser.open(server.write("click/nb.ipynb", *RUN)) as page:
        for cell in range(4):
            page.run(cell)
        gates.came("click")
        expect_badge(page, 1, "Running")
        page.evaluate(CLICKED)
        panel(page, 2).get_by_role("button", name="Cancel").click()
        expect_badge(page, 1, "Cancelled")
        page.run(4)
        return round(1000 * (float(printed(page, 4)) - page.evaluate("() => window.clickedAt")), 1)


def main() -> None:
    """Measure everything and print it."""
    chromium = find_chromium()
    if chromium is None:
        raise SystemExit(f"There is no Chromium here. {HOW_TO_INSTALL}")
    found: dict[str, Any] = {
        "script_bytes": (STATIC / "panel.js").stat().st_size,
        "style_bytes": (STATIC / "panel.css").stat().st_size,
    }
    with tempfile.TemporaryDirectory() as root:
        home = {name: f"{root}/{name.lower()}" for name in ("HOME", "IPYTHONDIR", "ORCH_HOME")}
        with Server(Path(root, "notebooks"), {**os.environ, **home}) as server, Browser(chromium, server) as browser:
            found |= changes(browser, server)
            found["click_to_stored_ms"] = click(browser, server)
    print(
        json.dumps({name: {"measured": value, "budget": BUDGETS.get(name)} for name, value in found.items()}, indent=2)
    )


if __name__ == "__main__":
    main()
