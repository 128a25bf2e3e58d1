"""Lines of what is written in pieces, as a terminal shows them in the end."""

from __future__ import annotations

import logging
from collections.abc import Callable

__all__ = ["LINE_LIMIT", "Lines"]

#: Characters of a line that are kept.
LINE_LIMIT = 10_000


class Lines:
    """Makes lines of the text that comes on two streams.

    Parameters
    ----------
    line : callable
        ``line(level, text)`` is told each complete line that is not blank; ``"stderr"`` counts as a warning.

    Examples
    --------
    >>> lines = Lines(print)
    >>> lines.write("stdout", "one\\ntw")
    20 one
    >>> lines.write("stdout", "o\\r10 %\\r20 %")
    >>> lines.finish()
    20 20 %
    """

    def __init__(self, line: Callable[[int, str], object]) -> None:
        self._line = line
        self._partial: dict[str, list[str]] = {}  # parts of the line that is being written, by stream

    def write(self, stream: str, text: str) -> None:
        """Take text written to ``"stdout"`` or ``"stderr"``."""
        # Parts are joined once per line: a million dots would otherwise copy half a million characters for each.
        parts = self._partial.setdefault(stream, [])
        if "\n" not in text:
            shown = text.rstrip("\r")
            if shown and "\r" in text:
                # A progress bar: what stood there before can no longer be seen.
                parts.clear()
                text = shown.rpartition("\r")[2] + text[len(shown) :]
            parts.append(text)
            return
        lines = ("".join(parts) + text).split("\n")
        parts[:] = [lines.pop()]
        for line in lines:
            self._say(stream, line)

    def finish(self) -> None:
        """Complete the last lines."""
        for stream, parts in self._partial.items():
            if rest := "".join(parts):
                self._say(stream, rest)
        self._partial.clear()

    def _say(self, stream: str, line: str) -> None:
        # A progress bar rewrites its line after each \r: what it last showed is the line.
        line = line.rstrip("\r").rpartition("\r")[2]
        if line.strip():
            level = logging.WARNING if stream == "stderr" else logging.INFO
            self._line(level, line if len(line) <= LINE_LIMIT else f"{line[:LINE_LIMIT]} …")
