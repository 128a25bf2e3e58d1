"""The analysis of a notebook of 300 cells, all of them tasks, and one more of them in a kernel's session.

``python benchmarks/analysis.py`` prints, in milliseconds of processor time: parsing and compiling the cells' text (the
baseline), wiring them from nothing, defining one more below the last, defining an early one anew after an edit.
"""

from __future__ import annotations

import ast
import contextlib
import io
import statistics
import time
from collections.abc import Callable

from book import book
from IPython.core.interactiveshell import InteractiveShell

from orch_notebook.jupyter.session import NotebookSession
from orch_notebook.model.flows import CellFlow, CellTask
from orch_notebook.model.headers import TaskHeader
from orch_notebook.orchestrator import Orchestrator

CELLS = 300
EDITED = 12


def milliseconds(act: Callable[[], object]) -> float:
    """Return how long something keeps the processor busy: it waits for nobody, and the machine may have other work."""
    started = time.process_time()
    act()
    return (time.process_time() - started) * 1000


def wire(cells: list[str]) -> None:
    """Wire cells that nobody has seen before, and make the graph that the machine runs."""
    flow = CellFlow("book", [CellTask(f"cell-{index}", TaskHeader(), cell) for index, cell in enumerate(cells)])
    flow.know({"get_ipython", "display"})
    assert len(flow.graph.tasks) == CELLS
    assert not flow.wiring.undefined, "every name of the made-up notebook is defined"
    assert len(flow.graph.edges) > 2 * CELLS, "its cells hang together"


def main() -> None:
    """Measure all, each first thing it does in this process."""
    cells = book(CELLS)
    baseline = milliseconds(lambda: [compile(ast.parse(cell), "<cell>", "exec") for cell in cells])
    wiring = milliseconds(lambda: wire(cells))
    shell = InteractiveShell.instance()
    with (
        contextlib.closing(NotebookSession(shell, Orchestrator())) as session,
        contextlib.redirect_stdout(io.StringIO()),
    ):
        for index, cell in enumerate(cells):
            session.define(f"cell-{index}", cell)
        more = statistics.median(
            milliseconds(lambda n=n: session.define(f"more-{n}", f"more_{n} = df['paid'].sum() + {n}"))
            for n in range(15)
        )
        edited = statistics.median(
            milliseconds(lambda n=n: session.define(f"cell-{EDITED}", f"{cells[EDITED]}\nedit = {n}"))
            for n in range(15)
        )
    print(f"{baseline:.3f} {wiring:.3f} {more:.3f} {edited:.3f}")


if __name__ == "__main__":
    main()
