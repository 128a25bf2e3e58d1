"""The making of syntax trees: one thread at a time."""

from __future__ import annotations

import threading

__all__ = ["making_trees"]

#: Held by whoever makes syntax trees, as drawing a traceback does: CPython 3.11 counts their depth for all threads
#: together, and raises a SystemError where two of them take turns while it makes one (python/cpython#106905).
making_trees = threading.RLock()
