"""The magics ``%%task`` and ``%flow``: they parse, call one verb of the session, and show what comes back."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

from IPython.core.magic import Magics, cell_magic, line_magic, magics_class

from orch_notebook.errors import HeaderError, UsageError
from orch_notebook.jupyter.commands import COMMANDS, command_help, read_command
from orch_notebook.jupyter.opening import open_run, resume
from orch_notebook.jupyter.secrecy import guard
from orch_notebook.jupyter.session import NotebookSession
from orch_notebook.jupyter.showing import Bundle, offer, show_flow
from orch_notebook.model.durations import parse_interval
from orch_notebook.model.explanations import explain
from orch_notebook.model.freshness import coming_words
from orch_notebook.model.headers import header_usage, parse_header
from orch_notebook.model.policies import CatchUp, Overlap
from orch_notebook.model.sizes import parse_size
from orch_notebook.model.views import (
    check_html,
    dot,
    explanation_html,
    explanation_text,
    graph_html,
    graph_text,
    reopened_html,
    reopened_text,
)
from orch_notebook.orchestrator import Orchestrator
from orch_notebook.promotion.checks import REPORT_TYPE
from orch_notebook.promotion.terms import Terms, read_schedules, read_variables
from orch_notebook.runtime.pictures import diagram_svg, summary_bundle

__all__ = ["Bundle", "OrchMagics", "load", "session_of", "unload"]


class ShownSyntaxError(UsageError):
    """A syntax error in a task cell, drawn as IPython draws it, at the person's line."""

    def _render_traceback_(self) -> list[str]:
        return list(self.details["lines"])


# The front end shows an error under the name of its class.
ShownSyntaxError.__name__ = "SyntaxError"


@magics_class
class OrchMagics(Magics):  # type: ignore[misc]
    """``%%task`` defines a task, ``%flow`` runs and promotes the flow."""

    def __init__(self, shell: Any, session: NotebookSession) -> None:
        super().__init__(shell)
        self.session = session

    @cell_magic
    def task(self, line: str, cell: str) -> None:
        """Make this cell a task of the notebook's flow; ``%%task --help`` lists the options."""
        if set(line.split()) & {"-h", "--help"}:
            print(header_usage())
            return
        try:
            task_run = self.session.define(line, cell)
        except SyntaxError as error:
            lines = self.shell.SyntaxTB.structured_traceback(type(error), error, [])
            raise ShownSyntaxError(str(error), lines=lines) from None
        header = parse_header(line)
        if header.run:
            self.session.run([task_run.name], flow=header.flow, summary=False)

    # Without its body %%task is easily typed with one % only.
    @line_magic("task")
    def task_line(self, line: str) -> None:
        """Say that ``%%task`` is meant."""
        if set(line.split()) & {"-h", "--help"}:
            print(header_usage())
            return
        raise HeaderError("%task makes a whole cell a task: write %%task on the cell's first line.")

    @line_magic
    def flow(self, line: str) -> Any:
        """Run, watch and promote the tasks of this notebook; ``%flow --help`` lists the commands."""
        given = read_command(line)
        if given.help:
            print(command_help(given.command))
            return None
        return getattr(self, f"_{given.command}")(given)

    def _panel(self, given: Namespace) -> Any:
        return show_flow(self.session, given.flow)

    def _run(self, given: Namespace) -> None:
        self.session.run(
            given.select,
            flow=given.flow,
            background=given.background,
            summary=not given.quiet,
            only_stale=given.stale,
            everything=given.everything,
            runner=given.runner,
        )

    def _graph(self, given: Namespace) -> Any:
        flow = self.session.flow(given.flow)
        graph = flow.graph.select(given.select)
        if given.dot:
            print(dot(graph))
            return None
        run = self.session.current(flow.name)
        now = self.session.orchestrator.clock.now()
        shown = run if run is not None and {task.name for task in run.tasks} >= set(graph.by_name) else None
        svg = diagram_svg(graph, shown, now)
        html, text = graph_html(graph, svg), graph_text(graph)
        if given.why:
            explanation = explain(flow, graph)
            html, text = html + explanation_html(explanation), explanation_text(explanation)
        return Bundle({"text/html": html, "text/plain": text})

    def _check(self, given: Namespace) -> Any:
        session = self.session
        path = None
        if given.all_cells:
            path = Path(given.notebook) if given.notebook else session.file.saved_path()
        report = session.check(given.flow, cells_of=path, seed=given.seed, orders=given.orders)
        return Bundle({"text/html": check_html(report), "text/plain": report.text(), REPORT_TYPE: report.to_json()})

    def _status(self, given: Namespace) -> Any:
        run = self.session.current()
        if run is None:
            print("Nothing has run yet. '%flow run' runs all tasks.")
            return None
        if (plan := self.session.plan(run.flow)) is not None:
            print(coming_words(plan))
        return Bundle(summary_bundle(run, self.session.orchestrator.clock.now()))

    def _open(self, given: Namespace) -> Any:
        opened = open_run(self.session, given.run, anyway=given.anyway)
        return Bundle({"text/html": reopened_html(opened), "text/plain": reopened_text(opened)})

    def _resume(self, given: Namespace) -> None:
        resume(self.session, given.run, background=given.background, summary=not given.quiet)

    def _cancel(self, given: Namespace) -> None:
        self.session.steering.cancel()

    def _remove(self, given: Namespace) -> None:
        for name in given.names:
            self.session.remove(name)

    def _promote(self, given: Namespace) -> Any:
        session = self.session
        if session.is_executed_by_worker:
            print(f"Not promoted: this is an execution by a worker. {given.name!r} stays as it is.")
            return None
        path = Path(given.notebook) if given.notebook else session.file.saved_path()
        schedules = read_schedules(
            session.orchestrator.clock.now(),
            given.cron or (),
            given.every or (),
            given.at or (),
            given.tz,
            given.rrule or (),
            given.start,
        )
        terms = Terms(
            retries=given.retries,
            retry_delay=parse_interval(given.retry_delay),
            timeout=parse_interval(given.timeout) if given.timeout else None,
            kernel=given.kernel,
            queue=given.queue,
            priority=given.priority,
            concurrency=given.limit,
            overlap=Overlap.parse(given.overlap) if given.overlap else None,
            catch_up=CatchUp.parse(given.catch_up),
            tags=tuple(given.tags or ()),
            memory=parse_size(given.memory_limit) if given.memory_limit else None,
            env=read_variables(given.env or ()),
            preload=tuple(given.preload or ()),
            warm=given.warm,
            track=given.track,
        )
        deployment = session.orchestrator.deployments.promote(
            path, given.name, schedules=schedules, parameters=given.parameters or (), terms=terms
        )
        saved_at = session.file.saved_at(path).astimezone()
        print(
            f"Promoted {path.name} as saved at {saved_at:%H:%M:%S}: "
            f"deployment {deployment.name!r}, version {deployment.version}."
        )
        now = session.orchestrator.clock.now()
        for schedule in schedules:
            following = schedule.next(now)
            when = f", next {following.astimezone():%a %d %b %H:%M:%S %Z}" if following else ", no more due times"
            print(f"  {schedule.words()}{when}")
        if not schedules:
            print(f"  no schedule: it runs when asked ('orch trigger {deployment.name}')")
        if not session.orchestrator.workers():
            print("No worker is running. Start one in a terminal: orch worker")
        return None


