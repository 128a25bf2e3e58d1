"""What a run holds in memory: what top to bottom would hold, and what really runs at once.

Until a task completes its names stay as they were before, so a cell that replaces two big values holds one more.
"""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable

import pytest

from tests.runtime.test_programs import Notebook

MEGABYTES = 8
LOAD = f"import numpy as np\nframe = np.ones(({MEGABYTES << 17},))"
BOOKS = {
    "rebound in cells of their own": [LOAD, *["frame = frame * 1.5"] * 10, "total = float(frame.sum())"],
    "rebound by a function": [LOAD, "def grow(): return frame * 1.5", *["frame = grow()"] * 10],
    "read by functions that stay": [LOAD, *["def peek(): return frame[0]\nframe = frame + peek()"] * 10],
    "changed in place": [LOAD, *["frame += 1"] * 10],
}


def peak_of(act: Callable[[], object]) -> float:
    """Return the megabytes that doing something took at most."""
    gc.collect()
    tracemalloc.start()
    try:
        act()
        return tracemalloc.get_traced_memory()[1] / (1 << 20)
    finally:
        tracemalloc.stop()


def top_to_bottom(cells: list[str]) -> None:
    names: dict[str, object] = {"__name__": "__main__"}
    for source in cells:
        exec(compile(source, "<cell>", "exec"), names)


@pytest.mark.parametrize("cells", BOOKS.values(), ids=BOOKS)
def test_a_flow_in_order_takes_no_more_than_the_plain_notebook(cells: list[str]) -> None:
    """Ten rebindings of an array peak within a tenth of what running the cells one after the other takes."""
    top_to_bottom(cells[:1])  # what importing takes is not counted
    plain = peak_of(lambda: top_to_bottom(cells))
    notebook = Notebook(*cells)
    flow = peak_of(notebook.run)
    assert flow <= 1.1 * plain, f"{flow:.1f} MB instead of {plain:.1f} MB"
