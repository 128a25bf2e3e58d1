"""The one object every face talks to: a face parses, calls one verb, shows what comes back."""

from __future__ import annotations

import atexit
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

from orch_notebook.errors import NotFound
from orch_notebook.functions.resuming import resume
from orch_notebook.model.assets import KnownAsset, Materialization
from orch_notebook.model.comparisons import Comparison
from orch_notebook.model.events import Event
from orch_notebook.model.findings import Report
from orch_notebook.model.flows import CellFlow
from orch_notebook.model.retention import Retention
from orch_notebook.model.retries import Fate
from orch_notebook.model.runs import FlowRun, TaskRun, short_id
from orch_notebook.promotion import upkeep
from orch_notebook.promotion.booting import Spare
from orch_notebook.promotion.checking import check_notebook
from orch_notebook.promotion.comparing import compare
from orch_notebook.promotion.deploying import Deployments
from orch_notebook.promotion.diagnosis import Finding, diagnose
from orch_notebook.promotion.executing import Execution, execute_now, retry_now
from orch_notebook.promotion.housekeeping import Cleanup, clean_up, plan_cleanup
from orch_notebook.promotion.html import write_html
from orch_notebook.promotion.lookup import find_run, list_runs, logs_of
from orch_notebook.promotion.modules import perform_now
from orch_notebook.promotion.opening import Opening, mend, open_run
from orch_notebook.promotion.retrying import foresee_retry, retry
from orch_notebook.promotion.terms import Given
from orch_notebook.runtime.apart import check_flow
from orch_notebook.runtime.cellruns import CellRuns
from orch_notebook.runtime.clock import Clock
from orch_notebook.runtime.continuing import Continuation
from orch_notebook.runtime.home import Home
from orch_notebook.runtime.hooks import CellHooks
from orch_notebook.runtime.owners import this_owner
from orch_notebook.runtime.runners.pools import Pools
from orch_notebook.runtime.settings import Settings
from orch_notebook.runtime.store import LogLine, Store, WorkerRow
from orch_notebook.runtime.store.shelves import Artifact, Shelves
from orch_notebook.runtime.surroundings import Surrounding

__all__ = ["Execution", "Orchestrator", "open_orchestrator"]


