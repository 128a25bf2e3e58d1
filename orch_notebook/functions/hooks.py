"""What a flow wants done when its run begins or has ended, and what it is shown of the run then.

In: a flow, the scope of one of its runs and how that stands.  Out: the hooks were called; one that fails is logged, for
the run has gone as it has gone.
"""

from __future__ import annotations

import inspect
import logging
from typing import TYPE_CHECKING, Any

from orch_notebook.functions.loops import loops
from orch_notebook.functions.outcomes import Outcome
from orch_notebook.runtime.context import FlowScope

if TYPE_CHECKING:
    from orch_notebook.functions.flows import FunctionFlow

__all__ = ["SeenRun", "call_hooks"]

logger = logging.getLogger("orch_notebook")


class SeenRun:
    """A flow run, as its hooks are shown it.

    Attributes
    ----------
    id, name, flow_name : str
        Its id, its own name and its flow's.
    parameters : dict
        What it was given.
    tags : list of str
        Its tags.
    state : Outcome
        How it stands.
    """

    def __init__(self, scope: FlowScope, state: Outcome) -> None:
        self.id = self.run_id = scope.run_id
        self.name = scope.name
        self.flow_name = scope.flow
        self.parameters = dict(scope.parameters)
        self.tags = list(scope.tags)
        self.run_count = scope.attempt
        self.state = state


def call_hooks(kind: str, flow: FunctionFlow[..., Any], scope: FlowScope, outcome: Outcome) -> None:
    """Call the hooks of a flow of one kind, such as ``"on_failure"``, plain ones and those of ``async def``."""
    run = SeenRun(scope, outcome)
    for hook in getattr(flow.options, kind):
        try:
            found = hook(flow, run, outcome)
            if inspect.isawaitable(found):
                loops().run_anywhere(found)
        except Exception:
            logger.exception("The hook %r failed.", getattr(hook, "__name__", hook))
