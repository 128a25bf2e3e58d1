"""The flows of one notebook, as its cells define them one after the other.

In: cells that were executed, in any order and again and again.  Out: flows whose tasks have names that are unique in
the notebook and stand where the saved file has them.
"""

from __future__ import annotations

import ast
import logging
from difflib import get_close_matches

from orch_notebook.errors import OrchError, UnknownTask, UsageError
from orch_notebook.jupyter.document import NotebookFile
from orch_notebook.jupyter.leavings import Leavings
from orch_notebook.model.flows import CellFlow, CellTask, PlainCell
from orch_notebook.model.headers import TaskHeader
from orch_notebook.model.naming import name_for

__all__ = ["NotebookFlows"]

logger = logging.getLogger("orch_notebook")


class NotebookFlows:
    """The flows of a notebook.

    Parameters
    ----------
    file : NotebookFile
        Knows where the cells stand.
    leavings : Leavings
        Knows what is there besides what the cells define.
    """

    def __init__(self, file: NotebookFile, leavings: Leavings) -> None:
        self._file = file
        self._leavings = leavings
        #: The flow of tasks that name none; it bears the notebook's name.
        self.main = file.stem
        self._flows = {self.main: CellFlow(self.main)}
        #: The texts of the cells as they stand now: of tasks by their names, of others by their labels.
        self._texts: tuple[dict[str, str], dict[str, str]] = {}, {}

    def all(self) -> list[CellFlow]:
        """Return them."""
        return list(self._flows.values())

    def texts(self) -> tuple[dict[str, str], dict[str, str]]:
        """Return the texts of the cells as they stand now: of tasks by their names, of others by their ids."""
        return dict(self._texts[0]), dict(self._texts[1])

    def find(self, name: str | None = None) -> CellFlow:
        """Return a flow of this notebook, by default the one of tasks that name none.

        Raises
        ------
        UnknownTask
            There is no such flow.
        """
        found = self._flows.get(name or self.main)
        if found is None:
            near = get_close_matches(str(name), self._flows, n=1)
            raise UnknownTask(f"There is no flow {name!r}." + (f" Did you mean {near[0]!r}?" if near else ""))
        return found

    def of_task(self, task: str) -> list[CellFlow]:
        """Return the flows that have a task of this name: one, or none."""
        return [flow for flow in self._flows.values() if task in flow]

    def arrange(self, flow: CellFlow) -> None:
        """Put the cells of a flow in the order that they have in the saved file."""
        by_id, by_task = self._file.positions()
        by_id = dict(by_id)
        for task in flow:
            # An execution by a worker tells no cell ids; the task's name finds its cell.
            if task.cell_id is None and task.name in by_task:
                flow.define(CellTask(task.name, task.header, task.body, f"#{task.name}", by_task[task.name]))
        by_id.update({f"#{name}": index for name, index in by_task.items()})
        flow.arrange(by_id)

    def define(
        self, header: TaskHeader, code: str, source: str, raw: str, cell_id: str | None
    ) -> tuple[CellFlow, str, str | None]:
        """Define the task of a cell in the place of what the cell defined before.

        Parameters
        ----------
        header : TaskHeader
            What the cell says about the task.
        code : str
            Its body, for a name where the header gives none.
        source : str
            What is executed.
        raw : str
            All of the cell as it was written.
        cell_id : str or None
            The cell, where the front end tells it.

        Returns
        -------
        CellFlow, str, str or None
            The flow, the name of the task, and the name that the cell's task had before if that was another.

        Raises
        ------
        UsageError
            The header, or what the body reads, is not right; everything is as it was then.
        """
        before = self._of_cell(cell_id)
        taken = {task.name for flow in self._flows.values() for task in flow}
        name = header.name or (before[1] if before else name_for(code, taken))
        flow = self._made(header.flow)
        others = [other.name for other in self.of_task(name) if other is not flow and (other.name, name) != before]
        if others:
            raise UsageError(f"Flow {others[0]!r} has a task {name!r} already; names are unique in a notebook.")
        self._leavings.know(flow)
        replaced = self._flows[before[0]][before[1]] if before and before != (flow.name, name) else None
        if before and replaced is not None:  # the cell was given another name, or moved to another flow
            self._flows[before[0]].remove(before[1])
        try:
            flow.define(CellTask(name, header, source, cell_id))
            self.arrange(flow)
        except BaseException:
            if before and replaced is not None:
                self._flows[before[0]].define(replaced)
            if not len(flow) and flow.name != self.main:
                del self._flows[flow.name]
            raise
        self._texts[0][name] = raw
        return flow, name, before[1] if before and before[1] != name else None

    def adopt(self, task: CellTask, text: str) -> None:
        """Define a task of a cell that was not executed here; `text` is all of the cell."""
        flow = self._made(task.header.flow)
        self._leavings.know(flow)
        flow.define(task)
        self._texts[0][task.name] = text

    def remove(self, task: str) -> None:
        """Take a task out of its flow."""
        for flow in self.of_task(task) or [self.find()]:
            flow.remove(task)
        self._texts[0].pop(task, None)

    def take_in(self, label: str, source: str, text: str) -> None:
        """Take a plain cell into every flow.

        Parameters
        ----------
        label : str
            Its id, or what stands for it.
        source : str
            What was executed, as Python.
        text : str
            All of the cell as it was written.
        """
        self._texts[1][label] = text
        try:
            ast.parse(source)  # a line of automagic is none; a flow that had it could never be read again
            for flow in self._flows.values():
                flow.define(PlainCell(label, source))
                self._leavings.note_changes(flow, label)
        except (SyntaxError, OrchError) as error:
            logger.debug("A plain cell is not taken into the flow: %s", error)

    def _made(self, name: str | None) -> CellFlow:
        if name is not None and name not in self._flows:
            # Plain cells belong to every flow.
            self._flows[name] = CellFlow(name, [cell for cell in self.find().cells if isinstance(cell, PlainCell)])
        return self.find(name)

    def _of_cell(self, cell_id: str | None) -> tuple[str, str] | None:
        """Return the flow and the task that a cell defined before."""
        found = [(flow.name, task.name) for flow in self._flows.values() for task in flow if task.cell_id == cell_id]
        return found[0] if cell_id and found else None
