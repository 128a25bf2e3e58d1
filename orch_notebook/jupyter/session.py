"""One notebook's work with orch_notebook: its flow, what its runs left, and what is shown of them.

The magics and the panel both act through this object; it turns a gesture into one verb of the orchestrator.
"""

from __future__ import annotations

import linecache
import logging
import os
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from difflib import get_close_matches
from itertools import count
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

from orch_notebook.errors import FlowRunCancelled, FlowRunFailed, OrchError, UnknownTask, UsageError
from orch_notebook.jupyter import bars, figures
from orch_notebook.jupyter.cellmagics import CellMagicRoutes, commented
from orch_notebook.jupyter.display import LiveDisplay, as_stale
from orch_notebook.jupyter.document import NotebookFile
from orch_notebook.jupyter.extensions import states_of
from orch_notebook.jupyter.hooks import KernelHooks
from orch_notebook.jupyter.outlets import open_outlet
from orch_notebook.jupyter.postmortem import Postmortem
from orch_notebook.jupyter.questions import QuestionRoutes
from orch_notebook.jupyter.routes import DisplayRoutes
from orch_notebook.model.findings import Report
from orch_notebook.model.flows import CellFlow, CellTask, PlainCell
from orch_notebook.model.freshness import Plan
from orch_notebook.model.headers import parse_header
from orch_notebook.model.naming import name_for
from orch_notebook.model.parameters import check_parameters
from orch_notebook.model.runs import FlowRun, TaskRun
from orch_notebook.model.states import State, StateType
from orch_notebook.orchestrator import Orchestrator
from orch_notebook.promotion.checks import cells_as_tasks
from orch_notebook.promotion.opening import Continuation, Opening
from orch_notebook.runtime.attempts import Attempts
from orch_notebook.runtime.bodies import compile_cell
from orch_notebook.runtime.capture import Capture
from orch_notebook.runtime.handles import RunHandle
from orch_notebook.runtime.versions import Kept

__all__ = ["NotebookSession"]

logger = logging.getLogger("orch_notebook")

