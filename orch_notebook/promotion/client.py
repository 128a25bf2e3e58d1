"""A kernel's messages, put where they belong: papermill's engine and client, made ours.

In: a prepared notebook and the :class:`Recorder` that follows it.  Out: the notebook's cells with their outputs, each
output in the cell whose work it is.  A task of a flow runs while another cell (``%flow run``) is busy; its messages
bear ``{"orch_notebook": {"display_id": ID}}`` in their metadata and go to the cell that first showed ID, which is the
task's own, under its badge.

Importing this takes up to a second (papermill, nbclient, nbformat), so only the process that executes does it.
"""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from jupyter_core.utils import run_sync
from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbclient.util import ensure_async
from nbformat import NotebookNode
from nbformat.v4 import new_output, output_from_msg
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, papermill_engines

from orch_notebook.promotion.kernels import Kernel

__all__ = ["ENGINE", "Recorder"]

ENGINE = "orch_notebook"

#: Characters of text one cell may keep; a loop that prints 100 MB would make a notebook no browser opens.
MOST_TEXT = 4_000_000

#: A carriage return takes the line back to its start: of a progress bar only the last state is kept.
OVERWRITTEN = re.compile(r"[^\n]*\r+(?=[^\r\n])")

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"

OUTPUTS = frozenset({"stream", "display_data", "execute_result", "error"})
ROUTED = OUTPUTS | {"clear_output", "update_display_data"}

LOG = logging.getLogger("orch_notebook.notebook")
# Without a handler of its own Python prints warnings to stderr, across the lines that `orch run` shows.
for _name in ("orch_notebook", "papermill"):
    logging.getLogger(_name).addHandler(logging.NullHandler())


class Recorder(Protocol):
    """Who follows an execution and decides whether it goes on; indexes are those of the executed notebook."""

    def follow(self, notebook: NotebookNode) -> None:
        """Take the notebook that papermill has prepared; its cells change in place from now on."""

    def started(self, kernel: Any) -> None:
        """Learn that a kernel is ready; `kernel` is its provisioner, which takes signals."""

    def admits(self, index: int) -> bool:
        """Whether the next cell may start."""

    def begin(self, index: int, cell: NotebookNode) -> None:
        """Learn that a code cell is about to run."""

    def end(self, index: int, cell: NotebookNode, error: Mapping[str, Any] | None) -> None:
        """Learn that a code cell has ended, with `error` if it failed."""

    def died(self, index: int, cell: NotebookNode, exit_code: int | None, words: Sequence[str]) -> None:
        """Learn that the kernel died while this cell ran, and the last lines it wrote outside of any cell."""

    def stream(self, index: int, message: Mapping[str, Any]) -> None:
        """Take text that a cell wrote."""

    def changed(self) -> None:
        """Learn that the notebook has changed; a good moment to save it."""


