"""Where what a task puts out appears: under the task's own cell.

In: messages in Jupyter's terms.  Out: the same, addressed.  A front end that tells cell ids (JupyterLab, Notebook 7,
VS Code) keeps listening to a cell's messages after the cell has ended, so a message is addressed to the task's cell
itself.  A program that executes a notebook (papermill, nbclient) drops what does not belong to the cell it waits for;
there the message goes to the running cell, and says in its metadata whose it is.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Address", "Outlet", "TextOutlet", "open_outlet"]


@dataclass(frozen=True, slots=True)
class Address:
    """A cell, by the header of the request that executed it."""

    parent: Mapping[str, Any] = field(default_factory=dict)

    @property
    def cell_id(self) -> str | None:
        """The cell's id, where the front end tells it."""
        found = self.parent.get("metadata", {}).get("cellId")
        return str(found) if found else None


class Outlet:
    """Sends messages to the cells of a kernel's front end.

    Parameters
    ----------
    shell
        The IPython shell of a kernel.

    Attributes
    ----------
    told : callable
        Is told what has been sent (type, content, cell, badge), for whoever keeps what stands below cells.
    """

    is_live = True

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._kernel = shell.kernel
        self.told: Callable[[str, Mapping[str, Any], Address, str], None] = lambda *sent: None

    def here(self) -> Address:
        """Return the address of the cell that is being executed."""
        return Address(dict(self._shell.get_parent() or {}))

    def send(
        self,
        kind: str,
        content: Mapping[str, Any],
        to: Address,
        running: Address,
        display_id: str = "",
    ) -> None:
        """Send one message.

        Parameters
        ----------
        kind : str
            Its type (``stream``, ``display_data`` …).
        content : mapping
            Its content.
        to : Address
            The cell it belongs to.
        running : Address
            The cell that is being executed meanwhile.
        display_id : str
            The badge of the task whose it is.
        """
        metadata = {"orch_notebook": {"display_id": display_id}} if display_id else {}
        address = to if to.cell_id else running
        kernel = self._kernel
        kernel.session.send(
            kernel.iopub_socket,
            kind,
            dict(content),
            parent=dict(address.parent),
            ident=f"kernel.{kernel.ident}.{kind}".encode(),
            metadata=metadata,
        )
        self.told(kind, content, address, display_id)


class TextOutlet:
    """Stands in where there is no front end, as in a terminal: text goes to the real stream, the rest is left out."""

    is_live = False

    def here(self) -> Address:
        """Return no address in particular."""
        return Address()

    def send(self, kind: str, content: Mapping[str, Any], to: Address, running: Address, display_id: str = "") -> None:
        """Write what is text; updates of what was shown are left out."""
        if kind == "stream":
            stream = sys.__stderr__ if content["name"] == "stderr" else sys.__stdout__
            text = content["text"]
        elif kind in ("display_data", "execute_result") and not content.get("transient", {}).get("display_id"):
            stream, text = sys.__stdout__, content["data"].get("text/plain", "") + "\n"
        elif kind == "error":
            stream, text = sys.__stderr__, "\n".join(content["traceback"]) + "\n"
        else:
            return
        if stream is not None:
            stream.write(text)
            stream.flush()


def open_outlet(shell: Any) -> Outlet | TextOutlet:
    """Return the way to a shell's cells."""
    return Outlet(shell) if getattr(shell, "kernel", None) is not None else TextOutlet()
