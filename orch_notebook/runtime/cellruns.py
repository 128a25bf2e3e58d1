"""The runs of flows of cells that this process performs.

In: a flow, the live namespace, what earlier runs left.  Out: a :class:`~orch_notebook.runtime.handles.RunHandle` on a
run that goes on in a thread of its own; what can be said of a run before it begins.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from orch_notebook.model.events import Event, LogWritten, RunCreated
from orch_notebook.model.flows import CellFlow
from orch_notebook.model.graph import Graph
from orch_notebook.model.machine import RunMachine
from orch_notebook.model.runs import FlowRun
from orch_notebook.model.states import State, StateType
from orch_notebook.model.tasks import check_resources
from orch_notebook.runtime.attempts import Attempts, open_attempts
from orch_notebook.runtime.capture import Routes
from orch_notebook.runtime.clock import new_run_id
from orch_notebook.runtime.continuing import Continuation, continued
from orch_notebook.runtime.copies import Copies, folder_name, remove_orphans
from orch_notebook.runtime.engine import Engine
from orch_notebook.runtime.handles import RunHandle
from orch_notebook.runtime.home import Home
from orch_notebook.runtime.hooks import CellHooks
from orch_notebook.runtime.making import make_run
from orch_notebook.runtime.owners import this_owner
from orch_notebook.runtime.planning import Prepared, check, prepare
from orch_notebook.runtime.programs import Around, CellProgram
from orch_notebook.runtime.runners import Runner
from orch_notebook.runtime.runners.mixed import MixedRunner
from orch_notebook.runtime.vault import learn_secrets
from orch_notebook.runtime.versions import Kept

__all__ = ["CellRuns"]


class CellRuns:
    """Performs flows of cells.

    Parameters
    ----------
    home : Home
        What the runs stand on; closed by whoever has opened it, after this.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        self._lock = threading.RLock()
        self._routes = Routes()
        self._copies: Copies | None = None
        self._handles: dict[str, RunHandle] = {}
        self._watchers: list[Callable[[str], object]] = []
        home.subscribe(self._told)

    def close(self) -> None:
        """Cancel what is performed and give back what runs have borrowed."""
        with self._lock:
            handles = [handle for handle in self._handles.values() if not handle.is_over]
            copies, self._copies = self._copies, None
        for handle in handles:
            handle.cancel()
        for handle in handles:
            handle.wait(2.0)
        if copies is not None:
            copies.close()
        self._routes.close()

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
        path: str | None = None,
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
        path : str, optional
            The file in which the flow stands.

        Raises
        ------
        UsageError
            The flow has no tasks, a selector matches none, a task reads what nothing defines, or the run that this
            one repeats was repeated already.
        StoreError
            The run cannot be recorded.
        """
        home, settings = self._home, self._home.settings
        flow = flow.copy()
        base = environment if base is None else base
        kept = self.keep(is_lasting=False) if kept is None else kept
        attempts = goes_on.attempts if goes_on is not None else self._attempts()
        prepared = self.prepare(
            flow, base, kept, select=select, only_stale=only_stale, everything=everything, attempts=attempts
        )
        check(prepared.plan)
        graph = prepared.graph
        usual = runner if isinstance(runner, str) else settings.runner
        for task in graph.tasks:
            if (task.runner or usual) != "dask":
                check_resources(task, settings.resources)
        now = home.clock.now()
        run = FlowRun(
            run_id=new_run_id(now),
            flow=flow.name,
            state=State(StateType.PENDING),
            created_at=now,
            parent_run_id=settings.parent_run_id,
            parameters=dict(parameters or {}),
            path=path,
            graph=graph,
        )
        if goes_on is not None:
            run = continued(run, goes_on.run)
        learn_secrets(home.store, settings)
        lease = make_run(home.store, run, settings.lease, goes_on.plan if goes_on is not None else None)
        program = CellProgram(
            flow,
            environment,
            prepared,
            kept,
            line=lambda task, attempt, level, text: journal.record(
                LogWritten(home.clock.now(), task, attempt, level, text)
            ),
            run_id=run.run_id,
            hooks=hooks,
            results=home.results,
            log_limit=settings.log_limit,
            around=around,
            attempts=attempts,
            notes=goes_on.mended if goes_on is not None else {},
        )
        self._routes.open()
        engine = Engine(
            RunMachine(
                graph,
                fresh={task: kept.records[task].made_by for task in prepared.plan.fresh},
                capacity=settings.resources,
                runner=usual,
            ),
            program.perform,
            self._runner(graph, runner),
            home.ledger,
            lease,
            home.clock,
            ask=lambda: home.store.take_requests(run.run_id, home.clock.now()),
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
        home, parent = self._home, self._home.settings.parent_run_id
        return None if parent is None else open_attempts(home.store, home.results, home.settings, parent)

    def _runner(self, graph: Graph, given: Runner | str | None) -> Runner:
        """Return what performs a run's tasks: threads alone where no task asks for more."""
        if given is not None and not isinstance(given, str):
            return given
        usual = given or self._home.settings.runner
        names = {task.name: task.runner or usual for task in graph.tasks}
        if set(names.values()) <= {"threads"}:
            return self._home.pools.runner("threads")
        return MixedRunner(names.__getitem__, self._home.pools.runner)

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
            self._home.results,
            select=select,
            only_stale=only_stale,
            everything=everything,
            attempts=attempts,
        )

    def keep(self, *, is_lasting: bool = True) -> Kept:
        """Return a place where runs leave what later runs begin from, for one flow of a session."""
        with self._lock:
            if self._copies is None:
                folder = self._home.settings.home / "copies"
                remove_orphans(folder)
                self._copies = Copies(folder / folder_name(this_owner()), self._home.settings.copies)
            return Kept(self._copies, is_lasting=is_lasting)

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
            flow, environment, prepared, kept, line=_ignore, hooks=hooks, results=self._home.results, attempts=attempts
        )
        return program.restore()

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

    def cancel(self, run_id: str) -> bool:
        """Stop a run that is performed here; whether there is one."""
        handle = self._handles.get(run_id)
        if handle is None or handle.is_over:
            return False
        handle.cancel()
        return True


def _ignore(task: str, attempt: int, level: int, text: str) -> None:
    """Do nothing: what was written is recorded with the run that wrote it."""
