"""One attempt of a task run, in the place where it is performed: its arguments, its log, its slots and its result.

In: a task run whose attempt has begun.  Out: what is recorded of its completion, with the value left to its future.  A
thread and an event loop share everything here; only the function itself is called by the one and awaited by the other.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from orch_notebook.errors import ReturnedFailure
from orch_notebook.functions.arguments import resolve
from orch_notebook.functions.futures import Future
from orch_notebook.functions.jobs import perform_elsewhere
from orch_notebook.functions.limits import slots_of_tags
from orch_notebook.functions.logs import logging_prints, not_logging_prints
from orch_notebook.functions.outcomes import Outcome
from orch_notebook.functions.plans import Plan
from orch_notebook.functions.transactions import current_transaction
from orch_notebook.runtime.context import TaskScope, task_scope
from orch_notebook.runtime.runners.places import Carrier

__all__ = ["Attempt", "attempting", "perform"]

AS_BEFORE: AbstractContextManager[None] = nullcontext()
NO_SLOTS: nullcontext[None] = nullcontext()


@dataclass(slots=True)
class Attempt:
    """One attempt, while it is performed.

    Attributes
    ----------
    future : Future
        The task run.
    args, kwargs : tuple, dict
        What the function is given, with results in the places of futures.
    plan : Plan or None
        How its result is kept.
    reused : mapping or None
        An earlier result stands for the attempt: what is recorded of that, and nothing is left to do.
    """

    future: Future
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    plan: Plan | None
    reused: Mapping[str, Any] | None

    def slots(self) -> Any:
        """Return the slots that the function must hold because of its tags, for ``with`` or ``async with``."""
        future = self.future
        return (future.tags and slots_of_tags(future.performance.home, future.tags)) or NO_SLOTS

    def take(self, value: Any) -> Mapping[str, Any] | None:
        """Take what the function returned, and keep it as planned.

        Raises
        ------
        ReturnedFailure
            It returned a state, or a future, that did not end well.
        """
        told = _accept(self.future, value)
        if (within := current_transaction.get()) is not None:
            within.note(self.future)
        if self.plan is None:
            return told
        kept = self.future.performance.keeper.keep(self.future, self.plan)
        return {**kept, **told} if told else kept


@contextmanager
def attempting(future: Future, number: int) -> Iterator[Attempt]:
    """Give the attempt that is performed within the block, whose code is the task run's from then on."""
    task, performance = future.task, future.performance
    future.attempt = number
    strict = task.when == "all_success"
    args = tuple([resolve(value, raise_on_failure=strict) for value in future.args])
    kwargs = {name: resolve(value, raise_on_failure=strict) for name, value in future.kwargs.items()}
    scope = TaskScope(future.name, task.name, number, task.tags, lambda: task.named(args, kwargs), future)
    if task.assets:
        scope.assets = performance.lineage.begin(future)
    token = task_scope.set(scope)
    try:
        plan = performance.keeper.plan(future, args, kwargs)
        with performance.keeper.alone(plan), _prints(future, number):
            reused = performance.keeper.reuse(future, plan) if plan is not None else None
            yield Attempt(future, args, kwargs, plan, reused)
    finally:
        task_scope.reset(token)


def perform(future: Future, number: int, place: Carrier | None) -> Mapping[str, Any] | None:
    """Do the work of one attempt in this thread, or have its function called where `place` takes it."""
    try:
        with attempting(future, number) as attempt:
            if attempt.reused is not None:
                return attempt.reused
            with attempt.slots():
                if place is None:
                    value = future.task.perform(future, attempt.args, attempt.kwargs)
                else:
                    value = _perform_elsewhere(place, attempt, number)
            return attempt.take(value)
    except KeyboardInterrupt as interrupt:
        if threading.current_thread() is threading.main_thread():
            _interrupt(future, interrupt)
        raise


def _perform_elsewhere(place: Carrier, attempt: Attempt, number: int) -> Any:
    future = attempt.future
    future.task.tell_start(future)

    def say(level: int, text: str) -> None:
        future.performance.log(future.name, number, level, text)

    return perform_elsewhere(place, future, attempt.args, attempt.kwargs, say)


def _prints(future: Future, attempt: int) -> AbstractContextManager[None]:
    """Return the context in which what an attempt prints goes into its log, if it is to."""
    performance, wanted = future.performance, future.task.options.log_prints
    if wanted or (wanted is None and performance.log_prints):
        return logging_prints(performance, future.name, attempt)
    return not_logging_prints() if performance.log_prints else AS_BEFORE


def _interrupt(future: Future, interrupt: KeyboardInterrupt) -> None:
    # Ctrl-C is meant for the whole run: the attempt counts as cancelled, not as failed.
    future.interrupt = interrupt
    call = future.performance.engine.call_of(future.name)
    if call is not None and not call.stop_reason:
        call.stop_reason = "cancel"


def _accept(future: Future, value: Any) -> Mapping[str, Any] | None:
    """Leave a value to its future, and return what is recorded of it."""
    if type(value) is Future:
        value = value.result()
    if type(value) is Outcome:
        if value.is_final() and not value.is_completed():
            error = value.data if isinstance(value.data, BaseException) else None
            raise error or ReturnedFailure(value.message or f"It returned {value.name}.", task=future.name)
        future.value = value.data
        return {"note": value.message, **(future.facts or {})} if value.message else future.facts
    future.value = value
    return future.facts
