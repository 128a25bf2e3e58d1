"""A person works with a flow: badges and diagram live, ▶ and ■, a failure, an edit."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Literal

import nbformat
import pytest

from tests.browser.driver import Browser, Page, Server
from tests.stories.notebooks import NOTEBOOKS, STORIES

FIRST = STORIES[0]

#: The state word of every badge in the notebook by task, and the picture below `%flow run`.
LOOK = r"""() => {
    const found = {};
    for (const cell of document.querySelectorAll('.jp-Notebook .jp-CodeCell')) {
        for (const output of cell.querySelectorAll('.jp-RenderedHTML')) {
            const task = output.querySelector('b')?.textContent, pill = output.querySelector('span')?.textContent ?? '';
            const word = pill.trim().match(/^[A-Za-z ]*[A-Za-z]/)?.[0].replace(/ in$/, '');
            if (task && word && !output.querySelector('table')) found[task] = word;
        }
    }
    found['the diagram'] = document.querySelector('.jp-Notebook table')?.closest('.jp-RenderedHTML')
        .querySelector('img[src*="svg"]:not([width="12"])')?.src.slice(-400) ?? '';
    return found;
}"""

LOAD = "%load_ext orch_notebook"

#: A task that runs until a file appears, so that a test decides when it ends.
SLOW = (
    "%%task slow\nimport pathlib, time\nwhile not pathlib.Path(gate).exists():\n    time.sleep(0.01)\nslow_done = True"
)


def badge(page: Page, index: int) -> str:
    """Return the first words under a cell: its badge."""
    return page.text(index).strip()


def wait_for_badge(page: Page, index: int, word: str) -> None:
    """Wait until the badge under a cell says so."""
    page.output(index).locator(".jp-RenderedHTML").first.get_by_text(word).first.wait_for()


def history(page: Page, name: str) -> list[str]:
    """Return the different words that a watched badge bore, in order."""
    words = [seen[name] for seen in page.watched() if name in seen]
    return [word for place, word in enumerate(words) if place == 0 or words[place - 1] != word]


@pytest.mark.timeout(240)
def test_the_first_notebook_comes_alive(browser: Browser, server: Server, shots: Path) -> None:
    """Run All: badges change while the flow runs, tasks overlap, the diagram recolours, figure and panel stand."""
    shutil.copy(NOTEBOOKS / FIRST.notebook, server.folder)
    cells = nbformat.read(NOTEBOOKS / FIRST.notebook, as_version=4).cells
    places = {cell.id: place for place, cell in enumerate(cells)}
    with browser.open(FIRST.notebook, size=(1300, 2400)) as page:
        page.watch(LOOK)
        page.run_all(180)
        seen = page.watched()
        for task in ("linear", "forest"):
            assert history(page, task) == ["Pending", "Running", "Completed"]
        assert any(all(now.get(task) == "Running" for task in FIRST.side_by_side) for now in seen)
        assert len({now["the diagram"] for now in seen if now["the diagram"]}) >= 3
        compare = page.outputs(places["task-compare"])
        assert [output["output_type"] for output in compare] == [
            "display_data",  # the badge
            "stream",
            "execute_result",
            "display_data",  # the figure
        ]
        assert compare[2]["execution_count"] == page.count(places["task-compare"])
        panel = page.output(places["flow-panel"]).locator(".orch-panel")
        assert panel.get_by_role("status").text_content() == "01_first_flow: Completed"
        assert page.output(places["flow-graph"]).locator("img").count() == 1
        for theme in ("light", "dark"):
            page.screenshot(shots / f"first-flow-{theme}.png", theme)
        assert page.problems() == []


def test_buttons_of_the_panel_run_and_cancel(browser: Browser, server: Server, tmp_path: Path) -> None:
    """▶ starts the flow, ■ stops it: what runs and what waits end Cancelled; ▶ again completes it."""
    gate = tmp_path / "gate"
    name = server.write("buttons.ipynb", LOAD, f"gate = {str(gate)!r}", SLOW, "%%task last\nprint(slow_done)", "%flow")
    with browser.open(name) as page:
        page.run_all()
        panel = page.output(4).locator(".orch-panel")
        panel.get_by_role("button", name="Run", exact=True).click()
        wait_for_badge(page, 2, "Running")
        panel.get_by_role("button", name="Cancel", exact=True).click()
        wait_for_badge(page, 2, "Cancelled")
        wait_for_badge(page, 3, "Cancelled")
        gate.touch()
        panel.get_by_role("button", name="Run", exact=True).click()
        wait_for_badge(page, 3, "Completed")
        page.output(3).get_by_text("True", exact=True).wait_for()
        assert page.problems() == []


@pytest.mark.parametrize("app", ["lab", "notebook"])
def test_a_failure_is_told_where_it_happened(browser: Browser, server: Server, app: Literal["lab", "notebook"]) -> None:
    """The failing task shows its traceback, others finish, what depended on it says so; markup in errors stays text."""
    name = server.write(
        f"failure-{app}.ipynb",
        LOAD,
        "%%task load\ndata = [1, 2]",
        "%%task bad\nbroken = data[0]\nraise ValueError('<i>no</i> such thing')",
        "%%task fine\ntotal = sum(data)",
        "%%task after\nprint(broken)",
        "%flow run",
    )
    with browser.open(name, app) as page:
        page.run_all()
        assert badge(page, 2).startswith("Failed")
        assert f"Cell In[{page.count(2)}], line 3" in page.text(2)
        assert "raise ValueError('<i>no</i> such thing')" in page.text(2)
        assert "ValueError: <i>no</i> such thing" in page.text(2)
        assert page.output(2).locator("i").count() == 0
        assert badge(page, 3).startswith("Completed")
        assert "UpstreamFailed" in badge(page, 4).replace(" ", "") or "upstream" in badge(page, 4).lower()
        assert "bad" in badge(page, 4)
        assert page.outputs(5)[-1]["ename"] == "FlowRunFailed"
        assert page.problems() == []


def test_a_part_runs_again_and_what_is_kept_does_not(browser: Browser, server: Server) -> None:
    """After an edit, `%flow run two+` runs that task and what depends on it; a task with --cache is Cached then."""
    name = server.write(
        "edit.ipynb",
        LOAD,
        "%%task one --cache\nimport uuid\na = uuid.uuid4().hex",
        "%%task two\nb = 2",
        "%%task both\nprint(a, b)",
        "%flow run",
        "%flow run two+",
    )
    with browser.open(name) as page:
        for index in range(5):
            page.run(index)
        made, two = page.text(3).split()[-2:]
        page.edit(2, "%%task two\nb = 40")
        page.run(2)
        page.run(5)
        assert (two, page.text(3).split()[-2:]) == ("2", [made, "40"])
        page.run(4)
        assert badge(page, 1).startswith("Cached")
        assert page.text(3).split()[-2:] == [made, "40"]
        assert page.problems() == []


def test_an_interrupt_cancels_the_run(browser: Browser, server: Server, tmp_path: Path) -> None:
    """The stop button during `%flow run` cancels what runs, and the notebook can be used at once."""
    name = server.write("interrupt.ipynb", LOAD, f"gate = {str(tmp_path / 'gate')!r}", SLOW, "%flow run", "1 + 1")
    with browser.open(name) as page:
        for index in range(3):
            page.run(index)
        page.start(3)
        wait_for_badge(page, 2, "Running")
        page.interrupt()
        page.wait_idle()
        assert badge(page, 2).startswith("Cancelled")
        assert page.outputs(3)[-1]["ename"] == "FlowRunCancelled"
        assert page.run(4)[0]["data"]["text/plain"] == "2"
        assert page.problems() == []
