"""What is said when something has been made to run by itself."""

from __future__ import annotations

from collections.abc import Sequence

from orch_notebook.cli.app import print_json, say
from orch_notebook.cli.tables import local
from orch_notebook.model.deployments import Deployment
from orch_notebook.model.schedules import Schedule, preview
from orch_notebook.model.zones import find_zone
from orch_notebook.orchestrator import Orchestrator

__all__ = ["say_promoted"]


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
    if not schedules:
        say(f"  It runs when asked: orch trigger {deployment.name}")
    if not orchestrator.workers():
        say("No worker is running. Start one: orch worker")
