"""Every control of the panel, as somebody uses it on one page: what is asked for is what can be seen afterwards."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.axe import AXE, expect_accessible
from tests.browser.driver import Browser, Page, Server
from tests.browser.flows import Gates, expect_badge, panel

SETUP = """%load_ext orch_notebook
import logging
from pathlib import Path
from pydantic import BaseModel, Field
from gate import gate
from orch_notebook import create_link_artifact, create_markdown_artifact, pause_flow_run, task
divisor = 0
mark = Path("tried")"""
LOAD = """%%task load --tag io
rows = list(range(8))
for row in rows: print("row", row)
logging.getLogger("load").warning("careful with row 3")
logging.getLogger("load").error("row 4 is broken")"""
SLOW = "%%task slow\npassed = gate('slow')\nslow = len(rows)"
FLAKY = "%%task flaky --retries 1\nwas_tried, _ = mark.exists(), mark.touch()\nflaky = rows[0 if was_tried else 99]"
SPLIT = "%%task split\n# a comment\nratio = slow / divisor"
REPORT = """%%task report --tag io
create_markdown_artifact(f"divided by {divisor}", key="note")
create_link_artifact("https://example.org/report", key="page")
reported = flaky"""
LAST = "%%task last\ntotal = ratio + flaky"
SMALL = tuple(f"%%task small_{number}\nsmall_{number} = rows[{number}]" for number in range(3))
MEND = "divisor = 2"
APPROVE = """class Approval(BaseModel):
    level: int = Field(ge=1, le=3)
    sure: bool = False

@flow
def approve(day: str = "monday"):
    answer = pause_flow_run(wait_for_input=Approval)
    return f"{day}: level {answer.level}, sure: {answer.sure}"

