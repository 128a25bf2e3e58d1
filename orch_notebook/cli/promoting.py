"""What can be asked, and what is said, when something is made to run by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from orch_notebook.cli.app import print_json, say
from orch_notebook.cli.tables import local
from orch_notebook.model.deployments import Deployment
from orch_notebook.model.parameters import Parameter
from orch_notebook.model.schedules import Schedule, preview
from orch_notebook.model.zones import find_zone
from orch_notebook.orchestrator import Orchestrator

__all__ = ["AfterDeployment", "Keep", "Notify", "OnEnding", "say_promoted"]

AfterDeployment = Annotated[
    list[str] | None,
    typer.Option("--after-deployment", metavar="NAME", help="Start when a run of this one has ended; may be repeated."),
]
OnEnding = Annotated[
    str, typer.Option("--on", metavar="ENDING", help="After which of its ends: completed, failed or finished.")
]
Notify = Annotated[
    list[str] | None,
    typer.Option(metavar="RULE", help="Whom to tell what: on=failed,recovered,to=ADDRESS; may be repeated."),
]
Keep = Annotated[str, typer.Option(metavar="RULE", help="How long its runs are kept: 30d, 100, or 30d,100.")]


def say_promoted(
    orchestrator: Orchestrator, deployment: Deployment, schedules: Sequence[Schedule], tz: str | None, as_json: bool
) -> None:
    """Say what was promoted and when it runs; or print it as JSON."""
    if as_json:
        print_json(deployment.to_json())
        return
    now = orchestrator.clock.now()
    what = deployment.plan.words.rpartition("/")[2]
    say(f"Promoted {what}: deployment {deployment.name!r}, version {deployment.version}.")
    if deployment.is_paused:
        say(f"  It is paused. Wake it: orch unpause {deployment.name}")
    for schedule in schedules:
        say(f"  {schedule.words()}; next {local(schedule.next(now))}")
    for due in preview(schedules, now, find_zone(tz or "UTC")) if schedules else ():
        say(f"    {due.local:%a %d %b %Y %H:%M:%S %Z}{'  ' + due.note if due.note else ''}")
    for parameter in map(Parameter.from_json, deployment.schema):
        given = f"; here {deployment.parameters[parameter.name]!r}" if parameter.name in deployment.parameters else ""
        say(f"  It takes {parameter.words()}{given}{'  # ' + parameter.help if parameter.help else ''}")
    for rule in deployment.starts_after:
        say(f"  It starts {rule.words()}.")
    for notice in deployment.notices:
        say(f"  It tells {notice.shown()}. Try it: orch notify test {deployment.name}")
    if not schedules and not deployment.starts_after:
        say(f"  It runs when asked: orch trigger {deployment.name}")
    if not orchestrator.workers():
        say("No worker is running. Start one: orch worker")
