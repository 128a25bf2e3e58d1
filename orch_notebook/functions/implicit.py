"""The flow run that a call belongs to: the one whose code is running, or one made for the call.

Outside of a flow a task is just tracked: its call is a run of its own with one task, ``map``'s a run with all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from orch_notebook.functions.beginnings import new_run
from orch_notebook.functions.performances import Performance
from orch_notebook.runtime.context import FlowScope, added_tags, flow_scope
from orch_notebook.runtime.home import open_home
from orch_notebook.runtime.places import main_thread_signals

__all__ = ["performing"]


@contextmanager
def performing(name: str, *, join: bool = True) -> Iterator[Performance]:
    """Give the performance that a call belongs to; with `join`, one made for it has been stored at the end."""
    scope = flow_scope.get()
    if scope is not None and scope.performance is not None:
        yield scope.performance
        return
    home = open_home()
    # Called in a task that another process performs, it is part of the run whose task that is.
    run = new_run(home, name, tags=added_tags.get(), parent_run_id=scope.run_id if scope else None)
    performance = Performance(home, run, is_implicit=True)
    mine = FlowScope(performance.run_id, name, name, attempt=1, performance=performance)
    token = flow_scope.set(mine)
    try:
        with main_thread_signals():
            yield performance
    finally:
        flow_scope.reset(token)
        performance.engine.close()
        if join:
            performance.course.join()
