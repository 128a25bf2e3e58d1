"""A flow of cells checked in stores of its own, which go with the check.

In: a flow and the live namespace.  Out: the report of :mod:`orch_notebook.runtime.checking`, each of whose runs is
performed as any other.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from orch_notebook.errors import FlowRunCancelled
from orch_notebook.model.findings import Report
from orch_notebook.model.flows import CellFlow
from orch_notebook.runtime.cellruns import CellRuns
from orch_notebook.runtime.checking import Check
from orch_notebook.runtime.clock import Clock
from orch_notebook.runtime.home import Home
from orch_notebook.runtime.hooks import CellHooks
from orch_notebook.runtime.programs import Around
from orch_notebook.runtime.runners import Runner
from orch_notebook.runtime.settings import Settings
from orch_notebook.runtime.surroundings import Surrounding

__all__ = ["check_flow"]


def check_flow(
    settings: Settings,
    clock: Clock,
    flow: CellFlow,
    environment: dict[str, Any],
    *,
    base: Mapping[str, Any] | None = None,
    hooks: CellHooks | None = None,
    states: Mapping[str, Surrounding] = MappingProxyType({}),
    seed: int = 0,
    orders: int = 1,
) -> Report:
    """Run a flow in its own and in other orders, and return what depends on the order or on chance.

    Parameters
    ----------
    flow : CellFlow
        The cells.
    environment : dict
        The live namespace.  It is left as it is, and what tasks change in it is put back; so are hidden states and
        the files of the working directory.
    base : Mapping, optional
        What tasks see besides the versions they read; by default the live namespace as it stands.
    hooks : CellHooks, optional
        What a face adds to the execution of each cell.
    states : mapping
        Hidden states that only the face knows, by name.
    seed : int
        With which other orders are drawn.
    orders : int
        How many other orders are tried, once everything found so far is explained.

    Raises
    ------
    UsageError
        The flow has no tasks, or a task reads what nothing defines.
    FlowRunCancelled
        It was interrupted.

    Notes
    -----
    Its runs are recorded in a store of their own, which goes with them.
    """
    flow = flow.copy()
    base = dict(environment if base is None else base)
    flow.know(base.keys(), flow.tools)
    flow.check()
    found = Check(
        flow,
        environment,
        base,
        partial(_perform, settings, clock),
        hooks=hooks,
        states=states,
        seed=seed,
        orders=orders,
    )
    try:
        return found.run()
    except KeyboardInterrupt:
        raise FlowRunCancelled(f"The check of flow {flow.name!r} was interrupted.") from None


def _perform(
    settings: Settings,
    clock: Clock,
    flow: CellFlow,
    live: dict[str, Any],
    base: Mapping[str, Any],
    select: Collection[str],
    runner: Runner,
    hooks: CellHooks,
    around: Around,
) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="orch-check-", ignore_cleanup_errors=True) as folder,
        closing(Home(settings.apart(Path(folder)), clock)) as home,
        closing(CellRuns(home)) as apart,
    ):
        handle = apart.start(flow, live, base=base, select=select, hooks=hooks, runner=runner, around=around)
        while not handle.wait(0.2):
            pass
        if handle.error is not None:
            raise handle.error
