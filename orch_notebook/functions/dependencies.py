"""What a call of a task waits for: the futures among its arguments, and the task runs that its values came from.

In: a call that is about to be submitted.  Out: the task runs of its flow run that must come before it, and those among
them that may fail.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from orch_notebook.functions.arguments import find
from orch_notebook.functions.futures import Future

if TYPE_CHECKING:
    from orch_notebook.functions.performances import Performance
    from orch_notebook.functions.tasks import FunctionTask

__all__ = ["futures_in", "upstream_of"]


def futures_in(args: tuple[Any, ...], kwargs: Mapping[str, Any], wait_for: Any = None) -> dict[Future, bool]:
    """Return the futures of a call, those that are only waited for (`wait_for`) with them; True if it may fail."""
    found: dict[Future, bool] = {}
    for value in args:
        find(value, found)
    for value in kwargs.values():
        find(value, found)
    if wait_for is not None:
        find(wait_for, found)
    return found


def upstream_of(
    found: Mapping[Future, bool], task: FunctionTask[..., Any], performance: Performance
) -> tuple[list[str], tuple[str, ...]]:
    """Return the task runs of this run that a call waits for, and those among them that may fail.

    What belongs to another run is waited for here and now.
    """
    upstream, lenient = [], []
    is_strict = task.when == "all_success"
    for future, allowed in found.items():
        if allowed or not is_strict:
            future.is_observed = True
        if future.performance is not performance:
            future.wait()
            continue
        upstream.append(future.name)
        if allowed and is_strict:
            lenient.append(future.name)
    return upstream, tuple(lenient)
