"""What a flow's diagram consists of: nodes, lines, and what each node says.

In: a graph, and where its tasks stand.  Out: DOT text for a layout (topology only, so it changes when the wiring does
and not before), and one :class:`NodeFace` per node.  Who turns DOT into places on paper is ``runtime.layout``; who
draws them is ``drawings``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from weakref import ref

from orch_notebook.model.graph import Edge, Graph
from orch_notebook.model.runs import TaskRun
from orch_notebook.model.states import StateType
from orch_notebook.model.views.drums import Drums, drums
from orch_notebook.model.views.looks import LOOKS
from orch_notebook.model.views.reasons import reason
from orch_notebook.model.views.words import clip, duration, plain, total_attempts, urgency

__all__ = ["MAX_DRAWN", "Node", "NodeFace", "dot", "faces", "nodes"]

#: More nodes than this are drawn as groups: nobody reads them, and laying out 1,000 holds the GIL for 260 ms.
MAX_DRAWN = 200

#: So many tasks with one stem, the same inputs and the same outputs are one node ("score × 40").
_ALIKE = 12

#: So many edges between two boxes are put into words.
_LOOKED_AT = 100

_STEM = re.compile(r"[\s_\-.]*[\[(]?\d+[\])]?$")

#: The rule of the edges that carry data; all others only order.
_DATA = "read-after-write"


@dataclass(frozen=True, slots=True)
class Node:
    """One box of the diagram: a task, or a group of them with a name of its own; or assets, which have no members."""

    name: str
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NodeFace:
    """What a box shows of its tasks' states.

    Parameters
    ----------
    tone : str
        The tone of its state, or of the group's most urgent; empty before any run.
    sub : str
        The small line below the name.
    running_since : datetime or None
        Where `sub` is a length of time that still grows, when it began.
    """

    tone: str = ""
    sub: str = ""
    running_since: datetime | None = None


def nodes(graph: Graph, limit: int = MAX_DRAWN) -> tuple[Node, ...]:
    """Return what stands for a graph: the boxes of its tasks, then what they make outside of the flow.

    The boxes come in definition order and are at most `limit`.  Tasks that differ only by a number and stand between
    the same others are drawn as one; if that is not enough, tasks of one depth and stem are, then whole depths.

    Examples
    --------
    >>> from orch_notebook.model.tasks import Task
    >>> names = ["load", *(f"score_{number}" for number in range(40))]
    >>> [node.name for node in nodes(Graph([Task(name) for name in names], [Edge("load", n) for n in names[1:]]))]
    ['load', 'score × 40']
    """
    boxes = _boxes(graph, limit)
    return (*boxes, *(Node(drum.words[0], ()) for drum in drums(graph, _box_of(boxes)).all))


def _box_of(boxes: Sequence[Node]) -> dict[str, int]:
    return {name: number for number, box in enumerate(boxes) for name in box.members}


def _boxes(graph: Graph, limit: int = MAX_DRAWN) -> tuple[Node, ...]:
    global _last
    known, bound, boxes = _last
    if known() is graph and bound == limit:
        return boxes
    boxes = _group(graph, limit)
    _last = ref(graph), limit, boxes
    return boxes


#: Who draws a graph asks for its boxes several times; of 5,000 tasks they cost 60 ms.
_last: tuple[Callable[[], Graph | None], int, tuple[Node, ...]] = (lambda: None, 0, ())


def _group(graph: Graph, limit: int) -> tuple[Node, ...]:
    before, after = graph.predecessors, graph.successors
    stem = {task.name: _STEM.sub("", task.name) for task in graph.tasks}
    alike: dict[Hashable, list[str]] = {}
    for task in graph.tasks:
        key = (stem[task.name], frozenset(before[task.name]), frozenset(after[task.name]))
        alike.setdefault(key, []).append(task.name)
    grouped = [group for group in alike.values() if len(group) > _ALIKE]
    in_group = {name for group in grouped for name in group}
    parts = [*grouped, *([task.name] for task in graph.tasks if task.name not in in_group)]
    if len(parts) > limit:
        depth = _depths(graph)
        parts = _part([task.name for task in graph.tasks], lambda name: (depth[name], stem[name]))
        if len(parts) > limit:
            # Whole bands of depths: lines only lead from a smaller depth to a greater one, so no circle can appear.
            band = -(-(max(depth.values()) + 1) // limit)
            parts = _part([task.name for task in graph.tasks], lambda name: depth[name] // band)
    place = {task.name: index for index, task in enumerate(graph.tasks)}
    parts.sort(key=lambda members: place[members[0]])
    return tuple(Node(_group_name(members, stem), tuple(members)) for members in parts)


def _part(names: Iterable[str], key: Callable[[str], Hashable]) -> list[list[str]]:
    found: dict[Hashable, list[str]] = {}
    for name in names:
        found.setdefault(key(name), []).append(name)
    return list(found.values())


def _depths(graph: Graph) -> dict[str, int]:
    """Return for every task the length of the longest way that leads to it."""
    waiting = {name: len(before) for name, before in graph.predecessors.items()}
    depth = dict.fromkeys(waiting, 0)
    ready = [name for name, count in waiting.items() if not count]
    while ready:
        name = ready.pop()
        for successor in graph.successors[name]:
            depth[successor] = max(depth[successor], depth[name] + 1)
            waiting[successor] -= 1
            if not waiting[successor]:
                ready.append(successor)
    return depth


def _group_name(members: Sequence[str], stem: Mapping[str, str]) -> str:
    if len(members) == 1:
        return members[0]
    stems = {stem[name] for name in members}
    common = stems.pop() if len(stems) == 1 else ""
    return f"{common or members[0] + ' …'} × {len(members)}"


def dot(graph: Graph) -> str:
    """Return the graph in the DOT language, nothing but its topology.

    Nodes are called ``n0``, ``n1`` … in the order of :func:`nodes`.  Lines that carry no data are dashed; each line's
    tooltip says over what one task waits for the other, and why.

    Examples
    --------
    >>> from orch_notebook.model.tasks import Task
    >>> graph = Graph((Task("load"), Task("plot")), (Edge("load", "plot", "read-after-write", "df"),))
    >>> print(dot(graph).splitlines()[-2].strip())
    n0 -> n1 [tooltip="plot reads df from load"]
    """
    boxes = _boxes(graph)
    index = _box_of(boxes)
    made = drums(graph, index)
    lines = [
        "digraph flow {",
        "  graph [nodesep=0.25 ranksep=0.42 margin=0]",
        '  node [shape=box style=rounded fixedsize=true height=0.58 fontname="Helvetica" fontsize=12]',
        '  edge [tailport=s headport=n arrowsize=0.6 color="#757d8a"]',
    ]
    for number, box in enumerate(boxes):
        label = clip(plain(box.name), 30)
        tooltip = plain(box.name)
        width = _width(label, len(box.members) > 1)
        lines.append(f"  n{number} [label={_quote(label)} width={width} tooltip={_quote(clip(tooltip, 200))}]")
    between: dict[tuple[int, int], list[Edge]] = {}
    for edge in graph.edges:
        before, after = index[edge.before], index[edge.after]
        if before != after:
            for start in [len(boxes) + drum for drum in made.route(edge)] or [before]:
                between.setdefault((start, after), []).append(edge)
    for (start, after), edges in between.items():
        look = "" if any(edge.rule == _DATA for edge in edges) else " style=dashed"
        lines.append(f"  n{start} -> n{after} [tooltip={_quote(_reasons(edges))}{look}]")
    return "\n".join([*lines, *_drum_lines(made, boxes, index), "}"])


def _drum_lines(made: Drums, boxes: Sequence[Node], index: Mapping[str, int]) -> Iterator[str]:
    for number, drum in enumerate(made.all, len(boxes)):
        label, where = (clip(plain(words), 30) for words in drum.words)
        look = f"shape=cylinder comment={_quote(where)} width={max(_width(label, False), _width(where, False, 6.0))}"
        yield f"  n{number} [label={_quote(label)} {look} tooltip={_quote(clip(', '.join(drum.assets), 200))}]"
        if drum.maker is not None:
            said = f"{plain(boxes[drum.maker].name)} makes {', '.join(drum.assets)}"
            yield f"  n{drum.maker} -> n{number} [tooltip={_quote(clip(said, 200))}]"
    declared: dict[tuple[int, int], str] = {}
    for place, task, asset in made.declared:
        said = f"{plain(task)} is said to come from {asset}"
        ends = len(boxes) + place, index[task]
        declared[ends] = f"{declared[ends]}; {said}" if ends in declared else said
    for (start, after), said in declared.items():
        yield f"  n{start} -> n{after} [tooltip={_quote(clip(said, 400))} style=dashed]"


def _reasons(edges: Sequence[Edge], most: int = 8) -> str:
    """Say why one task waits for another, each reason once; between groups of hundreds nobody reads them all."""
    said = list(dict.fromkeys(reason(edge) for edge in edges[:_LOOKED_AT]))
    left = len(said) - most + len(edges[_LOOKED_AT:])
    return "; ".join(said[:most] + ([f"and {left} more"] if left > 0 else []))


def _width(label: str, group: bool, letter: float = 7.2) -> float:
    """Return a box's width in inches: the shape, the label at about 7 points a letter, and room at the side."""
    return round(min(240, max(190 if group else 146, 48 + letter * len(label))) / 72, 3)


