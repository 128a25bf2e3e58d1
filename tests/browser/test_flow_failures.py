"""What goes wrong, and what a person then reads: failing tasks, text that looks like HTML, cells that are no tasks."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.sync_api import expect

from tests.browser.driver import Browser, Page, Server
from tests.browser.flows import expect_badge, expect_diagram, expect_kinds, expect_text, panel

#: Would be seen at once if it were taken for more than text.
EVIL = "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 2'><b id=evil>bold</b>"

FLOW = "<i id=evil onclick='window.hacked = 3'>flow"

FAILING = (
    "%load_ext orch_notebook",
    "%%task load\ndata = [3, 1, 2]\nprint('loaded')",
    "%%task clean --retries 1\n# a comment of the person's\n\nrows = sorted(data)\nbroken = rows[7]\nkept = rows",
    "%%task plot\nlabel = str(broken)",
    "%%task count\nnumber = len(data)\nnumber",
    "%flow",
    "%flow run",
    "number",
)


def test_a_failing_task_shows_where_and_the_others_finish(browser: Browser, server: Server, shots: Path) -> None:
    """The traceback stands below the task's own cell at the person's lines; mended, the rest runs on clean cells."""
    with browser.open(server.write("failing.ipynb", *FAILING), size=(1400, 2400)) as page:
        page.run_all()
        expect_badge(page, 1, "Completed")
        expect_badge(page, 2, "Failed", "attempt 2 of 2")
        expect_badge(page, 3, "Upstream", "clean")
        expect_badge(page, 4, "Completed")
        expect_kinds(page, 2, "display_data", "error")
        shown = expect_text(page, 2, "IndexError: list index out of range", "Cell In[3]")
        assert re.search(r"-+> 5 broken = rows\[7\]", shown), shown
        assert re.search(r"4 rows = sorted\(data\)", shown), shown
        assert "orch_notebook" not in shown  # none of our own frames
        expect_diagram(page, 6, load="completed", clean="failed", plot="upstream", count="completed")
        expect_kinds(page, 6, "display_data", "error")
        expect_text(page, 6, "clean: IndexError: list index out of range")
        # Run All stops at the error, as it does anywhere; what completed is there.
        assert page.run(7)[0]["data"]["text/plain"] == "3"
        panel(page, 5).get_by_label("Selected task").get_by_text("list index out of range").first.wait_for()
        for theme in ("light", "dark"):
            page.screenshot(shots / f"failed-{theme}.png", theme)
        page.edit(2, FAILING[2].replace("rows[7]", "rows[1]"))
        page.run(2)
        expect_badge(page, 2, "Pending")
        page.run(6)
        for cell, word in enumerate(("Cached", "Completed", "Completed", "Cached"), start=1):
            expect_badge(page, cell, word)
        expect_kinds(page, 1, "display_data", "stdout")
        expect_kinds(page, 2, "display_data")
        expect_kinds(page, 4, "display_data", "execute_result")
        expect_kinds(page, 6, "display_data")
        assert page.problems() == []


HTML = (
    "%load_ext orch_notebook",
    f"evil = {EVIL!r}",
    "%%task prints\nprint(evil)\nfirst = evil\nfirst",
    "%%task breaks\nraise ValueError(first)",
    "%flow",
    "%flow run",
    "%flow graph --why",
    "%flow status",
    f'%%task "{EVIL}"\nx = 1',
)


def is_harmless(page: Page) -> bool:
    """Whether nothing of the text has become part of the document."""
    return bool(page.evaluate("() => !window.hacked && !document.getElementById('evil')"))


def test_what_looks_like_html_is_shown_as_text(browser: Browser, server: Server) -> None:
    """Names, prints and exceptions appear as they were written, in badges, outputs, diagrams and the panel."""
    # A task's name cannot hold such text; the flow's comes from the file and can.
    with browser.open(server.write(f"{FLOW}.ipynb", *HTML), size=(1400, 2400)) as page:
        page.run_all()
        for cell in (6, 7, 8):
            page.run(cell)
        expect_badge(page, 3, "Failed")
        expect_text(page, 2, EVIL)
        for cell in (3, 5, 7, 8):
            expect_text(page, cell, EVIL)
        for cell in (5, 7):
            expect_text(page, cell, FLOW)
        shown = panel(page, 4)
        expect(shown.locator(".orch-flow")).to_have_text(FLOW)
        shown.get_by_label("Selected task").get_by_text(f"ValueError: {EVIL}").first.wait_for()
        assert is_harmless(page)
        assert page.problems() == []


#: A cell that is no task, and what is said about it.
REFUSED = (
    ("%%task load --retreis 3\nx = 1", ("--retreis", "--retries")),
    ("%%task load --retries many\nx = 1", ("--retries", "many")),
    ("%%task clean\nrows = sorted(dta)", ("clean", "dta", "'data'", "load")),
    ("%%task clean\nrows = (1,\nother = 2", ("SyntaxError", "rows = (1,")),
    ("%%task clean --after nobody\nx = 1", ("clean", "nobody")),
    ("%task clean", ("%%task",)),
    ("%flow rnu", ("rnu", "run")),
    ("%flow run nobody", ("nobody",)),
)


def test_a_cell_that_is_no_task_says_why(browser: Browser, server: Server) -> None:
    """One clear error each, without a traceback through our code; nothing is half defined."""
    cells = ["%load_ext orch_notebook", "%%task load\ndata = [1]", *(source for source, _ in REFUSED), "%flow graph"]
    with browser.open(server.write("refused.ipynb", *cells)) as page:
        page.run(0)
        page.run(1)
        for cell, (source, words) in enumerate(REFUSED, start=2):
            outputs = page.run(cell)
            assert [output["output_type"] for output in outputs] == ["error"], source
            shown = expect_text(page, cell, *words)
            assert "orch_notebook/" not in shown and "Traceback" not in shown, (source, shown)
            assert len(shown.strip().splitlines()) <= 4, (source, shown)
        expect_badge(page, 1, "Pending")
        page.run(len(cells) - 1)
        expect_diagram(page, len(cells) - 1, load="")
        assert page.problems() == []
