"""Flows that are made to run by themselves from Python: ``flow.deploy(…)`` and ``flow.serve(…)``.

In: a flow of a module, when it runs, with which values.  Out: the same deployment that ``orch deploy`` makes; and for
``serve`` a worker in this process, that performs its runs until it is interrupted.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from orch_notebook.errors import UsageError
from orch_notebook.functions.background import queue_of
from orch_notebook.functions.entrypoints import Entrypoint, entrypoint_of
from orch_notebook.functions.flows import FunctionFlow
from orch_notebook.functions.options import seconds_of
from orch_notebook.functions.tasks import FunctionTask
from orch_notebook.model.deployments import Deployment
from orch_notebook.model.policies import CatchUp, Overlap
from orch_notebook.model.schedules import Interval
from orch_notebook.promotion import deployments
from orch_notebook.promotion.launching import Launch, Launcher, launch_process
from orch_notebook.promotion.modules import perform_here
from orch_notebook.promotion.terms import Terms, Timed, read_schedules
from orch_notebook.promotion.worker import Worker
from orch_notebook.runtime.home import Home, open_home
from orch_notebook.runtime.store import Lease

__all__ = ["deploy_flow", "serve", "serve_flow"]


def deploy_flow(
    flow: FunctionFlow[..., Any],
    name: str,
    *,
    cron: str | Sequence[str] = (),
    interval: float | timedelta | None = None,
    rrule: str | Sequence[str] = (),
    at: datetime | str | None = None,
    start: datetime | str | None = None,
    timezone: str | None = None,
    schedules: Sequence[Any] = (),
    parameters: Mapping[str, Any] | None = None,
    tags: Sequence[str] = (),
    retries: int = 0,
    retry_delay_seconds: float = 0.0,
    timeout_seconds: float | timedelta | None = None,
    queue: str = "default",
    priority: int = 0,
    concurrency_limit: int | None = None,
    overlap: str | None = None,
    catch_up: str = "latest",
    track: bool = False,
    paused: bool = False,
    **unknown: Any,
) -> Deployment:
    """Make a flow of a module run by itself; promoting it again under the same name makes a new version.

    Parameters
    ----------
    flow : FunctionFlow
        The flow; its module must be a file, so that a worker finds it.
    name : str
        The deployment's name.
    cron, rrule : str or sequence of str
        When, as cron or as calendar rules.
    interval : float or timedelta, optional
        Seconds from one run to the next.
    at : datetime or str, optional
        Once, at this moment.
    start : datetime or str, optional
        What `interval` and `rrule` count from; by default now.
    timezone : str, optional
        Time zone of the wall clock meant; by default UTC.
    schedules : sequence of Schedule or Timed
        Schedules as values, each perhaps with parameters of its own.
    parameters : mapping, optional
        Values for its runs, which JSON can hold.
    tags : sequence of str
        Words to find its runs by.
    retries, retry_delay_seconds : int, float
        Repetitions of a run that fails or crashes; those of the flow itself come on top, within each run.
    timeout_seconds : float or timedelta, optional
        The longest a run may take; by default what the flow says.
    queue, priority, concurrency_limit, overlap, catch_up
        See :class:`~orch_notebook.promotion.terms.Terms`.
    track : bool
        Execute the file as it stands at each run, in place of a copy made now.
    paused : bool
        Let its schedules rest until ``orch unpause``.

    Raises
    ------
    UsageError
        The flow is in no module, or a term makes no sense.
    ParameterError
        A parameter is unknown or ill-typed.
    """
    if unknown:
        listed = ", ".join(sorted(unknown))
        raise UsageError(f"A deployment takes no {listed}: any 'orch worker' performs its runs, in this environment.")
    home = open_home()
    now = home.clock.now()
    found: list[Any] = list(schedules)
    if interval is not None:
        begin = now if start is None else datetime.fromisoformat(str(start))
        found.append(Interval(seconds_of(interval) or 0.0, begin))
    found += read_schedules(
        now,
        _several(cron),
        (),
        () if at is None else (str(at),),
        timezone,
        _several(rrule),
        None if start is None or interval is not None else str(start),
    )
    made = deployments.promote(
        home.store,
        home.settings,
        now,
        _place_of(flow),
        name,
        schedules=[each if isinstance(each, Timed) else Timed(each) for each in found],
        parameters=parameters,
        terms=Terms(
            retries=retries,
            retry_delay=retry_delay_seconds,
            timeout=seconds_of(timeout_seconds),
            queue=queue,
            priority=priority,
            concurrency=concurrency_limit,
            overlap=None if overlap is None else Overlap.parse(overlap),
            catch_up=CatchUp.parse(catch_up),
            tags=tuple(tags),
            track=track,
        ),
    )
    return deployments.pause(home.store, home.settings, now, name, True) if paused else made


def _several(words: str | Sequence[str]) -> Sequence[str]:
    return (words,) if isinstance(words, str) else words


def _place_of(flow: FunctionFlow[..., Any]) -> Entrypoint:
    place = entrypoint_of(flow)
    if place is None:
        raise UsageError(
            f"Flow {flow.name!r} is at the top level of no module's file, so a worker could not find it. Move it into "
            "a file, or promote the notebook that it is in: orch promote NOTEBOOK"
        )
    return place


def serve_flow(
    flow: FunctionFlow[..., Any],
    name: str | None = None,
    *,
    limit: int = 5,
    pause_on_shutdown: bool = True,
    **terms: Any,
) -> None:
    """Make a flow run by itself, and perform its runs here, each in a process of its own, until interrupted.

    Parameters
    ----------
    name : str, optional
        The deployment's; by default the flow's.
    limit : int
        Runs performed at once.
    pause_on_shutdown : bool
        Let its schedules rest when this ends.
    **terms
        See :func:`deploy_flow`.

    Raises
    ------
    UsageError, ParameterError
        As for :func:`deploy_flow`.
    """
    home = open_home()
    # A queue of its own, so that this worker performs nobody else's runs.
    made = deploy_flow(flow, name or flow.name, **{"queue": name or flow.name, **terms})
    if made.is_paused and not terms.get("paused"):
        deployments.pause(home.store, home.settings, home.clock.now(), made.name, False)
    sys.stderr.write(f"Serving {made.name!r}. Run it: orch trigger {made.name}    Interrupt to end.\n")
    worker = Worker(home.store, home.settings, slots=limit, queues=[made.plan.queue], clock=home.clock)
    try:
        run_worker(worker)
    finally:
        if pause_on_shutdown and made.schedules:
            deployments.pause(home.store, home.settings, home.clock.now(), made.name, True, "what served it has ended")


def serve(*served: Any, limit: int = 10) -> None:
    """Perform here what is asked of tasks and deployments elsewhere, until interrupted.

    Parameters
    ----------
    *served : FunctionTask or Deployment
        Tasks, whose calls with ``delay`` are performed in threads of this process; or what ``flow.deploy(…)`` returned,
        each of whose runs has a process of its own.
    limit : int
        How many go on at once.

    Raises
    ------
    UsageError
        There is nothing to serve, or something that cannot be.
    """
    run_worker(serving(served, limit=limit))


def serving(served: Sequence[Any], *, limit: int) -> Worker:
    """Return the worker that :func:`serve` lets work."""
    home = open_home()
    queues = []
    for each in served:
        if not isinstance(each, FunctionTask | Deployment):
            raise UsageError(f"serve() takes tasks, and what flow.deploy(…) returns, not {each!r}.")
        queues.append(queue_of(each) if isinstance(each, FunctionTask) else each.plan.queue)
    if not queues:
        raise UsageError("There is nothing to serve.")
    return Worker(home.store, home.settings, slots=limit, queues=queues, clock=home.clock, launcher=_launcher(home))


def _launcher(home: Home) -> Launcher:
    """Return the launcher that performs calls of tasks in threads of this process, and runs of flows in their own."""
    elsewhere = launch_process(home.settings, home.store)

    def launch(lease: Lease, told: Callable[[], None]) -> Launch:
        run, plan = home.store.run(lease.run_id), home.store.plan(lease.run_id)
        if run is None or plan is None or not plan.entrypoint.startswith(":"):
            return elsewhere(lease, told)
        found = Launch(lease, lambda: home.store.request(lease.run_id, "cancel", home.clock.now()))

        def perform() -> None:
            perform_here(home, run, lease)
            found.ended.set()
            told()

        threading.Thread(target=perform, name=f"orch-call-{lease.run_id[-8:]}", daemon=True).start()
        return found

    return launch


def run_worker(worker: Worker) -> None:
    """Let a worker work in this thread until it is interrupted; twice, to end what it performs too."""
    asked = iter((worker.drain, worker.stop))
    with _heeding(lambda: next(asked, worker.stop)()):
        worker.run()


@contextmanager
def _heeding(act: Callable[[], object]) -> Iterator[None]:
    """Have Ctrl-C and SIGTERM call this; in another thread than the main one nothing can be asked."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {each: signal.signal(each, lambda *_: act()) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
