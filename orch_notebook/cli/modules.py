"""Flows of modules: performed in this process and watched, and made to run by themselves."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from typing import Annotated

import typer

from orch_notebook.cli.app import AsJson, app, columns, console, print_json
from orch_notebook.cli.promoting import AfterDeployment, Keep, Notify, OnEnding, say_promoted
from orch_notebook.cli.tables import run_view
from orch_notebook.cli.watching import follow
from orch_notebook.functions.entrypoints import read_entrypoint
from orch_notebook.model.chains import After
from orch_notebook.model.durations import parse_interval
from orch_notebook.model.notices import Notice
from orch_notebook.model.policies import CatchUp, Overlap
from orch_notebook.model.retention import Retention
from orch_notebook.model.sizes import parse_size
from orch_notebook.model.states import StateType
from orch_notebook.orchestrator import Orchestrator, open_orchestrator
from orch_notebook.promotion.terms import Terms, read_schedules, read_variables

__all__ = ["app", "perform"]

Parameters = Annotated[
    list[str] | None, typer.Option("--parameter", "-p", metavar="NAME=VALUE", help="A parameter; may be repeated.")
]


class _Following:
    """Shows a run from a thread of its own, while this one performs it."""

    def __init__(self, orchestrator: Orchestrator) -> None:
        self._orchestrator = orchestrator
        self._is_over = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self, run_id: str) -> None:
        """Begin to show a run."""
        self._thread = threading.Thread(target=self._follow, args=(run_id,), name="orch-follow", daemon=True)
        self._thread.start()

    def _follow(self, run_id: str) -> None:
        follow(self._orchestrator, run_id, lambda run: self._is_over.is_set())

    def end(self) -> None:
        """Show how it ended, and no more."""
        self._is_over.set()
        if self._thread is not None:
            self._thread.join()


@contextmanager
def _following(orchestrator: Orchestrator) -> Iterator[_Following]:
    found = _Following(orchestrator)
    try:
        yield found
    finally:
        found.end()


def perform(flow: str, parameters: Sequence[str], timeout: float | None, as_json: bool) -> int:
    """Perform a flow of a module in this process, show it, and return the exit code."""
    is_interrupted = False
    ids: list[str] = []
    with open_orchestrator() as orchestrator:
        with _following(orchestrator) as following:

            def begun(run_id: str) -> None:
                ids.append(run_id)
                if not as_json:
                    following.begin(run_id)

            # What the flow prints must not get between the JSON.
            try:
                with redirect_stdout(sys.stderr) if as_json else nullcontext():
                    orchestrator.perform(flow, parameters, timeout=timeout, begun=begun)
            except KeyboardInterrupt:
                is_interrupted = True
                if not ids:
                    raise
                sys.stderr.write("Cancelled.\n")
        ended = orchestrator.show(ids[0])
        if as_json:
            print_json(ended.to_json(with_tasks=True))
        else:
            console.print(run_view(ended, orchestrator.clock.now(), columns()))
    return 0 if ended.state.type is StateType.COMPLETED else 130 if is_interrupted else 1


@app.command()
def deploy(
    flow: Annotated[str, typer.Argument(metavar="FLOW", help="The flow: etl.py:nightly or package.etl:nightly.")],
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Name of the deployment; the flow's by default.")
    ] = None,
    cron: Annotated[list[str] | None, typer.Option(metavar="EXPR", help="When, as cron: '0 6 * * *'.")] = None,
    every: Annotated[list[str] | None, typer.Option(metavar="LENGTH", help="How often: 30s, 10m, 1h30m.")] = None,
    rrule: Annotated[
        list[str] | None, typer.Option(metavar="RULE", help="As a calendar rule: 'FREQ=MONTHLY;BYDAY=-1FR'.")
    ] = None,
    start: Annotated[
        str | None, typer.Option(metavar="ISO", help="What --every and --rrule count from; now by default.")
    ] = None,
    at: Annotated[list[str] | None, typer.Option(metavar="ISO", help="Once, at this moment: 2026-11-20T06:00.")] = None,
    tz: Annotated[
        str | None, typer.Option(metavar="ZONE", help="Time zone of the wall clock meant; UTC by default.")
    ] = None,
    parameter: Parameters = None,
    retries: Annotated[int, typer.Option(metavar="N", help="Repetitions of a run that fails or crashes.")] = 0,
    retry_delay: Annotated[str, typer.Option(metavar="LENGTH", help="Wait before each repetition.")] = "0",
    timeout: Annotated[str | None, typer.Option(metavar="LENGTH", help="The longest a run may take: 10m, 2h.")] = None,
    queue: Annotated[str, typer.Option(metavar="NAME", help="Where workers look for its runs.")] = "default",
    priority: Annotated[int, typer.Option(metavar="N", help="Of the runs that are due, higher ones go first.")] = 0,
    limit: Annotated[int | None, typer.Option(metavar="N", help="Runs of it that may go on at once.")] = None,
    overlap: Annotated[
        str | None, typer.Option(metavar="POLICY", help="While they do, a due run may queue, skip or cancel them.")
    ] = None,
    catch_up: Annotated[
        str,
        typer.Option(metavar="POLICY", help="Due times nobody saw: latest, all, skip, limit:N or window:LENGTH."),
    ] = "latest",
    tag: Annotated[list[str] | None, typer.Option(metavar="WORD", help="Word to find its runs by.")] = None,
    after: AfterDeployment = None,
    on: OnEnding = "completed",
    notify: Notify = None,
    keep: Keep = "",
    memory_limit: Annotated[str | None, typer.Option(metavar="SIZE", help="Memory a run may take: 512MB, 2GB.")] = None,
    env: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="Environment variable of its runs; nothing secret.")
    ] = None,
    track: Annotated[bool, typer.Option("--track", help="Execute the file as it stands at each run.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make a flow of a module run by itself.

    What is promoted is the module's file as it stands now, or with --track as it stands at each run; what it imports
    is not pinned. Promoting it again under the same name makes a new version.
    """
    place = read_entrypoint(flow)
    with open_orchestrator() as orchestrator:
        now = orchestrator.clock.now()
        schedules = read_schedules(now, cron or (), every or (), at or (), tz, rrule or (), start)
        terms = Terms(
            retries=retries,
            retry_delay=parse_interval(retry_delay),
            timeout=None if timeout is None else parse_interval(timeout),
            queue=queue,
            priority=priority,
            concurrency=limit,
            overlap=None if overlap is None else Overlap.parse(overlap),
            catch_up=CatchUp.parse(catch_up),
            tags=tuple(tag or ()),
            starts_after=tuple(After(each, on) for each in after or ()),
            notify=tuple(map(Notice.parse, notify or ())),
            keep=Retention.parse(keep),
            memory=parse_size(memory_limit) if memory_limit else None,
            env=read_variables(env or ()),
            track=track,
        )
        deployment = orchestrator.deployments.promote(
            place, name or place.name or place.file.stem, schedules=schedules, parameters=parameter or (), terms=terms
        )
        say_promoted(orchestrator, deployment, schedules, tz, as_json)
