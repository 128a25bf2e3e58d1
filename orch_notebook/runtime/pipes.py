"""Messages over a pipe between two processes: a few plain values, and perhaps a parcel.

In and out: a connection of :mod:`multiprocessing`.  Buffers of a parcel are sent as they lie in memory and received
into memory of their own, which the arrays made from them may change.
"""

from __future__ import annotations

import pickle
from typing import Any

from orch_notebook.runtime.shipping import Parcel

__all__ = ["receive", "send"]


def send(pipe: Any, message: tuple[Any, ...], parcel: Parcel | None = None) -> None:
    """Send one message."""
    views = [memoryview(buffer).cast("B") for buffer in parcel.buffers] if parcel is not None else []
    sizes = [(view.nbytes, view.readonly) for view in views]
    pipe.send_bytes(pickle.dumps((message, parcel is not None, sizes), protocol=5))
    if parcel is not None:
        pipe.send_bytes(parcel.data)
    for view in views:
        pipe.send_bytes(view)


def receive(pipe: Any) -> tuple[tuple[Any, ...], Parcel | None]:
    """Wait for one message, and return it with its parcel.

    Raises
    ------
    EOFError, OSError
        The other side is gone.
    """
    message, has_parcel, sizes = pickle.loads(pipe.recv_bytes())
    if not has_parcel:
        return message, None
    data = pipe.recv_bytes()
    buffers: list[Any] = []
    for size, is_readonly in sizes:
        buffer = bytearray(size)
        pipe.recv_bytes_into(buffer)
        buffers.append(memoryview(buffer).toreadonly() if is_readonly else buffer)
    return message, Parcel(data, buffers)
