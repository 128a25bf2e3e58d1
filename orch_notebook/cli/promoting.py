"""The commands that make something run by itself, what can be said with both of them, and what they say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from orch_notebook.cli.app import AsJson, Notebook, Parameters, app, print_json, say
from orch_notebook.cli.tables import local
from orch_notebook.functions.entrypoints import Entrypoint, read_entrypoint
from orch_notebook.model.chains import After
from orch_notebook.model.deployments import Deployment
from orch_notebook.model.durations import parse_interval
from orch_notebook.model.notices import Notice
from orch_notebook.model.parameters import Parameter as FlowParameter
from orch_notebook.model.policies import CatchUp, Overlap
from orch_notebook.model.retention import Retention
from orch_notebook.model.schedules import Schedule, preview
from orch_notebook.model.sizes import parse_size
from orch_notebook.model.zones import find_zone
from orch_notebook.orchestrator import Orchestrator, open_orchestrator
from orch_notebook.promotion.terms import Terms, read_schedules, read_variables

__all__ = ["app"]


@dataclass(frozen=True, slots=True)
class Asked:
    """What can be said of anything that is made to run by itself; each field is an option of the commands."""

    cron: Annotated[list[str] | None, typer.Option(metavar="EXPR", help="When, as cron: '0 6 * * *'.")] = None
    every: Annotated[list[str] | None, typer.Option(metavar="LENGTH", help="How often: 30s, 10m, 1h30m.")] = None
    rrule: Annotated[
        list[str] | None, typer.Option(metavar="RULE", help="As a calendar rule: 'FREQ=MONTHLY;BYDAY=-1FR'.")
    ] = None
    start: Annotated[
        str | None, typer.Option(metavar="ISO", help="What --every and --rrule count from; now by default.")
    ] = None
    at: Annotated[list[str] | None, typer.Option(metavar="ISO", help="Once, at this moment: 2026-11-20T06:00.")] = None
    tz: Annotated[
        str | None, typer.Option(metavar="ZONE", help="Time zone of the wall clock meant; UTC by default.")
    ] = None
    parameter: Parameters = None
    retries: Annotated[int, typer.Option(metavar="N", help="Repetitions of a run that fails or crashes.")] = 0
    retry_delay: Annotated[str, typer.Option(metavar="LENGTH", help="Wait before each repetition.")] = "0"
    timeout: Annotated[str | None, typer.Option(metavar="LENGTH", help="The longest a run may take: 10m, 2h.")] = None
    queue: Annotated[str, typer.Option(metavar="NAME", help="Where workers look for its runs.")] = "default"
    priority: Annotated[int, typer.Option(metavar="N", help="Of the runs that are due, higher ones go first.")] = 0
    limit: Annotated[int | None, typer.Option(metavar="N", help="Runs of it that may go on at once.")] = None
    overlap: Annotated[
        str | None, typer.Option(metavar="POLICY", help="While they do, a due run may queue, skip or cancel them.")
    ] = None
    catch_up: Annotated[
        str,
        typer.Option(metavar="POLICY", help="Due times nobody saw: latest, all, skip, limit:N or window:LENGTH."),
    ] = "latest"
    tag: Annotated[list[str] | None, typer.Option(metavar="WORD", help="Word to find its runs by.")] = None
    memory_limit: Annotated[str | None, typer.Option(metavar="SIZE", help="Memory a run may take: 512MB, 2GB.")] = None
    env: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="Environment variable of its runs; nothing secret.")
    ] = None
    after: Annotated[
        list[str] | None,
        typer.Option(
            "--after-deployment", metavar="NAME", help="Start when a run of this one has ended; may be repeated."
        ),
    ] = None
    on: Annotated[
        str, typer.Option("--on", metavar="ENDING", help="After which of its ends: completed, failed or finished.")
    ] = "completed"
    notify: Annotated[
        list[str] | None,
        typer.Option(metavar="RULE", help="Whom to tell what: on=failed,recovered,to=ADDRESS; may be repeated."),
    ] = None
    keep: Annotated[str, typer.Option(metavar="RULE", help="How long its runs are kept: 30d, 100, or 30d,100.")] = ""
    track: Annotated[bool, typer.Option("--track", help="Execute the file as it stands at each run.")] = False
    as_json: AsJson = False

    def terms(self, kernel: str | None = None) -> Terms:
        """Return the terms on which it runs."""
        return Terms(
            retries=self.retries,
            retry_delay=parse_interval(self.retry_delay),
            timeout=None if self.timeout is None else parse_interval(self.timeout),
            kernel=kernel,
            queue=self.queue,
            priority=self.priority,
            concurrency=self.limit,
            overlap=None if self.overlap is None else Overlap.parse(self.overlap),
            catch_up=CatchUp.parse(self.catch_up),
            tags=tuple(self.tag or ()),
            memory=parse_size(self.memory_limit) if self.memory_limit else None,
            env=read_variables(self.env or ()),
            starts_after=tuple(After(each, self.on) for each in self.after or ()),
            notify=tuple(map(Notice.parse, self.notify or ())),
            keep=Retention.parse(self.keep),
            track=self.track,
        )


def taking(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of :class:`Asked` behind its own; it is called with them as ``asked``."""
    own = [each for each in signature(command, eval_str=True).parameters.values() if each.name != "asked"]
    hints = get_type_hints(Asked, include_extras=True)
    shared = [
        Parameter(
            each.name,
            Parameter.POSITIONAL_OR_KEYWORD,
            default=each.default,
            annotation=hints[each.name],
        )
        for each in fields(Asked)
    ]

    @wraps(command)
    def parse(**given: Any) -> None:
        command(**{each.name: given.pop(each.name) for each in own}, asked=Asked(**given))

    parse.__signature__ = Signature([*own, *shared])  # type: ignore[attr-defined]
    return parse


