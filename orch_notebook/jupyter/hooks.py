"""What Jupyter adds to the execution of a task cell: its line numbers, its rich outputs, its tracebacks."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from IPython.core.compilerop import CachingCompiler
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from orch_notebook.errors import TaskError
from orch_notebook.jupyter import bars, figures
from orch_notebook.jupyter.postmortem import Postmortem
from orch_notebook.jupyter.questions import QuestionRoutes
from orch_notebook.jupyter.routes import DisplayRoutes
from orch_notebook.model.flows import CellTask
from orch_notebook.runtime.calls import TaskStopped, users_frames, was_shown
from orch_notebook.runtime.capture import Capture, current
from orch_notebook.runtime.trees import making_trees

__all__ = ["AwayHooks", "KernelHooks", "error_output"]


class KernelHooks:
    """Hooks of one notebook.

    Parameters
    ----------
    shell
        The IPython shell.
    sources : mapping
        For every task the name under which IPython's tracebacks find its cell.
    counts : mapping
        For every task the number that its cell bears, as in ``[7]:``.
    begun : callable
        ``begun(task, capture)`` is told that an attempt begins.
    put_out : callable
        ``put_out(task, capture)`` shows what the capture has gathered.
    put_again : callable
        ``put_again(task, outputs)`` shows what an earlier performance left.
    postmortem : Postmortem
        Keeps what went wrong for the debugger.
    """

    def __init__(
        self,
        shell: Any,
        sources: Mapping[str, str],
        counts: Mapping[str, int],
        begun: Callable[[str, Capture], object],
        put_out: Callable[[str, Capture], object],
        put_again: Callable[[str, list[dict[str, Any]]], object],
        postmortem: Postmortem,
    ) -> None:
        self._shell = shell
        self._sources = sources
        self._counts = counts
        self._begun = begun
        self._put_out = put_out
        self._put_again = put_again
        self._postmortem = postmortem

    def filename(self, cell: CellTask) -> str:
        """Return the name under which IPython cached the cell's source."""
        return self._sources.get(cell.name, f"<task {cell.name}>")

    def label(self, filename: str) -> str:
        """Return ``Cell In[3]`` for the name of that cell's source."""
        return " ".join(self._shell.compile.format_code_name(filename) or ())

    def begin(self, cell: CellTask, capture: Capture) -> None:
        """Give the attempt a clean sheet."""
        self._postmortem.begin(cell.name)
        self._begun(cell.name, capture)

    def shown(self) -> str:
        """Return which values the person wants to be shown: the last expression's, unless set otherwise."""
        return str(self._shell.ast_node_interactivity)

    def show(self, cell: CellTask, value: Any, capture: Capture) -> None:
        """Put a value into the capture, in every form Jupyter knows for it."""
        if value is None:
            return
        data, metadata = self._shell.display_formatter.format(value)
        if data:
            count = self._counts.get(cell.name, self._shell.execution_count)
            capture.put({"output_type": "execute_result", "data": data, "metadata": metadata, "execution_count": count})

    def end(self, cell: CellTask, capture: Capture, error: BaseException | None) -> None:
        """Show the figures that are still open, or what went wrong."""
        if isinstance(error, TaskStopped):
            figures.close_figures()
        else:
            if error is not None and not was_shown(error):
                self._postmortem.failed(cell.name, error)
                if _is_told_in_words(error):
                    capture.write("stderr", f"UsageError: {error}\n")
                else:
                    capture.put(error_output(self._shell, error))
            # As in a plain cell, what was drawn before an error shows below it.
            figures.show_figures(self._show_figure)
        self._put_out(cell.name, capture)

    def away(self, cell: CellTask, labels: Mapping[str, str]) -> AwayHooks:
        """Return what a shell in another process must know to show the same."""
        inline = inline_settings(self._shell)
        return AwayHooks(
            filename_=self.filename(cell),
            count=self._counts.get(cell.name, self._shell.execution_count),
            shown_=self.shown(),
            labels=dict(labels),
            mode=self._shell.InteractiveTB.mode,
            colors=self._shell.colors,
            inline={name: getattr(inline, name) for name in INLINE if hasattr(inline, name)},
        )

    def again(self, cell: CellTask, outputs: list[dict[str, Any]]) -> None:
        """Show what the task put out when its result was made."""
        self._put_again(cell.name, outputs)

    def _show_figure(self, figure: Any) -> None:
        data, metadata = self._shell.display_formatter.format(figure)
        capture = current.get()
        if capture is not None and data:
            capture.put({"output_type": "display_data", "data": data, "metadata": metadata})


