"""Assets in a flow's diagram: a drum for each, between the task that makes it and those that come after.

In: a graph and the boxes of its tasks.  Out: the drums, and the lines from and to them.  What comes after a task that
makes an asset is drawn as coming from the asset; what a task is only said to come from leads to it by a dashed line.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from orch_notebook.model.assets import short_key
from orch_notebook.model.graph import Edge, Graph

__all__ = ["Drum", "Drums", "drums"]

#: More assets than this that hang from one box, or lead to the same boxes, are drawn as one.
MOST = 6


@dataclass(frozen=True, slots=True)
class Drum:
    """One or several assets.

    Parameters
    ----------
    assets : tuple of str
        Their keys.
    maker : int or None
        The number of the box that makes them; None if none of the flow does.
    """

    assets: tuple[str, ...]
    maker: int | None = None

    @property
    def words(self) -> tuple[str, str]:
        """What it is called, and where it lies."""
        if len(self.assets) == 1:
            return short_key(self.assets[0])
        places = {short_key(asset)[1] for asset in self.assets}
        return f"{len(self.assets)} assets", places.pop() if len(places) == 1 else ""


@dataclass(frozen=True, slots=True)
class Drums:
    """The drums of a diagram, and what leads to and from them.

    Parameters
    ----------
    all : tuple of Drum
        In the order of what makes them, then of what needs them.
    after : mapping
        By the name of each task that makes assets the numbers of their drums, counted from 0.
    declared : tuple
        ``(drum, task, asset)`` for all that a task is said to come from.
    """

    all: tuple[Drum, ...] = ()
    after: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    declared: tuple[tuple[int, str, str], ...] = ()

    def route(self, edge: Edge) -> Sequence[int]:
        """Return the drums that stand between two tasks."""
        return self.after.get(edge.before, ())


def drums(graph: Graph, box_of: Mapping[str, int]) -> Drums:
    """Return the drums of a graph whose tasks are drawn in these boxes.

    Examples
    --------
    >>> from orch_notebook.model.tasks import Task
    >>> graph = Graph((Task("load", assets=("s3://a",)), Task("fit", assets=("s3://b",), asset_deps=("s3://c",))))
    >>> [(drum.assets, drum.maker) for drum in drums(graph, {"load": 0, "fit": 1}).all]
    [(('s3://a',), 0), (('s3://b',), 1), (('s3://c',), None)]
    """
    if not any(task.assets or task.asset_deps for task in graph.tasks):
        return Drums()
    made: dict[int, dict[str, None]] = {}
    for task in graph.tasks:
        if task.assets:
            made.setdefault(box_of[task.name], {}).update(dict.fromkeys(task.assets))
    outside: dict[str, dict[int, None]] = {}
    links = list(_links(graph, box_of))
    for maker, name, asset in links:
        if maker is None:
            outside.setdefault(asset, {})[box_of[name]] = None
    alike: dict[tuple[int, ...], list[str]] = {}
    for asset, needed in outside.items():
        alike.setdefault(tuple(needed), []).append(asset)
    found = [
        *(Drum(assets, box) for box, keys in made.items() for assets in _parted(list(keys))),
        *(Drum(assets) for keys in alike.values() for assets in _parted(keys)),
    ]
    number = {(drum.maker, asset): place for place, drum in enumerate(found) for asset in drum.assets}
    after = {
        task.name: tuple(dict.fromkeys(number[box_of[task.name], asset] for asset in task.assets))
        for task in graph.tasks
        if task.assets
    }
    return Drums(tuple(found), after, tuple((number[maker, asset], name, asset) for maker, name, asset in links))


def _links(graph: Graph, box_of: Mapping[str, int]) -> Iterator[tuple[int | None, str, str]]:
    """Yield what each task is said to come from, with the box that makes it: the last one above, if there is one."""
    makers: dict[str, int] = {}
    for task in graph.tasks:
        for asset in task.asset_deps:
            maker = makers.get(asset)
            yield None if maker == box_of[task.name] else maker, task.name, asset
        makers.update(dict.fromkeys(task.assets, box_of[task.name]))


def _parted(keys: Sequence[str]) -> list[tuple[str, ...]]:
    return [tuple(keys)] if len(keys) > MOST else [(key,) for key in keys]
