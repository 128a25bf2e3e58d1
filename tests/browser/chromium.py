"""Where Chromium is, for the test command and for the browser tests alike; standard library only."""

from __future__ import annotations

import shutil

__all__ = ["HOW_TO_INSTALL", "find_chromium"]

#: Names under which distributions put it on PATH, best first.
NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome")

HOW_TO_INSTALL = "Install it so that `chromium` is on PATH: `apt-get install chromium` on Debian, or Google Chrome."


def find_chromium() -> str | None:
    """Return the path of a Chromium or Chrome on PATH, or ``None``."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)
