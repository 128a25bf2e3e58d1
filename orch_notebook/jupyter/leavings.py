"""What the runs of a session have left, by flow; what a run would do because of it.

In: flows, and the live namespace around them.  Out: what their tasks see besides each other, the versions that are
kept, and plans.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

from orch_notebook.errors import OrchError
from orch_notebook.model.flows import CellFlow
from orch_notebook.model.freshness import Plan
from orch_notebook.runtime.cellruns import CellRuns
from orch_notebook.runtime.versions import Kept

__all__ = ["Leavings"]

logger = logging.getLogger("orch_notebook")


class Leavings:
    """What is left of a session's runs.

    Parameters
    ----------
    shell
        The IPython shell.
    cells : CellRuns
        Performs the runs.
    is_lasting : bool
        Whether later runs may begin from it.
    """

    def __init__(self, shell: Any, cells: CellRuns, *, is_lasting: bool) -> None:
        self._shell = shell
        self._cells = cells
        self._is_lasting = is_lasting
        self._kept: dict[str, Kept] = {}
        #: By flow: what a run would do now.
        self.plans: dict[str, Plan] = {}

    def environment(self, flow: CellFlow) -> dict[str, Any]:
        """Return the live namespace without what the flow's tasks published and without IPython's own names."""
        hidden, made = self._shell.user_ns_hidden, flow.makes()
        return {
            name: value
            for name, value in self._shell.user_ns.items()
            if name not in made and not (name in hidden and hidden[name] is value)
        }

    def know(self, flow: CellFlow) -> None:
        """Tell a flow which names its cells may read that none of them defines."""
        kept = self._kept.get(flow.name)
        environment = {**(kept.missing() if kept is not None else {}), **self.environment(flow)}
        flow.know(environment.keys() | {"get_ipython", "display"}, tools_in(environment))

    def of(self, flow: CellFlow) -> Kept:
        """Return where the runs of a flow leave what later ones begin from."""
        if flow.name not in self._kept:
            self._kept[flow.name] = self._cells.keep(is_lasting=self._is_lasting)
        return self._kept[flow.name]

    def begin_anew(self, flow: CellFlow) -> Kept:
        """Forget what runs of a flow have left, and return where the next ones leave it."""
        kept = self._kept[flow.name] = self._cells.keep()
        return kept

    def left_by(self, flow: CellFlow, task: str) -> list[tuple[str, Any]]:
        """Return the versions that a task has left and that are still in memory, by name."""
        kept, definition = self._kept.get(flow.name), flow.graph.by_name.get(task)
        if kept is None or definition is None:
            return []
        names = dict.fromkeys((*definition.writes, *definition.mutates))
        with kept.lock:
            return [(name, kept.versions[name, task]) for name in names if (name, task) in kept.versions]

    def note_changes(self, flow: CellFlow, label: str) -> None:
        """Take note of values that a plain cell has changed in place: what tasks left there is theirs no more."""
        kept = self._kept.get(flow.name)
        if kept is not None and (changed := flow.wiring.effects[label].mutates):
            names = self._shell.user_ns
            kept.spoil([names[name] for name in changed if name in names], "a plain cell")

    def plan(self, flow: CellFlow, select: Collection[str] = ()) -> Plan | None:
        """Return what a run of a flow would do now; nothing before its first one, and where that cannot be said."""
        kept = self._kept.get(flow.name)
        if kept is None:
            return None
        try:
            return self._cells.prepare(flow, self.environment(flow), kept, select=select).plan
        except (OrchError, SyntaxError) as error:
            logger.debug("What is stale in flow %r cannot be said: %s", flow.name, error)
            return None

    def reconsider(self, flows: Iterable[CellFlow]) -> dict[str, str]:
        """Work out anew what runs would do; return why each stale task is."""
        self.plans = {flow.name: plan for flow in flows if (plan := self.plan(flow)) is not None}
        return {task: why for plan in self.plans.values() for task, why in plan.runs.items()}


def tools_in(namespace: Mapping[str, Any]) -> set[str]:
    """Return the names that hold modules, functions and classes."""
    tools = (ModuleType, FunctionType, BuiltinFunctionType, type)
    return {name for name, value in namespace.items() if isinstance(value, tools)}
