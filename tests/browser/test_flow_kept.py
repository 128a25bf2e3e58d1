"""What stays: saved notebooks without their kernel, executed notebooks, and cells that change while one works."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import expect

from tests.browser.driver import Browser, Server
from tests.browser.flows import Gates, badge, diagram, expect_badge, kinds, panel

SAVED = (
    "%load_ext orch_notebook",
    "%%task load\ndata = [3, 1, 2]\nprint('loaded')",
    "%%task broken\nfirst = data[7]",
    "%%task plot\nimport matplotlib.pyplot as plt\nfigure, axes = plt.subplots(figsize=(2, 1))\naxes.plot(data)",
    "%%task last\nfirst + 1",
    "%flow run",
)


def test_a_saved_notebook_tells_how_the_run_ended(browser: Browser, server: Server, shots: Path) -> None:
    """Reopened without its kernel, badges, outputs and summary stand as they were, whether Jupyter trusts it or not."""
    name = server.write("saved.ipynb", *SAVED)
    with browser.open(name, size=(1400, 1800)) as page:
        page.run_all()
        page.save()
        page.wait("() => !window.jupyterapp.shell.currentWidget.context.model.dirty")
    for trust in ("trusted", "untrusted"):
        path = server.folder / name
        if trust == "untrusted":  # somebody else's notebook: its signature is not known here
            notebook = json.loads(path.read_text())
            notebook["cells"][5]["source"] = "%flow run # theirs"
            path.write_text(json.dumps(notebook))
        with browser.open(name, size=(1400, 1800)) as page:
            trusted = page.evaluate("() => window.jupyterapp.shell.currentWidget.content.widgets[5].model.trusted")
            assert trusted is (trust == "trusted")
            words = ("Completed", "Failed", "Completed", "Upstream")
            assert tuple(badge(page, cell).split()[0] for cell in (1, 2, 3, 4)) == words
            assert "loaded" in page.text(1)
            assert "IndexError: list index out of range" in page.text(2)
            assert kinds(page, 3) == ["display_data", "execute_result", "display_data"]
            expect(page.output(3).locator("img[src^='data:image/png']")).to_be_visible()
            tones = {"load": "completed", "broken": "failed", "plot": "completed", "last": "upstream"}
            assert diagram(page, 5) == tones
            # Icons and diagram are drawn, and the table keeps its words.
            assert page.evaluate("() => [...document.querySelectorAll('.jp-Notebook img')].every(i => i.naturalWidth)")
            assert "Upstream failed" in page.text(5)
            page.screenshot(shots / f"reopened-{trust}.png")
            assert page.problems() == []


EXECUTED = (*SAVED[:2], SAVED[3].replace("import matplotlib.pyplot as plt\n", ""), "%flow run", "print('after')")


def test_an_executed_notebook_opens_with_badges_and_figures(browser: Browser, server: Server, tmp_path: Path) -> None:
    """What ``orch run`` leaves opens in JupyterLab with each task's badge and outputs in its own cell."""
    first = SAVED[0] + "\nimport matplotlib.pyplot as plt"
    source = server.write("source.ipynb", first, *EXECUTED[1:])
    environment = {**os.environ, "ORCH_HOME": str(tmp_path / "orch")}
    orch = [sys.executable, "-m", "orch_notebook.cli"]
    done = subprocess.run(
        [*orch, "run", source], cwd=server.folder, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    shown = subprocess.run([*orch, "runs", "--json"], env=environment, capture_output=True, text=True, check=True)
    run = json.loads(shown.stdout)[-1]["run_id"]
    shown = subprocess.run([*orch, "show", run, "--json"], env=environment, capture_output=True, text=True, check=True)
    executed = Path(json.loads(shown.stdout)["executed_notebook"])
    (server.folder / "executed.ipynb").write_bytes(executed.read_bytes())
    with browser.open("executed.ipynb", size=(1400, 1400)) as page:
        at = {page.evaluate(SOURCE, cell): cell for cell in range(page.evaluate(CELLS))}
        load, plot, run_cell, after = (at[source] for source in EXECUTED[1:])
        assert badge(page, load).startswith("Completed")
        assert badge(page, plot).startswith("Completed")
        assert kinds(page, load) == ["display_data", "stdout"]
        expect(page.output(plot).locator("img[src^='data:image/png']")).to_be_visible()
        assert diagram(page, run_cell) == {"load": "completed", "plot": "completed"}
        assert page.text(after).strip() == "after"
        assert page.problems() == []


CELLS = "() => window.jupyterapp.shell.currentWidget.content.widgets.length"
SOURCE = "cell => window.jupyterapp.shell.currentWidget.content.widgets[cell].model.sharedModel.getSource()"

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
        assert badge(page, 2).startswith("Pending") and kinds(page, 2) == ["display_data"]
        page.run(4)
        assert page.outputs(2)[-1]["data"]["text/plain"] == "3"
        # Renamed, it is another task and the old one is no more.
        page.edit(2, "%%task highest\nmax(data)")
        page.run(2)
        page.run(5)
        assert set(diagram(page, 5)) == {"load", "highest"}
        shown = panel(page, 3)
        shown.get_by_role("button", name="highest").wait_for()
        assert shown.get_by_role("button", name="total").count() == 0
        # Unloaded in the middle of a run: it ends, and everything else goes on.
        gates.close("load")
        shown.get_by_role("button", name="Run", exact=True).click()
        gates.came("load")
        page.run(6)
        expect_badge(page, 1, "Cancelled")
        assert "not found" in str(page.run(4))
        assert page.run(8)[0]["data"]["text/plain"] == "42"
        # Loaded again, the notebook begins anew.
        gates.open("load")
        page.run(7)
        for cell in (1, 2, 4):
            page.run(cell)
        assert badge(page, 1).startswith("Completed")
        assert page.outputs(2)[-1]["data"]["text/plain"] == "3"
        assert set(diagram(page, 4)) == {"load", "highest"}
        # And once more without unloading.
        page.run(0)
        page.run(7)
        for cell in (1, 2, 4):
            page.run(cell)
        assert badge(page, 2).startswith("Completed")
        assert page.problems() == []