def _quote(text: str) -> str:
    # A backslash begins an escape in DOT's labels, so it is doubled; line breaks have no place in a name.
    flat = " ".join(text.split()).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{flat}"'


def faces(
    graph: Graph,
    boxes: Sequence[Node],
    task_runs: Mapping[str, TaskRun],
    now: datetime,
    only: Iterable[int] | None = None,
) -> dict[int, NodeFace]:
    """Return what each box shows, by its number.

    Parameters
    ----------
    graph : Graph
        The wiring, to say what a task waits for.
    boxes : sequence of Node
        From :func:`nodes`.
    task_runs : mapping
        Where tasks stand, by name; those not in it have not been in any run.
    now : datetime
        The present moment.
    only : iterable of int, optional
        The boxes asked for; by default all.
    """
    found = {}
    for number in range(len(boxes)) if only is None else only:
        members = [task_runs[name] for name in boxes[number].members if name in task_runs]
        if not members:
            found[number] = NodeFace()
        elif len(boxes[number].members) == 1:
            found[number] = _face(graph, members[0], task_runs, now)
        else:
            found[number] = _group_face(members)
    return found


def _group_face(members: Sequence[TaskRun]) -> NodeFace:
    look = LOOKS[min(members, key=urgency).state.name]
    done = sum(task_run.state.type is StateType.COMPLETED for task_run in members)
    words = [f"{done}/{len(members)} done"]
    if done < len(members):
        alike = sum(LOOKS[task_run.state.name] == look for task_run in members)
        words.insert(0, f"{alike} {look.word.lower()}")
    return NodeFace(look.tone, ", ".join(words))


