"""Where the kernel meets the browser: small anywidgets, and the only door to that library.

In: messages from the panel.  Out: what the browser says, handed to the panel on whatever thread it arrives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from orch_notebook.errors import OrchError

__all__ = [
    "STATIC",
    "Surface",
    "front_end",
    "open_restorer",
    "open_surface",
]

#: The bundled front end, made when a wheel is built.
STATIC = Path(__file__).parent / "static"


class Surface(Protocol):
    """What a panel needs of a widget."""

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a message to every view; safe from any thread."""

    def mimebundle(self, **kwargs: Any) -> Any:
        """Return what Jupyter displays."""

    def close(self) -> None:
        """Close the connection and remove the views."""


def front_end(part: str = "panel") -> tuple[str, str]:
    """Return the script and the style sheet of the panel, or the script of what has no view.

    Raises
    ------
    OrchError
        They have not been built, which happens only in a source checkout.
    """
    try:
        script = (STATIC / f"{part}.js").read_text(encoding="utf-8")
        style = (STATIC / "panel.css").read_text(encoding="utf-8") if part == "panel" else ""
    except FileNotFoundError as error:
        raise OrchError(
            "The panel's front end has not been built in this source checkout. Try: pip install -e . "
            "(or, with Node: npm ci --prefix js && npm run build --prefix js)"
        ) from error
    return script, style


def open_surface(receive: Callable[[Mapping[str, Any]], None], closed: Callable[[], None]) -> Surface:
    """Open a panel's widget in this kernel.

    Parameters
    ----------
    receive : callable
        Is given each message from a browser, on the thread on which the kernel handles it.
    closed : callable
        Is called once when the widget is closed.
    """
    return _open(*front_end(), receive, closed)


def open_restorer(receive: Callable[[Mapping[str, Any]], None], closed: Callable[[], None]) -> Surface:
    """Open a model without a view, which every page of the notebook gets, also one that is loaded again."""
    return _open(*front_end("restore"), receive, closed)


def _open(script: str, style: str, receive: Callable[[Mapping[str, Any]], None], closed: Callable[[], None]) -> Surface:
    import anywidget

    class OrchWidget(anywidget.AnyWidget):  # type: ignore[misc]
        _esm = script
        _css = style

        def mimebundle(self, **kwargs: Any) -> Any:
            found = self._repr_mimebundle_(**kwargs) if self.comm is not None else None
            data = found[0] if isinstance(found, tuple) else found
            if isinstance(data, dict):
                data["text/plain"] = ""  # what is to be read without a widget stands in the output above
            return found

        def close(self) -> None:
            if self.comm is not None:
                super().close()
                closed()

    widget = OrchWidget()
    widget.on_msg(lambda _widget, content, _buffers: receive(content))
    _answer_while_busy(widget.comm)
    return widget


def _answer_while_busy(comm: Any) -> None:
    """Let clicks be handled while a cell blocks the main thread.

    ipykernel 7.4 hands a comm's messages to the shell that last sent on it; what a cell sent makes that the main one,
    so ■ would wait for the cell to end (measured: 4.7 s instead of 5 to 27 ms).  The name is private, hence the guard;
    where it is missing the kernel's interrupt still cancels.
    """
    if hasattr(comm, "_reply_subshell_for"):
        comm._reply_subshell_for = lambda data, default: default
