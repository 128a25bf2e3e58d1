"""What stays: saved notebooks without their kernel, executed notebooks, and cells that change while one works."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import expect

from tests.browser.axe import AXE, expect_accessible
from tests.browser.driver import Browser, Page, Server
from tests.browser.flows import Gates, expect_badge, expect_diagram, expect_kinds, expect_text, panel

SAVED = (
    "%load_ext orch_notebook",
    "%%task load\ndata = [3, 1, 2]\nprint('loaded')",
    "%%task broken\nfirst = data[7]",
    "%%task plot\nimport matplotlib.pyplot as plt\nfigure, axes = plt.subplots(figsize=(2, 1))\naxes.plot(data)",
    "%%task last\nfirst + 1",
    "%flow",
    "%flow run",
)
PANEL = 5


CELLS = "() => window.jupyterapp.shell.currentWidget.content.widgets.map(w => w.model.sharedModel.getSource())"
TRUSTED = "() => window.jupyterapp.shell.currentWidget.content.widgets.every(w => w.model.trusted)"
DRAWN = "() => [...document.querySelectorAll('.jp-Notebook img')].every(image => image.naturalWidth)"


def assert_it_tells(page: Page) -> None:
    """Badges, outputs, traceback, figure and summary stand in their own cells and can be read."""
    at = page.evaluate(CELLS)
    load, broken, plot, last, _, run = (at.index(source) for source in SAVED[1:])
    for cell, word in ((load, "Completed"), (broken, "Failed"), (plot, "Completed"), (last, "Upstream")):
        expect_badge(page, cell, word)
    expect_kinds(page, load, "display_data", "stdout")
    expect_text(page, load, "loaded")
    expect_kinds(page, broken, "display_data", "error")
    expect_text(page, broken, "IndexError: list index out of range")
    expect_kinds(page, plot, "display_data", "execute_result", "display_data")
    expect(page.output(plot).locator("img[src^='data:image/png']")).to_be_visible()
    expect_kinds(page, last, "display_data")
    expect_diagram(page, run, load="completed", broken="failed", plot="completed", last="upstream")
    expect_text(page, run, "Upstream failed")
    page.wait(DRAWN)
    if AXE.exists():
        expect_accessible(page, ".jp-OutputArea-output.jp-RenderedHTML", "reopened")


def test_a_saved_notebook_tells_how_the_run_ended(browser: Browser, server: Server, shots: Path) -> None:
    """Reopened without its kernel, badges, outputs and summary stand as they were."""
    name = server.write("saved.ipynb", *SAVED)
    with browser.open(name, size=(1400, 1800)) as page:
        page.run_all()
        # It follows the panel, which lets changes gather for a moment.
        expect(page.output(PANEL).locator(".orch-standing")).to_contain_text("Upstream failed")
        page.save()
        page.wait("() => !window.jupyterapp.shell.currentWidget.context.model.dirty")
    with browser.open(name, size=(1400, 1800)) as page:
        assert page.evaluate(TRUSTED)
        assert_it_tells(page)
        # In the panel's place stands what it would show.
        expect_diagram(page, PANEL, load="completed", broken="failed", plot="completed", last="upstream")
        expect(page.output(PANEL).get_by_text("model not found")).to_be_hidden()
        page.screenshot(shots / "reopened.png")
        assert page.problems("widget model not found") == []  # said by ipywidgets itself


def test_an_executed_notebook_tells_how_the_run_ended(
    browser: Browser, server: Server, tmp_path: Path, shots: Path
) -> None:
    """What ``orch run`` leaves, which Jupyter does not trust, shows each task's badge and outputs in its own cell."""
    source = server.write("source.ipynb", *SAVED)
    environment = {**os.environ, "ORCH_HOME": str(tmp_path / "orch")}

    def orch(*words: str) -> str:
        command = [sys.executable, "-m", "orch_notebook.cli", *words]
        done = subprocess.run(
            command, cwd=server.folder, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        return done.stdout

    assert "Upstream failed" in orch("run", source)
    run = next(row["run_id"] for row in json.loads(orch("runs", "--json")) if row["parent_run_id"] is None)
    executed = Path(json.loads(orch("show", run, "--json"))["executed_notebook"])
    (server.folder / "executed.ipynb").write_bytes(executed.read_bytes())
    with browser.open("executed.ipynb", size=(1400, 1800)) as page:
        assert not page.evaluate(TRUSTED)
        assert_it_tells(page)
        page.screenshot(shots / "executed.png")
        assert page.problems() == []


CHANGING = (
    "%load_ext orch_notebook\nfrom gate import gate",
    "%%task load\npassed = gate('load')\ndata = [3, 1, 2]",
    "%%task total\nsum(data)",
    "%flow",
    "%flow run",
    "%flow graph",
    "%unload_ext orch_notebook",
    "%reload_ext orch_notebook",
    "6 * 7",
)


def test_cells_change_while_one_works(browser: Browser, server: Server) -> None:
    """A task cell run again replaces its task, one renamed takes the old name out; the extension comes and goes."""
    gates = Gates(server, "changing")
    name = server.write("changing/nb.ipynb", *CHANGING)
    with browser.open(name, size=(1400, 1400)) as page:
        gates.open("load")
        for cell in range(5):
            page.run(cell)
        assert page.outputs(2)[-1]["data"]["text/plain"] == "6"
        # Run again, the cell is the same task with another body.
        page.edit(2, "%%task total\nmax(data)")
        page.run(2)
        expect_badge(page, 2, "Pending")
        expect_kinds(page, 2, "display_data")
        page.run(4)
        assert page.outputs(2)[-1]["data"]["text/plain"] == "3"
        # Renamed, it is another task and the old one is no more.
        page.edit(2, "%%task highest\nmax(data)")
        page.run(2)
        page.run(5)
        expect_diagram(page, 5, load="", highest="")
        shown = panel(page, 3)
        shown.get_by_role("button", name="highest").wait_for()
        assert shown.get_by_role("button", name="total").count() == 0
        # Unloaded in the middle of a run: it ends, and everything else goes on.
        gates.close("load")
        shown.get_by_role("button", name="Run all", exact=True).click()
        gates.came("load")
        page.run(6)
        expect_badge(page, 1, "Cancelled")
        shown.get_by_text("Cancelled after").wait_for()
        shown.get_by_role("button", name="Run", exact=True).click()
        shown.get_by_text("Run the panel's cell again").wait_for()
        assert "not found" in str(page.run(4))
        assert page.run(8)[0]["data"]["text/plain"] == "42"
        # Loaded again, the notebook begins anew.
        gates.open("load")
        page.run(7)
        for cell in (1, 2, 4):
            page.run(cell)
        expect_badge(page, 1, "Completed")
        assert page.outputs(2)[-1]["data"]["text/plain"] == "3"
        expect_diagram(page, 4, load="completed", highest="completed")
        # And once more without unloading.
        page.run(0)
        page.run(7)
        for cell in (1, 2, 4):
            page.run(cell)
        expect_badge(page, 2, "Completed")
        assert page.problems() == []
