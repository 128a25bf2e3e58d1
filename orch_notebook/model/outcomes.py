"""What one performance of a task came to, and whether two came to the same.

In: what a task put out, fingerprints of what it was given and what it made.  Out: in words, what differs.  Addresses,
clocks and the places of warnings are nobody's result.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Outcome", "difference", "texts_of"]

MASKS = (
    (re.compile(r"0x[0-9a-fA-F]{6,}"), "0x…"),
    (
        re.compile(
            r"^.*(?:Wall time|CPU times|(?:Compiler|Parser) *:| per loop|it/s|s/it|slowest run).*\n?", re.MULTILINE
        ),
        "",
    ),
    (re.compile(r"\b\d\d?:\d\d:\d\d\b"), "…"),
    (re.compile(r"<ipython-input-[^>]+>|\S*ipykernel_\S+|<task [^>]+>|Cell In ?\[\d+\]"), "<cell>"),
)
#: A warning as Python writes it: where, what, and the line that caused it.  Each is shown once in a process.
WARNING = re.compile(r"^\S.*?:\d+: \w*Warning: ?.*(?:\n[ \t]+.*)*\n?", re.MULTILINE)


@dataclass(slots=True)
class Outcome:
    """What one performance of a task came to.

    Parameters
    ----------
    error : str
        What it raised, in one line; empty if it ended well.
    has_run : bool
        Whether it was performed at all.
    missing : str
        The name whose absence made it fail.
    texts : mapping
        What it printed and showed.
    made : mapping
        Fingerprints of the versions it made, by name.
    states : mapping
        Tokens of the hidden states and files when it began.
    changed : frozenset of str
        Those it changed.
    has_loaded : bool
        Whether it was the first to load some module.  What a module writes when it is loaded it writes once.
    """

    error: str = ""
    has_run: bool = False
    missing: str = ""
    texts: dict[str, str] = field(default_factory=dict)
    made: dict[str, str] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=dict)
    changed: frozenset[str] = frozenset()
    has_loaded: bool = False


def masked(text: str) -> str:
    """Return a text without what differs each time.

    Examples
    --------
    >>> masked("<Model at 0x7f0011223344> at 12:03:59")
    '<Model at 0x…> at …'
    """
    for pattern, instead in MASKS:
        text = pattern.sub(instead, text)
    return "\n".join(line.rpartition("\r")[2] for line in text.rstrip("\r").split("\n"))


def texts_of(outputs: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return what is compared of a task's outputs, each a mapping in the notebook format.

    Examples
    --------
    >>> texts_of([{"output_type": "stream", "name": "stdout", "text": "a"}, {"output_type": "stream", "name": "stdout",
    ... "text": "b"}])
    {'prints': 'ab'}
    """
    printed, shown, pictures = "", [], []
    for output in outputs:
        kind = output["output_type"]
        if kind == "stream":
            text = output["text"]
            printed += text if output["name"] == "stdout" else WARNING.sub("", text)
        elif kind in ("display_data", "execute_result", "update_display_data"):
            data = output["data"]
            # Other forms hold counters and random ids; the picture of a figure is the same for the same figure.
            shown.append(str(data.get("text/plain", sorted(data))))
            if "image/png" in data:
                pictures.append(hashlib.sha256(str(data["image/png"]).strip().encode()).hexdigest()[:16])
    found = {"prints": masked(printed), "shows": masked("\n".join(shown)), "draws": " ".join(pictures)}
    return {part: text for part, text in found.items() if text.strip()}


def difference(first: Outcome, second: Outcome) -> str:
    """Return in what the second outcome differs from the first, in words that follow the task's name; or nothing.

    Examples
    --------
    >>> difference(Outcome(has_run=True, made={"n": "1"}), Outcome(has_run=True, made={"n": "2"}))
    "makes another 'n'"
    >>> difference(Outcome(has_run=True), Outcome("NameError: name 'x' is not defined", True))
    "fails with NameError: name 'x' is not defined"
    """
    if first.has_run != second.has_run:
        return "does not run" if first.has_run else "runs"
    if masked(first.error) != masked(second.error):
        return f"fails with {second.error}" if second.error else f"does not fail with {first.error}"
    if first.error:
        return ""  # what a failed task leaves is not defined
    for name in sorted({*first.made, *second.made}):
        if first.made.get(name) != second.made.get(name):
            return f"makes another {name!r}" if name in first.made and name in second.made else f"may not make {name!r}"
    for part in ("prints", "shows", "draws"):
        was, now = first.texts.get(part, ""), second.texts.get(part, "")
        if was != now and not (part == "prints" and first.has_loaded and now in was):
            return f"{part} {_excerpt(was)} or {_excerpt(now)}" if part != "draws" else "draws another figure"
    return ""


def _excerpt(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "…") if text.strip() else "nothing"