class RoutingClient(PapermillNotebookClient):  # type: ignore[misc]
    """nbclient's client with outputs in the cells they belong to."""

    def __init__(self, nb_man: Any, recorder: Recorder, kernel: Kernel, **options: Any) -> None:
        super().__init__(nb_man, km=kernel.manager, **options)
        self.kc = kernel.client
        self.recorder = recorder
        self.kernel = kernel
        # Where a display id was first shown, and every output that bears it.  nbclient keeps the places of outputs in
        # their lists, which go wrong once a cell is cleared; outputs themselves do not move.
        self.homes: dict[str, tuple[int, NotebookNode]] = {}
        self.shown: dict[str, list[NotebookNode]] = {}
        self.clear_later: set[int] = set()
        self.kept: dict[int, int] = {}
        self.dropped: dict[int, int] = {}

    def execute(self, **_: Any) -> NotebookNode:
        """Run the cells in the kernel, which is ready."""
        self.reset_execution_trackers()
        # An Output widget writes down what it catches in a state that is only there where states are stored.
        self.widget_state: dict[str, dict[str, Any]] = defaultdict(dict)
        self.papermill_execute_cells()
        # A notebook that has been saved by a front end knows its language.
        self.nb.metadata.setdefault("language_info", self.kernel.info.get("language_info", {}))
        return self.nb

    def papermill_execute_cells(self) -> None:
        """Run cell after cell until one fails, the kernel dies, or the recorder says no."""
        for index, cell in enumerate(self.nb.cells):
            if not self.recorder.admits(index):
                break
            runs = cell.cell_type == "code" and bool(cell.source.strip())
            runs = runs and self.skip_cells_with_tag not in cell.metadata.get("tags", [])
            self.nb_man.cell_start(cell, index)
            try:
                if runs and not self._run(index, cell):
                    break
            finally:
                self.nb_man.cell_complete(cell, cell_index=index)
            self.recorder.changed()

    def _run(self, index: int, cell: NotebookNode) -> bool:
        self.recorder.begin(index, cell)
        error: dict[str, Any] | None = None
        try:
            self.execute_cell(cell, index)
        except CellExecutionError as failure:
            error = _error_of(cell, failure)
        except DeadKernelError:
            self._note_dropped()
            self.recorder.died(index, cell, self._exit_code(), self.kernel.last_words())
            raise
        self._note_dropped()
        self.recorder.end(index, cell, error)
        return error is None

    def _exit_code(self) -> int | None:
        code = run_sync(self._poll)()
        return code if isinstance(code, int) else None

    async def _poll(self) -> Any:
        return await ensure_async(self.km.provisioner.poll())

    def process_message(self, msg: dict[str, Any], cell: NotebookNode, cell_index: int) -> NotebookNode | None:
        """Take in one message of the kernel, for the cell it belongs to."""
        kind = msg["msg_type"]
        if kind not in ROUTED or (self.output_hook_stack[msg["parent_header"].get("msg_id")] and not _owner(msg)):
            # States, requests and widgets, and what an Output widget has caught, are nbclient's business.
            return super().process_message(msg, cell, cell_index)
        home, owner = self.homes.get(_owner(msg) or "", (cell_index, cell))
        output = None
        if kind == "clear_output":
            self._clear(home, owner, _owner(msg), wait=bool(msg["content"].get("wait")))
        elif kind == "update_display_data":
            self._update(msg)
        else:
            if home in self.clear_later:
                self._clear(home, owner, _owner(msg), wait=False)
            output = self._add(kind, msg, home, owner)
            if kind == "execute_result" and owner is cell:
                cell.execution_count = msg["content"].get("execution_count")
        self.recorder.changed()
        return output

    def _add(self, kind: str, msg: dict[str, Any], index: int, cell: NotebookNode) -> NotebookNode | None:
        if kind == "stream":
            self.recorder.stream(index, msg["content"])
            return self._write(index, cell, msg["content"]["name"], msg["content"]["text"])
        if kind == "display_data":
            # A display id shown again changes what it showed before, as front ends do.
            self._update(msg)
            shown = self.shown.get(_owner(msg), ()) if _display_id(msg) == _owner(msg) else ()
            for badge in shown:
                # After each clearing a front end needs the badge once more; here it has never gone.
                if any(badge is output for output in cell.outputs):
                    return badge
        output = output_from_msg(msg)
        if "data" in output:
            _leave_out_view(output["data"])
        cell.outputs.append(output)
        if display_id := _display_id(msg):
            self.homes.setdefault(display_id, (index, cell))
            self.shown.setdefault(display_id, []).append(output)
        return output

    def _write(self, index: int, cell: NotebookNode, name: str, text: str) -> NotebookNode | None:
        room = MOST_TEXT - self.kept.get(index, 0)
        if len(text) > room:
            self.dropped[index] = self.dropped.get(index, 0) + len(text) - room
            text = text[:room]
        if not text:
            return None
        self.kept[index] = self.kept.get(index, 0) + len(text)
        last = cell.outputs[-1] if cell.outputs else None
        if last is None or last.output_type != "stream" or last.name != name:
            last = new_output("stream", name=name, text="")
            cell.outputs.append(last)
        if "\r" in text or (last.text and last.text[-1] == "\r"):
            start = last.text.rfind("\n") + 1
            last.text = last.text[:start] + OVERWRITTEN.sub("", last.text[start:] + text)
        else:
            last.text += text
        return last

    def _note_dropped(self) -> None:
        for index, count in self.dropped.items():
            note = f"[{count:,} more characters of text were not kept in this notebook]\n"
            self.nb.cells[index].outputs.append(new_output("stream", name="stderr", text=note))
        self.dropped.clear()

    def _update(self, msg: dict[str, Any]) -> None:
        for output in self.shown.get(_display_id(msg), ()):
            output["data"] = NotebookNode(msg["content"]["data"])
            _leave_out_view(output["data"])
            output["metadata"] = NotebookNode(msg["content"].get("metadata") or {})

    def _clear(self, index: int, cell: NotebookNode, owner: str, *, wait: bool) -> None:
        if wait:
            self.clear_later.add(index)
            return
        self.clear_later.discard(index)
        # A task that clears its output clears its own, not the badge above it.
        kept = self.shown.get(owner, []) if owner else []
        cell.outputs[:] = [output for output in cell.outputs if any(output is each for each in kept)]
        self.kept[index] = 0


def _leave_out_view(data: NotebookNode) -> None:
    # No state of widgets is kept, and without it a view shows as an error, whatever stands beside it.
    if data.pop(WIDGET_VIEW, None) and not data:
        data["text/plain"] = "[a widget]"


def _owner(msg: Mapping[str, Any]) -> str:
    mark = (msg.get("metadata") or {}).get("orch_notebook")
    owner = mark.get("display_id") if isinstance(mark, dict) else None
    return owner if isinstance(owner, str) else ""


def _display_id(msg: Mapping[str, Any]) -> str:
    display_id = (msg["content"].get("transient") or {}).get("display_id")
    return display_id if isinstance(display_id, str) else ""


def _error_of(cell: NotebookNode, failure: CellExecutionError) -> dict[str, Any]:
    # nbclient's exception carries the traceback as one text; the cell's own error output has its lines.
    for output in reversed(cell.outputs):
        if output.output_type == "error" and output.ename == failure.ename:
            return {"ename": output.ename, "evalue": output.evalue, "traceback": list(output.traceback)}
    return {"ename": failure.ename, "evalue": failure.evalue, "traceback": failure.traceback.splitlines()}


class Engine(NBClientEngine):  # type: ignore[misc]
    """papermill's nbclient engine with our client; `recorder` and `ready` come with the call."""

    @classmethod
    def execute_managed_notebook(
        cls,
        nb_man: Any,
        kernel_name: str,
        *,
        recorder: Recorder,
        ready: Callable[[], Kernel],
        **_: Any,
    ) -> None:
        """Execute what papermill has prepared in the kernel that ``ready()`` returns when it is."""
        recorder.follow(nb_man.nb)
        kernel = ready()
        recorder.started(kernel.provisioner)
        client = RoutingClient(
            nb_man,
            recorder,
            kernel,
            kernel_name=kernel_name,
            # Widgets are for people who are there; their saved state would hide the static view next to them.
            store_widget_state=False,
            # A cell that wrote very much has ended long before its last message is read.
            iopub_timeout=30,
            raise_on_iopub_timeout=False,
            log=LOG,
        )
        client.execute()
        kernel.ask_to_end()


papermill_engines.register(ENGINE, Engine)
