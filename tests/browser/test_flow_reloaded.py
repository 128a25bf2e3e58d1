"""Pages loaded again in the midst of a run, and kernels that end there: nothing that stands in the notebook lies."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.driver import Browser, Page, Server
from tests.browser.flows import Gates, agree, expect_badge, expect_diagram, expect_kinds, expect_text, first, printed

CELLS = (
    "%load_ext orch_notebook\nfrom gate import gate\nimport os",
    "%%task slow\nprint('slow begins')\npassed = gate('slow')\nprint('slow is through')\nlen(passed)",
    "%%task last\npassed * 2",
    "%flow run --background",
    "%flow run",
    "print(os.getpid())",
)
SET, SLOW, LAST, BEGIN, RUN, TELL = range(6)


def as_of(page: Page, cell: int) -> Locator:
    """The mark that says as of when something holds."""
    return page.output(cell).locator("[data-orch-kernel]")


def begin(page: Page, gates: Gates, cell: int) -> None:
    """Define the tasks, start a run and save the notebook while its first task waits at its gate."""
    for each in (*range(BEGIN), cell):
        page.start(each)  # one right after the other, as Run All does it
    gates.came("slow")
    expect_badge(page, SLOW, "Running")
    expect_diagram(page, cell, slow="running", last="pending")
    for each in (SLOW, LAST, cell):
        expect(as_of(page, each)).to_be_hidden()
    page.save()


def expect_ended(page: Page, *cells: int) -> None:
    """Wait until what was under way is said to hold as of some time, its kernel having ended."""
    for cell in cells:
        mark = as_of(page, cell)
        expect(mark).to_be_visible()
        agree(
            lambda mark=mark: mark.evaluate("mark => getComputedStyle(mark, '::after').content"),
            lambda said: "its kernel has ended" in said,
            f"cell {cell} to say that its kernel has ended",
        )


@pytest.mark.parametrize("app", ["lab", "notebook"])
def test_badges_live_on_after_a_reload(browser: Browser, server: Server, app: str) -> None:
    """The kernel being free, a page loaded again follows the run to its end, and what it saves then is right."""
    gates = Gates(server, f"again-{app}")
    name = server.write(f"{gates.name}/nb.ipynb", *CELLS)
    with browser.open(name, app, size=(1400, 1400)) as page:  # type: ignore[arg-type]
        begin(page, gates, BEGIN)
        page.reload()
        expect_badge(page, SLOW, "Running")
        for mark in (as_of(page, SLOW), as_of(page, LAST), as_of(page, BEGIN)):
            expect(mark).to_be_hidden()
        gates.open("slow")
        for cell in (SLOW, LAST):
            expect_badge(page, cell, "Completed")
        expect_diagram(page, BEGIN, slow="completed", last="completed")
        expect_kinds(page, SLOW, "display_data", "stdout", "execute_result")
        assert printed(page, SLOW).splitlines() == ["slow begins", "slow is through"]
        expect_text(page, LAST, "slowslow")
        # Cells that this page executes are none of it any more.
        page.run(LAST)
        page.run(RUN)
        expect_kinds(page, LAST, "display_data", "execute_result")
        for cell in (SLOW, LAST):
            expect_badge(page, cell, "Cached")
        page.save()
        assert page.problems() == []
    agree(
        lambda: [json.dumps(cell["outputs"]) for cell in json.loads((gates.path / "nb.ipynb").read_text())["cells"]],
        lambda cells: "Cached" in cells[SLOW] and "Completed in" in cells[BEGIN] and "as of" not in "".join(cells),
        "the saved notebook to tell how it ended",
    )


def test_a_page_loaded_while_a_cell_waits_says_as_of_when_it_is(browser: Browser, server: Server, shots: Path) -> None:
    """The kernel answers nobody then: until it does, what changes says when it was so and where to ask."""
    gates = Gates(server, "again-busy")
    name = server.write(f"{gates.name}/nb.ipynb", *CELLS)
    with browser.open(name, size=(1400, 1400)) as page:
        begin(page, gates, RUN)
        page.reload(is_idle=False)
        for cell in (SLOW, LAST, RUN):
            expect(as_of(page, cell)).to_be_visible()
        expect(as_of(page, RUN)).to_contain_text("orch show")
        page.screenshot(shots / "reloaded-busy.png")
        gates.open("slow")
        for cell in (SLOW, LAST):
            expect_badge(page, cell, "Completed")
        expect_diagram(page, RUN, slow="completed", last="completed")
        expect_kinds(page, SLOW, "display_data", "stdout", "execute_result")
        assert "as of" not in first(page, SLOW).inner_text()
        page.wait_idle()
        assert page.problems() == []


def test_the_end_of_a_kernel_is_said_where_a_run_was_under_way(browser: Browser, server: Server, shots: Path) -> None:
    """Restarted by a person, or killed: what was running says as of when, and that its kernel has ended."""
    gates = Gates(server, "ended")
    name = server.write(f"{gates.name}/nb.ipynb", *CELLS)
    with browser.open(name, size=(1400, 1400)) as page:
        begin(page, gates, BEGIN)
        page.restart()
        expect_ended(page, SLOW, LAST, BEGIN)
        page.screenshot(shots / "restarted.png")
        # The next kernel speaks for itself, not for what the first one left.
        gates.close("slow")
        page.run(SET)
        page.run(SLOW)
        expect(as_of(page, SLOW)).to_be_hidden()
        expect_ended(page, LAST, BEGIN)
        page.run(LAST)
        page.start(BEGIN)
        gates.came("slow")
        expect_badge(page, SLOW, "Running")
        page.run(TELL)
        os.kill(int(printed(page, TELL)), signal.SIGKILL)
        expect_ended(page, SLOW, LAST, BEGIN)
        page.wait_idle()
        gates.open("slow")
