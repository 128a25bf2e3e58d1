"""The next due times on the wall clock, with what a change of the clocks does to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from heapq import merge

from orch_notebook.model.schedules.rule import Rule
from orch_notebook.model.zones import next_change

__all__ = ["DueTime", "preview"]


@dataclass(frozen=True, slots=True)
class DueTime:
    """One due time ahead: the instant, the wall clock then, and what a change of the clock does to it, if anything."""

    at: datetime
    local: datetime
    note: str = ""


def preview(schedules: Sequence[Rule], after: datetime, zone: tzinfo, count: int = 5) -> list[DueTime]:
    """Return the next due times of some schedules together, each moment once.

    Parameters
    ----------
    schedules : sequence of schedules
        Whose moments count.
    after : datetime
        Aware; the moments after this one.
    zone : tzinfo
        The wall clock to show.
    count : int
        How many.

    Examples
    --------
    >>> from datetime import UTC
    >>> from orch_notebook.model.schedules.cron import Cron
    >>> from orch_notebook.model.zones import find_zone
    >>> nightly, madrid = Cron("30 2 * * *", "Europe/Madrid"), find_zone("Europe/Madrid")
    >>> for due in preview([nightly], datetime(2026, 3, 27, 12, tzinfo=UTC), madrid, 3):
    ...     print(f"{due.local:%d %b %H:%M} {due.note}".strip())
    28 Mar 02:30
    29 Mar 03:00 the clocks go forward by 1 h; the time they skip comes at its end
    30 Mar 02:30
    """
    found: list[DueTime] = []
    last = after
    for moment in merge(*(schedule.after(after) for schedule in schedules)):
        if len(found) >= count:
            break
        if not found or moment != found[-1].at:
            found.append(DueTime(moment, moment.astimezone(zone), _note(last, moment, zone)))
            last = moment
    return found


def _note(since: datetime, moment: datetime, zone: tzinfo) -> str:
    before, now = since.astimezone(zone).utcoffset(), moment.astimezone(zone).utcoffset()
    assert before is not None and now is not None
    if before == now:
        local = moment.astimezone(zone)
        later = local.replace(fold=1).utcoffset()
        return "this time comes twice; the first is meant" if local.fold == 0 and later != now else ""
    change = next_change(zone, since, moment)
    words = _words(abs(now - before))
    if now < before:
        return f"the clocks go back by {words}"
    at_its_end = "; the time they skip comes at its end" if moment == change else ""
    return f"the clocks go forward by {words}{at_its_end}"


def _words(length: timedelta) -> str:
    hours, rest = divmod(round(length.total_seconds()), 3600)
    return " ".join(([f"{hours} h"] if hours else []) + ([f"{rest // 60} min"] if rest else []))
