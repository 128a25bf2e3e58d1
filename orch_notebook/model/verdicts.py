"""What a task does next, as the ends of those it waits for allow.

In: the rule of a task (``when``) and what has become of the tasks it waits for.  Out: whether it starts, waits on, is
skipped, or ends because of one of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum

from orch_notebook.model.stands import Stand
from orch_notebook.model.states import StateType

__all__ = ["Verdict", "judge", "judge_after", "judge_now"]


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
    >>> from orch_notebook.model.tasks import Task
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


def judge_now(stand: Stand, stands: Mapping[str, Stand]) -> tuple[Verdict, str]:
    """Decide about a task as all that it waits for stands now."""
    if stand.task.when == "all_success":
        return (Verdict.START if stand.culprit or not stand.waiting else Verdict.WAIT), ""
    ends = [stands[each] for each in stand.before if stands[each].is_settled]
    return judge(stand.task.when, ends, is_last=not stand.waiting)


def judge_after(end: Stand, stand: Stand, stands: Mapping[str, Stand]) -> tuple[Verdict, str]:
    """Decide about a task that follows a skipped one (`end`), or that does not simply want all to complete."""
    is_wanted = stand.wants(end.task.name)
    if stand.task.when == "all_success" and is_wanted:
        return Verdict.SKIP, end.task.name
    if stand.waiting and not is_wanted:
        return Verdict.WAIT, ""
    if stand.task.when == "all_success":
        return Verdict.START, ""
    # One end is enough to tell, until the last: looking at all of them each time would be quadratic.
    ends = [end] if stand.waiting else [stands[each] for each in stand.before]
    return judge(stand.task.when, ends, is_last=not stand.waiting)
