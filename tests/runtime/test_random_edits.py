"""The promise, again and again: after any edit a second run leaves what running all cells top to bottom would leave."""

from __future__ import annotations

import contextlib
import random
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from orch_notebook.errors import UsageError
from orch_notebook.model.cells import Cell
from orch_notebook.model.flows import CellTask
from orch_notebook.model.headers import TaskHeader
from orch_notebook.runtime.copies import Copies
from orch_notebook.runtime.versions import Kept
from tests.model.cells.programs import programs, statements
from tests.model.cells.test_programs import keep_what_runs, picture
from tests.runtime.test_random_programs import AsFlow, TopToBottom

bodies = st.lists(statements(), min_size=1, max_size=3).map("\n".join)


def runs(cells: list[Cell]) -> bool:
    """Whether cells run top to bottom without an error."""
    try:
        return not TopToBottom(cells).error
    except SyntaxError:
        return False


def seen(names: dict[str, Any], expected: dict[str, Any]) -> Any:
    """Return the values of a plain notebook's names; names of cells that are no more stay behind.

    Which of them share an object is not compared: where nobody changes it, a copy is as good.
    """
    found = picture({name: value for name, value in names.items() if name in expected})
    return {name: each[0] if isinstance(each, tuple) and each[1] in found else each for name, each in found.items()}


# Each example is up to eight runs; the nightly profile looks at 1,000.
@pytest.mark.timeout(3600)
# The suite plays the same programs every time; the nightly profile draws new ones.
@settings(
    max_examples=settings().max_examples // 5,
    suppress_health_check=list(HealthCheck),
    derandomize=settings().max_examples <= 300,
)
@given(programs(), st.lists(st.tuples(st.integers(0, 99), bodies, st.booleans()), max_size=3), st.booleans())
def test_after_edits_a_run_leaves_what_top_to_bottom_leaves(
    cells: list[Cell], edits: list[tuple[int, str, bool]], with_copies: bool
) -> None:
    """Whatever is edited, whether copies are kept, and whether part of the flow was run in between."""
    cells = keep_what_runs(cells)
    tasks = [place for place, cell in enumerate(cells) if cell.is_task and not cell.name.startswith("begin")]
    assume(tasks)
    try:
        flow = AsFlow(cells)
    except Exception as refused:
        assert "reads" in str(refused)
        return
    with tempfile.TemporaryDirectory() as folder:
        copies = Copies(Path(folder) / "copies", 10_000_000)
        flow.kept = Kept(copies if with_copies else None)
        with contextlib.suppress(UsageError):
            flow.run()
            for number, body, in_part in edits:
                place = tasks[number % len(tasks)]
                edited = [*cells]
                edited[place] = Cell(cells[place].name, body)
                if not runs(edited):
                    continue
                try:
                    flow.flow.define(CellTask(cells[place].name, TaskHeader(), body))
                    flow.flow.check()
                except UsageError:
                    return
                cells = edited
                random.seed(0)
                if in_part:
                    flow.run(cells[place].name)
                    random.seed(0)
                states = flow.run()
                assert set(states) <= {"Completed", "Cached"}, (states, flow.errors())
                expected = TopToBottom(cells)
                assert seen(flow.names, expected.names) == seen(expected.names, expected.names)
                assert set(flow.run()) <= {"Cached"}
        copies.close()
