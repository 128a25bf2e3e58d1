"""The door to what stands above this floor: a flow can be asked to run by itself, which is another floor's to arrange.

Only the front of the package knows where each public name lives, so it is asked by name, when somebody asks.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = ["above"]


def above(name: str) -> Any:
    """Return what the package's front door knows under a name."""
    return getattr(import_module(__package__.partition(".")[0]), name)
