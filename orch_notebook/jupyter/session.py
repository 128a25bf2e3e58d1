"""One notebook's work with orch_notebook: its flow, what its runs left, and what is shown of them.

The magics and the panel both act through this object; it turns a gesture into one verb of the orchestrator.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

from orch_notebook.errors import FlowRunFailed, UsageError
from orch_notebook.jupyter import bars, figures
from orch_notebook.jupyter.cellmagics import CellMagicRoutes
from orch_notebook.jupyter.celltexts import show_in_tracebacks, task_text
from orch_notebook.jupyter.display import LiveDisplay, as_stale
from orch_notebook.jupyter.document import NotebookFile
from orch_notebook.jupyter.extensions import states_of
from orch_notebook.jupyter.hooks import KernelHooks
from orch_notebook.jupyter.leavings import Leavings
from orch_notebook.jupyter.notebookflows import NotebookFlows
from orch_notebook.jupyter.outlets import Outlet, open_outlet
from orch_notebook.jupyter.postmortem import Postmortem
from orch_notebook.jupyter.questions import QuestionRoutes
from orch_notebook.jupyter.routes import DisplayRoutes
from orch_notebook.jupyter.steering import Steering
from orch_notebook.jupyter.widgets.restoring import Restorer
from orch_notebook.model.findings import Report
from orch_notebook.model.flows import CellFlow, CellTask
from orch_notebook.model.freshness import Plan
from orch_notebook.model.headers import parse_header
from orch_notebook.model.parameters import check_parameters
from orch_notebook.model.runs import FlowRun, TaskRun
from orch_notebook.model.states import State, StateType
from orch_notebook.orchestrator import Orchestrator
from orch_notebook.promotion.checks import cells_as_tasks
from orch_notebook.promotion.opening import Opening
from orch_notebook.runtime.attempts import Attempts
from orch_notebook.runtime.capture import Capture
from orch_notebook.runtime.continuing import Continuation
from orch_notebook.runtime.handles import RunHandle

__all__ = ["NotebookSession"]

logger = logging.getLogger("orch_notebook")


class NotebookSession:
    """The flow of one notebook in one kernel.

    Parameters
    ----------
    shell
        The IPython shell.
    orchestrator : Orchestrator
        Does the work.
    """

    def __init__(self, shell: Any, orchestrator: Orchestrator) -> None:
        self.shell = shell
        self.orchestrator = orchestrator
        self.outlet = open_outlet(shell)
        #: For pages that are loaded again; it begins its work with the first badge.
        self.restorer = Restorer()
        if isinstance(self.outlet, Outlet):
            self.outlet.told = self.restorer.note
        self.display = LiveDisplay(self.outlet, orchestrator.clock.now, self.restorer.kernel)
        self.file = NotebookFile(shell.user_ns)
        # Whoever executes a notebook by itself runs its flow once: copies for later runs would be for nothing.
        self._leavings = Leavings(shell, orchestrator.cells, is_lasting=not self.is_executed_by_worker)
        self._flows = NotebookFlows(self.file, self._leavings)
        #: The run or the check that goes on.
        self.steering = Steering()
        #: The run that was opened here, and what it has left.
        self.opened: Opening | None = None
        self._sources: dict[str, str] = {}
        self._counts: dict[str, int] = {}
        self._display_ids = count(1)
        self._subscribers: list[Callable[[], None]] = []
        self._display_routes = DisplayRoutes(shell)
        self._question_routes = QuestionRoutes(shell)
        self._magic_routes = CellMagicRoutes(shell)
        self._postmortem = Postmortem(shell)
        self._hooks = KernelHooks(
            shell,
            self._sources,
            self._counts,
            self.display.begin,
            self.display.put_out,
            self.display.put_again,
            self._postmortem,
        )
        self._end_watch: Callable[[], None] = lambda: None
        self._is_closed = False

    # the life of the extension

    def open(self) -> None:
        """Begin to take part in the notebook."""
        self._display_routes.open()
        self._question_routes.open()
        self._magic_routes.open()
        figures.route_figures()
        bars.route_bars(as_text=self.is_executed_by_worker)
        self._take_in_history()
        self.shell.events.register("post_run_cell", self._cell_ran)
        self._end_watch = self.orchestrator.cells.watch(self._changed)

    def close(self) -> None:
        """Take no more part in it; what runs is cancelled."""
        self._is_closed = True
        try:
            self.shell.events.unregister("post_run_cell", self._cell_ran)
        except ValueError:
            pass
        self.orchestrator.close()
        self._end_watch()
        self._tell()
        self.display.finish()
        self.restorer.close()
        self._display_routes.close()
        self._question_routes.close()
        self._magic_routes.close()
        figures.unroute_figures()
        bars.unroute_bars()

    def new_display_id(self) -> str:
        """Return an id for an output that will be brought up to date."""
        return f"orch-{os.getpid()}-{next(self._display_ids)}"

    # flows

    def flow(self, name: str | None = None) -> CellFlow:
        """Return a flow of this notebook, by default the one of tasks that name none.

        Raises
        ------
        UnknownTask
            There is no such flow.
        """
        return self._flows.find(name)

    # defining

    def define(self, line: str, body: str) -> TaskRun:
        """Define the task of the cell that is being executed, and show its badge.

        Raises
        ------
        UsageError
            The header, or what the body reads, is not right; nothing is defined then.
        """
        header = parse_header(line)
        if not body.strip():
            raise UsageError("This task has nothing to do yet: write its code below the line with %%task.")
        text = task_text(self.shell, line, body)
        flow, name, before = self._flows.define(header, text.code, text.source, text.raw, self.outlet.here().cell_id)
        if before is not None:
            self.display.remove(before)
        self._sources[name] = text.filename
        self._counts[name] = text.number
        notes = flow.wiring.notes.get(name, ())
        details = {"note": " ".join(notes)} if notes else {}
        task_run = TaskRun("", flow.graph.by_name[name], details=details)
        if not self.steering.running and (plan := self._leavings.plan(flow)) is not None:
            why = plan.runs.get(name, "")
            last = self.display.last(name)
            if not why and last is not None:
                task_run = last
            elif why and self._leavings.of(flow).has_run(name):
                task_run = replace(task_run, state=State(StateType.PENDING, message=f"stale: {why}"))
        self.display.place(name, self.new_display_id(), task_run, text.number)
        if self.outlet.here().cell_id:  # somebody works here; who executes a notebook by itself gets no widget state
            self.restorer.open()
        self._reconsider()
        return task_run

    def remove(self, name: str) -> None:
        """Take a task out of its flow."""
        self._flows.remove(name)
        self.display.remove(name)
        self._reconsider()

    def _cell_ran(self, result: Any) -> None:
        # Comm messages fire this hook too, on a thread of their own (ipykernel 7).
        if threading.current_thread() is not threading.main_thread():
            return
        if isinstance(getattr(result, "error_in_exec", None), FlowRunFailed):
            self._postmortem.leave()  # in the place of the run's own error, which IPython has just left there
        if not getattr(result, "success", False):
            return
        raw = getattr(result.info, "raw_cell", "") or ""
        if not raw.strip() or raw.lstrip().startswith("%%") or not getattr(result.info, "store_history", True):
            return
        label = self.outlet.here().cell_id or f"execution {self.shell.execution_count}"
        self.take_in(label, raw)

    def take_in(self, label: str, raw: str, text: str | None = None) -> None:
        """Take in a plain cell that was executed; tasks may use what it defines.

        Parameters
        ----------
        label : str
            Its id, or what stands for it.
        raw : str
            What was executed.
        text : str, optional
            All of the cell, if that is more.
        """
        try:
            source = self.shell.input_transformer_manager.transform_cell(raw)
        except SyntaxError as error:
            logger.debug("A plain cell is not taken into the flow: %s", error)
        else:
            self._flows.take_in(label, source, raw if text is None else text)
        self._reconsider()

    def _take_in_history(self) -> None:
        """Take in the plain cells from before the extension was loaded: tasks may call the functions they define."""
        history = getattr(self.shell.history_manager, "input_hist_raw", [])
        for number, raw in enumerate(history[:-1]):  # the last one is being executed
            if raw.strip() and not raw.lstrip().startswith("%%"):
                self.take_in(f"execution {number}", raw)

    # runs that are taken up

    def flows(self) -> list[CellFlow]:
        """Return the flows of this notebook."""
        return self._flows.all()

    def texts(self) -> tuple[dict[str, str], dict[str, str]]:
        """Return the texts of the cells as they stand now: of tasks by their names, of others by their ids."""
        return self._flows.texts()

    def adopt(self, task: CellTask, text: str, filename: str) -> None:
        """Define a task of a cell that was not executed here, unless there is one of its name already.

        Parameters
        ----------
        task : CellTask
            The task.
        text : str
            All of its cell.
        filename : str
            What tracebacks call the cell.

        Raises
        ------
        UndefinedName, UnknownTask, CycleError, SyntaxError
            As for :meth:`define`.
        """
        if self._flows.of_task(task.name):
            return
        self._flows.adopt(task, text)
        self._sources[task.name] = filename
        show_in_tracebacks(filename, task.body)

    def restore(self, flow: CellFlow, attempts: Attempts) -> list[str]:
        """Put what the tasks of a flow have left elsewhere in the place of what they left here; return those tasks."""
        if not len(flow):
            return []
        self._flows.arrange(flow)
        found = self.orchestrator.cells.restore(
            flow,
            self.shell.user_ns,
            base=self._leavings.environment(flow),
            kept=self._leavings.begin_anew(flow),
            attempts=attempts,
            hooks=self._hooks,
        )
        self._reconsider()
        return found

    def show_version(self, flow: CellFlow, name: str, maker: str) -> Any:
        """Put one version of a name into the live namespace, and return it."""
        kept = self._leavings.of(flow)
        value = kept.get((name, maker))
        self.shell.user_ns[name] = value
        kept.publish({name: value})
        return value

    # what is stale

    def plan(self, name: str | None = None) -> Plan | None:
        """Return what a run of a flow would do now, or nothing where that cannot be said."""
        return self._leavings.plans.get(name or self._flows.main)

    def plan_of(self, name: str, select: Collection[str] = ()) -> Plan | None:
        """Return what a run of a part of a flow would do now, or nothing where that cannot be said."""
        if self.steering.running:
            return None
        if not select:
            return self.plan(name)
        with self.steering.lock:
            return self._leavings.plan(self.flow(name), select)

    def left_by(self, flow: str, task: str) -> list[tuple[str, Any]]:
        """Return the versions that a task has left and that are still in memory, by name."""
        return self._leavings.left_by(self.flow(flow), task)

    def _reconsider(self) -> None:
        """Work out anew what is stale, and mark it."""
        with self.steering.lock:
            if self._is_closed or self.steering.running:
                return
            self.display.mark(self._leavings.reconsider(self._flows.all()))
        self._tell()

    # running

    def run(
        self,
        select: Collection[str] = (),
        *,
        flow: str | None = None,
        background: bool = False,
        summary: bool = True,
        only_stale: bool = False,
        everything: bool = False,
        runner: str | None = None,
        goes_on: Continuation | None = None,
    ) -> RunHandle:
        """Run what is stale in a flow, or the selected part of it.

        Parameters
        ----------
        select : collection of str
            ``name``, ``name+``, ``+name``, ``tag:word``: what they name runs, fresh or not.
        flow : str, optional
            Its name, where the notebook has several.
        background : bool
            Return at once.
        summary : bool
            Show a summary in the cell that is being executed.
        only_stale : bool
            Of what is selected run only what is stale.
        everything : bool
            Run it all, fresh or not.
        runner : str, optional
            Where the code of tasks runs that name no runner.

        Raises
        ------
        UsageError
            There is nothing to run, or a run is under way.
        FlowRunFailed, FlowRunCancelled
            How it ended, unless it runs in the background.
        """
        handle = self.begin(
            self.flow(flow),
            select,
            summary=summary,
            only_stale=only_stale,
            everything=everything,
            runner=runner,
            goes_on=goes_on,
        )
        if background:
            return handle
        self.steering.wait(handle)
        self.display.finish()
        handle.result()
        return handle

    def begin(
        self,
        flow: CellFlow,
        select: Collection[str] = (),
        *,
        summary: bool = False,
        only_stale: bool = False,
        everything: bool = False,
        runner: str | None = None,
        goes_on: Continuation | None = None,
    ) -> RunHandle:
        """Begin a run and return at once; see :meth:`run`.

        Raises
        ------
        UsageError
            There is nothing to run, or a run is under way.
        """
        with self.steering.lock:
            if self._is_closed:  # a panel stands as long as its cell does
                raise UsageError("The extension was unloaded after this panel was shown. Run the panel's cell again.")
            self.steering.refuse_if_busy()
            self._flows.arrange(flow)
            self._postmortem.clear()
            summary_id = self.new_display_id() if summary else ""
            with self.display.held():
                handle = self.steering.handle = self.orchestrator.cells.start(
                    flow,
                    self.shell.user_ns,
                    base=self._leavings.environment(flow),
                    select=select,
                    only_stale=only_stale,
                    everything=everything,
                    kept=self._leavings.of(flow),
                    hooks=self._hooks,
                    runner=runner,
                    path=self.file.place,
                    goes_on=goes_on,
                )
                self.display.follow(lambda: handle.run, lambda: handle.is_over, summary_id)
        threading.Thread(target=self._after, args=(handle,), name="orch-after", daemon=True).start()
        return handle

    def check(self, flow: str | None = None, *, cells_of: Path | None = None, seed: int = 0, orders: int = 1) -> Report:
        """Find what depends on the order of a flow's tasks, or on chance.

        Parameters
        ----------
        flow : str, optional
            Its name, where the notebook has several.
        cells_of : Path, optional
            A notebook each of whose code cells counts as a task, in place of a flow of this one.
        seed, orders : int
            See :meth:`~orch_notebook.orchestrator.Orchestrator.check`.

        Raises
        ------
        UsageError
            There is nothing to check, or a run is under way.
        """
        with self.steering.checking():
            found, notes, base, hooks = self.apart(flow, cells_of, _ignore, _ignore)
            states = states_of(self.shell)
            report = self.orchestrator.check(
                found, self.shell.user_ns, base=base, hooks=hooks, states=states, seed=seed, orders=orders
            )
        return replace(report, notes=(*notes, *report.notes))

    def apart(
        self,
        flow: str | None,
        cells_of: Path | None,
        begun: Callable[[str, Capture], object],
        put_out: Callable[[str, Capture], object],
    ) -> tuple[CellFlow, tuple[str, ...], dict[str, Any], KernelHooks]:
        """Return what it takes to run a flow that shows nothing in the notebook.

        Parameters
        ----------
        flow : str, optional
            Its name, where the notebook has several.
        cells_of : Path, optional
            A notebook each of whose code cells counts as a task, in place of a flow of this one.
        begun, put_out : callable
            Told of each attempt of a task that it begins, and what it has put out.

        Returns
        -------
        tuple
            The flow, notes on cells that cannot be tasks, the environment and the hooks.
        """
        found, notes = (self.flow(flow), ()) if cells_of is None else cells_as_tasks(cells_of)
        if cells_of is None:
            self._flows.arrange(found)
        hooks = KernelHooks(self.shell, self._sources, self._counts, begun, put_out, _ignore, Postmortem(self.shell))
        return found, notes, self._leavings.environment(found), hooks

    def _after(self, handle: RunHandle) -> None:
        handle.wait()
        self._postmortem.leave()
        self._reconsider()

    def give(self, values: Mapping[str, str]) -> None:
        """Set parameters of the notebook, as its ``parameters`` cell declares them; the next run begins from them.

        Raises
        ------
        ParameterError
            One is unknown or ill-typed; none is set then.
        """
        checked = check_parameters([replace(each, required=False) for each in self.file.parameters()], values)
        with self.steering.lock:
            self.steering.refuse_if_busy()
            self.shell.user_ns.update(checked)
        self._reconsider()

    def current(self, flow: str | None = None) -> FlowRun | None:
        """Return the latest run of this session, or of one of its flows; what is stale by now is to come again."""
        handle = self.steering.handle
        run = handle.run if handle is not None else None
        if run is None or flow not in (None, run.flow):
            return None
        plan = None if self.steering.running else self._leavings.plans.get(run.flow)
        if plan is None:
            return run
        return replace(run, tasks=tuple(as_stale(task_run, plan.runs.get(task_run.name, "")) for task_run in run.tasks))

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` after every stored change, until what this returns is called."""
        self._subscribers.append(callback)

        def end() -> None:
            if callback in self._subscribers:
                self._subscribers.remove(callback)

        return end

    def _changed(self, run_id: str) -> None:
        handle = self.steering.handle
        if handle is None or run_id == handle.run_id:
            self.display.changed()
            self._tell()

    def _tell(self) -> None:
        for subscriber in tuple(self._subscribers):
            subscriber()

    # promoting

    @property
    def is_executed_by_worker(self) -> bool:
        """Whether a worker executes this notebook right now."""
        return self.orchestrator.settings.parent_run_id is not None


def _ignore(task: str, outputs: object) -> None:
    """Do nothing."""
