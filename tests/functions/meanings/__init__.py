"""What every option and call of functions means: one behaviour for each name, and one place that lists them all.

The modules of this folder fill the table when they are imported; `tests/functions/test_meanings.py` performs every row,
and fails when a signature holds a name that has none.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

__all__ = ["ELSEWHERE", "ROWS", "elsewhere", "fill", "means"]

#: By name, such as ``@task(retries)``, ``task.submit(wait_for)``, ``transaction(key)``: what shows its meaning.
ROWS: dict[str, Callable[..., Any]] = {}

#: Names whose behaviour another test shows: what needs processes, another kind of store, or a table of its own.
ELSEWHERE: dict[str, str] = {}


def means(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Enter a behaviour for these names: a function that asserts it, given what the store knows."""

    def enter(behaviour: Callable[..., Any]) -> Callable[..., Any]:
        for name in names:
            assert name not in ROWS and name not in ELSEWHERE, name
            ROWS[name] = behaviour
        return behaviour

    return enter


def elsewhere(test: str, *names: str) -> None:
    """Enter a test, ``file.py::test_of_it``, for these names."""
    for name in names:
        assert name not in ROWS and name not in ELSEWHERE, name
        ELSEWHERE[name] = test


def fill() -> None:
    """Fill the table."""
    for module in ("of_tasks", "of_flows", "of_futures", "of_names"):
        importlib.import_module(f"{__name__}.{module}")
