"""Where a task stands in its run, and what the ends of those it waits for allow.

In: the rule of a task (``when``) and what has become of the tasks it waits for.  Out: whether it starts, waits on, is
skipped, or ends because of one of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from orch_notebook.model.states import StateType
from orch_notebook.model.tasks import Task

__all__ = ["Stand", "Verdict", "judge"]


class Stand:
    """Where one task of a run stands; mutable, private to its machine."""

    __slots__ = (
        "attempt",
        "before",
        "culprit",
        "earlier",
        "holds",
        "is_ending",
        "is_issued",
        "is_settled",
        "is_skipped",
        "needs",
        "successors",
        "task",
        "type",
        "waiting",
    )

    def __init__(self, task: Task, waiting: int) -> None:
        self.task = task
        self.type = StateType.PENDING
        self.attempt = 0
        self.earlier = 0  # attempts made before it was added again
        self.waiting = waiting  # predecessors not settled yet
        self.before: Sequence[str] = ()  # predecessors, kept only where `when` asks for all of them
        self.successors: list[str] = []
        self.needs: frozenset[str] | None = None  # predecessors that must succeed; None: all of them
        self.culprit = ""
        self.is_issued = False  # its attempt was commanded, and the outcome has not come back
        self.is_ending = False  # its end was commanded; said once, whoever else gives a reason to end it
        self.holds = False  # it has its exclusive things
        self.is_settled = False  # final, and no retry will follow
        self.is_skipped = False  # it completed without running

    @property
    def has_succeeded(self) -> bool:
        """Whether it was performed and completed."""
        return self.type is StateType.COMPLETED and not self.is_skipped


class Verdict(Enum):
    """What a task does next."""

    WAIT = "wait"
    START = "start"
    SKIP = "skip"
    END = "end"


def judge(when: str, ends: Sequence[Stand], *, is_last: bool) -> tuple[Verdict, str]:
    """Decide about a task that does not simply want all others to complete.

    Parameters
    ----------
    when : str
        Its rule, one of :data:`~orch_notebook.model.tasks.WHEN`.
    ends : sequence of Stand
        Tasks that it waits for and that are settled: all of them once none is left, before that at least the latest.
    is_last : bool
        None is left.

    Returns
    -------
    Verdict, str
        And the task because of which it is so, where one is to be named.

    Examples
    --------
    >>> done = Stand(Task("load"), 0)
    >>> done.type = StateType.COMPLETED
    >>> judge("one_success", [done], is_last=False)
    (<Verdict.START: 'start'>, '')
    >>> judge("one_failed", [done], is_last=True)
    (<Verdict.SKIP: 'skip'>, '')
    """
    if when == "one_success" and any(end.has_succeeded for end in ends):
        return Verdict.START, ""
    if when == "one_failed" and any(end.type in (StateType.FAILED, StateType.CRASHED) for end in ends):
        return Verdict.START, ""
    if not is_last:
        return Verdict.WAIT, ""
    if ends and when in ("one_success", "none_failed"):
        for end in ends:
            if end.type is not StateType.COMPLETED:
                return Verdict.END, end.culprit or end.task.name
        if when == "one_success":
            return Verdict.SKIP, ends[0].task.name
    if ends and when == "one_failed":
        return Verdict.SKIP, ""
    return Verdict.START, ""
