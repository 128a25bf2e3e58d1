"""A deployment over a grid of parameters: what would run, how far it is, and what came of it."""

from __future__ import annotations

from typing import Annotated

import typer

from orch_notebook.cli.app import AsJson, Name, app, columns, console, print_json, say
from orch_notebook.cli.tables import backfill_table, backfills_table
from orch_notebook.cli.watching import follow_backfill
from orch_notebook.errors import UsageError
from orch_notebook.orchestrator import open_orchestrator

__all__ = ["app"]


@app.command()
def backfill(
    name: Name,
    param: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUES", help="An axis: day=2026-01-01..2026-01-31, k=1..9/2, region=north,south."),
    ] = None,
    parameter: Annotated[
        list[str] | None,
        typer.Option("--parameter", "-p", metavar="NAME=VALUE", help="A parameter of all its runs; may be repeated."),
    ] = None,
    max_active: Annotated[int, typer.Option(metavar="N", help="Runs of it that go on at once.")] = 4,
    reprocess: Annotated[
        str, typer.Option(metavar="WHICH", help="Of what was run before, run again: none, failed or all.")
    ] = "none",
    is_reversed: Annotated[bool, typer.Option("--reverse", help="Begin with the last.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would run, and run nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run a deployment over a grid of parameters.

    Every point is checked before anything runs.
    """
    with open_orchestrator() as orchestrator:
        plan = orchestrator.deployments.plan_backfill(
            name, param or (), parameter or (), reprocess=reprocess, is_reversed=is_reversed
        )
        made = "" if dry_run else orchestrator.deployments.backfill(plan, at_once=max_active)
        if as_json:
            left = [{"parameters": dict(point), "run_id": run.run_id} for point, run in plan.left]
            print_json({"backfill": made or None, "runs": [dict(point) for point in plan.points], "left": left})
            return
        if dry_run:
            for point in plan.points:
                say("  ".join(f"{key}={value}" for key, value in point.items()))
        count, left_out = len(plan.points), len(plan.left)
        say(f"{count} run{'s' * (count != 1)}; {left_out} left out, having run before.")
        if made:
            say(f"Backfill {made}: orch backfills {made}")
            if not orchestrator.workers():
                say("No worker is running. Start one: orch worker")


@app.command()
def backfills(
    backfill_id: Annotated[
        str | None, typer.Argument(metavar="[BACKFILL]", help="Its id, or enough of it; lists all without.")
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Show how far it is until all of it has ended.")] = False,
    cancel: Annotated[bool, typer.Option("--cancel", help="Cancel what is left of it.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show how far backfills are, or what came of one.

    Each point of the grid is a row: the parameters that differ, how it ended, and the values it recorded.
    """
    with open_orchestrator() as orchestrator:
        deployments = orchestrator.deployments
        if backfill_id is None:
            if watch or cancel:
                raise UsageError("Which backfill? 'orch backfills' lists them.")
            every = deployments.backfills()
            if as_json:
                print_json([each.to_json() for each in every])
            elif not every:
                say("No backfills yet. Begin one: orch backfill NAME --param day=2026-01-01..2026-01-31")
            else:
                console.print(backfills_table(every, orchestrator.clock.now(), columns()))
            return
        if cancel:
            count = deployments.cancel_backfill(backfill_id)
            say(f"{count} run{'s' * (count != 1)} cancelled or asked to stop.")
            return
        if watch:
            follow_backfill(orchestrator, backfill_id)
        found = deployments.backfill_runs(backfill_id)
        if as_json:
            print_json([{**run.to_json(), "values": dict(run.values)} for run in found])
            return
        console.print(backfill_table(found, orchestrator.clock.now(), columns()))
        say(deployments.backfills(backfill_id)[0].words())