def error_output(shell: Any, error: BaseException) -> dict[str, Any]:
    """Return an error as an output, drawn as IPython draws it in the person's own lines."""
    kind = type(error)
    if isinstance(error, TaskError):  # found by us: where in our code helps nobody
        return {"output_type": "error", "ename": kind.__name__, "evalue": str(error), "traceback": error.drawn()}
    try:
        frames = users_frames(error.__traceback__)
        with making_trees:
            lines = shell.InteractiveTB.structured_traceback(kind, error, frames, 0)
    except Exception:  # noqa: BLE001 - a traceback that cannot be drawn must not hide the error
        lines = [f"{kind.__name__}: {error}"]
    return {"output_type": "error", "ename": kind.__name__, "evalue": str(error), "traceback": list(lines)}


def _is_told_in_words(error: BaseException) -> bool:
    """Whether IPython shows an error of a magic as one line and not as a traceback."""
    return type(error).__name__ == "UsageError" and type(error).__module__.startswith("IPython.")


#: The settings of inline figures that the ``%config`` magic changes.
INLINE = ("figure_formats", "print_figure_kwargs", "close_figures", "rc")


@dataclass(frozen=True, slots=True)
class AwayHooks:
    """Hooks of one cell whose body runs in another process, over a shell made there.

    Parameters
    ----------
    filename_ : str
        The name under which the kernel cached the cell's source.
    count : int
        The number that the cell bears.
    shown_ : str
        Which of its values are shown.
    labels : mapping
        What people call the cells whose code is used, by file name.
    mode, colors : str
        How the kernel draws tracebacks.
    inline : mapping
        How it shows figures.
    """

    filename_: str
    count: int
    shown_: str
    labels: Mapping[str, str]
    mode: str
    colors: str
    inline: Mapping[str, Any] = field(default_factory=dict)

    def _hooks(self, cell: CellTask) -> KernelHooks:
        shell = shell_of_process()
        sources, counts = {cell.name: self.filename_}, {cell.name: self.count}
        return KernelHooks(shell, sources, counts, _nothing, _nothing, _nothing, Postmortem(shell))

    def filename(self, cell: CellTask) -> str:
        """Return the name under which the kernel cached the cell's source."""
        return self.filename_

    def label(self, filename: str) -> str:
        """Return ``Cell In[3]`` for the name of that cell's source."""
        return self.labels.get(filename, "")

    def begin(self, cell: CellTask, capture: Capture) -> None:
        """Let the shell of this process be as that of the kernel is."""
        shell = shell_of_process()
        main = sys.modules["__main__"]
        shell.user_module, shell.user_ns = main, main.__dict__
        shell.compile.labels = self.labels
        shell.colors = self.colors
        shell.InteractiveTB.set_mode(self.mode)
        shell.config.InlineBackend.update(self.inline)
        if (inline := inline_settings(shell)) is not None:
            inline.update_config(shell.config)

    def shown(self) -> str:
        """Return which values are shown in the kernel."""
        return self.shown_

    def show(self, cell: CellTask, value: Any, capture: Capture) -> None:
        """Put a value into the capture, in every form Jupyter knows for it."""
        self._hooks(cell).show(cell, value, capture)

    def end(self, cell: CellTask, capture: Capture, error: BaseException | None) -> None:
        """Show the figures that are still open, or what went wrong."""
        self._hooks(cell).end(cell, capture, error)
        shell_of_process().user_ns = {}  # else it would hold the data until the next body comes

    def away(self, cell: CellTask, labels: Mapping[str, str]) -> AwayHooks:
        """Return these."""
        return self

    def again(self, cell: CellTask, outputs: list[dict[str, Any]]) -> None:
        """Do nothing: results are kept elsewhere."""


def inline_settings(shell: Any) -> Any:
    """Return a shell's settings of inline figures, or None before the first."""
    return next((each for each in shell.configurables if type(each).__name__ == "InlineBackend"), None)


def _nothing(name: str, capture: Any) -> None:
    """Leave what a task puts out to the process that asked for it."""


class _LabelledCompiler(CachingCompiler):  # type: ignore[misc]
    """Calls cells as they are called in the kernel they come from."""

    labels: Mapping[str, str] = {}

    def format_code_name(self, name: str) -> tuple[str, str] | None:
        kind, _, number = self.labels.get(name, "").partition(" ")
        return (kind, number) if number else super().format_code_name(name)


class _Shell(InteractiveShell):  # type: ignore[misc]
    compiler_class = _LabelledCompiler


@cache
def shell_of_process() -> Any:
    """Return the shell of a process that performs bodies; made when first asked for."""
    config = Config()
    config.HistoryManager.enabled = False
    main = sys.modules["__main__"]
    shell = _Shell.instance(config=config, user_module=main)
    shell.builtin_trap.activate()  # display and get_ipython, as in every kernel
    DisplayRoutes(shell).open()
    QuestionRoutes(shell).open()
    figures.route_figures()
    bars.route_bars()
    return shell
