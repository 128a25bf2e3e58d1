"""The one object every face talks to: a face parses, calls one verb, shows what comes back."""

from __future__ import annotations

import atexit
import os
import tempfile
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from orch_notebook.errors import FlowRunCancelled, NotFound, OrchError
from orch_notebook.functions.resuming import resume
from orch_notebook.model.comparisons import Comparison
from orch_notebook.model.deployments import Plan
from orch_notebook.model.events import Event, LogWritten, RunCreated
from orch_notebook.model.findings import Report
from orch_notebook.model.flows import CellFlow
from orch_notebook.model.graph import Graph, unknown_task
from orch_notebook.model.machine import RunMachine
from orch_notebook.model.retention import Retention
from orch_notebook.model.retries import Fate
from orch_notebook.model.runs import FlowRun, TaskRun, short_id
from orch_notebook.model.states import State, StateType
from orch_notebook.model.tasks import check_resources
from orch_notebook.promotion import upkeep
from orch_notebook.promotion.checks import subject_of
from orch_notebook.promotion.comparing import compare
from orch_notebook.promotion.deploying import Deployments
from orch_notebook.promotion.deployments import submit
from orch_notebook.promotion.diagnosis import Finding, diagnose
from orch_notebook.promotion.following import values_of
from orch_notebook.promotion.housekeeping import Cleanup, clean_up, plan_cleanup
from orch_notebook.promotion.html import write_html
from orch_notebook.promotion.launching import STARTING, Launch, launch_process
from orch_notebook.promotion.modules import perform_now
from orch_notebook.promotion.opening import Continuation, Opening, mend, open_run
from orch_notebook.promotion.retrying import continued, foresee_retry, repeated_already, retry
from orch_notebook.promotion.spares import Environment, Spares, environment_of, environment_of_run
from orch_notebook.promotion.terms import Given
from orch_notebook.promotion.trials import check_in
from orch_notebook.runtime.attempts import Attempts, open_attempts
from orch_notebook.runtime.capture import Routes
from orch_notebook.runtime.checking import Check
from orch_notebook.runtime.clock import Clock, SystemClock, new_run_id
from orch_notebook.runtime.copies import Copies, folder_name, remove_orphans
from orch_notebook.runtime.engine import Engine
from orch_notebook.runtime.handles import RunHandle
from orch_notebook.runtime.hooks import CellHooks
from orch_notebook.runtime.ledger import Ledger
from orch_notebook.runtime.owners import this_owner
from orch_notebook.runtime.planning import Prepared, check, prepare
from orch_notebook.runtime.programs import Around, CellProgram
from orch_notebook.runtime.results import Results
from orch_notebook.runtime.runners import Runner
from orch_notebook.runtime.runners.mixed import MixedRunner
from orch_notebook.runtime.runners.pools import Pools
from orch_notebook.runtime.settings import Settings
from orch_notebook.runtime.store import Lease, LogLine, Store, WorkerRow
from orch_notebook.runtime.store.opening import clock_of, open_store
from orch_notebook.runtime.store.shelves import Artifact, Shelves
from orch_notebook.runtime.surroundings import Surrounding
from orch_notebook.runtime.vault import learn_secrets
from orch_notebook.runtime.versions import Kept

__all__ = ["Execution", "Orchestrator", "open_orchestrator"]


