"""Gives what code shows, and cannot show, to the task whose code is running."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from orch_notebook.runtime.capture import current, route_values

__all__ = ["DisplayRoutes"]


class DisplayRoutes:
    """Routes ``display()`` inside tasks, and the tracebacks of values that cannot be shown, to their captures.

    Parameters
    ----------
    shell
        The IPython shell whose display publisher is routed.
    """

    def __init__(self, shell: Any) -> None:
        self._shell = shell
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

        show_traceback = self._shell._showtraceback

        def routed_traceback(kind: type[BaseException], error: BaseException, lines: list[str]) -> None:
            capture = current.get()
            if capture is None:
                show_traceback(kind, error, lines)
            else:
                capture.put(
                    {"output_type": "error", "ename": kind.__name__, "evalue": str(error), "traceback": list(lines)}
                )

        publisher.publish, publisher.clear_output = routed_publish, routed_clear
        self._shell._showtraceback = routed_traceback
        # IPython has one hook for as long as a cell runs, and puts back another when it ends.
        trap = self._shell.display_trap
        trap.hook = route_values(self._shell.displayhook)
        if trap.old_hook is not None:
            trap.old_hook = route_values(trap.old_hook)
        self._load_magics_in_turn()
        self._show_in_turn()

    def _show_in_turn(self) -> None:
        """Let values be put into words and pictures one at a time.

        Libraries set options for as long as they do so (pandas), or draw (SymPy), for the whole process.
        """
        formatter, lock = self._shell.display_formatter, threading.RLock()
        format_ = formatter.format

        def format_in_turn(*args: Any, **kwargs: Any) -> Any:
            with lock:
                return format_(*args, **kwargs)

        formatter.format = format_in_turn

    def _load_magics_in_turn(self) -> None:
        """Let a magic that is loaded when first used be there for all tasks that use it at once."""
        manager = self._shell.magics_manager
        load = getattr(manager, "load_lazy", None)
        if load is None or "load_lazy" in vars(manager):  # older versions of IPython load all at once
            return
        lock = threading.RLock()

        def load_in_turn(*args: Any, **kwargs: Any) -> None:
            with lock:
                load(*args, **kwargs)

        manager.load_lazy = load_in_turn

    def close(self) -> None:
        """Put the publisher back as it was."""
        if self._is_open:
            self._is_open = False
            # All were put on the object and hide its class's own.
            del self._publisher.publish, self._publisher.clear_output, self._shell._showtraceback
            self._shell.display_trap.hook = self._shell.displayhook
            vars(self._shell.magics_manager).pop("load_lazy", None)
            del self._shell.display_formatter.format
