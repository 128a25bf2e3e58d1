"""The first notebook as a new user meets it: badges, diagram and outputs while the flow runs, and after."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import pytest

from tests.browser.driver import Browser, Page, Server
from tests.browser.flows import Gates, expect_badge, expect_diagram, expect_kinds, expect_text, panel

FIRST = Path(__file__).parents[2] / "notebooks" / "01_first_flow.ipynb"

#: Smaller models, and gates: *linear* and *forest* wait for each other, *load* and *compare* for the test.
EDITS = {
    "imports": ("import pandas as pd", "import pandas as pd\nfrom gate import gate"),
    "task-load": ("cancer = ", "passed = gate('load')\ncancer = "),
    "task-linear": ("steps = ", "met = gate('linear', until='forest')\nsteps = "),
    "task-forest": ("trees = RandomForestClassifier(n_estimators=100,", "met = gate('forest', until='linear')\n"
                    "trees = RandomForestClassifier(n_estimators=5,"),
    "task-compare": ("models = ", "passed = gate('compare')\nmodels = "),
}  # fmt: skip


def first_notebook(gates: Gates) -> tuple[str, dict[str, int]]:
    """Write the first notebook with its gates; return its name and where its cells are, by id."""
    notebook = json.loads(FIRST.read_text())
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["id"] in EDITS:
            before, after = EDITS[cell["id"]]
            assert before in source
            source = source.replace(before, after, 1)
        cell["source"] = source.replace("cv=10", "cv=2")
    (gates.path / "first.ipynb").write_text(json.dumps(notebook))
    return f"{gates.name}/first.ipynb", {cell["id"]: place for place, cell in enumerate(notebook["cells"])}


@pytest.mark.parametrize("app", ["lab", "notebook"])
def test_the_first_notebook_lives_while_it_runs(
    browser: Browser, server: Server, shots: Path, app: Literal["lab", "notebook"]
) -> None:
    """Badges and diagram follow the tasks, independent ones overlap, and every output stands below its own cell."""
    gates = Gates(server, f"first-{app}")
    name, at = first_notebook(gates)
    load, split, linear, forest, compare = (at[f"task-{task}"] for task in TASKS)
    run = at["flow-run"]
    with browser.open(name, app, size=(1400, 2600)) as page:
        page.start_all()
        gates.came("load")
        expect_badge(page, load, "Running")
        for cell in (split, linear, forest, compare):
            expect_badge(page, cell, "Pending")
        expect_diagram(page, run, **{**dict.fromkeys(TASKS, "pending"), "load": "running"})
        assert page.state(run) == "running"
        gates.open("load")
        # Each of the two goes on only when the other has begun: they overlap.
        gates.came("compare")
        expect_badge(page, linear, "Completed")
        expect_badge(page, forest, "Completed")
        expect_badge(page, compare, "Running")
        expect_diagram(page, run, **{**dict.fromkeys(TASKS, "completed"), "compare": "running"})
        assert page.state(run) == "running"
        expect_text(page, load, "569 tumours")
        page.screenshot(shots / f"first-running-{app}.png")
        gates.open("compare")
        page.wait_idle()
        assert_finished(page, at)
        panel(page, at["flow-panel"]).get_by_text("5 of 5 done").wait_for()
        expect_diagram(page, at["flow-graph"], **dict.fromkeys(TASKS, "completed"))
        assert page.problems() == []


TASKS = ("load", "split", "linear", "forest", "compare")


def assert_finished(page: Page, at: dict[str, int]) -> None:
    """Every badge says Completed and every output is where it belongs, in order, and nowhere else."""
    load, split, linear, forest, compare = (at[f"task-{task}"] for task in TASKS)
    for task in TASKS:
        expect_badge(page, at[f"task-{task}"], "Completed")
    expect_kinds(page, load, "display_data", "stdout", "execute_result")
    for cell in (split, linear, forest):
        expect_kinds(page, cell, "display_data", "stdout")
    expect_kinds(page, compare, "display_data", "stdout", "execute_result", "display_data")
    assert "image/png" in page.outputs(compare)[-1]["data"]
    # The last value bears the number of the task's own cell.
    prompt = page.cell(compare).locator(".jp-InputPrompt").inner_text()
    assert prompt.strip("[]: ") == str(page.outputs(compare)[2]["execution_count"])
    expect_kinds(page, at["flow-run"], "display_data")
    expect_diagram(page, at["flow-run"], **dict.fromkeys(TASKS, "completed"))
    for silent in ("load-ext", "imports"):
        assert page.outputs(at[silent]) == []
