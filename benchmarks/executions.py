"""One execution of a plain notebook in a real kernel, and what every cell of it left.

``python benchmarks/executions.py HOW NOTEBOOK RESULT [SECONDS]`` executes the notebook where it lies and writes one
JSON file.  HOW is ``plain`` (a stock kernel, cell after cell), ``threads`` (every cell a task, performed by the engine
on 16 threads), ``latest`` (one at a time, always the ready task that stands lowest), ``given`` (one at a time, in the
order of the notebook) or a number (one at a time, in the random legal order of that seed).
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import nbformat
from nbclient import NotebookClient

from orch_notebook.model.outcomes import outcome_of
from orch_notebook.model.trials import Trial
from orch_notebook.promotion.trials import SHOW, TRIAL_TYPE


def execute(how: str, path: Path, seconds: int) -> dict[str, Any]:
    """Execute a notebook and return what its cells left, by the names of their tasks."""
    notebook = nbformat.read(path, as_version=4)
    cells = {
        index: cell for index, cell in enumerate(notebook.cells) if cell.cell_type == "code" and cell.source.strip()
    }
    if how == "plain":
        before, call = list(cells.values()), "show_names()"
    else:
        # A cell of a live notebook always has others before it.
        before = [nbformat.v4.new_code_cell(source) for source in ("None", "%load_ext orch_notebook")]
        call = f"show_flow(cells_of={str(path)!r}, order={'' if how == 'threads' else how!r})"
    notebook.cells = [*before, nbformat.v4.new_code_cell(SHOW.format(call))]
    options = {"allow_errors": True, "timeout": seconds, "store_widget_state": False}
    client = NotebookClient(notebook, kernel_name="python3", **options)
    client.execute(cwd=str(path.parent), cleanup_kc=True)
    shown = [output.get("data", {}).get(TRIAL_TYPE) for output in notebook.cells[-1].outputs]
    if not any(shown):
        failure = [output for output in notebook.cells[-1].outputs if output["output_type"] == "error"]
        raise RuntimeError("; ".join(f"{output['ename']}: {output['evalue']}" for output in failure))
    found = Trial.from_json(next(filter(None, shown)))
    if how == "plain":
        found = Trial({f"cell-{index}": outcome_of(cell.outputs) for index, cell in cells.items()}, found.names)
    for outcome in found.cells.values():
        outcome.error = outcome.error.replace(str(path.parent), "<folder>")
        outcome.texts = {part: text.replace(str(path.parent), "<folder>") for part, text in outcome.texts.items()}
    return found.to_json()


def main() -> None:
    """Execute as the command line says; a kernel that takes too long is ended with it."""
    how, path, result, *rest = sys.argv[1:]
    seconds = int(rest[0]) if rest else 300

    def end(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"It took longer than {seconds} s.")

    signal.signal(signal.SIGALRM, end)
    signal.signal(signal.SIGTERM, end)
    signal.alarm(seconds)
    target = Path(result).absolute()
    path = str(Path(path).absolute())
    os.chdir(Path(path).parent)
    try:
        found = execute(how, Path(path), seconds)
    except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - told to whoever asked for the execution
        found = {"failure": f"{type(error).__name__}: {error}"}
    target.write_text(json.dumps(found), "utf-8")


if __name__ == "__main__":
    main()
