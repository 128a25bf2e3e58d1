"""What one performance of a task came to, and whether two came to the same.

In: what a task, or a plain cell, put out, and fingerprints of what it made.  Out: in words, what differs.  Addresses,
clocks and the places of warnings are nobody's result.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Outcome", "difference", "outcome_of", "texts_of"]

MASKS = (
    (re.compile(r"0x[0-9a-fA-F]{6,}"), "0x…"),
    (re.compile(r"\x1b\[[0-9;]*m"), ""),
    (
        re.compile(
            r"^.*(?:Wall time|CPU times|(?:Compiler|Parser) *:| per loop|it/s|s/it|slowest run).*\n?", re.MULTILINE
        ),
        "",
    ),
    (re.compile(r"\b\d\d?:\d\d:\d\d\b"), "…"),
    (re.compile(r"<ipython-input-[^>]+>|[^\s\"]*ipykernel_[^\s\",]+|<task [^>]+>|Cell In ?\[\d+\]"), "<cell>"),
)
#: A warning as Python writes it: where, what, and the line that caused it.  Each is shown once in a process.
WARNING = re.compile(r"^\S.*?:\d+: (\w*Warning: ?.*)(?:\n[ \t]+.*)*\n?", re.MULTILINE)
#: How IPython tells the error of a magic.
TOLD_ERROR = re.compile(r"^UsageError: .*$", re.MULTILINE)
#: What front ends draw with a state of their own; executed notebooks keep a text in its place.
WIDGET = "application/vnd.jupyter.widget-view+json"
#: The parts of what is put out that are compared, in words that follow a task's name.
PARTS = ("prints", "complains", "shows", "draws")


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

    Warnings stand under ``warns``, which nobody compares: Python shows equal ones once, wherever that happens first.

    Examples
    --------
    >>> texts_of([{"output_type": "stream", "name": "stdout", "text": "a"}, {"output_type": "stream", "name": "stdout",
    ... "text": "b"}])
    {'prints': 'ab'}
    """
    streams, shown, pictures = {"stdout": "", "stderr": ""}, list[str](), list[str]()
    for output in outputs:
        kind = output["output_type"]
        if kind == "stream":
            streams[output["name"]] += output["text"]
        elif kind == "clear_output":
            streams, shown, pictures = {"stdout": "", "stderr": ""}, [], []
        elif kind in ("display_data", "execute_result", "update_display_data"):
            data = {form: content for form, content in output["data"].items() if form != WIDGET}
            # Other forms than the text hold counters and random ids; that they are there is compared.
            shown.append(str(data.get("text/plain", "[a widget]" if not data else "")))
            if forms := sorted(form for form in data if form != "text/plain"):
                shown[-1] += f" [{', '.join(forms)}]"
            if "image/png" in data:
                # The picture of a figure is the same for the same figure.
                picture = data["image/png"]
                text = base64.b64encode(picture) if isinstance(picture, bytes) else "".join(picture.split()).encode()
                pictures.append(hashlib.sha256(text).hexdigest()[:16])
    errors = streams["stderr"]
    found = {
        "prints": masked(streams["stdout"]),
        "complains": masked(WARNING.sub("", errors)).strip(),
        "shows": masked("\n".join(shown)),
        "draws": " ".join(pictures),
        "warns": "\n".join(sorted({masked(text).strip() for text in WARNING.findall(errors)})),
    }
    return {part: text for part, text in found.items() if text.strip()}


def outcome_of(outputs: Iterable[Mapping[str, Any]]) -> Outcome:
    """Return what a cell came to that has put out all this; its error is among it.

    Examples
    --------
    >>> outcome_of([{"output_type": "error", "ename": "KeyError", "evalue": "'x'", "traceback": []}]).error
    "KeyError: 'x'"
    """
    outputs = list(outputs)
    texts = texts_of(outputs)
    error = ""
    for output in outputs:
        if output["output_type"] == "error":
            error = f"{output['ename']}: {output['evalue']}".splitlines()[0][:300]
    if not error and (told := TOLD_ERROR.search(texts.get("complains", ""))):
        error = told[0]
    return Outcome(error, has_run=True, texts=texts)


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
    # What a failed task leaves is not defined.
    for name in () if first.error else sorted({*first.made, *second.made}):
        if first.made.get(name) != second.made.get(name):
            return f"makes another {name!r}" if name in first.made and name in second.made else f"may not make {name!r}"
    for part in PARTS:
        was, now = first.texts.get(part, ""), second.texts.get(part, "")
        if was != now and not (part in ("prints", "complains") and first.has_loaded and now in was):
            return f"{part} {_excerpts(was, now)}" if part != "draws" else "draws another figure"
    return ""


def _excerpts(first: str, second: str) -> str:
    """Return two texts around the place where they begin to differ."""
    place = next((n for n, pair in enumerate(zip(first, second, strict=False)) if pair[0] != pair[1]), -1)
    begin = max(0, (place if place >= 0 else min(len(first), len(second))) - 30)
    return " or ".join(_excerpt(text, begin) for text in (first, second))


def _excerpt(text: str, begin: int) -> str:
    if not text.strip():
        return "nothing"
    shown = text if len(text) <= 60 else ("…" * (begin > 0) + text[begin : begin + 57] + "…" * (len(text) > begin + 57))
    return repr(shown)