@app.command()
@taking
def promote(
    notebook: Notebook,
    asked: Asked,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name of the deployment; the file's by default.")
    ] = None,
    kernel: Annotated[str | None, typer.Option(metavar="NAME", help="Kernel, if not the notebook's own.")] = None,
    preload: Annotated[
        list[str] | None, typer.Option(metavar="MODULE", help="Have its kernels import it first; may be repeated.")
    ] = None,
    warm: Annotated[int, typer.Option(metavar="N", help="Kernels kept started for it before it is due.")] = 0,
) -> None:
    """Make a notebook run by itself, on a schedule or on request.

    What is promoted is the notebook as it stands in the file now, or with --track as it stands at each run; workers
    execute it. Promoting it again under the same name makes a new version.
    """
    terms = replace(asked.terms(kernel), preload=tuple(preload or ()), warm=warm)
    _promote(notebook, name or notebook.stem, asked, terms)


@app.command()
@taking
def deploy(
    flow: Annotated[str, typer.Argument(metavar="FLOW", help="The flow: etl.py:nightly or package.etl:nightly.")],
    asked: Asked,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Name of the deployment; the flow's by default.")
    ] = None,
) -> None:
    """Make a flow of a module run by itself.

    What is promoted is the module's file as it stands now, or with --track as it stands at each run; what it imports
    is not pinned. Promoting it again under the same name makes a new version.
    """
    place = read_entrypoint(flow)
    _promote(place, name or place.name or place.file.stem, asked, asked.terms())


def _promote(what: Path | Entrypoint, name: str, asked: Asked, terms: Terms) -> None:
    with open_orchestrator() as orchestrator:
        schedules = read_schedules(
            orchestrator.clock.now(),
            asked.cron or (),
            asked.every or (),
            asked.at or (),
            asked.tz,
            asked.rrule or (),
            asked.start,
        )
        deployment = orchestrator.deployments.promote(
            what, name, schedules=schedules, parameters=asked.parameter or (), terms=terms
        )
        say_promoted(orchestrator, deployment, schedules, asked.tz, asked.as_json)


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
    for parameter in map(FlowParameter.from_json, deployment.schema):
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
