"""Amounts of memory as people write them: ``2GB``, ``512 MiB``, ``1.5g``.  In: text or bytes.  Out: the other."""

from __future__ import annotations

import re

from orch_notebook.errors import UsageError

__all__ = ["parse_size", "size_words"]

#: Bytes of each unit; one letter alone means powers of ten, as on a disk.
UNITS = {
    "": 1,
    "b": 1,
    **{letter + end: 1000**power for power, letter in enumerate("kmgt", 1) for end in ("", "b")},
    **{letter + "ib": 1024**power for power, letter in enumerate("kmgt", 1)},
}
SIZE = re.compile(r"\s*(\d+(?:\.\d+)?|\.\d+)\s*([a-z]*)\s*", re.ASCII)
PRINTED = ("TB", "GB", "MB", "kB")


def parse_size(text: str | int) -> int:
    """Read an amount of memory and return its bytes.

    Parameters
    ----------
    text : str or int
        A number counts bytes; otherwise with a unit: kB, MB, GB, TB, or KiB, MiB, GiB, TiB.

    Raises
    ------
    UsageError
        It does not read so, or is nothing.

    Examples
    --------
    >>> parse_size("1.5 GB"), parse_size("512MiB"), parse_size(2048)
    (1500000000, 536870912, 2048)
    """
    found = SIZE.fullmatch(str(text).lower())
    if found is None or found[2] not in UNITS or (size := int(float(found[1]) * UNITS[found[2]])) < 1:
        raise UsageError(f"{text!r} is no amount of memory. Write a number with a unit: 512MB, 2GB, 1.5GiB.")
    return size


def size_words(size: int) -> str:
    """Return bytes as people read them, to three digits.

    Examples
    --------
    >>> size_words(1_536_000_000), size_words(2_000_000), size_words(12)
    ('1.54 GB', '2 MB', '12 B')
    """
    for power, unit in zip((4, 3, 2, 1), PRINTED, strict=True):
        if size >= 1000**power:
            return f"{size / 1000**power:.3g} {unit}"
    return f"{size} B"
