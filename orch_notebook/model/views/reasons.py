"""Why one task waits for another, in a sentence: on the diagram's lines, in tables and in the terminal."""

from __future__ import annotations

from orch_notebook.model.graph import Edge
from orch_notebook.model.views.words import clip, plain

__all__ = ["reason"]

#: What each rule says.
RULES = {
    "read-after-write": "{after} reads {name} from {before}",
    "write-after-read": "{after} changes {name}, which {before} reads first",
    "alias": "{after} shares {name} with {before}",
    "hidden-state": "{after} uses {name}, as {before} does",
    "file": "{after} uses the file {name}, as {before} does",
    "barrier": "{after} keeps its place after {before}, as one of the two {name}",
    "after": "{after} is told to wait for {before}",
}
#: What stands for a name that the edge does not bear.
NAMELESS = {"read-after-write": "what it left", "hidden-state": "hidden state", "barrier": "cannot be followed"}
#: What people call some hidden states, and a file whose name the source does not show.
CALLED = {
    ("hidden-state", "cwd"): "the working directory",
    ("hidden-state", "environ"): "the environment variables",
    ("hidden-state", "display"): "how values are displayed",
    ("hidden-state", "stdout"): "the standard streams",
    ("file", "*"): "whose name its source does not show",
}


def reason(edge: Edge) -> str:
    """Return why a task waits for another.

    Examples
    --------
    >>> reason(Edge("load", "clean", "read-after-write", "df"))
    'clean reads df from load'
    >>> reason(Edge("save", "list", "barrier", "it runs a shell command: !ls"))
    'list keeps its place after save, as one of the two runs a shell command: !ls'
    """
    before, after, name = (clip(plain(text), 60) for text in (edge.before, edge.after, edge.thing))
    if edge.rule not in RULES:
        return f"{after} waits for {before} ({edge.rule}{': ' + name if name else ''})"
    if edge.rule == "barrier":
        name = name.removeprefix("it ")
    name = CALLED.get((edge.rule, name), name) or NAMELESS.get(edge.rule, "")
    return RULES[edge.rule].format(before=before, after=after, name=name)
