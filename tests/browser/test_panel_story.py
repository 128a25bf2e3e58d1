"""The panel as somebody works with it: every tab, pause and resume, a reloaded page, an earlier run, a dead kernel."""

from __future__ import annotations

import re

import ipykernel
import nbformat
import pytest
from playwright.sync_api import Locator, expect

from tests.browser.axe import AXE, expect_accessible
from tests.browser.driver import Browser, Page, Server
from tests.browser.flows import Gates, expect_badge, panel

CELLS = (
    "n: int = 3  # how many",
    "%load_ext orch_notebook\nfrom gate import gate",
    "%%task load --tag io\ndata = list(range(n))\nprint('loaded')",
    "%%task slow\npassed = gate('slow')\nslow = len(data)",
    "%%task last\ntotal = sum(data) + slow\ntotal",
    "%flow",
    "while not gate('busy'): pass",
)
LOAD, SLOW, LAST, PANEL, BUSY = range(2, 7)

needs_axe = pytest.mark.skipif(
    not AXE.exists(), reason="the front end's packages are not installed: npm ci --prefix js"
)


def write(gates: Gates) -> str:
    """Write the notebook, its first cell tagged as parameters; return its name."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in CELLS])
    notebook.cells[0].metadata["tags"] = ["parameters"]
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, gates.path / "story.ipynb")
    return f"{gates.name}/story.ipynb"


def tab(shown: Locator, name: str) -> Locator:
    """Open a tab and return its page."""
    shown.get_by_role("tab", name=name).click()
    found = shown.get_by_role("tabpanel", name=name)
    expect(found).to_be_visible()
    return found


def press(shown: Locator, name: str) -> None:
    """Press a button of the panel once it can be used."""
    found = shown.get_by_role("button", name=name, exact=True)
    expect(found).to_be_enabled()
    found.click()


@needs_axe
@pytest.mark.timeout(300)
def test_a_person_works_with_the_panel(browser: Browser, server: Server) -> None:
    """Parameters, pause, reload, resume, detail, ▶ in a badge, history, promotion, restart; accessible all along."""
    gates = Gates(server, "story")
    with browser.open(write(gates), size=(1400, 1600)) as page:
        for cell in range(PANEL + 1):
            page.run(cell)
        shown = panel(page, PANEL)
        # Values are checked as typed, and said at their field.
        press(shown, "n = 3")
        field = shown.get_by_label("n", exact=True).first
        field.fill("many")
        press(shown, "Run with these")
        expect(shown.get_by_role("alert")).to_contain_text("'n' takes int")
        expect(field).to_have_attribute("aria-invalid", "true")
        field.fill("5")
        press(shown, "Run with these")
        gates.came("slow")
        # What runs comes to its end, nothing more starts; a page loaded again tells the same.
        press(shown, "Pause")
        expect(shown.get_by_role("status").first).to_have_text("story: Paused")
        gates.open("slow")
        expect_badge(page, SLOW, "Completed")
        expect_badge(page, LAST, "Pending")
        expect_accessible(page, ".orch-panel", "paused")
        page.save()
        page.reload()
        shown = panel(page, PANEL)
        expect(shown.locator(".orch-head")).to_contain_text("Paused")
        expect(shown.locator(".orch-head")).to_contain_text("2 of 3 done")
        press(shown, "Resume")
        expect(shown.locator(".orch-head")).to_contain_text("3 of 3 done")
        expect(shown.locator(".orch-coming")).to_have_text("Nothing is stale")
        look_at(page, shown)
        run_from_a_badge(page, shown)
        open_an_earlier_run(page, shown)
        promote(shown)
        expect_accessible(page, ".orch-panel", "promoted")
        # A kernel that begins anew in the midst of a run: the panel does not count on.
        gates.close("slow")
        press(shown, "Run all")
        gates.came("slow")
        expect(shown.locator(".orch-head")).to_contain_text("1 of 3 done")
        page.restart()
        lost = re.compile("kernel of this panel has ended|kernel has said nothing|model not found")
        expect(page.output(PANEL)).to_contain_text(lost)
        gates.open("slow")
        assert page.problems("model not found", "comm") == []


def look_at(page: Page, shown: Locator) -> None:
    """The detail of a task, and the table and timeline that lead to it."""
    rows = tab(shown, "Tasks")
    rows.get_by_role("rowheader", name="last").click()
    detail = shown.get_by_label("Selected task")
    expect(detail).to_contain_text("slow last reads slow from slow")
    expect(detail.get_by_label("total")).to_have_text("15")
    expect(detail).to_contain_text("History: 2 states")
    bars = tab(shown, "Timeline")
    expect(bars.get_by_role("button")).to_have_count(3)
    expect(bars).to_contain_text("critical path: load → slow → last")
    detail.get_by_role("button", name="Go to cell").click()
    expect(page.cell(LAST)).to_be_in_viewport()
    tab(shown, "Graph")


def run_from_a_badge(page: Page, shown: Locator) -> None:
    """▶ below a cell runs its task."""
    page.output(LOAD).get_by_role("button", name="Run load and what it needs").click()
    expect(shown.locator(".orch-coming")).to_have_text("2 tasks will run")
    press(shown, "Run")
    expect(shown.locator(".orch-coming")).to_have_text("Nothing is stale")


def open_an_earlier_run(page: Page, shown: Locator) -> None:
    """The grid of runs, one of them in the same views, two compared."""
    grid = tab(shown, "History")
    runs = grid.get_by_role("button", name=re.compile("open the run of"))
    expect(runs).to_have_count(3)
    press(grid, "Compare")
    expect(grid).to_contain_text("more are the same")
    runs.first.click()
    expect(shown.locator(".orch-head")).to_contain_text("Completed in")
    expect(shown).to_contain_text("An earlier run, of")
    expect(shown.get_by_role("button", name="Run", exact=True)).to_be_hidden()
    press(shown, "Back to the latest")
    expect(shown.get_by_role("button", name="Run", exact=True)).to_be_visible()


def promote(shown: Locator) -> None:
    """A schedule read out before it is saved, and the deployment that came of it."""
    form = tab(shown, "Promote")
    form.get_by_label("Schedule").select_option("weekdays")
    expect(form).to_contain_text("At 06:00 on Monday through Friday")
    form.get_by_label("Name").fill("nightly")
    press(form, "Promote")
    expect(form).to_contain_text("Promoted: 'nightly', version 1.")
    press(form, "Pause")
    expect(form).to_contain_text("'nightly' rests")


@pytest.mark.skipif(
    int(re.findall(r"\d+", ipykernel.__version__)[0]) >= 7, reason="this kernel answers while a cell blocks it"
)
def test_a_busy_kernel_says_so_at_once(browser: Browser, server: Server) -> None:
    """A click that cannot be heard yet is not swallowed: the panel says what it waits for, and does it then."""
    gates = Gates(server, "busy")
    gates.open("slow")
    with browser.open(write(gates), size=(1400, 1600)) as page:
        for cell in range(PANEL + 1):
            page.run(cell)
        shown = panel(page, PANEL)
        page.start(BUSY)
        gates.came("busy")
        press(shown, "Run")
        expect(shown).to_contain_text("The kernel is busy with a cell")
        gates.open("busy")
        expect(shown.locator(".orch-head")).to_contain_text("3 of 3 done")
        expect(shown).not_to_contain_text("The kernel is busy")
