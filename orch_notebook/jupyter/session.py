"""One notebook's work with orch_notebook: its flow, what its runs left, and what is shown of them.

The magics and the panel both act through this object; it turns a gesture into one verb of the orchestrator.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

from orch_notebook.errors import FlowRunCancelled, HeaderError, NotebookError, OrchError, UsageError
from orch_notebook.jupyter import figures
from orch_notebook.jupyter.display import LiveDisplay
from orch_notebook.jupyter.hooks import DisplayRoutes, KernelHooks
from orch_notebook.jupyter.outlets import open_outlet
from orch_notebook.model.events import LogWritten
from orch_notebook.model.flows import CellFlow, CellTask, PlainCell, name_for
from orch_notebook.model.graph import Graph
from orch_notebook.model.headers import parse_header, split_task_cell
from orch_notebook.model.runs import FlowRun, TaskRun
from orch_notebook.orchestrator import Orchestrator, RunHandle, check_outcome
from orch_notebook.runtime.namespaces import Version, compile_cell

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
        self.flow = CellFlow(self._flow_name())
        #: Versions that runs of this session left, by name and task.
        self.kept: dict[Version, Any] = {}
        self.handle: RunHandle | None = None
        self._sources: dict[str, str] = {}
        self._counts: dict[str, int] = {}
        self._display_ids = count(1)
        self._ids_by_task: dict[str, str] = {}
        self._subscribers: list[Callable[[], None]] = []
        self._lock = threading.Lock()
        self._positions: tuple[float, dict[str, int], dict[str, int]] = (0.0, {}, {})
        self._display_routes = DisplayRoutes(shell)
        self._hooks = KernelHooks(shell, self._sources, self._counts, self.display.begin, self.display.put_out)
        self._end_watch: Callable[[], None] = lambda: None

    # the life of the extension

    def open(self) -> None:
        """Begin to take part in the notebook."""
        self._display_routes.open()
        figures.route_figures()
        self.shell.events.register("post_run_cell", self._cell_ran)
        self._end_watch = self.orchestrator.watch(self._changed)

    def close(self) -> None:
        """Take no more part in it; what runs is cancelled."""
        self._end_watch()
        try:
            self.shell.events.unregister("post_run_cell", self._cell_ran)
        except ValueError:
            pass
        self.orchestrator.close()
        self.display.finish()
        self._display_routes.close()
        figures.unroute_figures()

    # where the notebook is

    @property
    def path(self) -> Path | None:
        """The notebook's file, where the front end tells it."""
        named = os.environ.get("ORCH_NOTEBOOK") or self.shell.user_ns.get("__vsc_ipynb_file__")
        path = Path(named or os.environ.get("JPY_SESSION_NAME", ""))
        return path if path.suffix == ".ipynb" and path.is_file() else None

    def _flow_name(self) -> str:
        named = os.environ.get("ORCH_NOTEBOOK") or os.environ.get("JPY_SESSION_NAME", "")
        return Path(named).stem if named.endswith(".ipynb") else "notebook"

    def _read_positions(self) -> tuple[dict[str, int], dict[str, int]]:
        """Return the positions of the saved notebook's cells, by cell id and by task name."""
        path = self.path
        if path is None:
            return {}, {}
        try:
            changed_at = path.stat().st_mtime
            if changed_at != self._positions[0]:
                by_id, by_task = positions_in(json.loads(path.read_text("utf-8")))
                self._positions = changed_at, by_id, by_task
        except (OSError, ValueError):
            pass
        return self._positions[1:]

    def _arrange(self) -> None:
        by_id, by_task = self._read_positions()
        by_id = dict(by_id)
        for task in self.flow:
            # An execution by a worker tells no cell ids; the task's name finds its cell.
            if task.cell_id is None and task.name in by_task:
                self.flow.define(CellTask(task.name, task.header, task.body, f"#{task.name}", by_task[task.name]))
        by_id.update({f"#{name}": index for name, index in by_task.items()})
        self.flow.arrange(by_id)

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
        source = f"# %%task {line}\n{blank}" + self.shell.input_transformer_manager.transform_cell(body)
        raw = f"%%task {line}\n{body}"
        # As the prompt shows it: newer versions of IPython count on before they execute, older ones after.
        number = self.shell.displayhook.prompt_count
        filename = self.shell.compile.cache(source, number, raw_code=raw)
        compile_cell(source, filename)  # a syntax error belongs to the person now, not to the run
        same_cell = [task.name for task in self.flow if here.cell_id and task.cell_id == here.cell_id]
        name = header.name or (same_cell[0] if same_cell else name_for(body, {task.name for task in self.flow}))
        self._know()
        task = CellTask(name, header, source, here.cell_id)
        replaced = self.flow[same_cell[0]] if same_cell and same_cell[0] != name else None
        if replaced is not None:  # the cell was given another name
            self.flow.remove(replaced.name)
        try:
            self.flow.define(task)
            self._arrange()
        except BaseException:
            if replaced is not None:
                self.flow.define(replaced)
            raise
        if replaced is not None:
            self.display.remove(replaced.name)
        self._sources[name] = filename
        self._counts[name] = number
        self._ids_by_task[name] = f"orch-{os.getpid()}-{next(self._display_ids)}"
        task_run = TaskRun("", self.flow.graph.by_name[name])
        self.display.place(name, self._ids_by_task[name], task_run)
        self._tell()
        return task_run

    def remove(self, name: str) -> None:
        """Take a task out of the flow."""
        self.flow.remove(name)
        self.display.remove(name)
        self._tell()

    def _cell_ran(self, result: Any) -> None:
        # Comm messages fire this hook too, on a thread of their own (ipykernel 7).
        if threading.current_thread() is not threading.main_thread() or not getattr(result, "success", False):
            return
        raw = getattr(result.info, "raw_cell", "") or ""
        if not raw.strip() or raw.lstrip().startswith("%%") or not getattr(result.info, "store_history", True):
            return
        try:
            source = self.shell.input_transformer_manager.transform_cell(raw)
            label = self.outlet.here().cell_id or f"execution {self.shell.execution_count}"
            self.flow.define(PlainCell(label, source))
        except (SyntaxError, OrchError) as error:
            logger.debug("A plain cell is not taken into the flow: %s", error)

    def _environment(self) -> dict[str, Any]:
        """Return the live namespace without what tasks published and without IPython's own names."""
        hidden = self.shell.user_ns_hidden
        made = {name: value for (name, _), value in self.kept.items()}
        return {
            name: value
            for name, value in self.shell.user_ns.items()
            if not (name in made and made[name] is value) and not (name in hidden and hidden[name] is value)
        }

    def _know(self) -> None:
        environment = self._environment()
        self.flow.know(environment.keys() | {"get_ipython", "display"}, tools_in(environment))

    # running

    def run(self, select: Collection[str] = (), *, background: bool = False, summary: bool = True) -> RunHandle:
        """Run the flow, or the selected part of it.

        Parameters
        ----------
        select : collection of str
            ``name``, ``name+``, ``+name``, ``tag:word``; none means all.
        background : bool
            Return at once.
        summary : bool
            Show a summary in the cell that is being executed.

        Raises
        ------
        UsageError
            There is nothing to run, or a run is under way.
        FlowRunFailed, FlowRunCancelled
            How it ended, unless it runs in the background.
        """
        handle = self._begin(select, summary)
        if background:
            return handle
        try:
            while not handle.wait(0.2):
                pass
        except KeyboardInterrupt:
            self._interrupted(handle)
        self.display.finish()
        if handle.error is not None:
            raise handle.error
        check_outcome(handle.run)
        return handle

    def _begin(self, select: Collection[str], summary: bool) -> RunHandle:
        with self._lock:
            if self.handle is not None and not self.handle.is_over:
                raise UsageError(
                    f"Flow {self.flow.name!r} is running already. Wait for it, or cancel it with '%flow cancel'."
                )
            environment = self._environment()
            self._arrange()
            summary_id = f"orch-{os.getpid()}-{next(self._display_ids)}" if summary else ""
            with self.display.held():
                handle = self.handle = self.orchestrator.start(
                    self.flow,
                    self.shell.user_ns,
                    base=environment,
                    select=select,
                    kept=self.kept,
                    parameters=self._parameters(),
                    hooks=self._hooks,
                )
                self.display.follow(lambda: handle.run, lambda: handle.is_over, summary_id)
        threading.Thread(target=self._keep, args=(handle,), name="orch-keep", daemon=True).start()
        return handle

    def _keep(self, handle: RunHandle) -> None:
        handle.wait()
        self.kept.update(handle.versions)
        self._tell()

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
                f"Flow {self.flow.name!r} is being cancelled, but {names} is inside a call that cannot be "
                f"interrupted; it stops when that call returns. Nothing new is started.",
                run_id=handle.run_id,
            )

    def _parameters(self) -> dict[str, Any]:
        return {}

    # what the panel asks for

    @property
    def flow_name(self) -> str:
        """Name of the flow."""
        return self.flow.name

    def graph(self) -> Graph:
        """Return the flow as it is defined now."""
        return self.flow.graph

    def current(self) -> FlowRun | None:
        """Return the latest run with its task runs, or ``None`` before the first."""
        return self.handle.run if self.handle is not None else None

    def log_tail(self, task: str, limit: int) -> list[LogWritten]:
        """Return the last lines that a task wrote in the latest run."""
        if self.handle is None:
            return []
        lines = self.orchestrator.logs(self.handle.run_id, task, limit=limit)
        return [LogWritten(line.at, line.task, line.attempt, line.level, line.text) for line in lines]

    def start(self, select: tuple[str, ...]) -> None:
        """Start a run and return at once."""
        self._begin(select, summary=False)

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

    def promoted_path(self) -> Path:
        """Return the notebook's file.

        Raises
        ------
        NotebookError
            The front end does not tell it, or the notebook was never saved.
        """
        path = self.path
        if path is None:
            raise NotebookError(
                "The front end does not tell where this notebook is. Name it: %flow promote NAME --notebook PATH."
            )
        return path

    def saved_at(self, path: Path) -> datetime:
        """Return when the file was last saved."""
        return datetime.fromtimestamp(path.stat().st_mtime, UTC)


def tools_in(namespace: Mapping[str, Any]) -> set[str]:
    """Return the names that hold modules, functions and classes."""
    tools = (ModuleType, FunctionType, BuiltinFunctionType, type)
    return {name for name, value in namespace.items() if isinstance(value, tools)}


def positions_in(notebook: Mapping[str, Any]) -> tuple[dict[str, int], dict[str, int]]:
    """Return the positions of a notebook's cells, by cell id and by task name.

    Examples
    --------
    >>> positions_in({"cells": [{"id": "a", "cell_type": "code", "source": ["%%task load\\n", "x = 1"]}]})
    ({'a': 0}, {'load': 0})
    """
    by_id: dict[str, int] = {}
    by_task: dict[str, int] = {}
    for index, cell in enumerate(notebook.get("cells", ())):
        if cell.get("id"):
            by_id[str(cell["id"])] = index
        source = cell.get("source", "")
        split = split_task_cell("".join(source) if isinstance(source, list) else str(source))
        if cell.get("cell_type") != "code" or split is None:
            continue
        try:
            name = parse_header(split[0]).name
        except HeaderError:
            continue
        if name:
            by_task[name] = index
    return by_id, by_task
