"""The commands that begin a run, look at runs, and end one."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from orch_notebook.cli.app import AsJson, Parameters, RunId, app, columns, console, print_json, say
from orch_notebook.cli.assets import made_table
from orch_notebook.cli.modules import perform
from orch_notebook.cli.tables import run_view, runs_table
from orch_notebook.cli.watching import see_through
from orch_notebook.errors import UsageError
from orch_notebook.functions.entrypoints import is_entrypoint
from orch_notebook.model.assets import materializations_of
from orch_notebook.model.durations import parse_interval
from orch_notebook.model.runs import iso
from orch_notebook.model.states import NAMES, StateType
from orch_notebook.model.tasks import RUNNER_WORDS, RUNNERS
from orch_notebook.orchestrator import open_orchestrator
from orch_notebook.promotion.booting import Spare

__all__ = ["app"]


@app.command()
def run(
    context: typer.Context,
    notebook: Annotated[
        Path, typer.Argument(metavar="NOTEBOOK", help="Path of the notebook, or a flow: etl.py:nightly.")
    ],
    parameter: Parameters = None,
    kernel: Annotated[str | None, typer.Option(metavar="NAME", help="Kernel, if not the notebook's own.")] = None,
    timeout: Annotated[str | None, typer.Option(metavar="LENGTH", help="The longest a run may take: 10m, 2h.")] = None,
    runner: Annotated[
        str | None, typer.Option(metavar="NAME", help=f"Of tasks that name none: {RUNNER_WORDS}.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Execute a notebook, or a flow of a module, now.

    Its tasks are shown as they go.
    """
    seconds = None if timeout is None else parse_interval(timeout)
    if runner is not None:
        if runner not in RUNNERS:
            raise UsageError(f"--runner takes {RUNNER_WORDS}, not {runner!r}.")
        os.environ["ORCH_RUNNER"] = runner  # so that the process which executes a notebook sees it too
    if is_entrypoint(str(notebook)):
        if kernel is not None:
            raise UsageError("A kernel executes notebooks; a flow of a module runs in Python itself.")
        raise typer.Exit(perform(str(notebook), parameter or (), seconds, as_json))
    with open_orchestrator() as orchestrator:
        ahead = context.find_object(Spare)
        execution = orchestrator.execute(notebook, parameter or (), kernel=kernel, timeout=seconds, ahead=ahead)
        see_through(orchestrator, execution, as_json)


@app.command()
def runs(
    deployment: Annotated[str | None, typer.Option(metavar="NAME", help="Only of this deployment.")] = None,
    state: Annotated[str | None, typer.Option(metavar="STATE", help="Only in this state: failed, late, …")] = None,
    parent: Annotated[str | None, typer.Option(metavar="RUN", help="Only those that this run started.")] = None,
    limit: Annotated[int, typer.Option(min=1, metavar="K", help="At most so many, the newest.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List the newest runs."""
    with open_orchestrator() as orchestrator:
        found = orchestrator.runs(deployment=deployment, state=_check_state(state), parent_run_id=parent, limit=limit)
        if as_json:
            print_json([each.to_json() for each in found])
        elif not found:
            say("No runs.")
        else:
            # What a notebook's own %flow run did is part of its run: 'orch show' has its tasks.
            shown = [each for each in found if parent is not None or each.parent_run_id is None]
            console.print(runs_table(shown, orchestrator.clock.now(), columns()))


def _check_state(state: str | None) -> str | None:
    known = {name.lower() for names in NAMES.values() for name in names} | {kind.value.lower() for kind in StateType}
    if state is not None and state.lower() not in known:
        raise UsageError(
            f"There is no state {state!r}. States are {', '.join(n for ns in NAMES.values() for n in ns)}."
        )
    return state


@app.command()
def show(
    run_id: RunId,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the executed notebook as HTML.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show one run with its tasks."""
    with open_orchestrator() as orchestrator:
        found = orchestrator.show(run_id)
        if html is not None:
            say(str(orchestrator.export_html(found, html)))
        elif as_json:
            made = [each.to_json() for each in materializations_of(found)]
            print_json({**found.to_json(with_tasks=True), "assets": made})
        else:
            say(f"Run {found.run_id}")
            console.print(run_view(found, orchestrator.clock.now(), columns()))
            if made_here := materializations_of(found):
                say()
                console.print(made_table(made_here, columns()))
            if found.executed_notebook:
                say(f"\nExecuted notebook: {found.executed_notebook}")


@app.command()
def logs(
    run_id: RunId,
    task: Annotated[str | None, typer.Option(metavar="NAME", help="Only of this task.")] = None,
    limit: Annotated[int, typer.Option(min=1, metavar="K", help="At most so many lines, the newest.")] = 10_000,
    as_json: AsJson = False,
) -> None:
    """Print what a run wrote."""
    with open_orchestrator() as orchestrator:
        lines = orchestrator.all_logs(run_id, task, limit=limit)
        if as_json:
            fields = ("task", "attempt", "level", "text")
            print_json(
                [{"at": iso(line.at), "run_id": of, **{f: getattr(line, f) for f in fields}} for of, line in lines]
            )
            return
        for _, line in lines:
            mark = {40: "E", 50: "E", 30: "W"}.get(line.level, " ")
            where = f"[{line.task}] " if line.task else ""
            sys.stdout.write(f"{line.at.astimezone():%H:%M:%S} {mark} {where}{line.text}\n")


@app.command()
def cancel(run_id: RunId) -> None:
    """Cancel a run, wherever it is executed."""
    with open_orchestrator() as orchestrator:
        found = orchestrator.show(orchestrator.cancel(run_id).run_id)
        say(f"Run {found.run_id} is {'cancelled' if found.state.is_final else 'asked to stop'}.")
