"""Python values as bytes and back: the one door to cloudpickle, which is loaded when something is first kept."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["from_bytes", "reducers", "to_bytes", "write_to"]


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
