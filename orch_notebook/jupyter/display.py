"""Badges under task cells and the summary under the cell that runs the flow, kept up to date while a run goes on.

In: changes of a run, from any thread.  Out: ``update_display_data`` messages, made by one thread that lives as long as
something runs and sends each badge at most twice a second.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from orch_notebook.jupyter.outlets import Address, Outlet, TextOutlet
from orch_notebook.model.runs import FlowRun, TaskRun
from orch_notebook.model.states import State, StateType
from orch_notebook.model.views import badge_html, badge_text
from orch_notebook.runtime.capture import Capture
from orch_notebook.runtime.pictures import summary_bundle

__all__ = ["LiveDisplay", "as_stale", "badge_bundle"]

logger = logging.getLogger("orch_notebook")

INTERVAL = 0.5
#: Badges refreshed in one round: a thousand tasks that change at once must not flood the front end (1,000 messages/s).
ROUND = 150


def badge_bundle(task_run: TaskRun, now: datetime, kernel: str | None = None) -> dict[str, str]:
    """Return a task's badge in every form."""
    html = badge_html(task_run, now.astimezone(), kernel)
    return {"text/html": html, "text/plain": badge_text(task_run, now)}


def as_stale(task_run: TaskRun, why: str) -> TaskRun:
    """Return a task run that has completed as one that is to come again, with the reason; any other as it is."""
    if not why or task_run.state.type is not StateType.COMPLETED:
        return task_run
    return TaskRun(task_run.run_id, task_run.task, State(StateType.PENDING, message=f"stale: {why}"))


class _Place:
    """A task's badge: where it stands and what it last showed."""

    __slots__ = ("address", "clears", "display_id", "has_outputs", "shown", "stale", "task_run")

    def __init__(self, address: Address, display_id: str) -> None:
        self.address = address
        self.display_id = display_id
        self.shown = ""
        self.has_outputs = False
        #: Whether the next output replaces those before it.
        self.clears = False
        self.task_run: TaskRun | None = None
        #: Why what the task left does not hold any more, or empty.
        self.stale = ""


