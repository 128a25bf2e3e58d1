"""``flow``: the decorator that makes functions flows, and in a notebook the name of the notebook's own flow.

In: a function and options, or somebody who looks.  Out: a :class:`FunctionFlow`, or a panel.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, overload

from orch_notebook.functions.faces import face, forms_of, panel_of
from orch_notebook.functions.flows import FunctionFlow
from orch_notebook.functions.options import FlowOptions, make

__all__ = ["FlowDecorator", "flow"]

P = ParamSpec("P")
R = TypeVar("R")


class FlowDecorator:
    """Make a function a flow: ``@flow``, or with options ``@flow(name="nightly", retries=1)``.

    In a notebook that has loaded the extension, ``flow`` at the end of a cell shows the panel of the notebook's own
    flow of task cells, as ``%flow`` does; ``flow.panel()`` returns it.
    """

    @overload
    def __call__(self, function: Callable[P, R], /) -> FunctionFlow[P, R]: ...
    @overload
    def __call__(self, /, **options: Any) -> Callable[[Callable[P, R]], FunctionFlow[P, R]]: ...
    def __call__(self, function: Any = None, /, **options: Any) -> Any:
        """Make a function a flow.

        Parameters
        ----------
        function : callable
            What a run does: plain, ``async def``, a generator, a method.
        **options
            See :class:`~orch_notebook.functions.options.FlowOptions`.

        Raises
        ------
        UsageError
            There is no such option, or its value makes no sense.
        """
        made = make(FlowOptions, options)
        if function is None:
            return lambda function: FunctionFlow(function, made)
        return FunctionFlow(function, made)

    def panel(self) -> Any:
        """Return the panel of the notebook's own flow; where nobody could click, its static view.

        Raises
        ------
        UsageError
            The extension is not loaded.
        """
        return panel_of(None)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any:
        if face() is None:
            return {"text/plain": repr(self)}
        return forms_of(self.panel(), include=include, exclude=exclude)

    def __repr__(self) -> str:
        return "<flow: makes functions flows, and shows this notebook's after %load_ext orch_notebook>"


flow = FlowDecorator()
