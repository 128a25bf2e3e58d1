"""Who shows flows where somebody looks at them: the face that a notebook has loaded, or nobody.

In: a face, which comes and goes with the extension.  Out: for a flow the panel it gives, or what can be shown without.
This floor knows no Jupyter; a face of a higher floor announces itself here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from orch_notebook.errors import UsageError
from orch_notebook.functions.schemas import parameters_of
from orch_notebook.runtime.home import open_home
from orch_notebook.runtime.pictures import flow_bundle

if TYPE_CHECKING:
    from orch_notebook.functions.flows import FunctionFlow

__all__ = ["Face", "bundle_of", "face", "forms_of", "panel_of", "put_on"]


class Face(Protocol):
    """Shows flows."""

    def panel(self, flow: FunctionFlow[..., Any] | None) -> Any:
        """Return what shows the runs of a function's flow; of the notebook's own flow where none is named."""


_faces: list[Face] = []


def put_on(new: Face) -> Callable[[], None]:
    """Let a face show flows from now on; return what ends that."""
    _faces.append(new)

    def take_off() -> None:
        if new in _faces:
            _faces.remove(new)

    return take_off


def face() -> Face | None:
    """Return the face that came last, if one is there."""
    return _faces[-1] if _faces else None


def panel_of(flow: FunctionFlow[..., Any] | None) -> Any:
    """Return what shows a flow.

    Raises
    ------
    UsageError
        No face is there.
    """
    if (shown := face()) is None:
        raise UsageError("The panel comes with the notebook's extension: %load_ext orch_notebook")
    return shown.panel(flow)


def bundle_of(flow: FunctionFlow[..., Any], **asked: Any) -> Any:
    """Return a flow in Jupyter's forms: its panel where one can be, else where its latest run stands."""
    if (shown := face()) is not None:
        return forms_of(shown.panel(flow), **asked)
    home = open_home()
    latest = home.store.runs(flow=flow.name, limit=1)
    run = home.store.run(latest[0].run_id) if latest else None
    if run is None:
        given = ", ".join(each.words() for each in parameters_of(flow.fn))
        return {"text/plain": f"{flow!r}: {flow.name}({given}) has not run yet"}
    return flow_bundle(run, run.graph, home.clock.now())


def forms_of(shown: Any, **asked: Any) -> Mapping[str, Any] | tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return an object in Jupyter's forms, as IPython asks for them."""
    found: Any = shown._repr_mimebundle_(**asked)
    return found if found is not None else {"text/plain": repr(shown)}
