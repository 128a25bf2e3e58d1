"""Words that appear where one points at a diagram that is an image: a map of places over its lines and boxes.

In: a drawing of ``drawings.draw``, painted or not.  Out: an HTML ``<map>``, which front ends show for an image as they
show ``<title>`` for a drawing of its own.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from itertools import pairwise
from math import hypot

__all__ = ["hover_map"]

#: Wider drawings shrink with their page, and the places of a map do not.
MOST_WIDTH = 900
#: More lines than this nobody tells apart by pointing; each costs about 200 bytes.
MOST_LINES = 150
#: Pixels to either side of a line that count as pointing at it.
REACH = 6.0
#: Pieces that a curve is cut into.
PIECES = 5

_WIDTH = re.compile(r'<svg [^>]*\bwidth="(\d+)"')
_EDGE = re.compile(r'<g class="edge[^"]*"[^>]*><title>([^<]*)</title><path class="hit" d="([^"]*)"/>')
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")

Point = tuple[float, float]


def hover_map(svg: str) -> tuple[str, str]:
    """Return a map's name and the map itself; both empty where none is of use.

    Examples
    --------
    >>> line = '<g class="edge"><title>b reads x from a</title><path class="hit" d="M9 10C9 20 9 30 9 40"/></g>'
    >>> print(hover_map(f'<svg width="60" height="50">{line}</svg>')[1].partition(">")[2])
    <area shape="poly" coords="3,10,3,16,3,22,3,28,3,34,3,40,15,40,15,34,15,28,15,22,15,16,15,10" \
title="b reads x from a" alt=""/></map>
    """
    width = _WIDTH.search(svg)
    lines = _EDGE.findall(svg)
    if not lines or len(lines) > MOST_LINES or width is None or int(width[1]) > MOST_WIDTH:
        return "", ""
    # The words are escaped already, as the drawing has them.
    areas = "".join(f'<area shape="poly" coords="{_outline(path)}" title="{words}" alt=""/>' for words, path in lines)
    name = "orch-" + blake2b(areas.encode(), digest_size=6).hexdigest()
    return name, f'<map name="{name}">{areas}</map>'


def _outline(path: str) -> str:
    """Return the corners of the strip along a path of one ``M``, cubic curves, and perhaps a last straight piece."""
    points = _points(path)
    left: list[Point] = []
    right: list[Point] = []
    for number, (x, y) in enumerate(points):
        (ax, ay), (bx, by) = points[max(number - 1, 0)], points[min(number + 1, len(points) - 1)]
        length = hypot(bx - ax, by - ay) or 1.0
        dx, dy = REACH * (by - ay) / length, REACH * (bx - ax) / length
        left.append((x - dx, y + dy))
        right.append((x + dx, y - dy))
    return ",".join(f"{x:.0f},{y:.0f}" for x, y in (*left, *reversed(right)))


def _points(path: str) -> list[Point]:
    curves, _, straight = path.partition("L")
    numbers = [float(number) for number in _NUMBER.findall(curves)]
    knots = list(zip(numbers[::2], numbers[1::2], strict=True))
    found = [knots[0]]
    for start in range(0, len(knots) - 3, 3):
        a, b, c, d = knots[start : start + 4]
        for piece in range(1, PIECES + 1):
            t = piece / PIECES
            u = 1 - t
            weights = u**3, 3 * u * u * t, 3 * u * t * t, t**3
            found.append(
                (
                    sum(w * point[0] for w, point in zip(weights, (a, b, c, d), strict=True)),
                    sum(w * point[1] for w, point in zip(weights, (a, b, c, d), strict=True)),
                )
            )
    if straight:
        x, y = (float(number) for number in _NUMBER.findall(straight))
        found.append((x, y))
    return [found[0], *(after for before, after in pairwise(found) if after != before)]
