"""The panel in a real JupyterLab: shown, recoloured, clicked, also while a cell blocks the kernel."""

from __future__ import annotations

import re
from pathlib import Path

import ipykernel
import pytest
from playwright.sync_api import expect

from tests.browser.driver import Browser, Server
from tests.browser.flows import expect_text

#: A source that a notebook moves by hand; ▶ and ■ only note that they were clicked.
SOURCE = """
from datetime import UTC, datetime
from threading import Event
from orch_notebook.jupyter.widgets import FlowPanel, PanelSource
from orch_notebook.model.events import LogWritten
from orch_notebook.model.graph import Edge, Graph
from orch_notebook.model.runs import FlowRun, TaskRun
from orch_notebook.model.states import NAMES, State
from orch_notebook.model.tasks import Task

TYPE_OF = {name: kind for kind, names in NAMES.items() for name in names}

class Source(PanelSource):
    flow_name = "nightly"
    tasks = (Task("load", writes=("df",)), Task("plot", reads=("df",)))
    wiring = Graph(tasks, (Edge("load", "plot", "read-after-write", "df"),))
    run = None
    clicked, tell = Event(), staticmethod(lambda: None)
    def graph(self): return self.wiring
    def current(self): return self.run
    def log_tail(self, task, limit, run=None):
        return [LogWritten(datetime.now(UTC), task, 1, 20, f"<b>{task}</b> says hello")]
    def start(self, select, *, everything=False, values=None):
        if self.run and not self.run.state.is_final: raise RuntimeError("A run goes on already.")
        self.move("Running", "Running", "Pending")
    def cancel(self, run_id=""): self.clicked.set()
    def subscribe(self, callback):
        self.tell = callback
        return lambda: None
    def move(self, state, *states, **details):
        now = datetime.now(UTC)
        tasks = [TaskRun("r", task, State(TYPE_OF[name], name), int(name != "Pending"), now, None, details)
                 for task, name in zip(self.wiring.tasks, states)]
        found = State(TYPE_OF[state], state)
        self.run = FlowRun("r", "nightly", found, now, started_at=now, graph=self.wiring, tasks=tuple(tasks))
        self.tell()

source = Source()
"""

SHOW = "panel = FlowPanel(source)\npanel"
FAIL = 'source.move("Failed", "Failed", "UpstreamFailed", traceback=["ValueError: <b>no</b>"])'
BLOCK = "print('blocked', flush=True)\nprint('clicked' if source.clicked.wait(60) else 'waited in vain')"


def test_the_panel_shows_a_run_as_it_goes(browser: Browser, server: Server, shots: Path) -> None:
    """▶ starts, nodes change colour, a failure opens with its traceback as text, and nothing complains."""
    with browser.open(server.write("panel.ipynb", SOURCE, SHOW, FAIL)) as page:
        page.run(0)
        page.run(1)
        panel = page.output(1).locator(".orch-panel")
        panel.get_by_text("2 tasks, not run yet").wait_for()
        panel.get_by_role("button", name="Run", exact=True).click()
        panel.locator('[data-node="0"].orch-tone-running').wait_for()
        panel.locator('[data-node="1"].orch-tone-pending').wait_for()
        expect(panel.get_by_role("button", name="Run", exact=True)).to_be_disabled()
        page.run(2)
        panel.locator('[data-node="0"].orch-tone-failed').wait_for()
        panel.locator('[data-node="1"].orch-tone-upstream').wait_for()
        panel.get_by_text("ValueError: <b>no</b>").wait_for()
        panel.get_by_text("<b>load</b> says hello").wait_for()
        expect(panel.get_by_role("status")).to_have_text("nightly: Failed")
        for theme in ("light", "dark"):
            page.screenshot(shots / f"panel-{theme}.png", theme)
        assert page.problems() == []


def test_the_panel_can_be_used_by_keyboard(browser: Browser, server: Server) -> None:
    """Arrows move between tabs, nodes and rows, Enter chooses, and Jupyter's shortcuts stay out of it."""
    with browser.open(server.write("keys.ipynb", SOURCE, SHOW)) as page:
        page.run(0)
        page.run(1)
        panel = page.output(1).locator(".orch-panel")
        first = panel.locator('[data-node="0"]')
        first.focus()
        first.press("ArrowDown")
        panel.locator('[data-node="1"]:focus').press("Enter")
        panel.get_by_label("Selected task").get_by_text("plot", exact=True).wait_for()
        tab = panel.get_by_role("tab", name="Graph")
        tab.focus()
        tab.press("End")
        expect(panel.get_by_role("tab").last).to_have_attribute("aria-selected", "true")
        panel.get_by_role("tab").last.press("Home")
        tab.press("ArrowRight")
        panel.get_by_role("tab", name="Timeline").press("ArrowRight")
        expect(panel.get_by_role("tab", name="Tasks")).to_have_attribute("aria-selected", "true")
        row = panel.locator('tr[data-task="0"]')
        row.focus()
        row.press("Enter")
        panel.get_by_label("Selected task").get_by_text("load", exact=True).wait_for()
        assert page.problems() == []


@pytest.mark.skipif(
    int(re.findall(r"\d+", ipykernel.__version__)[0]) < 7, reason="ipykernel 6 handles no message while a cell blocks"
)
def test_cancel_is_answered_while_a_cell_blocks(browser: Browser, server: Server) -> None:
    """■ reaches the source while the main thread waits, as it does during `%flow run`."""
    running = 'source.move("Running", "Running", "Pending")'
    with browser.open(server.write("blocked.ipynb", SOURCE, SHOW, running, BLOCK)) as page:
        for index in range(3):
            page.run(index)
        cancel = page.output(1).locator(".orch-panel").get_by_role("button", name="Cancel")
        page.start(3)
        page.output(3).get_by_text("blocked").wait_for()
        cancel.click()
        page.wait_idle()
        expect_text(page, 3, "clicked")
        assert page.problems() == []