GRACE = 2.0


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
        self.display = LiveDisplay(self.outlet, orchestrator.clock.now)
        self.file = NotebookFile(shell.user_ns)
        #: The flow of tasks that name none; it bears the notebook's name.
        self.main = self.file.stem
        self._flows = {self.main: CellFlow(self.main)}
        #: By flow: what its runs of this session left.
        self._kept: dict[str, Kept] = {}
        #: By flow: what a run would do now.
        self._plans: dict[str, Plan] = {}
        self.handle: RunHandle | None = None
        #: The run that was opened here, and what it has left.
        self.opened: Opening | None = None
        #: The texts of the cells as they stand now: of tasks by their names, of others by their labels.
        self._texts: tuple[dict[str, str], dict[str, str]] = {}, {}
        self._sources: dict[str, str] = {}
        self._counts: dict[str, int] = {}
        self._display_ids = count(1)
        self._subscribers: list[Callable[[], None]] = []
        self._lock = threading.RLock()
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
        self._is_checking = False
        #: Whether a cell waits for the run, so that the kernel is busy with it.
        self.is_waiting = False

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
        self._end_watch = self.orchestrator.watch(self._changed)

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
        self._display_routes.close()
        self._question_routes.close()
        self._magic_routes.close()
        figures.unroute_figures()
        bars.unroute_bars()

    def new_display_id(self) -> str:
        """Return an id for an output that will be brought up to date."""
        return f"orch-{os.getpid()}-{next(self._display_ids)}"

    def _arrange(self, flow: CellFlow) -> None:
        by_id, by_task = self.file.positions()
        by_id = dict(by_id)
        for task in flow:
            # An execution by a worker tells no cell ids; the task's name finds its cell.
            if task.cell_id is None and task.name in by_task:
                flow.define(CellTask(task.name, task.header, task.body, f"#{task.name}", by_task[task.name]))
        by_id.update({f"#{name}": index for name, index in by_task.items()})
        flow.arrange(by_id)

    # flows

    def flow(self, name: str | None = None) -> CellFlow:
        """Return a flow of this notebook, by default the one of tasks that name none.

        Raises
        ------
        UnknownTask
            There is no such flow.
        """
        found = self._flows.get(name or self.main)
        if found is None:
            near = get_close_matches(str(name), self._flows, n=1)
            raise UnknownTask(f"There is no flow {name!r}." + (f" Did you mean {near[0]!r}?" if near else ""))
        return found

    def _flow_for(self, name: str | None) -> CellFlow:
        if name is not None and name not in self._flows:
            # Plain cells belong to every flow.
            self._flows[name] = CellFlow(name, [cell for cell in self.flow().cells if isinstance(cell, PlainCell)])
        return self.flow(name)

    def _homes(self, task: str) -> list[CellFlow]:
        return [flow for flow in self._flows.values() if task in flow]

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
        here = self.outlet.here()
        # IPython takes blank lines at the top away; tracebacks count them, and the header too.
        above = len(body) - len(body.lstrip("\n \t"))
        blank = "\n" * body.count("\n", 0, above)
        code = self.shell.input_transformer_manager.transform_cell(body)
        source = f"# %%task {line}\n{blank}{code}"
        raw = f"%%task {line}\n{body}"
        # As the prompt shows it: newer versions of IPython count on before they execute, older ones after.
        number = self.shell.displayhook.prompt_count
        filename = self.shell.compile.cache(source, number, raw_code=raw)
        if (shown := commented(body.lstrip("\n \t"))) is not None:
            lines = f"# %%task {line}\n{blank}{shown}".splitlines(keepends=True)
            linecache.cache[filename] = (len(source), None, lines, filename)
        compile_cell(source, filename)  # a syntax error belongs to the person now, not to the run
        before = self._of_cell(here.cell_id)
        taken = {task.name for flow in self._flows.values() for task in flow}
        name = header.name or (before[1] if before else name_for(code, taken))
        flow = self._flow_for(header.flow)
        others = [other.name for other in self._homes(name) if other is not flow and (other.name, name) != before]
        if others:
            raise UsageError(f"Flow {others[0]!r} has a task {name!r} already; names are unique in a notebook.")
        self._know(flow)
        replaced = self._flows[before[0]][before[1]] if before and before != (flow.name, name) else None
        if before and replaced is not None:  # the cell was given another name, or moved to another flow
            self._flows[before[0]].remove(before[1])
        try:
            flow.define(CellTask(name, header, source, here.cell_id))
            self._arrange(flow)
        except BaseException:
            if before and replaced is not None:
                self._flows[before[0]].define(replaced)
            if not len(flow) and flow.name != self.main:
                del self._flows[flow.name]
            raise
        if before and before[1] != name:
            self.display.remove(before[1])
        self._sources[name] = filename
        self._counts[name] = number
        self._texts[0][name] = raw
        notes = flow.wiring.notes.get(name, ())
        details = {"note": " ".join(notes)} if notes else {}
        task_run = TaskRun("", flow.graph.by_name[name], details=details)
        if not self.is_running and (plan := self._plan(flow)) is not None:
            why = plan.runs.get(name, "")
            last = self.display.last(name)
            if not why and last is not None:
                task_run = last
            elif why and self._kept_of(flow).has_run(name):
                task_run = replace(task_run, state=State(StateType.PENDING, message=f"stale: {why}"))
        self.display.place(name, self.new_display_id(), task_run, number)
        self._reconsider()
        return task_run

    def _of_cell(self, cell_id: str | None) -> tuple[str, str] | None:
        """Return the flow and the task that a cell defined before."""
        found = [(flow.name, task.name) for flow in self._flows.values() for task in flow if task.cell_id == cell_id]
        return found[0] if cell_id and found else None

    def remove(self, name: str) -> None:
        """Take a task out of its flow."""
        for flow in self._homes(name) or [self.flow()]:
            flow.remove(name)
        self._texts[0].pop(name, None)
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
        self._texts[1][label] = raw if text is None else text
        try:
            source = self.shell.input_transformer_manager.transform_cell(raw)
            for flow in self._flows.values():
                flow.define(PlainCell(label, source))
                self._note_changes(flow, label)
        except (SyntaxError, OrchError) as error:
            logger.debug("A plain cell is not taken into the flow: %s", error)
        self._reconsider()

    def _note_changes(self, flow: CellFlow, label: str) -> None:
        """Take note of values that a plain cell has changed in place: what tasks left there is theirs no more."""
        kept = self._kept.get(flow.name)
        if kept is not None and (changed := flow.wiring.effects[label].mutates):
            names = self.shell.user_ns
            kept.spoil([names[name] for name in changed if name in names], "a plain cell")

    def _take_in_history(self) -> None:
        """Take in the plain cells from before the extension was loaded: tasks may call the functions they define."""
        history = getattr(self.shell.history_manager, "input_hist_raw", [])
        for number, raw in enumerate(history[:-1]):  # the last one is being executed
            if raw.strip() and not raw.lstrip().startswith("%%"):
                self.take_in(f"execution {number}", raw)

    def _environment(self, flow: CellFlow) -> dict[str, Any]:
        """Return the live namespace without what the flow's tasks published and without IPython's own names."""
        hidden, made = self.shell.user_ns_hidden, flow.makes()
        return {
            name: value
            for name, value in self.shell.user_ns.items()
            if name not in made and not (name in hidden and hidden[name] is value)
        }

    def _know(self, flow: CellFlow) -> None:
        kept = self._kept.get(flow.name)
        environment = {**(kept.missing() if kept is not None else {}), **self._environment(flow)}
        flow.know(environment.keys() | {"get_ipython", "display"}, tools_in(environment))

    # runs that are taken up

    def flows(self) -> list[CellFlow]:
        """Return the flows of this notebook."""
        return list(self._flows.values())

    def texts(self) -> tuple[dict[str, str], dict[str, str]]:
        """Return the texts of the cells as they stand now: of tasks by their names, of others by their ids."""
        return dict(self._texts[0]), dict(self._texts[1])

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
        if self._homes(task.name):
            return
        flow = self._flow_for(task.header.flow)
        self._know(flow)
        flow.define(task)
        self._sources[task.name] = filename
        self._texts[0][task.name] = text
        linecache.cache[filename] = (len(task.body), None, task.body.splitlines(keepends=True), filename)

    def restore(self, flow: CellFlow, attempts: Attempts) -> list[str]:
        """Put what the tasks of a flow have left elsewhere in the place of what they left here; return those tasks."""
        if not len(flow):
            return []
        self._arrange(flow)
        kept = self._kept[flow.name] = self.orchestrator.keep()
        found = self.orchestrator.restore(
            flow,
            self.shell.user_ns,
            base=self._environment(flow),
            kept=kept,
            attempts=attempts,
            hooks=self._hooks,
        )
        self._reconsider()
        return found

    def show_version(self, flow: CellFlow, name: str, maker: str) -> Any:
        """Put one version of a name into the live namespace, and return it."""
        kept = self._kept_of(flow)
        value = kept.get((name, maker))
        self.shell.user_ns[name] = value
        kept.publish({name: value})
        return value

    # what is stale

    @property
    def is_running(self) -> bool:
        """Whether a run goes on."""
        return self.handle is not None and not self.handle.is_over

    def plan(self, name: str | None = None) -> Plan | None:
        """Return what a run of a flow would do now, or nothing where that cannot be said."""
        return self._plans.get(name or self.main)

    def plan_of(self, name: str, select: Collection[str] = ()) -> Plan | None:
        """Return what a run of a part of a flow would do now, or nothing where that cannot be said."""
        if self.is_running:
            return None
        if not select:
            return self.plan(name)
        with self._lock:
            return self._plan(self.flow(name), select)

    def left_by(self, flow: str, task: str) -> list[tuple[str, Any]]:
        """Return the versions that a task has left and that are still in memory, by name."""
        kept, definition = self._kept.get(flow), self.flow(flow).graph.by_name.get(task)
        if kept is None or definition is None:
            return []
        names = dict.fromkeys((*definition.writes, *definition.mutates))
        with kept.lock:
            return [(name, kept.versions[name, task]) for name in names if (name, task) in kept.versions]

    def _plan(self, flow: CellFlow, select: Collection[str] = ()) -> Plan | None:
        kept = self._kept.get(flow.name)
        if kept is None:
            return None
        try:
            return self.orchestrator.prepare(flow, self._environment(flow), kept, select=select).plan
        except (OrchError, SyntaxError) as error:
            logger.debug("What is stale in flow %r cannot be said: %s", flow.name, error)
            return None

    def _reconsider(self) -> None:
        """Work out anew what is stale, and mark it."""
        with self._lock:
            if self._is_closed or self.is_running:
                return
            plans = {name: self._plan(flow) for name, flow in self._flows.items()}
            self._plans = {name: plan for name, plan in plans.items() if plan is not None}
            self.display.mark({task: why for plan in self._plans.values() for task, why in plan.runs.items()})
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
        self.is_waiting = True
        try:
            while not handle.wait(0.2):
                pass
        except KeyboardInterrupt:
            self._interrupted(handle)
        finally:
            self.is_waiting = False
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
        with self._lock:
            if self._is_closed:  # a panel stands as long as its cell does
                raise UsageError("The extension was unloaded after this panel was shown. Run the panel's cell again.")
            self.refuse_if_busy()
            self._arrange(flow)
            self._postmortem.clear()
            summary_id = self.new_display_id() if summary else ""
            with self.display.held():
                handle = self.handle = self.orchestrator.start(
                    flow,
                    self.shell.user_ns,
                    base=self._environment(flow),
                    select=select,
                    only_stale=only_stale,
                    everything=everything,
                    kept=self._kept_of(flow),
                    hooks=self._hooks,
                    runner=runner,
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
        with self._lock:
            self.refuse_if_busy()
            self._is_checking = True
        try:
            found, notes, base, hooks = self.apart(flow, cells_of, _ignore, _ignore)
            states = states_of(self.shell)
            report = self.orchestrator.check(
                found, self.shell.user_ns, base=base, hooks=hooks, states=states, seed=seed, orders=orders
            )
        finally:
            self._is_checking = False
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
            self._arrange(found)
        hooks = KernelHooks(self.shell, self._sources, self._counts, begun, put_out, _ignore, Postmortem(self.shell))
        return found, notes, self._environment(found), hooks

    def refuse_if_busy(self) -> None:
        """Raise if a run or a check is under way.

        Raises
        ------
        UsageError
            It is.
        """
        if self._is_checking:
            raise UsageError("The flow is being checked. Wait for it, or interrupt the cell that does it.")
        if self.handle is not None and not self.handle.is_over:
            raise UsageError(
                f"Flow {self.handle.run.flow!r} is running already. Wait for it, or cancel it with '%flow cancel'."
            )

    def _kept_of(self, flow: CellFlow) -> Kept:
        if flow.name not in self._kept:
            # Whoever executes a notebook by itself runs its flow once: copies for later runs would be for nothing.
            self._kept[flow.name] = self.orchestrator.keep(is_lasting=not self.is_executed_by_worker)
        return self._kept[flow.name]

    def _after(self, handle: RunHandle) -> None:
        handle.wait()
        self._postmortem.leave()
        self._reconsider()

    def _interrupted(self, handle: RunHandle) -> None:
        handle.cancel()
        try:
            ended = handle.wait(GRACE)
        except KeyboardInterrupt:  # somebody impatient pressed stop once more
            ended = handle.is_over
        if not ended:
            # The badges are kept up to date until the run has really ended.
            names = ", ".join(repr(name) for name in handle.stuck) or "a task"
            raise FlowRunCancelled(
                f"Flow {handle.run.flow!r} is being cancelled, but {names} is inside a call that cannot be "
                f"interrupted; it stops when that call returns. Nothing new is started.",
                run_id=handle.run_id,
            )

    def cancel(self) -> None:
        """Ask for the run to be cancelled and return at once.

        Raises
        ------
        UsageError
            Nothing runs.
        """
        if self.handle is None or self.handle.is_over:
            raise UsageError("Nothing is running.")
        self.handle.cancel()

    def pause(self) -> None:
        """Let what runs come to its end and start nothing more until :meth:`resume`.

        Raises
        ------
        UsageError
            Nothing runs.
        """
        if self.handle is None or self.handle.is_over:
            raise UsageError("Nothing is running.")
        self.handle.pause()

    def resume(self) -> None:
        """Let a paused run go on.

        Raises
        ------
        UsageError
            No run is paused.
        """
        if self.handle is None or self.handle.is_over or self.handle.run.state.type is not StateType.PAUSED:
            raise UsageError("No run is paused.")
        self.handle.resume()

    def give(self, values: Mapping[str, str]) -> None:
        """Set parameters of the notebook, as its ``parameters`` cell declares them; the next run begins from them.

        Raises
        ------
        ParameterError
            One is unknown or ill-typed; none is set then.
        """
        checked = check_parameters([replace(each, required=False) for each in self.file.parameters()], values)
        with self._lock:
            self.refuse_if_busy()
            self.shell.user_ns.update(checked)
        self._reconsider()

    def current(self, flow: str | None = None) -> FlowRun | None:
        """Return the latest run of this session, or of one of its flows; what is stale by now is to come again."""
        run = self.handle.run if self.handle is not None else None
        if run is None or flow not in (None, run.flow):
            return None
        plan = None if self.is_running else self._plans.get(run.flow)
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
        if self.handle is None or run_id == self.handle.run_id:
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


def tools_in(namespace: Mapping[str, Any]) -> set[str]:
    """Return the names that hold modules, functions and classes."""
    tools = (ModuleType, FunctionType, BuiltinFunctionType, type)
    return {name for name, value in namespace.items() if isinstance(value, tools)}
