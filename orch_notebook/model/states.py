"""Where a run or a task run stands, and where it may go from there.

A state is a type and a name.  The nine types are Prefect's and drive every decision; names are for people.
The transition table is total: it says for every type which types may follow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

__all__ = ["FINAL", "NAMES", "TRANSITIONS", "State", "StateType", "may_follow"]


class StateType(StrEnum):
    """The nine types of state, with Prefect's meanings."""

    SCHEDULED = "SCHEDULED"
    PENDING = "PENDING"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    CANCELLING = "CANCELLING"
    CANCELLED = "CANCELLED"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CRASHED = "CRASHED"

    # That of an Enum is written in Python, and every event is looked up in several tables.
    __hash__ = str.__hash__


# Python 3.11 finds a member by a property written in Python, which takes ten times as long as what 3.12 does.
for _member in StateType:
    type.__setattr__(StateType, _member.name, _member)

T = StateType

#: Every name a state may bear, by type; the first is the one it bears when nothing else is said.
NAMES: Mapping[StateType, tuple[str, ...]] = MappingProxyType(
    {
        T.SCHEDULED: ("Scheduled", "Late", "AwaitingRetry", "AwaitingConcurrencySlot"),
        T.PENDING: ("Pending",),
        T.RUNNING: ("Running", "Retrying"),
        T.PAUSED: ("Paused", "Suspended"),
        T.CANCELLING: ("Cancelling",),
        T.CANCELLED: ("Cancelled", "UpstreamFailed", "Missed"),
        T.COMPLETED: ("Completed", "Cached", "Skipped"),
        T.FAILED: ("Failed", "TimedOut"),
        T.CRASHED: ("Crashed", "Lost"),
    }
)

#: The types in which nothing more happens unless somebody asks for it.
FINAL: frozenset[StateType] = frozenset({T.COMPLETED, T.FAILED, T.CRASHED, T.CANCELLED})

#: For every type, the types that may follow it.  FAILED and CRASHED lead on because a retry follows them, and
#: CANCELLED because a resumed run takes up again what was cancelled or never ran; COMPLETED is for good.
TRANSITIONS: Mapping[StateType, frozenset[StateType]] = MappingProxyType(
    {
        T.SCHEDULED: frozenset({T.SCHEDULED, T.PENDING, T.RUNNING, T.PAUSED, T.CANCELLING, T.CANCELLED, T.CRASHED}),
        T.PENDING: frozenset(
            {T.SCHEDULED, T.RUNNING, T.PAUSED, T.CANCELLING, T.CANCELLED, T.COMPLETED, T.FAILED, T.CRASHED}
        ),
        T.RUNNING: frozenset(
            {T.SCHEDULED, T.RUNNING, T.PAUSED, T.CANCELLING, T.CANCELLED, T.COMPLETED, T.FAILED, T.CRASHED}
        ),
        T.PAUSED: frozenset({T.SCHEDULED, T.PENDING, T.RUNNING, T.CANCELLING, T.CANCELLED, T.FAILED, T.CRASHED}),
        T.CANCELLING: frozenset({T.CANCELLED, T.COMPLETED, T.FAILED, T.CRASHED}),
        T.CANCELLED: frozenset({T.SCHEDULED, T.PENDING}),
        T.COMPLETED: frozenset(),
        T.FAILED: frozenset({T.SCHEDULED, T.PENDING}),
        T.CRASHED: frozenset({T.SCHEDULED, T.PENDING}),
    }
)


@dataclass(frozen=True, slots=True)
class State:
    """One state: a type, a name and, where it helps, a message.

    Parameters
    ----------
    type : StateType
        Drives decisions.
    name : str, optional
        What people see; one of ``NAMES[type]``, by default its first.
    message : str, optional
        One line that says why, for people.

    Raises
    ------
    ValueError
        The name does not belong to the type.

    Examples
    --------
    >>> State(StateType.CANCELLED, "UpstreamFailed", "'load' failed").is_final
    True
    >>> State(StateType.RUNNING)
    State(type=<StateType.RUNNING: 'RUNNING'>, name='Running', message='')
    """

    type: StateType
    name: str = ""
    message: str = ""

    def __post_init__(self) -> None:
        names = NAMES[self.type]
        if not self.name:
            object.__setattr__(self, "name", names[0])
        elif self.name not in names:
            raise ValueError(f"State name {self.name!r} is not one of {self.type}'s: {', '.join(names)}.")

    @property
    def is_final(self) -> bool:
        """Whether nothing more happens unless somebody asks for it."""
        return self.type in FINAL

    def to_json(self) -> dict[str, str]:
        """Return ``{"type", "name", "message"}``, the form every ``--json`` shows."""
        return {"type": self.type.value, "name": self.name, "message": self.message}

    @classmethod
    def from_json(cls, data: Mapping[str, str]) -> State:
        """Read what :meth:`to_json` wrote."""
        return cls(StateType(data["type"]), data.get("name", ""), data.get("message", ""))


def may_follow(before: StateType | None, after: StateType) -> bool:
    """Whether a run or task run in state type `before` may enter `after`; ``None`` means it has just been made.

    Examples
    --------
    >>> may_follow(StateType.RUNNING, StateType.COMPLETED)
    True
    >>> may_follow(StateType.COMPLETED, StateType.RUNNING)
    False
    """
    if before is None:
        return after in (T.SCHEDULED, T.PENDING)
    return after in TRANSITIONS[before]
