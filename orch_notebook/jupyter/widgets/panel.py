"""The panel's kernel side: watches a source, tells browsers what changed, carries their clicks.

In: changes of a :class:`PanelSource`, from any thread.  Out: at most ten messages a second, made by one pump thread, so
a thousand tasks that change state at once are one message.  It never asks the engine: the source says how things are.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from threading import Event, Lock, Thread
from time import perf_counter
from typing import Any

from orch_notebook.jupyter.widgets.content import LOG_LINES, detail
from orch_notebook.jupyter.widgets.picture import Picture
from orch_notebook.jupyter.widgets.sources import PanelSource
from orch_notebook.jupyter.widgets.surface import Surface, open_surface

__all__ = ["FlowPanel"]

#: Seconds between two messages: ten a second look live, and more only cost the kernel.
INTERVAL = 0.1
#: The pump rests this many times as long as a message took to make, so it never takes more than a tenth of a core.
RESTS = 9
#: But never longer than this (seconds): somebody may have clicked meanwhile.
LONGEST = 2.0
#: So often the kernel says that it lives while a run goes on, though nothing changes: silence means that it does not.
PULSE = 5.0
#: So often it looks at a run that goes on elsewhere, of which nobody tells it.
LOOK = 1.0

log = logging.getLogger(__name__)


class FlowPanel:
    """A flow's controls and live detail: run, cancel, pause, retry; diagram, timeline, tasks, log.

    Parameters
    ----------
    source : PanelSource
        What it shows, and whom it asks.
    connect : callable, optional
        Opens the surface; a test's own.
    clock : callable, optional
        The time.

    Examples
    --------
    The last expression of a cell shows it; ``close()`` ends it::

        panel = FlowPanel(source)
        panel
    """

    def __init__(
        self,
        source: PanelSource,
        *,
        connect: Callable[[Callable[[Mapping[str, Any]], None], Callable[[], None]], Surface] = open_surface,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._source = source
        self._clock = clock
        self._picture = Picture(source)
        self._pages = source.pages()
        self._wake = Event()
        self._closed = Event()
        # Deltas are numbered, so what is numbered first must also be sent first.
        self._turn = Lock()
        self._greeted = False
        self._questions: deque[Mapping[str, Any]] = deque()
        self._watched = ""
        self._told: tuple[Any, ...] = ()
        self._cost = 0.0
        self._surface = connect(self._receive, self._ended)
        self._unsubscribe = source.subscribe(self._wake.set)
        self._pump = Thread(target=self._run, name="orch-panel", daemon=True)
        self._pump.start()

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        return self._surface.mimebundle(**kwargs)

    def close(self) -> None:
        """Remove the panel from the page and end its thread."""
        self._surface.close()
        self._ended()
        self._pump.join(timeout=5)

    @property
    def is_closed(self) -> bool:
        """Whether the panel has been closed."""
        return self._closed.is_set()

    def flush(self) -> None:
        """Tell the browsers what changed since the last time, if anything did."""
        began = perf_counter()
        with self._turn:
            if self._closed.is_set():
                return
            greeted, self._greeted = self._greeted, False
            now = self._clock()
            message = self._picture.snapshot(now) if greeted else self._picture.delta(now)
            if message is not None:
                self._surface.send(message)
            self._tell_detail(again=greeted)
            if message is not None and not self._picture.past:
                self._source.told(self._picture.run, self._picture.graph)
        # What a page has asked is asked by a person: its cost is no reason to rest.
        self._cost = perf_counter() - began
        self._answer()

    def _tell_detail(self, *, again: bool) -> None:
        picture, source = self._picture, self._source
        if (task := self._watched) not in picture.graph.by_name:
            return
        run = picture.run
        lines = source.log_tail(task, LOG_LINES, run)
        task_run = picture.task_runs.get(task)
        # The last line and the count say whether anything was written; comparing every line would cost more.
        told = (task, run and run.run_id, len(lines), lines[-1:] and lines[-1], task_run and task_run.state)
        if not again and told == self._told:
            return
        self._told = told
        coming = None if picture.is_going or picture.past else source.coming((task,))
        states, kept = source.states(task, run), source.kept(task, run)
        self._surface.send(detail(task, picture.graph, lines, task_run, states, kept, coming))

    def _answer(self) -> None:
        while self._questions:
            message = self._questions.popleft()
            page, data, error = str(message.get("page")), None, ""
            try:
                data = self._pages[page](message.get("question") or {})
            except Exception as problem:  # noqa: BLE001  whatever went wrong belongs before the person who asked
                error = _in_one_line(problem)
            answer = {"type": "answer", "id": message.get("id", 0), "page": page, "data": data, "error": error}
            self._surface.send(answer)

    def _receive(self, message: Mapping[str, Any]) -> None:
        """Take what a browser says; on ipykernel 7 this may be a subshell's thread, so nothing here blocks."""
        if isinstance(number := message.get("id"), int):
            self._surface.send({"type": "heard", "id": number})
        try:
            self._obey(message)
        except Exception as error:  # noqa: BLE001  whatever went wrong belongs before the person who clicked
            self._surface.send({"type": "refused", "text": _in_one_line(error)})
        self._wake.set()

    def _obey(self, message: Mapping[str, Any]) -> None:
        match message:
            case {"type": "hello"}:
                self._greeted = True
            case {"type": "select", "task": str(task)}:
                self._watched, self._told = task, ()
            case {"type": "look", "run_id": str(run_id)}:
                self._picture.past, self._told = run_id, ()
            case {"type": "run", "select": list(select)}:
                everything = message.get("everything") is True
                values = _texts(message.get("values"))
                self._source.start(tuple(str(part) for part in select), everything=everything, values=values)
            case {"type": "cancel", "run_id": str(run_id)}:
                self._source.cancel(run_id)
            case {"type": "pause"}:
                self._source.pause()
            case {"type": "resume", "run_id": str(run_id)}:
                self._source.resume(_texts(message.get("answer")) or None, run_id)
            case {"type": "retry"}:
                self._source.retry()
            case {"type": "ask", "page": str(page)} if page in self._pages:
                self._questions.append(message)

    def _ended(self) -> None:
        if not self._closed.is_set():
            self._closed.set()
            self._unsubscribe()
            self._wake.set()

    def _run(self) -> None:
        while not self._closed.is_set():
            pause = LOOK if self._picture.past else PULSE
            if not self._wake.wait(pause if self._picture.is_going else None):
                self._surface.send({"type": "pulse", "now": self._clock().timestamp()})
            self._wake.clear()
            try:
                self.flush()
            except Exception:
                # A panel that cannot show something must not go silent for the rest of the session.
                log.exception("The panel could not show a change of %r.", self._source.flow_name)
            # Tasks that appear while the flow runs mean a layout each time: what cost much is followed by a long rest.
            self._closed.wait(min(LONGEST, max(INTERVAL, RESTS * self._cost)))


def _texts(given: Any) -> dict[str, str]:
    return {str(name): str(value) for name, value in given.items()} if isinstance(given, Mapping) else {}


def _in_one_line(error: Exception) -> str:
    return " ".join((str(error) or type(error).__name__).split())[:500]