class Execution:
    """A notebook that a process started here executes.

    Attributes
    ----------
    run_id : str
        The run it is.
    """

    def __init__(self, launch: Launch, settle: Callable[[str], object], ask: Callable[[], object]) -> None:
        self.run_id = launch.lease.run_id
        self._launch = launch
        self._settle = settle
        self._ask = ask
        self._settled = False

    @property
    def is_over(self) -> bool:
        """Whether the process has ended."""
        return self._launch.ended.is_set()

    def ends_within(self, seconds: float) -> bool:
        """Wait for its end, for so long at most; whether it came."""
        return self._launch.ended.wait(seconds)

    def cancel(self) -> None:
        """Ask for its end; its kernel is interrupted, and killed if that does not help."""
        self._ask()

    def wait(self) -> None:
        """Wait for its end, and see to it that the run is ended too."""
        self._launch.ended.wait()
        if not self._settled:
            self._settled = True
            self._settle(self._launch.said)


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
        self.settings = settings or Settings.from_environment()
        self.clock = clock or SystemClock()
        self._is_clock_given = clock is not None
        self.routes = Routes()
        self._lock = threading.RLock()
        self._store: Store | None = None
        self._ledger: Ledger | None = None
        self._copies: Copies | None = None
        self._handles: dict[str, RunHandle] = {}
        self.pools = Pools(self.settings)
        self._watchers: list[Callable[[str], object]] = []

    # what it stands on

    @property
    def store(self) -> Store:
        """The store; opened when first asked for, and runs whose owner died are ended then."""
        with self._lock:
            if self._store is None:
                self._store = open_store(self.settings)
                if not self._is_clock_given:  # machines that share a store go by its clock
                    self.clock = clock_of(self._store)
                upkeep.sweep(self._store, this_owner(), self.clock.now())
                atexit.register(self.close)
            return self._store

    @property
    def ledger(self) -> Ledger:
        """The door to the store for runs of this process."""
        with self._lock:
            if self._ledger is None:
                self._ledger = Ledger(self.store, clock=self.clock, lease_seconds=self.settings.lease)
                self._ledger.subscribe(self._told)
            return self._ledger

    @property
    def results(self) -> Results:
        """Where results are kept."""
        return Results(self.settings.folder("results"))

    def close(self) -> None:
        """Cancel what this process runs, store what is left and close the store."""
        atexit.unregister(self.close)
        with self._lock:
            handles = [handle for handle in self._handles.values() if not handle.is_over]
            ledger, store, self._ledger, self._store = self._ledger, self._store, None, None
            copies, self._copies = self._copies, None
        for handle in handles:
            handle.cancel()
        for handle in handles:
            handle.wait(2.0)
        self.pools.close()
        if ledger is not None:
            ledger.close()
        if store is not None:
            store.close()
        if copies is not None:
            copies.close()
        self.routes.close()

    # running

    def start(
        self,
        flow: CellFlow,
        environment: dict[str, Any],
        *,
        base: Mapping[str, Any] | None = None,
        select: Collection[str] = (),
        only_stale: bool = False,
        everything: bool = False,
        kept: Kept | None = None,
        parameters: Mapping[str, Any] | None = None,
        hooks: CellHooks | None = None,
        runner: Runner | str | None = None,
        around: Around | None = None,
        goes_on: Continuation | None = None,
    ) -> RunHandle:
        """Begin a run of a flow of cells and return at once.

        Parameters
        ----------
        flow : CellFlow
            The cells.
        environment : dict
            The live namespace: functions find their globals there, and what tasks bind is put there.
        base : Mapping, optional
            What tasks see besides the versions they read; by default the live namespace as it stands.
        select : collection of str
            Which tasks run (see :meth:`Graph.select`), and with them what they come from as far as it is stale; by
            default all that are stale.
        only_stale : bool
            Of the selected tasks run only those that are stale.
        everything : bool
            Run the tasks whether they are stale or not.
        kept : Kept, optional
            What earlier runs left; what this one leaves is added.
        parameters : mapping, optional
            Noted with the run.
        hooks : CellHooks, optional
            What a face adds to the execution of each cell.
        runner : Runner or str, optional
            What performs the tasks, or the name of the runner of tasks that name none; by default as the settings say.
        around : callable, optional
            Watches each body while it runs.
        goes_on : Continuation, optional
            The run that this one repeats, and what that has left.

        Raises
        ------
        UsageError
            The flow has no tasks, a selector matches none, a task reads what nothing defines, or the run that this
            one repeats was repeated already.
        StoreError
            The run cannot be recorded.
        """
        flow = flow.copy()
        base = environment if base is None else base
        kept = self.keep(is_lasting=False) if kept is None else kept
        attempts = goes_on.attempts if goes_on is not None else self._attempts()
        prepared = self.prepare(
            flow, base, kept, select=select, only_stale=only_stale, everything=everything, attempts=attempts
        )
        check(prepared.plan)
        graph = prepared.graph
        usual = runner if isinstance(runner, str) else self.settings.runner
        for task in graph.tasks:
            if (task.runner or usual) != "dask":
                check_resources(task, self.settings.resources)
        now = self.clock.now()
        run = FlowRun(
            run_id=new_run_id(now),
            flow=flow.name,
            state=State(StateType.PENDING),
            created_at=now,
            parent_run_id=self.settings.parent_run_id,
            parameters=dict(parameters or {}),
            graph=graph,
        )
        if goes_on is not None:
            run = continued(run, goes_on.run)
        learn_secrets(self.store, self.settings)
        lease = self._create(run, goes_on.plan if goes_on is not None else None)
        program = CellProgram(
            flow,
            environment,
            prepared,
            kept,
            line=lambda task, attempt, level, text: journal.record(
                LogWritten(self.clock.now(), task, attempt, level, text)
            ),
            run_id=run.run_id,
            hooks=hooks,
            results=self.results,
            log_limit=self.settings.log_limit,
            around=around,
            attempts=attempts,
            notes=goes_on.mended if goes_on is not None else {},
        )
        self.routes.open()
        engine = Engine(
            RunMachine(
                graph,
                fresh={task: kept.records[task].made_by for task in prepared.plan.fresh},
                capacity=self.settings.resources,
                runner=usual,
            ),
            program.perform,
            self._runner(graph, runner),
            self.ledger,
            lease,
            self.clock,
            ask=lambda: self.store.take_requests(run.run_id, self.clock.now()),
            settled=lambda event: program.settled(event.task),
            describe=lambda error, call: program.describe(error),
        )
        journal = engine.journal
        handle = RunHandle(run, engine, program, self._forget)
        with self._lock:
            self._handles[run.run_id] = handle
        journal.record(RunCreated(now, run.flow, graph, run.parameters))
        handle._thread.start()
        return handle

    def _attempts(self) -> Attempts | None:
        """Return what the attempts at the run that executes this notebook leave for each other, if one does."""
        parent = self.settings.parent_run_id
        return None if parent is None else open_attempts(self.store, self.results, self.settings, parent)

    def _runner(self, graph: Graph, given: Runner | str | None) -> Runner:
        """Return what performs a run's tasks: threads alone where no task asks for more."""
        if given is not None and not isinstance(given, str):
            return given
        usual = given or self.settings.runner
        names = {task.name: task.runner or usual for task in graph.tasks}
        if set(names.values()) <= {"threads"}:
            return self.pools.runner("threads")
        return MixedRunner(names.__getitem__, self.pools.runner)

    def prepare(
        self,
        flow: CellFlow,
        base: Mapping[str, Any],
        kept: Kept,
        *,
        select: Collection[str] = (),
        only_stale: bool = False,
        everything: bool = False,
        attempts: Attempts | None = None,
    ) -> Prepared:
        """Say what a run would do; see :meth:`start`.

        Raises
        ------
        UsageError
            The flow has no tasks, a selector matches none, or a task reads what nothing defines.
        """
        base = {**kept.missing(), **base}
        flow.know(base.keys(), flow.tools)
        flow.check()
        return prepare(
            flow,
            base,
            kept,
            self.results,
            select=select,
            only_stale=only_stale,
            everything=everything,
            attempts=attempts,
        )

    def keep(self, *, is_lasting: bool = True) -> Kept:
        """Return a place where runs leave what later runs begin from, for one flow of a session."""
        with self._lock:
            if self._copies is None:
                folder = self.settings.home / "copies"
                remove_orphans(folder)
                self._copies = Copies(folder / folder_name(this_owner()), self.settings.copies)
            return Kept(self._copies, is_lasting=is_lasting)

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
        """Run a flow in its own and in other orders, and return what depends on the order or on chance.

        Parameters
        ----------
        flow : CellFlow
            The cells.
        environment : dict
            The live namespace.  It is left as it is, and what tasks change in it is put back; so are hidden states and
            the files of the working directory.
        base : Mapping, optional
            What tasks see besides the versions they read; by default the live namespace as it stands.
        hooks : CellHooks, optional
            What a face adds to the execution of each cell.
        states : mapping
            Hidden states that only the face knows, by name.
        seed : int
            With which other orders are drawn.
        orders : int
            How many other orders are tried, once everything found so far is explained.

        Raises
        ------
        UsageError
            The flow has no tasks, or a task reads what nothing defines.
        FlowRunCancelled
            It was interrupted.

        Notes
        -----
        Its runs are recorded in a store of their own, which goes with them.
        """
        flow = flow.copy()
        base = dict(environment if base is None else base)
        flow.know(base.keys(), flow.tools)
        flow.check()
        return Check(
            flow, environment, base, self._perform_apart, hooks=hooks, states=states, seed=seed, orders=orders
        ).run()

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
        """Check the flow of a notebook that nobody is running, in kernels of its own.

        Parameters
        ----------
        notebook : path
            The notebook.  Its plain cells are executed as they stand; its last ``%flow run`` and what follows is not.
        parameters : mapping or sequence of str, optional
            Values in place of the defaults.
        flow : str, optional
            Which flow, if there are several.
        all_cells : bool
            Count each code cell as a task.
        kernel : str, optional
            Instead of the one the notebook names.
        seed, orders : int
            See :meth:`check`.
        plain : bool
            Also execute it with plain cells only and as a flow, and compare the two.

        Raises
        ------
        NotebookError
            The notebook cannot be read or executed, or has no tasks.
        ParameterError
            A parameter is unknown, missing or ill-typed.
        """
        path = Path(notebook)
        subject = subject_of(path, parameters or (), flow=flow, all_cells=all_cells)
        with tempfile.TemporaryDirectory(prefix="orch-check-", ignore_cleanup_errors=True) as name:
            folder = Path(name)
            with open_orchestrator(replace(self.settings, home=folder / "home", parent_run_id=None)) as apart:
                execute = partial(apart._execute_to_end, path, kernel)
                return check_in(folder, subject, execute, seed=seed, orders=orders, plain=plain)

    def _execute_to_end(self, path: Path, kernel: str | None, book: Path) -> FlowRun:
        # Two kernels show sets alike only if they hash alike.
        variables = {"PYTHONHASHSEED": os.environ.get("PYTHONHASHSEED", "0")}
        execution = self.execute(path, kernel=kernel, instead=book, variables=variables)
        try:
            execution.wait()
        except KeyboardInterrupt:
            execution.cancel()
            execution.wait()
            raise
        return self.show(execution.run_id)

    def _perform_apart(
        self,
        flow: CellFlow,
        live: dict[str, Any],
        base: Mapping[str, Any],
        select: Collection[str],
        runner: Runner,
        hooks: CellHooks,
        around: Around,
    ) -> None:
        with tempfile.TemporaryDirectory(prefix="orch-check-", ignore_cleanup_errors=True) as folder:
            apart = Orchestrator(replace(self.settings, home=Path(folder), parent_run_id=None), clock=self.clock)
            try:
                handle = apart.start(flow, live, base=base, select=select, hooks=hooks, runner=runner, around=around)
                try:
                    while not handle.wait(0.2):
                        pass
                except KeyboardInterrupt:
                    handle.cancel()
                    handle.wait(2.0)
                    raise FlowRunCancelled(f"The check of flow {flow.name!r} was interrupted.") from None
                if handle.error is not None:
                    raise handle.error
            finally:
                apart.close()

    def _create(self, run: FlowRun, plan: Plan | None = None) -> Lease:
        owner, expires_at = this_owner(), run.created_at + timedelta(seconds=self.settings.lease)
        if not self.store.create_run(run, plan=plan, owner=owner, lease_expires_at=expires_at):
            raise repeated_already(self.store, run)
        return Lease(run.run_id, owner, 1, expires_at)

    def _forget(self, handle: RunHandle) -> None:
        with self._lock:
            self._handles.pop(handle.run_id, None)

    def _told(self, run_id: str, batch: Sequence[tuple[int, Event]]) -> None:
        handle = self._handles.get(run_id)
        if handle is not None:
            handle._live.take(event for _, event in batch)
        for watcher in tuple(self._watchers):
            watcher(run_id)

    def watch(self, callback: Callable[[str], object]) -> Callable[[], None]:
        """Have `callback(run_id)` called after each stored change of this process's runs; returns the way to end it."""
        with self._lock:
            self._watchers.append(callback)

        def end() -> None:
            with self._lock:
                if callback in self._watchers:
                    self._watchers.remove(callback)

        return end

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
        handle = self._handles.get(run.run_id)
        if handle is not None and not handle.is_over:
            handle.cancel()
        else:
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
        found = self.store.run(run_id) or self._by_part(run_id)
        upkeep.sweep(self.store, this_owner(), self.clock.now())
        whole = upkeep.with_children(self.store, self.store.run(found.run_id) or found)
        return replace(whole, values=values_of(self.store, whole))

    def _by_part(self, part: str) -> FlowRun:
        ids = self.store.run_ids_like(part) if part and not set(part.lower()) - set("0123456789abcdef-") else []
        run = self.store.run(ids[0]) if len(ids) == 1 else None
        if run is None:
            what = (
                f"Several runs begin or end with {part!r}; give more of the id" if ids else f"There is no run {part!r}"
            )
            raise NotFound(f"{what}. 'orch runs' lists the newest.", run_id=part)
        return run

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
        if parent_run_id is not None and self.store.run(parent_run_id) is None:
            parent_run_id = self._by_part(parent_run_id).run_id
        upkeep.sweep(self.store, this_owner(), self.clock.now())
        upkeep.name_late(self.store, self.settings, self.clock.now())
        return self.store.runs(
            deployment=deployment, state=state, parent_run_id=parent_run_id, backfill=backfill, limit=limit
        )

    def flow_runs(self, flow: str, limit: int = 20) -> list[FlowRun]:
        """Return a flow's newest runs, without their tasks; those of a notebook that a worker executed among them."""
        upkeep.sweep(self.store, this_owner(), self.clock.now())
        return self.store.runs(flow=flow, limit=limit)

    def task_history(self, flow: str, limit: int = 20) -> list[TaskRun]:
        """Return the task runs of a flow's newest runs, for what they say about times and ends."""
        return self.store.task_history(flow, limit)

    def artifacts(self, run_id: str) -> list[Artifact]:
        """Return what a run has published for people, oldest first."""
        store = self.store
        return store.artifacts(run_id=run_id) if isinstance(store, Shelves) else []

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
        run = self.show(run_id)
        if task is not None and task not in {each.name for each in run.tasks}:
            raise unknown_task(task, [each.name for each in run.tasks], f"in run {short_id(run.run_id)}")
        ids = [run.run_id, *(child.run_id for child in self.store.runs(parent_run_id=run.run_id, limit=1000))]
        lines = [(found, line) for found in ids for line in self.store.logs(found, task, limit=limit)]
        return sorted(lines, key=lambda pair: (pair[1].at, pair[0], pair[1].seq))[-limit:]

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
        instead: Path | None = None,
        variables: Mapping[str, str] = MappingProxyType({}),
    ) -> Execution:
        """Execute a notebook now, in a process of its own, without a deployment or a worker.

        Parameters
        ----------
        notebook : path
            The notebook.
        parameters : mapping or sequence of str, optional
            Values in place of the defaults.
        kernel : str, optional
            Instead of the one the notebook names.
        timeout : float, optional
            Seconds it may take.
        instead : Path, optional
            What is executed in the notebook's place, and in its folder.
        variables : mapping
            Environment variables that its kernel has from its start.

        Raises
        ------
        NotebookError
            It cannot be read, or its kernel is not installed.
        ParameterError
            A parameter is unknown, missing or ill-typed.
        """
        with self._spare(replace(environment_of(instead or notebook, kernel), variables=variables)) as spares:
            run = submit(
                self.store,
                self.settings,
                self.clock.now(),
                Path(notebook),
                parameters or {},
                this_owner(),
                timeout=timeout,
                kernel=kernel,
                instead=instead,
            )
            return self._launch(run, str(notebook), spares)

    @contextmanager
    def _spare(self, environment: Environment) -> Iterator[Spares]:
        """Have a process load what an execution takes while it is made out what it will be."""
        with closing(Spares(self.settings)) as spares:
            spares.start(environment)
            yield spares

    def _launch(self, run: FlowRun, called: str, spares: Spares) -> Execution:
        """Execute a run that this process has claimed, in a process of its own."""
        lease = Lease(run.run_id, this_owner(), 1, run.created_at + timedelta(seconds=STARTING))
        try:
            launch = launch_process(self.settings, self.store, spares)(lease, lambda: None)
        except OSError as error:  # no memory, no room on the disk, too many processes
            why = f"could not be started ({error.strerror or error})"
            upkeep.settle(self.store, lease, why, self.clock.now())
            raise OrchError(f"The process that executes {called} {why}.", run_id=run.run_id) from None
        return Execution(
            launch,
            settle=lambda said: upkeep.settle(self.store, lease, said, self.clock.now()),
            ask=lambda: self.store.request(run.run_id, "cancel", self.clock.now()),
        )

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
        with self._spare(environment_of_run(self.store, run.run_id)) as spares:
            repeated = retry(self.store, run, self.clock.now(), again, owner=this_owner())
            return self._launch(repeated, repeated.notebook or repeated.flow, spares)

    def resume(self, run_id: str, given: Sequence[str] = ()) -> FlowRun:
        """Let a paused or suspended run go on; see :func:`orch_notebook.functions.resuming.resume`."""
        return resume(self.show(run_id).run_id, given)

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
        return open_run(self.store, self.results, self.settings, self.show(run_id))

    def restore(
        self,
        flow: CellFlow,
        environment: dict[str, Any],
        *,
        base: Mapping[str, Any],
        kept: Kept,
        attempts: Attempts,
        hooks: CellHooks,
    ) -> list[str]:
        """Put what a flow's tasks have left into the live namespace and into `kept`; return those tasks.

        The next run goes on from there: it performs what is not restored, and what comes from that.
        """
        flow = flow.copy()
        prepared = self.prepare(flow, base, kept, attempts=attempts)
        program = CellProgram(
            flow, environment, prepared, kept, line=_ignore, hooks=hooks, results=self.results, attempts=attempts
        )
        return program.restore()

    def mend(self, opening: Opening, tasks: Mapping[str, str], plain: Mapping[str, str]) -> Continuation:
        """Return how a run goes on with cells as they stand now; see :func:`orch_notebook.promotion.opening.mend`."""
        return mend(opening, tasks, plain, self.settings)

    def foresee_retry(self, run_id: str, *, again: Sequence[str] = ()) -> list[Fate]:
        """Return what :meth:`retry` would do with each task of a run."""
        return foresee_retry(self.store, self.results, self.settings, self.show(run_id), again)

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


def _ignore(task: str, attempt: int, level: int, text: str) -> None:
    """Do nothing: what was written is recorded with the run that wrote it."""


@contextmanager
def open_orchestrator(settings: Settings | None = None) -> Iterator[Orchestrator]:
    """Open an orchestrator for the length of a command."""
    orchestrator = Orchestrator(settings)
    try:
        yield orchestrator
    finally:
        orchestrator.close()
