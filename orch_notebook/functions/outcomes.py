"""How a run stands or ended, as the code of a flow holds it: a state, and what came of it.

In: a state of the model and a value or an error.  Out: an object to ask (``state.is_failed()``, ``state.result()``),
and what a function may return to say how it ended (``return Failed(message="no rows")``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from orch_notebook.errors import FlowRunSuspended, ReturnedFailure, TaskError
from orch_notebook.model.states import NAMES, State, StateType
from orch_notebook.runtime.calls import without_ours

__all__ = ["Away", "Cancelled", "Completed", "Crashed", "Failed", "Outcome", "Suspension"]

T = StateType


class Away:
    """Stands where a value was that is kept elsewhere, and is not held in memory.

    Parameters
    ----------
    what : str
        What it is, for whoever finds it gone.
    load : callable
        Returns it in a tuple; None if it is gone.
    """

    __slots__ = ("_load", "_what")

    def __init__(self, what: str, load: Callable[[], Any]) -> None:
        self._what = what
        self._load = load

    def load(self) -> Any:
        """Return the value.

        Raises
        ------
        TaskError
            It is gone.
        """
        found = self._load()
        if found is None:
            raise TaskError(f"{self._what} and is not to be found any more, or cannot be read.")
        return found[0]


class Outcome:
    """A state, with the value or the error that came with it.

    Parameters
    ----------
    type : StateType
        One of the nine types.
    name : str, optional
        What people see; any word.
    message : str, optional
        One line that says why.
    data : object, optional
        What ``result()`` returns, or raises when it is an exception.

    Examples
    --------
    >>> outcome = Outcome(StateType.COMPLETED, data=42)
    >>> outcome.is_completed(), outcome.result()
    (True, 42)
    >>> outcome
    Completed()
    """

    __slots__ = ("_data", "message", "name", "type")

    def __init__(self, type: StateType | str, name: str = "", message: str | None = "", data: Any = None) -> None:
        self.type = StateType(type)
        self.name = name or NAMES[self.type][0]
        self.message = message or ""
        self._data = data

    @property
    def data(self) -> Any:
        """What came with it: a value or an error; loaded now, if it is not held in memory."""
        return self._data.load() if type(self._data) is Away else self._data

    def result(self, raise_on_failure: bool = True, **ignored: Any) -> Any:
        """Return what came of it; raise what went wrong, or return that too.

        Raises
        ------
        Exception
            The error of a run that did not end well.
        """
        if self.type is T.COMPLETED or not self.is_final():
            return self.data
        error = self.data
        if not isinstance(error, BaseException):
            # A state that a function returned may carry a value although it says that something failed.
            kind = ReturnedFailure if error is not None or self.type is not T.CANCELLED else TaskError
            error = kind(self.message or f"It ended {self.name}.")
        if raise_on_failure:
            __tracebackhide__ = True  # IPython leaves out the frames that say so
            raise without_ours(error)
        return error

    def is_scheduled(self) -> bool:
        """Whether it waits for its time."""
        return self.type is T.SCHEDULED

    def is_pending(self) -> bool:
        """Whether it has not begun."""
        return self.type is T.PENDING

    def is_running(self) -> bool:
        """Whether it is being performed."""
        return self.type is T.RUNNING

    def is_completed(self) -> bool:
        """Whether it ended well."""
        return self.type is T.COMPLETED

    def is_failed(self) -> bool:
        """Whether it failed."""
        return self.type is T.FAILED

    def is_crashed(self) -> bool:
        """Whether the process that performed it died."""
        return self.type is T.CRASHED

    def is_cancelled(self) -> bool:
        """Whether it was cancelled, or never ran."""
        return self.type is T.CANCELLED

    def is_cancelling(self) -> bool:
        """Whether it is being stopped."""
        return self.type is T.CANCELLING

    def is_paused(self) -> bool:
        """Whether it waits for somebody."""
        return self.type is T.PAUSED

    def is_final(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.type in (T.COMPLETED, T.FAILED, T.CRASHED, T.CANCELLED)

    def to_state(self) -> State:
        """Return it as the model knows it: a name of its own goes into the message."""
        if self.name in NAMES[self.type]:
            return State(self.type, self.name, self.message)
        return State(self.type, message=f"{self.name}: {self.message}" if self.message else self.name)

    def __repr__(self) -> str:
        return f"{self.name}({self.message!r})" if self.message else f"{self.name}()"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Outcome):
            return NotImplemented
        return (self.type, self.name, self.message) == (other.type, other.name, other.message)

    __hash__ = None  # type: ignore[assignment]


class Suspension(BaseException):
    """Leaves the body of a flow that is suspended; no ``except Exception`` of the body stands in its way."""

    def __init__(self, error: FlowRunSuspended, waits_for: str) -> None:
        super().__init__(str(error))
        self.error = error
        self.waits_for = waits_for


def Completed(*, message: str = "", data: Any = None, name: str = "") -> Outcome:
    """Return the state of what ended well; a function that returns it ends so."""
    return Outcome(T.COMPLETED, name, message, data)


def Failed(*, message: str = "", data: Any = None, name: str = "") -> Outcome:
    """Return the state of what failed; a function that returns it ends so."""
    return Outcome(T.FAILED, name, message, data)


def Crashed(*, message: str = "", data: Any = None, name: str = "") -> Outcome:
    """Return the state of what crashed."""
    return Outcome(T.CRASHED, name, message, data)


def Cancelled(*, message: str = "", data: Any = None, name: str = "") -> Outcome:
    """Return the state of what was cancelled; a function that returns it ends so."""
    return Outcome(T.CANCELLED, name, message, data)
