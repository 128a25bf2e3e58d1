"""What one does with deployments: list, trigger, pause, versions, declarations in a file, removal."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from orch_notebook.cli.app import AsJson, Name, Parameters, app, columns, console, print_json, say
from orch_notebook.cli.tables import deployments_table, local, versions_table
from orch_notebook.errors import UsageError
from orch_notebook.model.runs import short_id
from orch_notebook.model.schedules import schedule_from_json
from orch_notebook.orchestrator import open_orchestrator
from orch_notebook.promotion.declarations import find_declarations
from orch_notebook.promotion.exporting import variable_for, write_declarations

__all__ = ["app"]


@app.command()
def deployments(as_json: AsJson = False) -> None:
    """List the deployments."""
    with open_orchestrator() as orchestrator:
        found = orchestrator.deployments.all()
        if as_json:
            print_json([deployment.to_json() for deployment in found])
        elif not found:
            say("No deployments yet. Make one: orch promote NOTEBOOK --name NAME")
        else:
            console.print(deployments_table(found, orchestrator.clock.now(), columns()))


@app.command()
def trigger(name: Name, parameter: Parameters = None, as_json: AsJson = False) -> None:
    """Have a deployment run now."""
    with open_orchestrator() as orchestrator:
        made = orchestrator.deployments.trigger(name, parameter or ())
        if as_json:
            print_json(made.to_json())
        else:
            say(f"Run {made.run_id} waits for a worker. Watch it: orch show {short_id(made.run_id)}")


@app.command()
def pause(
    name: Name, reason: Annotated[str, typer.Option(metavar="TEXT", help="Why, for others to read.")] = ""
) -> None:
    """Let the schedules of a deployment rest."""
    with open_orchestrator() as orchestrator:
        orchestrator.deployments.pause(name, reason=reason)
        say(f"{name} is paused. What waits already still runs; 'orch trigger' works as before.")


@app.command()
def unpause(name: Name) -> None:
    """Wake the schedules of a deployment.

    What passed meanwhile is not made up for.
    """
    with open_orchestrator() as orchestrator:
        deployment = orchestrator.deployments.pause(name, False)
        now = orchestrator.clock.now()
        for schedule in deployment.schedules:
            rule = schedule_from_json(schedule.rule)
            say(f"{name} is awake: {rule.words()}; next {local(rule.next(now)) or 'never'}")


@app.command()
def versions(
    name: Name,
    diff: Annotated[
        tuple[int, int] | None, typer.Option(metavar="OLD NEW", help="Show what tells two versions apart.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the versions of a deployment, or compare two."""
    with open_orchestrator() as orchestrator:
        if diff is not None:
            lines = orchestrator.deployments.differences(name, *diff)
            if as_json:
                print_json(lines)
            else:
                say("\n".join(lines) or f"Versions {diff[0]} and {diff[1]} are the same.")
            return
        found = orchestrator.deployments.versions(name)
        if as_json:
            print_json([version.to_json() for version in found])
        else:
            console.print(versions_table(found, columns()))


@app.command()
def apply(
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="File to read; orch.toml or pyproject.toml here by default.")
    ] = None,
    prune: Annotated[
        bool, typer.Option("--prune", help="Remove deployments of notebooks here that it does not declare.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Bring the deployments in line with a file that declares them.

    What would change is shown first.
    """
    with open_orchestrator() as orchestrator:
        changes = orchestrator.deployments.compare(file or find_declarations(Path.cwd()), prune=prune)
        if as_json:
            print_json([{"name": each.name, "kind": each.kind, "lines": list(each.lines)} for each in changes])
        else:
            for each in changes:
                say(f"{each.name}: {each.kind}")
                for line in each.lines:
                    say(f"  {line}")
        count = sum(each.kind != "same" for each in changes)
        if dry_run or not count:
            if not as_json:
                say("Nothing to do." if not count else f"{count} would change; nothing has.")
            return
        if not yes and not (sys.stdin.isatty() and typer.confirm(f"Change {count}?")):
            raise UsageError("Nothing was changed. Where nobody can be asked, say --yes.")
        orchestrator.deployments.apply(changes)
        if not as_json:
            say(f"Changed {count}.")


@app.command()
def export(
    name: Annotated[list[str] | None, typer.Argument(metavar="NAME", help="Deployments; all by default.")] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", metavar="FILE", help="Write it there.")] = None,
    secrets: Annotated[
        bool, typer.Option("--secrets", help="With the secrets in addresses of people to tell.")
    ] = False,
) -> None:
    """Print the deployments as a file that declares them."""
    with open_orchestrator() as orchestrator:
        found = [orchestrator.deployments.find(each) for each in name] if name else orchestrator.deployments.all()
        folder = (output.absolute().parent if output else Path.cwd()).absolute()
        text = write_declarations(found, folder, with_secrets=secrets)
        names = {variable_for(notice) for each in found for notice in each.notices if variable_for(notice) != notice.to}
        if names and not secrets:
            listed = ", ".join(sorted(name.removeprefix("$") for name in names))
            sys.stderr.write(f"Addresses are left out; set {listed} where workers run, or say --secrets.\n")
        if output is None:
            say(text.rstrip())
        else:
            output.write_text(text, "utf-8")
            say(f"Wrote {output}: {len(found)} deployment{'s' * (len(found) != 1)}.")


@app.command()
def delete(name: Name) -> None:
    """Remove a deployment; its runs stay."""
    with open_orchestrator() as orchestrator:
        orchestrator.deployments.remove(name)
        say(f"{name} is gone. Its runs are kept: orch runs")


@app.command()
def rollback(
    name: Name, version: Annotated[int, typer.Argument(metavar="VERSION", help="Version to go back to.")]
) -> None:
    """Promote an earlier version of a deployment again.

    It becomes a new version; its schedules count from now.
    """
    with open_orchestrator() as orchestrator:
        deployment = orchestrator.deployments.roll_back(name, version)
        say(f"{name} is as version {version} was; that makes it version {deployment.version}.")