def _face(graph: Graph, task_run: TaskRun, task_runs: Mapping[str, TaskRun], now: datetime) -> NodeFace:
    look = LOOKS[task_run.state.name]
    length = duration(task_run.seconds(now))
    match task_run.state.name:
        case "Running":
            return NodeFace(look.tone, length, task_run.started_at)
        case "Retrying":
            return NodeFace(look.tone, f"attempt {task_run.attempt} of {total_attempts(task_run)}")
        case "Completed":
            return NodeFace(look.tone, length)
        case "Failed" | "Crashed":
            return NodeFace(look.tone, plain(task_run.details.get("error") or look.word.lower()))
        case "Pending" | "Scheduled":
            return NodeFace(look.tone, _awaited(graph.predecessors.get(task_run.name, ()), task_runs))
    return NodeFace(look.tone, look.word.lower())


def _awaited(predecessors: Sequence[str], task_runs: Mapping[str, TaskRun]) -> str:
    open_ones = [
        name for name in predecessors if name in task_runs and task_runs[name].state.type is not StateType.COMPLETED
    ]
    if not open_ones:
        return ""
    names = ", ".join(map(plain, open_ones))
    # A count says more than the first half of two names.
    shown = names if len(open_ones) == 1 or len(names) <= 16 else f"{len(open_ones)} tasks"
    return f"waits for {shown}"
