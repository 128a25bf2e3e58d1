"""``orch demo``: the whole journey once, on real data, in a home of its own."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import threading
from pathlib import Path
from typing import Annotated

import typer

import orch_notebook
from orch_notebook.cli.app import app, columns, console, say
from orch_notebook.cli.tables import run_view
from orch_notebook.cli.watching import follow
from orch_notebook.errors import NotebookError
from orch_notebook.model.runs import FlowRun
from orch_notebook.model.states import StateType
from orch_notebook.orchestrator import Orchestrator, open_orchestrator
from orch_notebook.promotion.terms import read_schedules
from orch_notebook.promotion.worker import Worker
from orch_notebook.runtime.settings import Settings

__all__ = ["demo_notebook"]

NOTEBOOK = "02_train_and_promote.ipynb"
NAME = "demo"


def demo_notebook() -> Path:
    """Return the demo notebook: in the installed package, or beside it in a checkout.

    Raises
    ------
    NotebookError
        It is in neither place.
    """
    package = Path(orch_notebook.__file__).parent
    for folder in (package / "notebooks", package.parent / "notebooks"):
        if (folder / NOTEBOOK).is_file():
            return folder / NOTEBOOK
    raise NotebookError(f"The demo notebook {NOTEBOOK} was not installed with the package; reinstall orch-notebook.")


@app.command()
def demo(
    folder: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where to work; by default a new folder in the temporary one.")
    ] = None,
) -> None:
    """Show the whole journey once, on real data.

    Promotes the demo notebook on a one-minute schedule, executes it at once, and shows what came of it.
    """
    work = (folder or Path(tempfile.mkdtemp(prefix="orch-demo-"))).expanduser().absolute()
    work.mkdir(parents=True, exist_ok=True)
    # The notebook is copied, because people may like to open and change it.
    notebook = work / NOTEBOOK
    notebook.write_bytes(demo_notebook().read_bytes())
    # Kernels and workers started from here must find the same home.
    os.environ["ORCH_HOME"] = str(work / "home")
    logging.getLogger("orch_notebook").setLevel(logging.WARNING)
    with open_orchestrator(Settings.from_environment()) as orchestrator:
        now = orchestrator.clock.now()
        deployment = orchestrator.deployments.promote(
            notebook, NAME, schedules=read_schedules(now, (), ("1m",), (), None)
        )
        say(f"Promoted {NOTEBOOK} as {deployment.name!r}, to run every minute. A worker executes it now.\n")
        made = orchestrator.deployments.trigger(NAME)
        run = _work(orchestrator, made)
        orchestrator.deployments.pause(NAME)
        console.print(run_view(run, orchestrator.clock.now(), columns()))
        _tell(orchestrator, run, work)
    if run.state.type is not StateType.COMPLETED:
        raise typer.Exit(1)


def _work(orchestrator: Orchestrator, made: FlowRun) -> FlowRun:
    """Execute one run by a worker of this process, showing how it goes."""
    worker = Worker(orchestrator.store, orchestrator.settings, slots=1, clock=orchestrator.clock)
    thread = threading.Thread(target=worker.run, name="orch-worker", daemon=True)
    thread.start()
    try:
        run = follow(orchestrator, made.run_id, lambda run: run.state.is_final)
    finally:
        worker.drain()
        thread.join(timeout=60)
    return orchestrator.show(run.run_id)


def _tell(orchestrator: Orchestrator, run: FlowRun, work: Path) -> None:
    lines = [line.text for _, line in orchestrator.all_logs(run.run_id) if line.task in ("evaluate", "keep_best")]
    if lines:
        console.print()
        for line in lines:
            say(line)
    console.print()
    if run.executed_notebook:
        page = orchestrator.export_html(run)
        say(f"Executed notebook  {run.executed_notebook}")
        say(f"The same as HTML   {page}")
        say(f"Open it            {Path(sys.executable).parent / 'jupyter'} lab {run.executed_notebook}")
    home = f"ORCH_HOME={work / 'home'}"
    orch = Path(sys.executable).parent / "orch"
    say(f"Look further       {home} {orch} runs")
    say(f"Let it go on       {home} {orch} unpause {NAME} && {home} {orch} worker")