approve"""
CELLS = (SETUP, LOAD, SLOW, FLAKY, SPLIT, REPORT, LAST, *SMALL, "flow", MEND, APPROVE, "approve('friday')")
SET, LOADS, SLOWS, FLAKES, SPLITS, REPORTS, LASTS = range(7)
PANEL, MENDS, APPROVES, CALL = range(10, 14)

#: Where on the screen the middle of a line is.
MIDDLE = """line => {
    const at = line.getPointAtLength(line.getTotalLength() / 2).matrixTransform(line.getScreenCTM());
    return [at.x, at.y];
}"""

needs_axe = pytest.mark.skipif(
    not AXE.exists(), reason="the front end's packages are not installed: npm ci --prefix js"
)


def press(within: Locator, name: str) -> None:
    """Press a button once it can be used."""
    found = within.get_by_role("button", name=name, exact=True)
    expect(found).to_be_enabled()
    found.click()


def tab(shown: Locator, name: str) -> Locator:
    """Open a tab and return its page."""
    shown.get_by_role("tab", name=name).click()
    found = shown.get_by_role("tabpanel", name=name)
    expect(found).to_be_visible()
    return found


def head(shown: Locator) -> Locator:
    return shown.locator(".orch-head")


def detail(shown: Locator) -> Locator:
    return shown.get_by_label("Selected task")


@needs_axe
@pytest.mark.timeout(300)
def test_every_control_does_what_it_says(browser: Browser, server: Server) -> None:
    """Run, retry, select, sort, sift, zoom, open, compare, promote, answer: each with what a person sees of it."""
    gates = Gates(server, "controls")
    gates.open("slow")
    with browser.open(server.write("controls/nb.ipynb", *CELLS), size=(1400, 1800)) as page:
        for cell in range(PANEL + 1):
            page.run(cell)
        shown = panel(page, PANEL)
        fail_and_retry(page, shown)
        look_into(shown)
        tables(shown)
        diagram(shown)
        timeline(shown)
        run_parts(page, shown, gates)
        history(shown)
        promote(page, shown)
        answer(page, gates)
        assert page.problems() == []


def fail_and_retry(page: Page, shown: Locator) -> None:
    """A failure opens by itself, with the lines of its cell; ↻ runs it and what waited for it, and no more."""
    press(shown, "Run")
    expect(head(shown)).to_contain_text("Failed after")
    expect(head(shown)).to_contain_text("7 of 9 done · 1 failed · 1 upstream failed")
    traceback = detail(shown).get_by_label("Traceback")
    expect(traceback).to_contain_text(re.compile(r"Cell In\[\d+\], line 3\s+ratio = slow / divisor"))
    expect(traceback).to_contain_text("ZeroDivisionError: division by zero")
    page.run(MENDS)
    press(shown, "Retry failed")
    expect(head(shown)).to_contain_text("Completed in")
    expect_badge(page, LASTS, "Completed")
    expect(shown.get_by_role("button", name="Retry failed", exact=True)).to_be_hidden()
    press(shown, "Run all")
    expect(head(shown)).to_contain_text("9 of 9 done")
    expect(shown.locator(".orch-coming")).to_have_text("Nothing is stale")


def look_into(shown: Locator) -> None:
    """Of a task its states and tries, what it took in and left, its log by level and words."""
    rows = tab(shown, "Tasks")
    found = detail(shown)
    rows.get_by_role("rowheader", name="load").click()
    log = found.get_by_role("log")
    expect(log.locator("div")).to_have_count(10)
    found.get_by_label("Level").select_option("Warnings and errors")
    expect(log.locator("div")).to_have_text([re.compile("careful with row 3"), re.compile("row 4 is broken")])
    found.get_by_label("Level").select_option("Errors")
    expect(log).to_contain_text("row 4 is broken")
    expect(log).not_to_contain_text("careful")
    found.get_by_label("Level").select_option("All lines")
    found.get_by_label("Search the log").fill("row 7")
    expect(log.locator("div")).to_have_count(1)
    found.get_by_label("Search the log").fill("nowhere")
    expect(found).to_contain_text("No line of the log is like that.")
    expect(found.get_by_label("rows")).to_have_text("[0, 1, 2, 3, 4, 5, 6, 7]")
    expect(found).to_contain_text("list, 8")
    rows.get_by_role("rowheader", name="report").click()
    expect(found.get_by_label("note")).to_have_text("divided by 2")
    expect(found.get_by_role("link", name="https://example.org/report")).to_have_attribute(
        "rel", re.compile("noopener")
    )
    expect(found).to_contain_text("reads flaky from flaky")
    expect(found).to_contain_text("flaky report reads flaky from flaky")
    found.get_by_role("button", name="flaky", exact=True).click()
    expect(found.locator(".orch-title")).to_contain_text("flaky")
    expect(found.locator("dl")).to_contain_text(re.compile("attempt *1 of 2"))
    found.get_by_text("History: 2 states").click()
    expect(found.get_by_role("listitem")).to_contain_text(["Running", "Completed"])


def tables(shown: Locator) -> None:
    """The table in the order one asks for, and as many of its rows."""
    rows = tab(shown, "Tasks")
    names = rows.get_by_role("rowheader")
    everything = ["load", "slow", "flaky", "split", "report", "last", "small_0", "small_1", "small_2"]
    orders = [
        ("name", sorted(everything)),
        ("name", sorted(everything, reverse=True)),
        ("name", everything),
    ]
    expect(names).to_have_text(everything)
    for column, expected in orders:
        rows.locator(f"[data-column={column}]").click()
        expect(names).to_have_text(expected)
    for way in ("ascending", "descending", None):
        rows.locator("[data-column=time]").click()
        time = rows.get_by_role("columnheader", name="Time")
        expect(time).to_have_attribute("aria-sort", way) if way else expect(time).not_to_have_attribute("aria-sort", "")
    sieves = [
        ("Tag", "io", ["load", "report"]),
        ("State", "Completed", everything),
    ]
    for field, choice, expected in sieves:
        select = rows.get_by_label(field, exact=True)
        select.select_option(choice)
        expect(names).to_have_text(expected)
        select.select_option("")
    words = rows.get_by_label("Find a task by name or remark")
    words.fill("small")
    expect(names).to_have_text(["small_0", "small_1", "small_2"])
    expect(rows.get_by_role("status")).to_have_text("3 of 9")
    words.press("ArrowDown")
    shown.page.keyboard.press("ArrowDown")
    shown.page.keyboard.press("Enter")
    expect(detail(shown).locator(".orch-title")).to_contain_text("small_1")
    words.fill("")
    expect(names).to_have_count(9)


def diagram(shown: Locator) -> None:
    """Nearer, farther, all of it, elsewhere; what leads to a task and what follows; what a line carries."""
    graph = tab(shown, "Graph")
    canvas = graph.locator("svg.orch-diagram")

    def view() -> list[float]:
        return [float(part) for part in (canvas.get_attribute("viewBox") or "0 0 0 0").split()]

    whole = view()
    press(graph, "Zoom in")
    assert view()[2] < whole[2]
    press(graph, "Zoom out")
    press(graph, "Zoom out")
    assert view()[2] > whole[2]
    press(graph, "Fit: show all of the diagram")
    fitted = view()
    box = canvas.bounding_box()
    assert box is not None
    mouse = shown.page.mouse
    mouse.move(box["x"] + 5, box["y"] + 5)
    mouse.down()
    mouse.move(box["x"] + 65, box["y"] + 45, steps=3)
    mouse.up()
    assert view()[0] < fitted[0]
    press(graph, "Fit: show all of the diagram")
    graph.get_by_role("button", name=re.compile("^split")).click()
    expect(detail(shown).locator(".orch-title")).to_contain_text("split")
    near = graph.locator(".node.near .name")
    expect(near).to_have_text(["load", "slow", "last"])
    line = graph.locator('.edge[data-from="0"][data-to="1"] .hit')
    mouse.move(*line.evaluate(MIDDLE))
    expect(graph.locator(".orch-reason")).to_have_text("slow reads rows from load")


def timeline(shown: Locator) -> None:
    """A bar for every task, and which of them made the run as long as it was; one opens its task."""
    bars = tab(shown, "Timeline")
    expect(bars.get_by_role("button")).to_have_count(9)
    expect(bars).to_contain_text("critical path: load")
    bars.get_by_role("button", name=re.compile("^report, Completed, took")).click()
    expect(detail(shown).locator(".orch-title")).to_contain_text("report")


def run_parts(page: Page, shown: Locator, gates: Gates) -> None:
    """One task with what it needs, or with what depends on it; meanwhile how much longer it will take; ■."""
    tab(shown, "Tasks").get_by_role("rowheader", name="split").click()
    press(detail(shown), "Run this")
    expect(head(shown)).to_contain_text("1 of 1 done")
    expect(shown.locator(".orch-coming")).to_have_text("1 task will run")
    press(detail(shown), "Run from here")
    expect(head(shown)).to_contain_text("2 of 2 done")
    expect(shown.locator(".orch-coming")).to_have_text("Nothing is stale")
    gates.close("slow")
    press(shown, "Run all")
    gates.came("slow")
    expect(head(shown)).to_contain_text(re.compile("about (to end|.* left)"))
    expect(shown.get_by_role("button", name="Run", exact=True)).to_have_attribute("title", "A run goes on.")
    press(shown, "Cancel")
    expect(head(shown)).to_contain_text("Cancelled after")
    gates.open("slow")
    press(shown, "Run")
    expect(head(shown)).to_contain_text("Completed in")


def history(shown: Locator) -> None:
    """Runs against tasks; one opens where it failed, in the same views; two are compared in what differs."""
    grid = tab(shown, "History")
    runs = grid.get_by_role("button", name=re.compile("open the run of"))
    expect(runs).to_have_count(7)
    first, third = grid.get_by_label("First run"), grid.get_by_label("Second run")
    oldest = first.locator("option").count() - 1
    first.select_option(index=oldest)
    third.select_option(index=oldest - 2)
    press(grid, "Compare")
    lines = grid.get_by_role("table", name="What differs").get_by_role("row")
    expect(lines.filter(has_text="state")).to_contain_text(["Failed"])
    expect(lines.filter(has_text="split")).to_contain_text(["Failed"])
    expect(lines.filter(has_text="note")).to_contain_text("divided by 0")
    expect(lines.filter(has_text="note")).to_contain_text("divided by 2")
    expect(lines.filter(has_text="took").first).to_be_visible()
    grid.get_by_role("button", name=re.compile("^split: Failed")).click()
    expect(shown).to_contain_text("An earlier run, of")
    expect(detail(shown).get_by_label("Traceback")).to_contain_text("ZeroDivisionError")
    tab(shown, "Timeline")
    expect(
        shown.get_by_role("tabpanel", name="Timeline").get_by_role("button", name=re.compile("2 attempts"))
    ).to_be_visible()
    press(shown, "Back to the latest")
    expect(head(shown)).to_contain_text("Completed in")


def promote(page: Page, shown: Locator) -> None:
    """Every kind of schedule is read out; who is told too; a deployment is run, paused and let go on."""
    form = tab(shown, "Promote")
    said = form.get_by_role("status").first
    schedules = [
        ("interval", {"Interval": "2h"}, "every 2 h"),
        ("interval", {"Interval": "soon"}, "soon"),
        ("cron", {"Cron": "30 7 * * 1", "Time zone": "Europe/Madrid"}, "At 07:30 on Monday (Europe/Madrid)"),
        ("cron", {"Cron": "99 7 * * 1"}, "99"),
        ("daily", {"Time": "07:15"}, "At 07:15 every day"),
        ("none", {}, "It runs when somebody asks for it."),
    ]
    for preset, fields, words in schedules:
        form.get_by_label("Schedule").select_option(preset)
        for field, value in fields.items():
            form.get_by_label(field, exact=True).fill(value)
        expect(said).to_contain_text(words)
    tell = form.get_by_label("Tell", exact=True)
    tell.fill("ann@example.org")
    expect(form).to_contain_text("is no address: write mailto://")
    expect(tell).to_have_attribute("aria-invalid", "true")
    press(form, "Promote")
    expect(form.locator("p.orch-bad")).to_contain_text("is no address")
    tell.fill("$TEAM")
    form.get_by_label("When", exact=True).fill("fialed")
    expect(form).to_contain_text("Did you mean 'failed'?")
    form.get_by_label("When", exact=True).fill("failed, late")
    expect(form).to_contain_text("failed, late → $TEAM")
    form.get_by_label("If it fails").select_option("2")
    expect(form.get_by_label("Wait before")).to_be_visible()
    form.get_by_label("Name").fill("controls")
    press(form, "Promote")
    expect(form).to_contain_text("Promoted: 'controls', version 1.")
    line = form.locator(".orch-deployment")
    expect(line).to_contain_text("runs when somebody asks · failed, late → $TEAM")
    press(line, "Pause")
    expect(line).to_contain_text("Paused")
    press(line, "Unpause")
    press(line, "Run now")
    expect(line).to_contain_text(re.compile("Scheduled|Late"))
    tab(shown, "Graph")


def answer(page: Page, gates: Gates) -> None:
    """A function's flow has a panel of its own; what it waits to be told is a form, checked as it was typed."""
    page.run(APPROVES)
    shown = panel(page, APPROVES)
    expect(shown).to_contain_text("No tasks yet: they stand here as soon as the flow runs them.")
    press(shown, "day = monday")
    shown.get_by_label("day", exact=True).fill("tuesday")
    press(shown, "Run with these")
    form = shown.get_by_role("group", name="Answer")
    expect(form).to_contain_text("The run waits for an answer. It does until")
    # The notebook's own panel has it too: it is this kernel that waits.
    other = panel(page, PANEL).get_by_role("group", name="Answer")
    expect(other).to_contain_text("'approve' waits for an answer.")
    expect_accessible(page, ".orch-panel", "asking")
    for value, refusal in (("", "'level' (int) has no default"), ("high", "takes int"), ("9", "from 1 to 3")):
        form.get_by_label("level").fill(value)
        press(form, "Resume")
        expect(shown.get_by_role("alert")).to_contain_text(refusal)
        expect(form.get_by_label("level")).to_have_attribute("aria-invalid", "true")
    other.get_by_label("level").fill("3")
    other.get_by_label("sure").select_option("True")
    press(other, "Resume")
    expect(head(shown)).to_contain_text("Completed in")
    expect(form).to_be_hidden()
    expect(other).to_be_hidden()