class Orchestrator:
    """Starts, watches and promotes flows.

    Parameters
    ----------
    settings : Settings, optional
        By default those of the environment.
    clock : Clock, optional
        By default the machine's, or that of a store which machines share.

    Notes
    -----
    Nothing is opened before it is needed: making one is free.
    """

    def __init__(self, settings: Settings | None = None, *, clock: Clock | None = None) -> None:
        self._home = Home(settings or Settings.from_environment(), clock, self._opened)
        self._cells = CellRuns(self._home)

    # what it stands on

    @property
    def settings(self) -> Settings:
        """What was set from outside."""
        return self._home.settings

    @property
    def clock(self) -> Clock:
        """The time."""
        return self._home.clock

    @property
    def store(self) -> Store:
        """The store; opened when first asked for, and runs whose owner died are ended then."""
        return self._home.store

    @property
    def pools(self) -> Pools:
        """Where tasks are performed that do not run in threads of this process."""
        return self._home.pools

    def _opened(self, home: Home) -> None:
        upkeep.sweep(home.store, this_owner(), home.clock.now())
        atexit.register(self.close)

    def close(self) -> None:
        """Cancel what this process runs, store what is left and close the store."""
        atexit.unregister(self.close)
        self._cells.close()
        self._home.close()

    # running

    @property
    def cells(self) -> CellRuns:
        """What can be done with flows of cells in this process: start, prepare, keep, restore, watch."""
        return self._cells

    def check(
        self,
        flow: CellFlow,
        environment: dict[str, Any],
        *,
        base: Mapping[str, Any] | None = None,
        hooks: CellHooks | None = None,
        states: Mapping[str, Surrounding] = MappingProxyType({}),
        seed: int = 0,
        orders: int = 1,
    ) -> Report:
        """Return what depends on the order of a flow's tasks; see :func:`orch_notebook.runtime.apart.check_flow`."""
        return check_flow(
            self.settings,
            self.clock,
            flow,
            environment,
            base=base,
            hooks=hooks,
            states=states,
            seed=seed,
            orders=orders,
        )

    def check_notebook(
        self,
        notebook: str | Path,
        parameters: Given | None = None,
        *,
        flow: str | None = None,
        all_cells: bool = False,
        kernel: str | None = None,
        seed: int = 0,
        orders: int = 1,
        plain: bool = True,
    ) -> Report:
        """Check a notebook that nobody is running; see :func:`orch_notebook.promotion.checking.check_notebook`."""
        return check_notebook(
            self.settings,
            notebook,
            parameters,
            flow=flow,
            all_cells=all_cells,
            kernel=kernel,
            seed=seed,
            orders=orders,
            plain=plain,
        )

    def cancel(self, run_id: str) -> FlowRun:
        """Ask a run to stop, wherever it is performed.

        Raises
        ------
        NotFound
            There is no such run.
        UsageError
            It has ended already.
        """
        run = self.show(run_id)
        if not self._cells.cancel(run.run_id):
            upkeep.cancel(self.store, run, this_owner(), self.clock.now())
        return run

    # looking

    def show(self, run_id: str) -> FlowRun:
        """Return one run with its tasks; those of the runs its notebook started count as its own.

        Parameters
        ----------
        run_id : str
            An id, or so much of its beginning or end as is unique.

        Raises
        ------
        NotFound
            There is no such run, or several are called like this.
        """
        store = self.store
        return find_run(store, self.clock.now(), run_id)

    def runs(
        self,
        *,
        deployment: str | None = None,
        state: str | None = None,
        parent_run_id: str | None = None,
        backfill: str | None = None,
        limit: int = 20,
    ) -> list[FlowRun]:
        """Return the newest runs, without their tasks.

        Raises
        ------
        NotFound
            There is no such deployment, or no such parent.
        """
        if deployment is not None:
            self.deployments.find(deployment)
        store = self.store
        return list_runs(
            store,
            self.settings,
            self.clock.now(),
            deployment=deployment,
            state=state,
            parent_run_id=parent_run_id,
            backfill=backfill,
            limit=limit,
        )

    def flow_runs(self, flow: str, limit: int = 20, path: str | None = None) -> list[FlowRun]:
        """Return a flow's newest runs, without their tasks; those of a notebook that a worker executed among them.

        With `path`, the file in which it stands, flows of that name in other files are left out.
        """
        upkeep.sweep(self.store, this_owner(), self.clock.now())
        return self.store.runs(flow=flow, limit=limit, path=path)

    def task_history(self, flow: str, limit: int = 20, path: str | None = None) -> list[TaskRun]:
        """Return the task runs of a flow's newest runs, for what they say about times and ends."""
        return self.store.task_history(flow, limit, path)

    def artifacts(self, run_id: str) -> list[Artifact]:
        """Return what a run has published for people, oldest first."""
        store = self.store
        return store.artifacts(run_id=run_id) if isinstance(store, Shelves) else []

    def assets(self) -> list[KnownAsset]:
        """Return what tasks have made outside of their flows, or tried to, and what they made it from, by key."""
        return self.store.assets()

    def materializations(self, asset: str, limit: int = 100) -> list[Materialization]:
        """Return the times that an asset was made or not, the newest first."""
        return self.store.materializations(asset, limit)

    def events(self, run_id: str, after: int = 0) -> list[tuple[int, Event]]:
        """Return the recorded events of a run, numbered, in order."""
        return self.store.events(run_id, after)

    def logs(self, run_id: str, task: str | None = None, *, after: int = 0, limit: int = 10_000) -> list[LogLine]:
        """Return what a run, or one of its tasks, wrote."""
        return self.store.logs(run_id, task, after=after, limit=limit)

    def all_logs(self, run_id: str, task: str | None = None, *, limit: int = 10_000) -> list[tuple[str, LogLine]]:
        """Return what a run and the runs its notebook started wrote, with the id of the run, in order of time.

        Raises
        ------
        NotFound
            There is no such run.
        UnknownTask
            It has no such task.
        """
        return logs_of(self.store, self.show(run_id), task, limit=limit)

    # promoting

    @property
    def deployments(self) -> Deployments:
        """What can be done with deployments."""
        return Deployments(self.store, self.settings, self.clock)

    def execute(
        self,
        notebook: str | Path,
        parameters: Given | None = None,
        *,
        kernel: str | None = None,
        timeout: float | None = None,
        ahead: Spare | None = None,
    ) -> Execution:
        """Execute a notebook now, without a deployment or a worker.

        See :func:`orch_notebook.promotion.executing.execute_now`.
        """
        store, settings, clock = self.store, self.settings, self.clock
        return execute_now(store, settings, clock, notebook, parameters, kernel=kernel, timeout=timeout, ahead=ahead)

    def retry(self, run_id: str, *, again: Sequence[str] = (), here: bool | None = None) -> Execution | FlowRun:
        """Repeat a run that has ended: what completed is loaded, what failed and what comes from it runs.

        Parameters
        ----------
        run_id : str
            The run.
        again : sequence of str
            Tasks that run once more though they have completed, and with them what comes from them.
        here : bool, optional
            Execute it now, in a process of its own; by default so do runs that no deployment stands for.

        Returns
        -------
        Execution or FlowRun
            What executes it, or the run that waits for a worker.

        Raises
        ------
        NotFound
            There is no such run.
        UsageError
            It has not ended, has completed, was repeated already, or cannot be executed.
        UnknownTask
            It has no such task.
        """
        run = self.show(run_id)
        here = run.deployment is None if here is None else here
        if not here:
            return retry(self.store, run, self.clock.now(), again)
        return retry_now(self.store, self.settings, self.clock, run, again)

    def resume(self, run_id: str, given: Sequence[str] = ()) -> FlowRun:
        """Let a paused or suspended run go on; see :func:`orch_notebook.functions.resuming.resume`."""
        return resume(self.show(run_id).run_id, given, self._home)

    def compare(self, before: str, after: str) -> Comparison:
        """Return what tells one run from another.

        Raises
        ------
        NotFound
            There is no such run.
        """
        return compare(self.store, self.show(before), self.show(after))

    def open(self, run_id: str) -> Opening:
        """Return what is needed to take up a run of a notebook that did not end well.

        Raises
        ------
        NotFound
            There is no such run.
        UsageError
            It goes on, has completed, or did not execute a notebook by itself.
        NotebookError
            The copy of its notebook is gone.
        """
        return open_run(self.store, self._home.results, self.settings, self.show(run_id))

    def mend(self, opening: Opening, tasks: Mapping[str, str], plain: Mapping[str, str]) -> Continuation:
        """Return how a run goes on with cells as they stand now; see :func:`orch_notebook.promotion.opening.mend`."""
        return mend(opening, tasks, plain, self.settings)

    def foresee_retry(self, run_id: str, *, again: Sequence[str] = ()) -> list[Fate]:
        """Return what :meth:`retry` would do with each task of a run."""
        return foresee_retry(self.store, self._home.results, self.settings, self.show(run_id), again)

    def perform(
        self,
        flow: str,
        parameters: Given | None = None,
        *,
        timeout: float | None = None,
        begun: Callable[[str], object] = lambda run_id: None,
    ) -> FlowRun:
        """Perform a flow of a module now, in this thread, and return its run as it ended.

        Parameters
        ----------
        flow : str
            Where it is: ``path/to/module.py:flow`` or ``package.module:flow``.
        parameters : mapping or sequence of str, optional
            By name; of a command line as ``name=value`` words.
        timeout : float, optional
            Seconds it may take; by default what the flow says.
        begun : callable, optional
            Told the run's id when it begins.

        Raises
        ------
        ModuleError
            There is no such flow, or its module cannot be loaded.
        ParameterError
            A parameter is unknown, missing or ill-typed.
        KeyboardInterrupt
            It was interrupted, and is cancelled.
        """
        return self.show(perform_now(self.settings, flow, parameters or {}, timeout, begun))

    def export_html(self, run: FlowRun, target: Path | None = None) -> Path:
        """Write a run's executed notebook as one HTML file, beside it if no target is named.

        Raises
        ------
        NotFound
            The run left no executed notebook.
        """
        if run.executed_notebook is None or not Path(run.executed_notebook).exists():
            raise NotFound(f"Run {short_id(run.run_id)} left no executed notebook.", run_id=run.run_id)
        return write_html(run.executed_notebook, target)

    def diagnose(self) -> list[Finding]:
        """Look at everything that flows depend on."""
        return diagnose(self.settings, lambda: self.store, self.clock.now())

    def plan_cleanup(self, keep: Retention | None = None) -> Cleanup:
        """Return what may go; see :func:`orch_notebook.promotion.housekeeping.plan_cleanup`."""
        upkeep.sweep(self.store, this_owner(), self.clock.now())
        return plan_cleanup(self.store, self.settings, self.clock.now(), keep)

    def clean_up(self, cleanup: Cleanup) -> int:
        """Remove what may go, give its space back to the disk, and return how many runs were forgotten."""
        count = clean_up(self.store, cleanup)
        if count:
            self.store.compact()
        return count

    def workers(self) -> list[WorkerRow]:
        """Return the workers that have not said good-bye."""
        return self.store.workers()


@contextmanager
def open_orchestrator(settings: Settings | None = None) -> Iterator[Orchestrator]:
    """Open an orchestrator for the length of a command."""
    orchestrator = Orchestrator(settings)
    try:
        yield orchestrator
    finally:
        orchestrator.close()
