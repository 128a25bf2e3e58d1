"""A diagram on paper: places in, SVG out, and states painted over it without a new layout.

:func:`draw` takes the places that Graphviz found (its ``json0`` form of what ``diagrams.dot`` wrote) and draws them
bare: classes, no colours, so that a panel can style it with its theme's.  :func:`paint` adds states and, for an
``<img>`` or a file, a style sheet and paper of its own: such an image cannot see the page's theme, so it brings both.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from html import escape
from typing import Any

from orch_notebook.model.graph import Graph
from orch_notebook.model.runs import TaskRun
from orch_notebook.model.views.diagrams import NodeFace, faces, nodes
from orch_notebook.model.views.looks import TONES
from orch_notebook.model.views.words import clip

__all__ = ["draw", "paint"]

_MARGIN = 10.0
#: By how much the lid of a drum is bent.
_BULGE = 5.0
#: Rows whose boxes are this near (in points) are neighbours; only longer lines need Graphviz' way around boxes.
_NEXT_ROW = 45.0
_Place = Callable[[float, float], tuple[float, float]]
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e-?\d+)?")


def draw(placement: Mapping[str, Any]) -> str:
    """Return a bare SVG of a placed graph.

    Parameters
    ----------
    placement : mapping
        Graphviz' ``json0`` output, parsed: ``bb``, ``objects`` with ``pos``, ``width`` and ``height``, ``edges`` with
        ``pos``; lengths in points, heights counted upwards.
    """
    left, bottom, right, top = (float(number) for number in _NUMBER.findall(placement.get("bb", "0,0,0,0")))
    width, height = right - left + 2 * _MARGIN, top - bottom + 2 * _MARGIN

    def at(x: float, y: float) -> tuple[float, float]:
        return x - left + _MARGIN, top - y + _MARGIN

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="orch-diagram" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}">'
    ]
    boxes = placement.get("objects", ())
    for edge in placement.get("edges", ()):
        order = " order" if edge.get("style") == "dashed" else ""
        ends = f'data-from="{edge["tail"]}" data-to="{edge["head"]}"'
        reason = escape(_unquote(edge.get("tooltip", "")))
        # The wide line below, which nothing draws, makes the thin one easy to point at.
        line = _step(boxes[edge["tail"]], boxes[edge["head"]], at) or _line(edge["pos"], at)
        parts.append(
            f'<g class="edge{order}" {ends}><title>{reason}</title>'
            f'<path class="hit" d="{line}"/><path class="line" d="{line}"/></g>'
        )
    for number, box in enumerate(boxes):
        x, y = at(*_numbers(box["pos"]))
        shape = _drum if box.get("shape") == "cylinder" else _box
        parts.append(shape(number, x, y, 72 * float(box["width"]), 72 * float(box["height"]), box))
    return "".join([*parts, "</svg>"])


def _box(number: int, x: float, y: float, width: float, height: float, box: Mapping[str, Any]) -> str:
    left, top = x - width / 2, y - height / 2
    room = int((width - 42) / 5.4)
    # Everything a state changes is an attribute or a text that `paint` and the panel find by its class.
    return (
        f'<g class="node" data-node="{number}" data-room="{room}"><title>{escape(_unquote(box["tooltip"]))}</title>'
        f'<rect x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{height:.1f}" rx="6"/>'
        f'<path class="glyph" transform="translate({left + 11:.1f} {y - 6:.1f})" d=""/>'
        f'<text class="name" x="{left + 32:.1f}" y="{y - 2:.1f}">{escape(_unquote(box["label"]))}</text>'
        f'<text class="sub" x="{left + 32:.1f}" y="{y + 12:.1f}"></text></g>'
    )


def _drum(number: int, x: float, y: float, width: float, height: float, box: Mapping[str, Any]) -> str:
    """Draw what a task makes outside of the flow: a drum, which has no state."""
    left, right, top, foot = x - width / 2, x + width / 2, y - height / 2 + _BULGE, y + height / 2 - _BULGE
    bow = f"A{width / 2:.1f} {_BULGE:g} 0 0"
    body = f"M{left:.1f} {top:.1f}{bow} 1 {right:.1f} {top:.1f}V{foot:.1f}{bow} 1 {left:.1f} {foot:.1f}Z"
    lid = f"M{left:.1f} {top:.1f}{bow} 0 {right:.1f} {top:.1f}"
    name, where = escape(_unquote(box["label"])), escape(_unquote(box.get("comment", "")))
    return (
        f'<g class="asset" data-node="{number}"><title>{escape(_unquote(box["tooltip"]))}</title>'
        f'<path d="{body}{lid}"/><text class="name" x="{left + 14:.1f}" y="{y + 2:.1f}">{name}</text>'
        f'<text class="sub" x="{left + 14:.1f}" y="{y + 14:.1f}">{where}</text></g>'
    )


def _numbers(pair: str) -> tuple[float, float]:
    x, y = pair.split(",")
    return float(x), float(y)


def _step(tail: Mapping[str, Any], head: Mapping[str, Any], at: _Place) -> str:
    """Return a calm curve from the foot of one box to the top of another in the next row; farther apart, nothing."""
    (left, above), (right, below) = at(*_numbers(tail["pos"])), at(*_numbers(head["pos"]))
    foot, top = above + 36 * float(tail["height"]), below - 36 * float(head["height"])
    if not 0 < top - foot <= _NEXT_ROW:
        return ""
    middle = (foot + top) / 2
    return f"M{left:.1f} {foot:.1f}C{left:.1f} {middle:.1f} {right:.1f} {middle:.1f} {right:.1f} {top:.1f}"


def _unquote(text: str) -> str:
    return text.replace("\\\\", "\\")


def _line(spline: str, at: _Place) -> str:
    """Turn a spline of Graphviz (``e,x,y`` for the arrow's tip, then 3n + 1 points) into SVG path data."""
    tip, points = None, []
    for word in spline.split():
        kind, _, rest = word.partition(",")
        if kind in ("e", "s"):
            if kind == "e":
                tip = at(*_numbers(rest))
        else:
            points.append(at(*_numbers(word)))
    path = f"M{points[0][0]:.1f} {points[0][1]:.1f}C" + " ".join(f"{x:.1f} {y:.1f}" for x, y in points[1:])
    return path + (f"L{tip[0]:.1f} {tip[1]:.1f}" if tip else "")


_NODE = re.compile(
    r'<g class="node" data-node="(\d+)" data-room="(\d+)">(.*?<path class="glyph"[^>]*) d=""/>'
    r'(<text class="name".*?<text class="sub"[^>]*>)</text></g>',
    re.DOTALL,
)


def paint(svg: str, graph: Graph, task_runs: Iterable[TaskRun] = (), now: datetime | None = None) -> str:
    """Return the SVG with every node in the colour and shape of its state, ready to stand alone.

    Parameters
    ----------
    svg : str
        What the layout of ``dot(graph)`` gave.
    graph : Graph
        The same graph.
    task_runs : iterable of TaskRun, optional
        Where its tasks stand; none before the first run.
    now : datetime, optional
        The present moment; needed with `task_runs`.
    """
    boxes = nodes(graph)
    known = {task_run.name: task_run for task_run in task_runs}
    shown = faces(graph, boxes, known, now) if known and now else {}
    painted = _NODE.sub(lambda match: _painted(match, shown.get(int(match[1]), NodeFace())), svg)
    head, end, body = painted.partition(">")
    label = f'role="img" aria-label="{escape(_described(boxes, shown))}"'
    return f'{head} {label}{end}<style>{_style()}</style><rect class="paper" width="100%" height="100%" rx="8"/>{body}'


def _painted(match: re.Match[str], face: NodeFace) -> str:
    number, room, before, names = match.groups()
    classes = " ".join(filter(None, ("node", face.tone, "" if face.sub else "bare")))
    path = TONES[face.tone].path if face.tone else TONES["pending"].path
    sub = escape(clip(face.sub, int(room)))
    return f'<g class="{classes}" data-node="{number}" data-room="{room}">{before} d="{path}"/>{names}{sub}</text></g>'


def _described(boxes: Sequence[Any], shown: Mapping[int, NodeFace]) -> str:
    tones = [face.tone for face in shown.values() if face.tone]
    counts = [f"{tones.count(tone)} {tone}" for tone in TONES if tone in tones]
    tasks = sum(len(box.members) for box in boxes)
    return f"Diagram of {tasks} task{'' if tasks == 1 else 's'}" + (f": {', '.join(counts)}" if counts else "")


@cache
def _style() -> str:
    """Return the style sheet of an image that stands alone, for light paper and for dark."""
    shape = (
        ".orch-diagram text{font:12px system-ui,'Segoe UI',Roboto,Helvetica,sans-serif}"
        ".orch-diagram .sub{font-size:10.5px}.orch-diagram .bare .name{transform:translateY(6px)}"
        ".orch-diagram path{fill:none}.orch-diagram .hit{stroke:transparent;stroke-width:10}"
        ".orch-diagram .order .line{stroke-dasharray:4 3}"
        ".orch-diagram .glyph{stroke-width:1.7;stroke-linecap:round;stroke-linejoin:round}"
        ".orch-diagram .cached .glyph{stroke-width:1}"
    )
    light = _colours("#ffffff", "#d5dae0", "#1d2129", "#5f6773", "#9aa2ad", dark=False)
    dark = _colours("#15181d", "#343b45", "#e6e9ee", "#9aa4b2", "#5d6673", dark=True)
    return f"{shape}{light}@media(prefers-color-scheme:dark){{{dark}}}"


def _colours(paper: str, frame: str, text: str, dim: str, line: str, *, dark: bool) -> str:
    rules = [
        f".orch-diagram .paper{{fill:{paper}}}.orch-diagram .node rect{{fill:{paper};stroke:{frame}}}",
        f".orch-diagram text{{fill:{text}}}.orch-diagram .sub{{fill:{dim}}}.orch-diagram .line{{stroke:{line}}}",
        f".orch-diagram .glyph{{stroke:{dim}}}.orch-diagram .asset path{{fill:{paper};stroke:{line}}}",
    ]
    for name, tone in TONES.items():
        colour, tint = (tone.dark, tone.dark_paper) if dark else (tone.light, tone.light_paper)
        node = f".orch-diagram .{name}"
        fill = f";fill:{colour}" if name == "cached" else ""
        rules.append(f"{node} .glyph{{stroke:{colour}{fill}}}")
        if name in ("running", "retrying", "failed", "crashed", "paused"):
            rules.append(f"{node} rect{{fill:{tint};stroke:{colour}}}")
        elif name in ("completed", "cached"):
            rules.append(f"{node} rect{{fill:{tint};stroke:{tint}}}")
        elif name == "upstream":
            rules.append(f"{node} rect{{stroke:{TONES['failed'].mid};stroke-dasharray:2 2}}")
    return "".join(rules)
