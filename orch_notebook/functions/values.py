"""Values that a run records: small results such as counts and scores, by name, to look at, compare and hand on.

In: a name and a value.  Out: it stands with the run in the store: ``orch show`` has it, a backfill puts it in a table
beside the parameters, and a deployment that starts after this one can take it.
"""

from __future__ import annotations

import json
import math
import os
import re
from typing import Any

from orch_notebook.errors import UsageError
from orch_notebook.runtime.context import cell_scope, flow_scope, task_scope
from orch_notebook.runtime.home import open_home

__all__ = ["record"]

#: Characters of JSON beyond which a value is no figure any more.
LIMIT = 100_000


def record(name: str, value: Any) -> Any:
    """Record a value of this run under a name, in place of an earlier one; returns the value.

    Parameters
    ----------
    name : str
        Letters, digits and ``_``, so that it can be taken as ``{upstream.values.NAME}``.
    value : object
        What JSON can hold; numbers, arrays and instants of NumPy and pandas too.

    Raises
    ------
    UsageError
        The name is no such word, JSON cannot hold the value, or it is large.

    Notes
    -----
    A notebook that a worker executes records for its run, from tasks, plain cells and functions alike.  In a kernel of
    your own a task records for the run of its flow; outside of any run nothing is kept, so a cell can be tried alone.

    Examples
    --------
    >>> record("rows", 1200)
    1200
    """
    if not re.fullmatch(r"[^\W\d]\w*", name):
        raise UsageError(f"A recorded value is named with letters, digits and '_', not {name!r}.")
    try:
        plain = _plain(value)
        size = len(json.dumps(plain))
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"{name!r} cannot be recorded: {error}. Record a number, a text, or lists of them.") from None
    if size > LIMIT:
        raise UsageError(
            f"{name!r} is too large to be recorded ({size:,} characters). create_table_artifact keeps tables; files "
            "keep the rest."
        )
    cell, flow, task = cell_scope.get(), flow_scope.get(), task_scope.get()
    # In a kernel that a worker started, everything belongs to the run that the worker executes.
    run_id = os.environ.get("ORCH_RUN_ID") or (flow.run_id if flow else cell[0] if cell else "")
    if run_id:
        home = open_home()
        home.store.record_value(run_id, name, plain, home.clock.now(), task.name if task else cell[1] if cell else None)
    return value


def _plain(value: Any) -> Any:
    """Return a value as JSON holds it; what is no number to JSON (``nan``, ``inf``) becomes its text."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, str):
        return str(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(float(value))
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if hasattr(value, "tolist"):  # of NumPy and pandas: arrays and single numbers
        return _plain(value.tolist())
    raise TypeError(f"JSON cannot hold a {type(value).__name__}")
