"""Who is told what: ``orch notify``."""

from __future__ import annotations

from typing import Annotated

import typer

from orch_notebook.cli.app import AsJson, Name, app, columns, console, print_json, say
from orch_notebook.cli.tables import messages_table
from orch_notebook.orchestrator import open_orchestrator

__all__ = ["notify"]

notify = typer.Typer(rich_markup_mode=None)
app.add_typer(notify, name="notify", help="Look at what people are told about deployments, and try it.")


@notify.command()
def test(name: Name) -> None:
    """Send a message by every rule of a deployment.

    The exit code is 1 if one cannot be sent.
    """
    with open_orchestrator() as orchestrator:
        tried = orchestrator.deployments.tell(name)
    if not tried:
        say(f"{name} tells nobody. Promote it with --notify on=failed,recovered,to=ADDRESS.")
    for notice, problem in tried:
        say(f"{'✗' if problem else '✓'} {notice.shown()}{': ' + problem if problem else ''}")
    if any(problem for _, problem in tried):
        raise typer.Exit(1)


@notify.command(name="list")
def list_messages(
    deployment: Annotated[str | None, typer.Option(metavar="NAME", help="Only about this deployment.")] = None,
    limit: Annotated[int, typer.Option(min=1, metavar="K", help="At most so many, the newest.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List the newest messages: sent, waiting, or given up and why."""
    with open_orchestrator() as orchestrator:
        found = orchestrator.deployments.messages(deployment, limit=limit)
        if as_json:
            print_json([message.to_json() for message in found])
        elif not found:
            say("Nobody has been told anything.")
        else:
            console.print(messages_table(found, orchestrator.clock.now(), columns()))
