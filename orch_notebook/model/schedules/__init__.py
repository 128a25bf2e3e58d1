"""When something should run by itself: rules that yield moments.

In: two moments.  Out: the due times between them.  A schedule holds no clock: whoever asks says what time it is, so a
year of due times is a table in a test.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from orch_notebook.errors import ScheduleError
from orch_notebook.model.schedules.cron import Cron
from orch_notebook.model.schedules.preview import DueTime, preview
from orch_notebook.model.schedules.recurrence import Recurrence
from orch_notebook.model.schedules.steps import Interval, Once

__all__ = ["Cron", "DueTime", "Interval", "Once", "Recurrence", "Schedule", "preview", "schedule_from_json"]

Schedule = Cron | Interval | Recurrence | Once


def schedule_from_json(data: Mapping[str, Any]) -> Schedule:
    """Read what a schedule's ``to_json`` wrote.

    Examples
    --------
    >>> schedule_from_json({"kind": "cron", "expression": "0 6 * * *", "timezone": "UTC"})
    Cron(expression='0 6 * * *', timezone='UTC')
    """
    match data.get("kind"):
        case "cron":
            return Cron(data["expression"], data["timezone"])
        case "interval":
            return Interval(data["seconds"], datetime.fromisoformat(data["anchor"]))
        case "rrule":
            return Recurrence(data["rule"], datetime.fromisoformat(data["start"]), data["timezone"])
        case "once":
            return Once(datetime.fromisoformat(data["at"]))
        case other:
            raise ScheduleError(f"There is no schedule of kind {other!r}; there are cron, interval, rrule and once.")
