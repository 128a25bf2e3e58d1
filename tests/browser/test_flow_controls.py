"""Starting, cancelling and interrupting: ▶ and ■ in the panel, the kernel's own stop button."""

from __future__ import annotations

import re

import ipykernel
from playwright.sync_api import expect

from tests.browser.driver import Browser, Server
from tests.browser.flows import Gates, expect_badge, expect_diagram, expect_kinds, panel, printed

SETUP = "%load_ext orch_notebook\nimport time\nfrom gate import gate"
ONE = "%%task one\npassed = gate('one')\nprint('one is through')"
LOOP = "%%task loop\ncame = gate('loop', until='loop')\nwhile passed:\n    turns = 1"
LAST = "%%task last\nlate = turns + 1"
#: Where each cell stands.
SET, TASK_ONE, TASK_LOOP, TASK_LAST, PANEL, RUN, AFTER = range(7)


def notebook(server: Server, gates: Gates) -> str:
    return server.write(f"{gates.name}/nb.ipynb", SETUP, ONE, LOOP, LAST, "%flow", "%flow run", "6 * 7")


def test_the_panel_runs_and_cancels_while_the_kernel_is_idle(browser: Browser, server: Server) -> None:
    """▶ starts a run that badges, panel and outputs follow; ■ ends it, and ▶ runs it again over clean cells."""
    gates = Gates(server, "idle")
    with browser.open(notebook(server, gates), size=(1400, 1400)) as page:
        for cell in range(RUN):
            page.run(cell)
        shown = panel(page, PANEL)
        run, cancel = (shown.get_by_role("button", name=name, exact=True) for name in ("Run", "Cancel"))
        expect(cancel).to_be_disabled()
        run.click()
        gates.came("one")
        expect_badge(page, TASK_ONE, "Running")
        shown.locator('[data-node="0"].orch-tone-running').wait_for()
        # The kernel is free meanwhile.
        assert page.run(AFTER)[0]["data"]["text/plain"] == "42"
        gates.open("one")
        gates.came("loop")
        expect_badge(page, TASK_LOOP, "Running")
        expect_kinds(page, TASK_ONE, "display_data", "stdout")
        cancel.click()
        for cell in (TASK_LOOP, TASK_LAST):
            expect_badge(page, cell, "Cancelled")
        shown.get_by_text("Cancelled after").wait_for()
        expect_badge(page, TASK_ONE, "Completed")
        # Once more, from the task that was cut off: what it printed before goes, and comes once.
        gates.close("loop")
        run.click()
        gates.came("loop")
        cancel.click()
        shown.get_by_text("Cancelled after").wait_for()
        expect_kinds(page, TASK_ONE, "display_data", "stdout")
        assert printed(page, TASK_ONE).count("one is through") == 1
        expect_kinds(page, PANEL, "display_data", "execute_result")
        assert page.problems() == []


def test_the_panel_cancels_a_run_that_blocks_the_kernel(browser: Browser, server: Server) -> None:
    """■ ends what `%flow run` waits for; the cell says that the run was cancelled, and the notebook goes on.

    A kernel that hears no click meanwhile (ipykernel 6) is interrupted, and what it cannot do is not offered.
    """
    gates = Gates(server, "blocking")
    with browser.open(notebook(server, gates), size=(1400, 1400)) as page:
        gates.open("one")
        for cell in range(RUN):
            page.run(cell)
        page.start(RUN)
        gates.came("loop")
        expect_badge(page, TASK_LOOP, "Running")
        assert page.state(RUN) == "running"
        shown = panel(page, PANEL)
        if int(re.findall(r"\d+", ipykernel.__version__)[0]) < 7:
            expect(shown.get_by_role("button", name="Pause")).to_be_disabled()
            expect(shown.get_by_role("button", name="Pause")).to_have_attribute("title", re.compile("hears nothing"))
        else:
            expect(shown.get_by_role("button", name="Pause")).to_be_enabled()
        shown.get_by_role("button", name="Cancel").click()
        page.wait_idle(10)
        expect_badge(page, TASK_LOOP, "Cancelled")
        expect_diagram(page, RUN, one="completed", loop="cancelled", last="cancelled")
        assert page.outputs(RUN)[-1]["ename"] == "FlowRunCancelled"
        assert page.run(AFTER)[0]["data"]["text/plain"] == "42"
        assert page.problems() == []


def test_an_interrupt_cancels_the_run(browser: Browser, server: Server) -> None:
    """The kernel's stop button ends running tasks, nothing new starts, the notebook is usable."""
    gates = Gates(server, "interrupt")
    with browser.open(notebook(server, gates), size=(1400, 1400)) as page:
        gates.open("one")
        page.start_all()
        gates.came("loop")
        expect_diagram(page, RUN, one="completed", loop="running", last="pending")
        page.interrupt()
        page.wait_idle(10)  # two seconds are promised, the way through the browser not counted
        for cell, word in ((TASK_ONE, "Completed"), (TASK_LOOP, "Cancelled"), (TASK_LAST, "Cancelled")):
            expect_badge(page, cell, word)
        assert [output.get("ename") for output in page.outputs(RUN)] == [None, "FlowRunCancelled"]
        # Mended, it runs to its end.
        page.edit(TASK_LOOP, LOOP.replace("while", "if"))
        page.run(TASK_LOOP)
        page.run(RUN)
        expect_kinds(page, RUN, "display_data")
        assert page.run(AFTER)[0]["data"]["text/plain"] == "42"
        expect_diagram(page, RUN, one="cached", loop="completed", last="completed")
        assert page.problems() == []
