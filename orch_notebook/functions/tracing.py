"""The diagram of a flow that has not run: its body is run, its tasks are not.

In: a flow's function and arguments.  Out: a :class:`Diagram` of the calls it makes and of what they give each other.  A
task's result is what its ``viz_return_value`` says, or a stand-in of which nothing can be asked.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from orch_notebook.errors import UsageError
from orch_notebook.functions.arguments import AllowFailure, Quote, Unmapped, find
from orch_notebook.functions.endings import Endings
from orch_notebook.functions.futures import Future
from orch_notebook.functions.origins import Origins
from orch_notebook.model.graph import Edge, Graph
from orch_notebook.model.states import State, StateType
from orch_notebook.model.tasks import Task
from orch_notebook.model.views import dot, graph_html, graph_text, paint
from orch_notebook.runtime.context import FlowScope, flow_scope, task_scope
from orch_notebook.runtime.layout import layout

if TYPE_CHECKING:
    from orch_notebook.functions.tasks import FunctionTask

__all__ = ["Diagram", "trace"]

DONE = State(StateType.COMPLETED)


class Diagram:
    """The tasks of a flow and which waits for which, as a picture.

    A notebook shows it in place; nothing is opened and no file is written unless :meth:`save` is asked to.

    Attributes
    ----------
    graph : Graph
        The calls in the order they were made; the second of a name is ``name-2``.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph

    @property
    def svg(self) -> str:
        """The picture."""
        return paint(layout(dot(self.graph)), self.graph)

    def save(self, path: str | Path) -> Path:
        """Write the picture as SVG; return where."""
        target = Path(path)
        target.write_text(self.svg, encoding="utf-8")
        return target

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/html": graph_html(self.graph, self.svg), "text/plain": graph_text(self.graph)}

    def __repr__(self) -> str:
        return graph_text(self.graph)


class Unknown:
    """What a task would have returned, had it run."""

    __slots__ = ("_task",)

    def __init__(self, task: str) -> None:
        object.__setattr__(self, "_task", task)

    def __repr__(self) -> str:
        return f"<what {self._task!r} returns>"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # what libraries look for before they use it
            raise AttributeError(name)
        _refuse(self)


def _refuse(stand_in: Unknown, *args: object) -> NoReturn:
    raise UsageError(
        f"visualize() runs the flow's code but not its tasks, so it is not known what task {stand_in._task!r} returns, "
        f"and the flow uses it. Say what it is like: @task(viz_return_value=...)."
    )


for _operation in (
    *("iter", "len", "bool", "getitem", "setitem", "contains", "call", "enter", "int", "float", "index", "neg", "abs"),
    *("lt", "le", "gt", "ge", "add", "radd", "sub", "rsub", "mul", "rmul", "truediv", "rtruediv", "floordiv", "mod"),
    *("pow", "rpow", "and", "or", "matmul", "format", "str"),
):
    setattr(Unknown, f"__{_operation}__", _refuse)


class Trace:
    """Stands where a performance of the run would: takes calls, performs none, and remembers who gave what to whom."""

    is_implicit = False

    def __init__(self) -> None:
        self.run_id = ""
        self.endings = Endings()
        self.origins = Origins()
        self.tasks: list[Task] = []
        self.edges: dict[tuple[str, str], Edge] = {}
        self._lock = threading.RLock()
        self._count: dict[str, int] = {}

    def call(
        self, task: FunctionTask[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], wait_for: Any = None
    ) -> Future:
        """Take a call; return its future, which has ended."""
        return self.submit(task, args, kwargs, wait_for)

    def submit(
        self,
        task: FunctionTask[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        wait_for: Any = None,
        here: object = None,
    ) -> Future:
        """Take a call; return its future, which has ended."""
        with self._lock:
            number = self._count[task.name] = self._count.get(task.name, 0) + 1
            name = task.name if number == 1 else f"{task.name}-{number}"
            made, said = task.asset_keys, task.asset_dep_keys
            self.tasks.append(Task(name, tags=task.tags, assets=made, asset_deps=said))
            for before in dict.fromkeys(self._sources([*args, *kwargs.values(), wait_for])):
                self.edges[before, name] = Edge(before, name)
        future = Future(task, name, self, args, kwargs, None)  # type: ignore[arg-type]  # as far as a future asks
        said = task.options.viz_return_value
        future.value = Unknown(name) if said is None else said
        future.state_now, future.is_done = DONE, True
        return future

    def state_of(self, name: str) -> StateType:
        """Return how a task run stands: it has ended."""
        return StateType.COMPLETED

    def _sources(self, values: list[Any]) -> Iterator[str]:
        found: dict[Future, bool] = {}
        for value in values:
            find(value, found)
            yield from self._makers_of(value)
        yield from (future.name for future in found)

    def _makers_of(self, value: Any) -> Iterator[str]:
        if isinstance(value, Unknown):
            yield value._task
        elif (maker := self.origins.of(value)) is not None:
            yield maker
        elif isinstance(value, list | tuple | set | frozenset):
            for each in value:
                yield from self._makers_of(each)
        elif isinstance(value, dict):
            yield from self._makers_of(list(value.values()))
        elif isinstance(value, Unmapped | AllowFailure | Quote):
            yield from self._makers_of(value.value)


def trace(name: str, body: Callable[[], object]) -> Diagram:
    """Run a flow's body without its tasks; return the diagram of the calls it made.

    Raises
    ------
    UsageError
        The body uses what a task returns, and nobody has said what that is like.
    """
    seen = Trace()
    scope = FlowScope("", name, name, attempt=1, performance=seen)
    tokens = flow_scope.set(scope), task_scope.set(None)
    try:
        body()
    finally:
        flow_scope.reset(tokens[0])
        task_scope.reset(tokens[1])
    return Diagram(Graph(tuple(seen.tasks), tuple(seen.edges.values())))
