"""What the verbs of a store in a database stand on: its statements, and connections to read and to write."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

__all__ = ["Connected"]


class Connected(ABC):
    """A way to the database; each family of verbs is built on it."""

    _queries: Any

    @abstractmethod
    def _read(self) -> AbstractContextManager[Any]:
        """Open a connection for reading."""

    @abstractmethod
    def _write(self, *, durable: bool = False) -> AbstractContextManager[Any]:
        """Open a connection for one transaction."""

    @abstractmethod
    def _alone(self, connection: Any) -> None:
        """Keep others that count before they write waiting until this transaction ends."""

    def _one(self, read: Callable[[Any], Any]) -> Any:
        with self._read() as connection:
            return read(connection)

    def _all(self, query: str, **parameters: Any) -> list[dict[str, Any]]:
        with self._read() as connection:
            return list(getattr(self._queries, query)(connection, **parameters))
