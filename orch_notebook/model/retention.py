"""How long what runs leave is kept: by age and by count.

In: the ended runs of a deployment, a rule, and the present instant.  Out: the runs that may go.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from orch_notebook.errors import UsageError
from orch_notebook.model.durations import interval_words, parse_interval
from orch_notebook.model.runs import FlowRun

__all__ = ["Retention"]

FORM = "30d (younger ones), 100 (so many of the newest), 30d,100 (both), or forever"


@dataclass(frozen=True, slots=True)
class Retention:
    """Which runs are kept: those younger than `age` seconds and among the `count` newest; None for any.

    Examples
    --------
    >>> Retention.parse("30d,100")
    Retention(age=2592000.0, count=100)
    """

    age: float | None = None
    count: int | None = None

    @classmethod
    def parse(cls, text: str) -> Retention:
        """Read a rule: an age, a count, both with a comma between, or ``forever``.

        Raises
        ------
        UsageError
            It is neither.
        """
        age: float | None = None
        count: int | None = None
        for part in text.split(",") if text.strip().lower() not in ("", "forever") else ():
            part = part.strip()
            if re.fullmatch(r"\d+", part) and count is None:
                count = int(part)
            elif re.fullmatch(r"[\d.]+\s*[a-zA-Z].*", part) and age is None:
                age = parse_interval(part)
            else:
                raise UsageError(f"Runs cannot be kept {text!r}. Write {FORM}.")
        return cls(age, count)

    @property
    def text(self) -> str:
        """The rule as :meth:`parse` reads it; nothing where all is kept.

        Examples
        --------
        >>> Retention.parse("100, 2w").text
        '14 d,100'
        """
        parts = [] if self.age is None else [interval_words(self.age)]
        return ",".join(parts if self.count is None else [*parts, str(self.count)])

    def superfluous(self, runs: Iterable[FlowRun], now: datetime) -> list[FlowRun]:
        """Return the runs that need not be kept.

        Parameters
        ----------
        runs : iterable of FlowRun
            Those of one deployment, or those of none, newest first.  Runs that have not ended count and are kept.
        """
        oldest = None if self.age is None else now - timedelta(seconds=self.age)
        gone = []
        for place, run in enumerate(runs):
            if not run.state.is_final:
                continue
            ended_at = run.ended_at or run.created_at
            is_old = oldest is not None and ended_at < oldest
            if is_old or (self.count is not None and place >= self.count):
                gone.append(run)
        return gone
