"""The commands that go on with runs and hold them against each other: retry, resume, compare."""

from __future__ import annotations

from typing import Annotated

import typer

from orch_notebook.cli.app import AsJson, RunId, app, columns, console, print_json, say
from orch_notebook.cli.comparing import comparison_table
from orch_notebook.cli.watching import see_through
from orch_notebook.errors import UsageError
from orch_notebook.model.retries import Fate
from orch_notebook.model.runs import FlowRun, short_id
from orch_notebook.orchestrator import Orchestrator, open_orchestrator

__all__ = ["app"]

Again = Annotated[
    list[str] | None,
    typer.Option("--from", metavar="TASK", help="Run this task again, and what comes from it; may be repeated."),
]
Here = Annotated[
    bool | None,
    typer.Option("--here/--worker", help="Execute it now, or leave it to a worker as runs of deployments are."),
]


@app.command()
def retry(
    run_id: RunId,
    again: Again = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would run and what is loaded.")] = False,
    here: Here = None,
    as_json: AsJson = False,
) -> None:
    """Repeat a run from where it failed.

    A new attempt executes what the run executed, with the same parameters. Tasks that completed are not run again as
    long as nothing they depend on has changed: what they left is loaded. What failed, and what comes from it, runs.
    """
    with open_orchestrator() as orchestrator:
        if dry_run:
            _foretell(orchestrator.foresee_retry(run_id, again=again or ()), as_json)
        else:
            _retry(orchestrator, run_id, again or [], here, as_json)


def _foretell(fates: list[Fate], as_json: bool) -> None:
    if as_json:
        print_json([fate.to_json() for fate in fates])
        return
    width = max((len(fate.task) for fate in fates), default=0)
    for fate in fates:
        say(f"  {'runs  ' if fate.runs else 'loaded'}  {fate.task:<{width}}  {fate.reason}")
    count = sum(fate.runs for fate in fates)
    say(f"{count} of {len(fates)} tasks will run, and others if what they depend on has changed.")


def _retry(orchestrator: Orchestrator, run_id: str, again: list[str], here: bool | None, as_json: bool) -> None:
    made = orchestrator.retry(run_id, again=again, here=here)
    if not isinstance(made, FlowRun):
        see_through(orchestrator, made, as_json)
    elif as_json:
        print_json(made.to_json())
    else:
        say(f"Run {made.run_id} waits for a worker. Watch it: orch show {short_id(made.run_id)}")
        if not orchestrator.workers():
            say("No worker is running. Start one: orch worker; or execute it here: --here")


@app.command()
def resume(
    run_id: RunId,
    parameter: Annotated[
        list[str] | None, typer.Option("--parameter", "-p", metavar="NAME=VALUE", help="What the run asks for.")
    ] = None,
    here: Here = None,
    as_json: AsJson = False,
) -> None:
    """Go on with a run that waits, or that did not end well.

    A run that was paused or suspended goes on, with the answer it asks for. One that failed, crashed or was cancelled
    is repeated from there, as 'orch retry' does.
    """
    with open_orchestrator() as orchestrator:
        found = orchestrator.show(run_id)
        if found.state.is_final:
            if parameter:
                raise UsageError(f"Run {short_id(found.run_id)} has ended and asks for nothing: leave -p out.")
            _retry(orchestrator, found.run_id, [], here, as_json)
            return
        going = orchestrator.resume(found.run_id, parameter or [])
        if as_json:
            print_json(going.to_json())
        else:
            say(f"Run {going.run_id} goes on. Watch it: orch show {short_id(going.run_id)}")


@app.command()
def compare(
    before: Annotated[str, typer.Argument(metavar="RUN", help="The one run.")],
    after: Annotated[str, typer.Argument(metavar="OTHER", help="The other run.")],
    as_json: AsJson = False,
) -> None:
    """Show what tells one run from another.

    Parameters, states and durations of tasks, recorded values, artifacts, and the cells that differ.
    """
    with open_orchestrator() as orchestrator:
        found = orchestrator.compare(before, after)
    if as_json:
        print_json(found.to_json())
        return
    console.print(comparison_table(found, columns()))
    if found.source:
        say("\nSource")
        for line in found.source:
            say(f"  {line}")
