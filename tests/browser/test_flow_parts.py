"""A part of a flow runs again on what is kept; diagrams answer; Notebook 7 shows what JupyterLab shows."""

from __future__ import annotations

from tests.browser.driver import Browser, Server
from tests.browser.flows import agree, expect_badge, expect_kinds, expect_text, panel, printed

LOAD = "%load_ext orch_notebook"


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
        made, two = printed(page, 3).split()
        page.edit(2, "%%task two\nb = 40")
        page.run(2)
        page.run(5)
        assert (two, printed(page, 3).split()) == ("2", [made, "40"])
        page.run(4)
        expect_badge(page, 1, "Cached")
        assert printed(page, 3).split() == [made, "40"]
        assert page.problems() == []


def test_notebook_7_shows_a_failure_where_it_happened(browser: Browser, server: Server) -> None:
    """Badges, values and tracebacks stand below their own cells in Notebook 7 too; markup in errors stays text."""
    name = server.write(
        "seven.ipynb",
        LOAD,
        "%%task load\ndata = [1, 2]\ndata",
        "%%task bad\nbroken = data[0]\nraise ValueError('<i>no</i> such thing')",
        "%%task after\nprint(broken)",
        "%flow run",
    )
    with browser.open(name, "notebook") as page:
        page.run_all()
        expect_badge(page, 1, "Completed")
        expect_kinds(page, 1, "display_data", "execute_result")
        assert page.outputs(1)[-1]["execution_count"] == page.count(1)
        expect_badge(page, 2, "Failed")
        expect_kinds(page, 2, "display_data", "error")
        expect_text(page, 2, f"Cell In[{page.count(2)}], line 3", "ValueError: <i>no</i> such thing")
        assert page.output(2).locator("i").count() == 0
        expect_badge(page, 3, "Upstream", "bad")
        assert page.outputs(4)[-1]["ename"] == "FlowRunFailed"
        assert page.problems() == []


#: What lies under the middle of a diagram's first line, as a pointer would find it.
UNDER_POINTER = """output => {
    const middle = points => points.reduce((sum, value) => sum + value, 0) / points.length;
    const area = output.querySelector("area");
    if (area) {
        const box = output.querySelector("img[usemap]").getBoundingClientRect();
        const numbers = area.coords.split(",").map(Number);
        const x = middle(numbers.filter((_, index) => index % 2 === 0)), y = middle(numbers.filter((_, i) => i % 2));
        return document.elementFromPoint(box.x + x, box.y + y)?.title;
    }
    const line = output.querySelector(".edge .line");
    const at = line.getPointAtLength(line.getTotalLength() / 2).matrixTransform(line.getScreenCTM());
    return document.elementFromPoint(at.x, at.y)?.closest(".edge")?.querySelector("title").textContent;
}"""


def test_a_line_of_a_diagram_says_why_where_one_points_at_it(browser: Browser, server: Server) -> None:
    """The name and the reason: in the image of `%flow graph`, in the summary of a run, and in the panel's drawing."""
    name = server.write(
        "why.ipynb",
        LOAD,
        "%%task load\nsales = [3, 4]",
        "%%task add\ntotal = sum(sales)",
        "%flow graph",
        "%flow",
        "%flow run",
    )
    with browser.open(name, size=(1400, 1800)) as page:
        page.run_all()
        for place in (page.output(3), panel(page, 4), page.output(5)):
            agree(
                lambda place=place: place.evaluate(UNDER_POINTER),
                "add reads sales from load".__eq__,
                "the line's reason",
            )
        assert page.problems() == []