def with_a_body(lines: list[str]) -> list[str]:
    """Give a task cell of one line an empty body: IPython would refuse it before ``%%task --help`` could answer.

    Examples
    --------
    >>> with_a_body(["%%task --help"]), with_a_body(["%%tasks"])
    (['%%task --help\\n', '\\n'], ['%%tasks'])
    """
    if len(lines) == 1 and lines[0].split()[:1] == ["%%task"]:
        return [lines[0].rstrip("\n") + "\n", "\n"]
    return lines


def with_a_percent(lines: list[str]) -> list[str]:
    """Let ``flow run`` of automagic mean ``%flow run``, though there is a name ``flow``, which hides magics.

    Examples
    --------
    >>> with_a_percent(["flow run train+"]), with_a_percent(["flow"]), with_a_percent(["flow = run"])
    (['%flow run train+'], ['flow'], ['flow = run'])
    """
    words = lines[0].split() if len(lines) == 1 else []
    return ["%" + lines[0].lstrip()] if words[:1] == ["flow"] and words[1:2] and words[1] in COMMANDS else lines


TRANSFORMERS = (with_a_body, with_a_percent)

_sessions: dict[int, NotebookSession] = {}
#: By shell: what ends all that was begun beside the session.
_ends: dict[int, list[Callable[[], None]]] = {}


def load(shell: Any) -> None:
    """Begin to take part in a shell; loading twice begins anew."""
    unload(shell)
    session = NotebookSession(shell, Orchestrator())
    session.open()
    _sessions[id(shell)] = session
    _ends[id(shell)] = [guard(getattr(shell, "kernel", None)), offer(session)]
    shell.register_magics(OrchMagics(shell, session))
    shell.input_transformers_cleanup.extend(TRANSFORMERS)


def session_of(shell: Any) -> NotebookSession:
    """Return what takes part in a shell where the extension is loaded."""
    return _sessions[id(shell)]


def unload(shell: Any) -> None:
    """Take no more part in a shell: magics, hooks and routes go, runs are cancelled."""
    session = _sessions.pop(id(shell), None)
    if session is None:
        return
    session.close()
    for end in _ends.pop(id(shell)):
        end()
    for transformer in TRANSFORMERS:
        shell.input_transformers_cleanup.remove(transformer)
    for kind, name in (("cell", "task"), ("line", "task"), ("line", "flow")):
        shell.magics_manager.magics[kind].pop(name, None)
