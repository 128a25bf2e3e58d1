"""What an error says, in one line: for notes, messages and states, which have no room for more."""

from __future__ import annotations

__all__ = ["first_line"]


def first_line(error: BaseException, most: int = 200) -> str:
    """Return the first line of what an error says, cut to so many characters; its kind if it says nothing.

    Examples
    --------
    >>> first_line(ValueError("no rows\\nin any table")), first_line(OSError())
    ('no rows', 'OSError')
    """
    return (str(error).strip() or type(error).__name__).splitlines()[0][:most]
