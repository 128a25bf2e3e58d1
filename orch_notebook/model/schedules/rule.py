"""What every schedule answers, whatever its rule."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import Any

from orch_notebook.model.zones import aware

__all__ = ["Rule"]

LIMIT = 1000


class Rule(ABC):
    """What every schedule answers, given the moments after an instant in order."""

    __slots__ = ()

    @abstractmethod
    def _after(self, moment: datetime) -> Iterator[datetime]:
        """Yield the moments after this one, in order."""

    def due(self, since: datetime, until: datetime, limit: int = LIMIT) -> list[datetime]:
        """Return the moments t with ``since < t <= until``, in order, aware UTC, the first `limit` of them."""
        end = aware(until)
        found: list[datetime] = []
        for moment in islice(self._after(aware(since)), limit):
            if moment > end:
                break
            found.append(moment)
        return found

    def after(self, moment: datetime) -> Iterator[datetime]:
        """Yield the moments after this one, in order, aware UTC."""
        return self._after(aware(moment))

    def next(self, after: datetime) -> datetime | None:
        """Return the first moment after `after`, aware UTC, or ``None`` when there is no more."""
        return next(self._after(aware(after)), None)

    @abstractmethod
    def words(self) -> str:
        """Return the schedule as a person reads it."""

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """Return what :func:`schedule_from_json` reads."""
