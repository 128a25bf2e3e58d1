"""Places on paper for a flow's diagram: DOT in, bare SVG out.

The only door to pygraphviz, which is loaded when the first diagram is laid out and carries Graphviz itself, so no
``dot`` has to be on PATH.  A layout holds the GIL (16 ms for 100 nodes, 55 ms for 300, 260 ms for 1,000), so larger
ones are worked out in a process of their own; ``views.dot`` groups tasks before it comes to that.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from threading import Lock
from typing import Any

from orch_notebook.errors import OrchError
from orch_notebook.model.views import draw

__all__ = ["layout"]

#: DOT text beyond this many lines (nodes and edges) is laid out in a process of its own.
LARGE = 1500

#: Graphviz keeps its state in globals of its library.
_GRAPHVIZ = Lock()

_HELPER = """
import sys, pygraphviz
graph = pygraphviz.AGraph(string=sys.stdin.read())
sys.stdout.buffer.write(graph.draw(format="json0", prog="dot"))
"""


@lru_cache(maxsize=64)
def layout(dot: str) -> str:
    """Return the bare SVG of a graph in the DOT language, laid out top to bottom.

    Parameters
    ----------
    dot : str
        What ``views.dot`` wrote.

    Returns
    -------
    str
        An SVG with classes and no colours; ``views.paint`` adds states, paper and a style sheet.

    Raises
    ------
    OrchError
        Graphviz cannot be loaded or does not understand `dot`.

    Notes
    -----
    The result depends on the topology alone and is kept for the last 64 of them, so a change of state never costs a
    layout.

    Examples
    --------
    >>> layout('digraph { n0 [label="load" tooltip="load" width=2 height=0.5] }').count('class="node"')
    1
    """
    return draw(_placement(dot))


@contextmanager
def _without_font_warnings() -> Iterator[None]:
    """Keep what fontconfig says about the system's own files out of the cell that draws the first diagram.

    It comes from C, on file descriptor 2, once per process; everything else said there meanwhile is passed on.
    """
    if _hushed:
        yield
        return
    _hushed.append(True)
    kept = os.dup(2)
    try:
        with tempfile.TemporaryFile() as said:
            os.dup2(said.fileno(), 2)
            try:
                yield
            finally:
                os.dup2(kept, 2)
                said.seek(0)
                for line in said:
                    if not line.startswith(b"Fontconfig "):
                        os.write(2, line)
    finally:
        os.close(kept)


_hushed: list[bool] = []


def _placement(dot: str) -> Any:
    if dot.count("\n") > LARGE:
        done = subprocess.run(
            [sys.executable, "-c", _HELPER], input=dot.encode(), capture_output=True, timeout=120, check=False
        )
        if done.returncode:
            last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
            raise OrchError(f"The diagram could not be laid out: {''.join(last) or 'Graphviz gave no reason'}.")
        return json.loads(done.stdout)
    try:
        import pygraphviz
    except ImportError as error:
        raise OrchError(
            f"The diagram needs Graphviz, which could not be loaded ({error}). Try: pip install --upgrade pygraphviz"
        ) from error
    with _GRAPHVIZ, _without_font_warnings():
        try:
            graph = pygraphviz.AGraph(string=dot)
            return json.loads(graph.draw(format="json0", prog="dot"))
        except (pygraphviz.DotError, OSError, ValueError) as error:
            raise OrchError(f"The diagram could not be laid out: {error}") from error
