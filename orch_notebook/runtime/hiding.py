"""Keeps the values of secrets out of what a run process writes to its log, whichever code writes it."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from orch_notebook.runtime.redaction import redactor

__all__ = ["hidden_output"]


class _Hiding:
    """A stream in front of another, which lets no value of a secret through."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(redactor.redact(text))
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def hidden_output() -> Iterator[None]:
    """Put something in front of this process's streams, and of the log handlers that write to them, for a while."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _Hiding(sys.stdout), _Hiding(sys.stderr)
    changed = []
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler) and handler.stream is before[1]:
            changed.append((handler, handler.setStream(sys.stderr)))
    try:
        yield
    finally:
        for handler, stream in changed:
            handler.setStream(stream)
        sys.stdout, sys.stderr = before
