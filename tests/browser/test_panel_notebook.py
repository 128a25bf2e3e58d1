"""The panel in Notebook 7: every tab opens and shows what it is for."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import expect

from tests.browser.axe import AXE, expect_accessible
from tests.browser.driver import Browser, Server
from tests.browser.flows import panel

CELLS = (
    "n: int = 0  # what to divide by",
    "%load_ext orch_notebook",
    "%%task load\ndata = [3, 1, 2]\nprint('loaded')",
    "%%task broken\nshare = data[0] / n",
    "%%task last\nshare * 2",
    "%flow",
    "%flow run",
)
PANEL = 5

#: By tab: what one reads there after a run in which a task has failed.
TABS = {
    "Graph": ("ZeroDivisionError", "upstream failed"),
    "Timeline": ("load", "broken", "critical path"),
    "Tasks": ("Completed", "Failed", "Upstream failed"),
    "History": ("load", "broken", "last"),
    "Promote": ("Schedule", "No worker is running", "It runs when somebody asks for it."),
}


def test_every_tab_opens_in_notebook_7(browser: Browser, server: Server, shots: Path) -> None:
    """Graph, timeline, table, history and form stand there as in JupyterLab, with the failure's detail beside them."""
    with browser.open(server.write("tabs.ipynb", *CELLS), "notebook", size=(1400, 1200)) as page:
        page.run_all()
        shown = panel(page, PANEL)
        expect(shown.get_by_role("status").first).to_have_text("tabs: Failed")
        for name, words in TABS.items():
            shown.get_by_role("tab", name=name).click()
            opened = shown.get_by_role("tabpanel", name=name)
            for word in words:
                expect(opened).to_contain_text(word)
            detail = shown.get_by_label("Selected task")
            if name in ("History", "Promote"):
                expect(detail).to_be_hidden()
            else:
                expect(detail).to_contain_text("ZeroDivisionError: division by zero")
            if AXE.exists():
                expect_accessible(page, ".orch-panel", name)
            shown.screenshot(path=shots / f"notebook-7-{name.lower()}.png")
        assert page.problems() == []
