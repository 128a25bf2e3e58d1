"""What a deployment does when the world is not as planned: due times nobody saw, and runs that take too long.

In: the due times that passed, or the runs that stand in the way.  Out: which of them become runs, and what happens to
the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from orch_notebook.errors import ScheduleError, UsageError
from orch_notebook.model.durations import interval_words, parse_interval

__all__ = ["CatchUp", "Overlap"]

FORMS = "latest, all, skip, limit:5 or window:6h"


class Overlap(StrEnum):
    """What a due run does while as many runs of its deployment go on as may."""

    QUEUE = "queue"
    SKIP = "skip"
    CANCEL = "cancel"

    @classmethod
    def parse(cls, text: str) -> Overlap:
        """Read a policy as it is typed.

        Raises
        ------
        UsageError
            There is no such policy.

        Examples
        --------
        >>> Overlap.parse("Skip")
        <Overlap.SKIP: 'skip'>
        """
        try:
            return cls(text.strip().lower())
        except ValueError:
            raise UsageError(
                f"There is no overlap policy {text!r}. A due run may queue behind the one that still goes on, skip, "
                "or cancel that one."
            ) from None


@dataclass(frozen=True, slots=True)
class CatchUp:
    """Which of the due times that passed while nothing looked still become runs.

    Parameters
    ----------
    newest : int or None
        How many of the newest; None for any number.
    within : float or None
        Only those of the last so many seconds; None for any age.

    Examples
    --------
    >>> CatchUp.parse("limit:3")
    CatchUp(newest=3, within=None)
    >>> CatchUp.parse("window:6h").text
    'window:6 h'
    """

    newest: int | None = 1
    within: float | None = None

    @classmethod
    def parse(cls, text: str) -> CatchUp:
        """Read a policy: ``latest``, ``all``, ``skip``, ``limit:N`` or ``window:DURATION``.

        Raises
        ------
        ScheduleError
            It is none of these.
        """
        word, _, value = text.strip().lower().partition(":")
        value = value.strip()
        if not value and word in PLAIN:
            return PLAIN[word]
        if word == "limit" and value.isdecimal():
            return cls(newest=int(value))
        if word == "window" and value:
            return cls(newest=None, within=parse_interval(value))
        raise ScheduleError(f"There is no catch-up policy {text!r}. It may be {FORMS}.")

    @property
    def text(self) -> str:
        """The policy as :meth:`parse` reads it."""
        for word, policy in PLAIN.items():
            if policy == self:
                return word
        return f"limit:{self.newest}" if self.within is None else f"window:{interval_words(self.within)}"

    def missed(self, due: Sequence[datetime], now: datetime, late: float) -> list[datetime]:
        """Return the due times that become no runs any more.

        Parameters
        ----------
        due : sequence of datetime
            Those that nobody has seen yet, in order, none after `now`.
        late : float
            Seconds past its due time up to which a run is in time whatever the policy says.

        Examples
        --------
        >>> noon = datetime(2026, 11, 20, 12)
        >>> hourly = [noon - timedelta(hours=hours) for hours in (3, 2, 1)]
        >>> [moment.hour for moment in CatchUp(newest=1).missed(hourly, noon, late=15)]
        [9, 10]
        """
        kept = len(due) if self.newest is None else self.newest
        oldest = None if self.within is None else now - timedelta(seconds=self.within)
        found = []
        for place, moment in enumerate(due):
            is_overdue = (now - moment).total_seconds() > late
            if is_overdue and (place < len(due) - kept or (oldest is not None and moment < oldest)):
                found.append(moment)
        return found

    @property
    def reason(self) -> str:
        """Why a due time that is missed became no run."""
        if self.within is not None:
            return f"No worker looked within {interval_words(self.within)} of its due time."
        if self.newest == 0:
            return "No worker looked at its due time, and this deployment does not catch up."
        if self.newest == 1:
            return "No worker looked at its due time; a later one was caught up with instead."
        return f"No worker looked at its due time; the {self.newest} newest were caught up with instead."


PLAIN = {"latest": CatchUp(), "all": CatchUp(newest=None), "skip": CatchUp(newest=0)}