class LiveDisplay:
    """Keeps the badges and the summary of one notebook's runs up to date.

    Parameters
    ----------
    outlet : Outlet
        The way to the cells.
    now : callable
        The time.
    kernel : str
        The name by which pages know that they are told what changes.

    Notes
    -----
    A run is shown at the places its tasks had when it began.  A cell that is executed again meanwhile has a new badge,
    which belongs to the next run; what the present one still sends to the old place, the front end lets drop.
    """

    def __init__(self, outlet: Outlet | TextOutlet, now: Callable[[], datetime], kernel: str = "") -> None:
        self._outlet = outlet
        self._now = now
        self._kernel = kernel
        self._lock = threading.Lock()
        self._sending = threading.RLock()
        self._places: dict[str, _Place] = {}
        self._captures: dict[str, Capture] = {}
        #: What tasks have left under their cells, for cells that are executed again while their task is fresh.
        self._left: dict[str, list[Mapping[str, Any]]] = {}
        # The run that is shown.
        self._look: Callable[[], FlowRun | None] = lambda: None
        self._is_over: Callable[[], bool] = lambda: True
        self._shown_at: dict[str, _Place] = {}
        self._running = Address()
        self._summary_id = ""
        self._summary_shown = ""
        self._is_settled = True
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    # badges

    def place(self, name: str, display_id: str, task_run: TaskRun, count: int) -> None:
        """Show a task's badge in the cell that is being executed; from now on it lives there.

        Below the badge of a task that has completed stands what it put out; `count` is the number of its cell.
        """
        place = _Place(self._outlet.here(), display_id)
        with self._lock:
            self._places[name] = place
        self._send_badge(place, task_run, is_new=True, running=place.address)
        if task_run.state.type is StateType.COMPLETED:
            with self._sending:
                for output in self._left.get(name, ()):
                    number = {"execution_count": count} if output["output_type"] == "execute_result" else {}
                    self._send_output({**output, **number}, place, place.address)

    def last(self, name: str) -> TaskRun | None:
        """Return the task run that a task's badge shows."""
        with self._lock:
            place = self._places.get(name)
        return place.task_run if place is not None else None

    def mark(self, stale: Mapping[str, str]) -> None:
        """Mark the badges of these tasks as stale, each with the reason, and no others."""
        with self._lock:
            places = dict(self._places)
        running = self._outlet.here()
        for name, place in places.items():
            why = stale.get(name, "")
            with self._sending:  # another thread may be showing how the run ended: what stood there before is over
                if place.task_run is not None and why != place.stale:
                    self._send_badge(place, place.task_run, stale=why, running=running)

    def remove(self, name: str) -> None:
        """Forget the badge of a task that is no more."""
        with self._lock:
            self._places.pop(name, None)
            self._left.pop(name, None)

    def _send_badge(
        self,
        place: _Place,
        task_run: TaskRun,
        *,
        is_new: bool = False,
        running: Address | None = None,
        stale: str = "",
    ) -> bool:
        """Send a badge if it has changed; return whether it had."""
        bundle = badge_bundle(as_stale(task_run, stale), self._now(), self._kernel)
        with self._sending:
            place.task_run, place.stale = task_run, stale
            if bundle["text/html"] == place.shown and not is_new:
                return False
            place.shown = bundle["text/html"]
            kind = "display_data" if is_new else "update_display_data"
            # The mark lets the executed notebook be brought up to date when this kernel dies before it can do so.
            metadata = {"orch_notebook": {"task": task_run.name}}
            content = {"data": bundle, "metadata": metadata, "transient": {"display_id": place.display_id}}
            self._outlet.send(kind, content, place.address, running or self._running, place.display_id)
            return True

    # what tasks put out

    def begin(self, name: str, capture: Capture) -> None:
        """Take note that a task begins to put out; what an earlier run left under its cell goes."""
        with self._lock:
            self._captures[name] = capture
        with self._sending:
            self._left[name] = []
            place = self._shown_at.get(name)
            if place is None or not place.has_outputs:
                return
            self._clear(name, place)

    def put_out(self, name: str, capture: Capture) -> None:
        """Send what a task has put out since the last time."""
        with self._sending:  # one at a time, so that the outputs of a task keep their order
            place = self._shown_at.get(name)
            for output in capture.take():
                self._remember(name, output)
                if place is not None and output["output_type"] == "clear_output":
                    # A task that clears its cell clears what it has put out, not its badge.
                    place.clears = bool(output["wait"])
                    if not place.clears:
                        self._clear(name, place)
                    continue
                if place is not None and place.clears:
                    place.clears = False
                    self._clear(name, place)
                self._send_output(output, place)

    def put_again(self, name: str, outputs: list[dict[str, Any]]) -> None:
        """Show what a task put out when the result that takes its place was made."""
        with self._sending:
            self._left[name] = []
            for output in outputs:
                self._remember(name, output)
            place = self._shown_at.get(name)
            if place is None or place.has_outputs:
                return
            for each in self._left[name]:
                self._send_output(each, place)

    def _remember(self, name: str, output: Mapping[str, Any]) -> None:
        left = self._left.setdefault(name, [])
        if output["output_type"] == "clear_output":
            left.clear()
        else:
            left.append(output)

    def _clear(self, name: str, place: _Place) -> None:
        """Clear a task's cell but for its badge; one message replaces the other, so nothing flickers."""
        place.has_outputs = False
        self._outlet.send("clear_output", {"wait": True}, place.address, self._running, place.display_id)
        run = self._look()
        now = next((task for task in run.tasks if task.name == name), None) if run else None
        if shown := now or place.task_run:
            self._send_badge(place, shown, is_new=True)

    def _send_output(self, output: Mapping[str, Any], place: _Place | None, running: Address | None = None) -> None:
        content = {key: value for key, value in output.items() if key != "output_type"}
        address = place.address if place is not None else self._running
        display_id = place.display_id if place is not None else ""
        if place is not None:
            place.has_outputs = True
        self._outlet.send(output["output_type"], content, address, running or self._running, display_id)

    # one run

    @contextmanager
    def held(self) -> Iterator[None]:
        """Send nothing meanwhile, from no thread: a run's first outputs may come before it is said where they go."""
        self.finish()
        with self._sending:
            yield

    def follow(self, look: Callable[[], FlowRun | None], is_over: Callable[[], bool], summary_id: str = "") -> None:
        """Begin to show a run, with its summary in the cell that is being executed if it has an id."""
        self.finish()
        self._look, self._is_over, self._running = look, is_over, self._outlet.here()
        self._summary_id, self._summary_shown = summary_id, ""
        self._is_settled = False
        with self._lock:
            self._shown_at = dict(self._places)
        self._refresh()
        self._wake.clear()
        self._stop.clear()
        self._thread = threading.Thread(target=self._pump, name="orch-display", daemon=True)
        self._thread.start()

    def changed(self) -> None:
        """Take note that the run has changed."""
        self._wake.set()

    def finish(self) -> None:
        """Show how the run ended; nothing of it is sent after this returns."""
        thread, self._thread = self._thread, None
        if thread is not None and thread is not threading.current_thread():
            self._stop.set()
            self._wake.set()
            thread.join(timeout=5.0)
        if not self._is_settled:
            self._refresh(everything=True)

    def _pump(self) -> None:
        me = threading.current_thread()
        while self._thread is me:
            self._wake.wait(INTERVAL)
            self._wake.clear()
            is_last = self._is_over()
            try:
                self._refresh(everything=is_last)
            except Exception:
                logger.exception("The badges could not be refreshed.")
            if is_last or self._thread is not me:
                return
            self._stop.wait(INTERVAL)

    def _refresh(self, *, everything: bool = False) -> None:
        run = self._look()
        if run is None:
            return
        for name, capture in list(self._captures.items()):
            self.put_out(name, capture)
        left = ROUND
        for task_run in run.tasks:
            state = task_run.state
            if state.is_final:
                with self._lock:
                    self._captures.pop(task_run.name, None)
            place = self._shown_at.get(task_run.name)
            # What has not begun or has ended looks as it did; the others count their seconds.
            if place is None or (place.task_run is task_run and (state.is_final or state.type is StateType.PENDING)):
                continue
            if left or everything:
                left -= self._send_badge(place, task_run)
        if self._summary_id:
            self._send_summary(run)
        self._is_settled = everything and run.state.is_final

    def _send_summary(self, run: FlowRun) -> None:
        bundle = summary_bundle(run, self._now(), self._kernel)
        with self._sending:
            if bundle["text/html"] == self._summary_shown:
                return
            kind = "update_display_data" if self._summary_shown else "display_data"
            self._summary_shown = bundle["text/html"]
            metadata = {"orch_notebook": {"run_id": run.run_id}}
            content = {"data": bundle, "metadata": metadata, "transient": {"display_id": self._summary_id}}
            self._outlet.send(kind, content, self._running, self._running)
