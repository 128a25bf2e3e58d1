"""Python values as bytes and back: the one door to cloudpickle, which is loaded when something is first kept."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Mapping, Sequence
from typing import Any

__all__ = ["LARGE", "from_bytes", "from_parts", "reducers", "to_bytes", "to_parts", "write_to"]

#: Buffers from this size on travel beside the pickle; below it a message of their own costs more than the copy.
LARGE = 1 << 16


def to_bytes(value: Any) -> bytes:
    """Pickle a value, functions and classes of a notebook included.

    Raises
    ------
    Exception
        Whatever the value itself raises when it cannot be pickled.
    """
    import cloudpickle

    data: bytes = cloudpickle.dumps(value)
    return data


def write_to(value: Any, file: Any) -> None:
    """Pickle a value into a file, piece by piece, so that nothing of its size is made beside it.

    Raises
    ------
    Exception
        Whatever the value or the file itself raises.
    """
    import cloudpickle

    cloudpickle.dump(value, file)


def from_bytes(data: bytes) -> Any:
    """Unpickle bytes.  Doing so runs code: the caller vouches for where they come from.

    Examples
    --------
    >>> from_bytes(to_bytes({"n": 1}))
    {'n': 1}
    """
    import cloudpickle

    return cloudpickle.loads(data)


def to_parts(
    value: Any, reduce: Callable[[Any], Any] = lambda part: NotImplemented
) -> tuple[bytes, list[memoryview[Any]]]:
    """Pickle a value, its large buffers apart from the rest and not copied.

    Parameters
    ----------
    value : object
        Functions and classes of a notebook included.
    reduce : callable
        Is asked first how each part is pickled; ``NotImplemented`` leaves it to the usual ways.

    Raises
    ------
    Exception
        Whatever the value itself raises when it cannot be pickled.

    Examples
    --------
    >>> data, buffers = to_parts({"n": pickle.PickleBuffer(bytearray(100_000))})
    >>> len(data) < 100, [buffer.nbytes for buffer in buffers]
    (True, [100000])
    """
    import cloudpickle

    buffers: list[memoryview[Any]] = []

    def is_small(buffer: pickle.PickleBuffer) -> bool:
        if memoryview(buffer).nbytes < LARGE:
            return True
        buffers.append(buffer.raw())
        return False

    file = io.BytesIO()
    pickler = cloudpickle.Pickler(file, protocol=5, buffer_callback=is_small)
    usual = pickler.reducer_override

    def ask(part: Any) -> Any:
        found = reduce(part)
        return usual(part) if found is NotImplemented else found

    pickler.reducer_override = ask
    pickler.dump(value)
    return file.getvalue(), buffers


def from_parts(data: bytes, buffers: Sequence[Any]) -> Any:
    """Unpickle what :func:`to_parts` made.  Doing so runs code: the caller vouches for where it comes from."""
    return pickle.loads(data, buffers=buffers)


def reducers() -> tuple[Callable[[Any], Any], Mapping[type, Callable[[Any], Any]]]:
    """Return what a pickler of one's own needs for functions and classes of a notebook.

    Returns
    -------
    tuple
        Its ``reducer_override`` and its ``dispatch_table``; for one pickler, because functions that shared their
        globals share them again.
    """
    import cloudpickle

    pickler = cloudpickle.Pickler(io.BytesIO())
    return pickler.reducer_override, pickler.dispatch_table
