"""How a worker's log is written: for people, or one JSON object a line for machines."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from enum import StrEnum

__all__ = ["JsonLines", "LogFormat", "begin_log"]


class LogFormat(StrEnum):
    """The ways to write a log."""

    TEXT = "text"
    JSON = "json"


class JsonLines(logging.Formatter):
    """Writes each record as one JSON object: ``at``, ``level``, ``logger``, ``message``, and perhaps ``error``."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as a line."""
        found = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            found["error"] = self.formatException(record.exc_info)
        return json.dumps(found, ensure_ascii=False)


def begin_log(kind: LogFormat, *, quiet: bool) -> None:
    """Have everything that is logged written to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    if kind is LogFormat.JSON:
        handler.setFormatter(JsonLines())
    else:
        # A log that is kept wants the day, too.
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S" if sys.stderr.isatty() else None))
    logging.basicConfig(level=logging.WARNING if quiet else logging.INFO, handlers=[handler])
