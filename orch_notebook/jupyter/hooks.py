"""What Jupyter adds to the execution of a task cell: its line numbers, its rich outputs, its tracebacks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import new_class
from typing import Any

from IPython.core.interactiveshell import InteractiveShell

from orch_notebook.jupyter import figures
from orch_notebook.model.flows import CellTask
from orch_notebook.runtime.bodies import names_here
from orch_notebook.runtime.calls import TaskStopped, users_frames
from orch_notebook.runtime.capture import Capture, current

__all__ = ["DisplayRoutes", "KernelHooks", "NameRoutes"]


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
    """

    def __init__(
        self,
        shell: Any,
        sources: Mapping[str, str],
        counts: Mapping[str, int],
        begun: Callable[[str, Capture], object],
        put_out: Callable[[str, Capture], object],
    ) -> None:
        self._shell = shell
        self._sources = sources
        self._counts = counts
        self._begun = begun
        self._put_out = put_out

    def filename(self, cell: CellTask) -> str:
        """Return the name under which IPython cached the cell's source."""
        return self._sources.get(cell.name, f"<task {cell.name}>")

    def label(self, filename: str) -> str:
        """Return ``Cell In[3]`` for the name of that cell's source."""
        return " ".join(self._shell.compile.format_code_name(filename) or ())

    def begin(self, cell: CellTask, capture: Capture) -> None:
        """Give the attempt a clean sheet."""
        self._begun(cell.name, capture)

    def show(self, cell: CellTask, value: Any, capture: Capture) -> None:
        """Put the value of the last expression into the capture, in every form Jupyter knows for it."""
        if value is None:
            return
        data, metadata = self._shell.display_formatter.format(value)
        if data:
            count = self._counts.get(cell.name, self._shell.execution_count)
            capture.put({"output_type": "execute_result", "data": data, "metadata": metadata, "execution_count": count})

    def end(self, cell: CellTask, capture: Capture, error: BaseException | None) -> None:
        """Show the figures that are still open, or what went wrong."""
        if error is None:
            figures.show_figures(self._show_figure)
        else:
            figures.close_figures()
            if not isinstance(error, TaskStopped):
                capture.put(self._error(error))
        self._put_out(cell.name, capture)

    def _show_figure(self, figure: Any) -> None:
        data, metadata = self._shell.display_formatter.format(figure)
        capture = current.get()
        if capture is not None and data:
            capture.put({"output_type": "display_data", "data": data, "metadata": metadata})

    def _error(self, error: BaseException) -> dict[str, Any]:
        kind = type(error)
        try:
            lines = self._shell.InteractiveTB.structured_traceback(kind, error, users_frames(error.__traceback__), 0)
        except Exception:  # noqa: BLE001 - a traceback that cannot be drawn must not hide the error
            lines = [f"{kind.__name__}: {error}"]
        return {"output_type": "error", "ename": kind.__name__, "evalue": str(error), "traceback": list(lines)}


class DisplayRoutes:
    """Routes ``display()`` inside tasks to their captures.

    Parameters
    ----------
    shell
        The IPython shell whose display publisher is routed.
    """

    def __init__(self, shell: Any) -> None:
        self._publisher = shell.display_pub
        self._is_open = False

    def open(self) -> None:
        """Begin to route."""
        if self._is_open:
            return
        self._is_open = True
        publisher, publish, clear = self._publisher, self._publisher.publish, self._publisher.clear_output

        def routed_publish(
            data: Mapping[str, Any], metadata: Mapping[str, Any] | None = None, *args: Any, **kwargs: Any
        ) -> None:
            capture = current.get()
            if capture is None:
                publish(data, metadata, *args, **kwargs)
                return
            kind = "update_display_data" if kwargs.get("update") else "display_data"
            output = {"output_type": kind, "data": dict(data), "metadata": dict(metadata or {})}
            if kwargs.get("transient"):
                output["transient"] = dict(kwargs["transient"])
            capture.put(output)

        def routed_clear(wait: bool = False) -> None:
            capture = current.get()
            if capture is None:
                clear(wait)
            else:
                capture.put({"output_type": "clear_output", "wait": wait})

        publisher.publish, publisher.clear_output = routed_publish, routed_clear

    def close(self) -> None:
        """Put the publisher back as it was."""
        if self._is_open:
            self._is_open = False
            # Both were put on the object and hide its class's own.
            del self._publisher.publish, self._publisher.clear_output


class NameRoutes:
    """Lets IPython's magics inside tasks work on the task's own names.

    ``%%time``, ``%timeit``, ``%who`` and most others read and bind names in the shell's ``user_ns``.  While the
    extension is loaded that is, within a task, what the task's body runs over.

    Parameters
    ----------
    shell
        The IPython shell.
    """

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._plain: type | None = None

    def open(self) -> None:
        """Begin to route."""
        if self._plain is not None:
            return
        plain = self._plain = type(self._shell)
        usual = vars(InteractiveShell).get("user_ns")

        def user_ns(shell: Any) -> Any:
            if (names := names_here.get()) is not None:
                return names
            # Before IPython 9 it was an attribute of the object.
            return shell.__dict__["user_ns"] if usual is None else usual.fget(shell)

        def put_user_ns(shell: Any, names: Any) -> None:
            if usual is None:
                shell.__dict__["user_ns"] = names
            else:
                usual.fset(shell, names)

        def user_global_ns(shell: Any) -> Any:
            names = names_here.get()
            return shell.user_module.__dict__ if names is None else names

        routed = {
            "user_ns": property(user_ns, put_user_ns),
            "user_global_ns": property(user_global_ns),
            "__module__": plain.__module__,
        }
        self._shell.__class__ = new_class(plain.__name__, (plain,), exec_body=lambda body: body.update(routed))

    def close(self) -> None:
        """Put the shell back as it was."""
        if self._plain is not None:
            self._shell.__class__, self._plain = self._plain, None
