"""A run that goes on with what another did not finish.

In: the run that it repeats, and what the attempts so far have left.  Out: the run as the next attempt.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from orch_notebook.model.deployments import Plan
from orch_notebook.model.runs import FlowRun
from orch_notebook.runtime.attempts import Attempts

__all__ = ["Continuation", "continued"]


@dataclass(frozen=True, slots=True)
class Continuation:
    """What a run goes on with that another did not finish.

    Parameters
    ----------
    run : FlowRun
        The run that it repeats.
    plan : Plan or None
        How it is executed by whoever repeats it in turn; None where that needs the session it belongs to.
    attempts : Attempts or None
        What the attempts so far have left.
    mended : mapping
        For tasks whose source is another now, what is to be noted with them.
    """

    run: FlowRun
    plan: Plan | None = None
    attempts: Attempts | None = None
    mended: Mapping[str, str] = field(default_factory=dict)


def continued(run: FlowRun, earlier: FlowRun) -> FlowRun:
    """Return a run that begins here as the next attempt at an earlier one."""
    return replace(
        run,
        attempt=earlier.attempt + 1,
        retry_of=earlier.run_id,
        deployment=earlier.deployment,
        tags=earlier.tags,
        parameters=earlier.parameters,
        notebook=earlier.notebook,
    )
