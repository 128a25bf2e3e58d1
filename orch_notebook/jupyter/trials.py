"""What an execution in this kernel came to, told to whoever compares executions.

In: a kernel whose cells have run, or one in which tasks are defined.  Out: an output of the last cell, in a form that
only programs read: fingerprints of the values that are there and, where a flow was to be run, what its tasks put out.
A stock kernel without the extension can call :func:`show_names`, too.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from IPython import get_ipython

from orch_notebook.jupyter.magics import Bundle, session_of
from orch_notebook.model.flows import CellFlow
from orch_notebook.model.outcomes import outcome_of
from orch_notebook.model.trials import Trial
from orch_notebook.promotion.trials import TRIAL_TYPE
from orch_notebook.runtime.capture import Capture
from orch_notebook.runtime.runners.ordered import OrderedRunner
from orch_notebook.runtime.surveys import Survey
from orch_notebook.runtime.watching import data_of

__all__ = ["show_flow", "show_names"]


def show_names() -> Bundle:
    """Return what the namespace of this kernel holds."""
    return Bundle({TRIAL_TYPE: Trial({}, _left()).to_json()})


def _left() -> dict[str, str]:
    shell = get_ipython()
    hidden = shell.user_ns_hidden
    data = data_of({name: value for name, value in shell.user_ns.items() if name not in hidden}, with_modules=False)
    survey = Survey(data)
    return {name: survey.digest(value) for name, value in data.items()}


def show_flow(flow: str | None = None, cells_of: str | None = None, order: str = "") -> Bundle:
    """Run a flow of this kernel's notebook, or another notebook each of whose cells is a task, and return its trial.

    Parameters
    ----------
    flow : str, optional
        Its name, where the notebook has several.
    cells_of : str, optional
        The other notebook.
    order : str
        ``given`` performs tasks one at a time in the order of the cells, ``latest`` always the ready one that stands
        lowest, a number draws a random order; by default many run at once.
    """
    session = session_of(get_ipython())
    put_out: dict[str, list[dict[str, Any]]] = {}

    def begun(task: str, capture: Capture) -> None:
        put_out[task] = []

    def take(task: str, capture: Capture) -> None:
        put_out.setdefault(task, []).extend(capture.take())

    found, _, base, hooks = session.apart(flow, Path(cells_of) if cells_of else None, begun, take)
    runner = OrderedRunner(_rank_of(order, found)) if order else "threads"
    handle = session.orchestrator.cells.start(found, session.shell.user_ns, base=base, hooks=hooks, runner=runner)
    try:
        handle.wait()
    except KeyboardInterrupt:
        handle.cancel()
        handle.wait()
        raise
    cells = {}
    for task in handle.run.tasks:
        outcome = cells[task.name] = outcome_of(put_out.get(task.name, ()))
        outcome.has_run = task.name in put_out
        if not outcome.error and (error := (task.details or {}).get("error")):
            outcome.error = str(error)[:300]
    return Bundle({TRIAL_TYPE: Trial(cells, _left()).to_json()})


def _rank_of(order: str, flow: CellFlow) -> Callable[[str], float]:
    """Return the place of each task among those that are ready."""
    place: Mapping[str, int] = {task.name: number for number, task in enumerate(flow)}
    if order == "given":
        return place.__getitem__
    if order == "latest":
        return lambda task: -place[task]
    draw = random.Random(int(order))  # noqa: S311 - an order, no secret
    ranks: defaultdict[str, float] = defaultdict(draw.random)
    return ranks.__getitem__
