"""How a state looks: a shape, a word and a colour, the same on every face.

In: the name of a state.  Out: its :class:`Look` and that look's :class:`Tone`.  Faces that style with CSS use the
tone's name as a class; faces that cannot (static HTML, text) take the colours and glyphs from here.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

from orch_notebook.model.states import NAMES

__all__ = ["LOOKS", "TONES", "Look", "Tone", "icon", "look_of"]


@dataclass(frozen=True, slots=True)
class Tone:
    """A colour and a shape that go together.

    Parameters
    ----------
    glyph : str
        One character, for plain text.
    path : str
        The same shape as SVG path data, stroked in a box of 12 by 12.
    mid : str
        A colour that can be told from white and from black paper; the bar, the icons and the tints are made of it.
    light, dark : str
        Colour of words on light and on dark paper.
    light_paper, dark_paper : str
        What lies under those words.
    """

    glyph: str
    path: str
    mid: str
    light: str
    dark: str
    light_paper: str
    dark_paper: str


_RING = "M10.5 6a4.5 4.5 0 1 1-9 0 4.5 4.5 0 0 1 9 0"
_BROKEN_RING = (
    "M4.5 1.8A4.5 4.5 0 0 1 7.5 1.8M9.5 3.2A4.5 4.5 0 0 1 10.5 6.2M9.7 8.5A4.5 4.5 0 0 1 7.2 10.3"
    "M4.8 10.3A4.5 4.5 0 0 1 2.3 8.5M1.5 6.2A4.5 4.5 0 0 1 2.5 3.2"
)
_THREE_QUARTERS = "M6 1.5A4.5 4.5 0 1 1 1.5 6"
_CROSS = "M3 3l6 6M9 3 3 9"
_STRUCK_RING = _RING + "M3 9l6-6"

_GREY = ("#757d8a", "#5c6470", "#a3acb9", "#f1f2f4", "#22272e")

#: The tones by name; the order is the one in which a bar or a count lists them.
TONES: Mapping[str, Tone] = MappingProxyType(
    {
        "completed": Tone("✓", "M2 6.4l2.8 2.8 5.4-6", "#258a4d", "#137a39", "#6fd08c", "#e8f6ec", "#12301c"),
        "cached": Tone(
            "↯", "M6.8 1 2.5 6.8h3L5 11l4.5-6.2H6.4z", "#12857b", "#0f766e", "#5fd0c3", "#e3f4f2", "#0f2f2c"
        ),
        "running": Tone("●", _THREE_QUARTERS, "#2e78de", "#1a62d6", "#7ab3ff", "#e8f0fe", "#132a4a"),
        "retrying": Tone(
            "↻", "M10 6a4 4 0 1 1-1.2-2.8M10 1.4v2.3H7.7", "#a8700f", "#a34a07", "#f0b45b", "#fdf3e1", "#3a2a10"
        ),
        "paused": Tone("‖", "M4 2.5v7M8 2.5v7", "#8a5cf0", "#7133d6", "#bd9bff", "#f3ecfe", "#2a1f45"),
        "failed": Tone("✗", _CROSS, "#d93a3a", "#c01a1a", "#ff8a8a", "#fdecec", "#3d1717"),
        "crashed": Tone(
            "▲", "M6 1.4 11.2 10.6H.8zM6 4.8v2.6M6 8.9v.1", "#c95a1e", "#b53d0a", "#ff9f6b", "#fdeee6", "#3b2013"
        ),
        "upstream": Tone("⊘", _STRUCK_RING, *_GREY),
        "cancelled": Tone("⊘", _STRUCK_RING, *_GREY),
        "pending": Tone("○", _BROKEN_RING, *_GREY),
    }
)


@dataclass(frozen=True, slots=True)
class Look:
    """What a state's name shows: the name of its tone and its word."""

    tone: str
    word: str


#: For every state name its look; a test holds that none is missing.
LOOKS: Mapping[str, Look] = MappingProxyType(
    {
        "Scheduled": Look("pending", "Scheduled"),
        "Late": Look("retrying", "Late"),
        "AwaitingRetry": Look("retrying", "Awaiting retry"),
        "AwaitingConcurrencySlot": Look("pending", "Awaiting a slot"),
        "Pending": Look("pending", "Pending"),
        "Running": Look("running", "Running"),
        "Retrying": Look("retrying", "Retrying"),
        "Paused": Look("paused", "Paused"),
        "Suspended": Look("paused", "Suspended"),
        "Cancelling": Look("cancelled", "Cancelling"),
        "Cancelled": Look("cancelled", "Cancelled"),
        "UpstreamFailed": Look("upstream", "Upstream failed"),
        "Missed": Look("cancelled", "Missed"),
        "Completed": Look("completed", "Completed"),
        "Cached": Look("cached", "Cached"),
        "Skipped": Look("cancelled", "Skipped"),
        "Failed": Look("failed", "Failed"),
        "TimedOut": Look("failed", "Timed out"),
        "Crashed": Look("crashed", "Crashed"),
        "Lost": Look("crashed", "Lost"),
    }
)

assert set(LOOKS) == {name for names in NAMES.values() for name in names}


def look_of(state_name: str) -> Look:
    """Return how a state of this name looks.

    Examples
    --------
    >>> look_of("TimedOut")
    Look(tone='failed', word='Timed out')
    """
    return LOOKS[state_name]


@cache
def icon(tone: str) -> str:
    """Return a tone's shape as an ``<img>``, the one form that untrusted notebooks and exported pages keep.

    Examples
    --------
    >>> icon("failed")[:34]
    '<img src="data:image/svg+xml;base6'
    """
    drawing = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 12 12"><path fill="none" stroke-width="1.8" '
        f'stroke-linecap="round" stroke="{TONES[tone].mid}" d="{TONES[tone].path}"/></svg>'
    )
    data = b64encode(drawing.encode()).decode()
    # The shape repeats what the word beside it says, so it has nothing to add for a screen reader.  JupyterLab gives
    # images whose alternative text is empty one of its own ("Image"), hence the second word on it.
    size = 'width="12" height="12" alt="" aria-hidden="true"'
    return f'<img src="data:image/svg+xml;base64,{data}" {size} style="margin:0 5px 0 0"/>'
