"""Loads the flow that stands at a place: for the command line, for workers, and for hooks of a run that crashed."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from orch_notebook.errors import ModuleError
from orch_notebook.functions.entrypoints import Entrypoint, load_module
from orch_notebook.functions.flows import FunctionFlow

__all__ = ["load"]


def load(place: Entrypoint, pinned: Path | None = None) -> FunctionFlow[..., Any]:
    """Return the flow at a place.

    Parameters
    ----------
    pinned : Path, optional
        A copy of the module's file, whose code is taken in its stead.

    Raises
    ------
    ModuleError
        The module cannot be loaded, or has no such flow.
    """
    module = load_module(place, pinned)
    there = {name: value for name, value in vars(module).items() if isinstance(value, FunctionFlow)}
    if not place.name:
        # One that was imported from elsewhere is not meant.
        own = {name: value for name, value in there.items() if value.fn.__module__ == place.module}
        if len(own) == 1:
            return next(iter(own.values()))
        listed = ", ".join(f"{place.file.name}:{name}" for name in own)
        what = f"several flows: {listed}" if own else "no flow; put @flow above a function of it"
        raise ModuleError(f"{place.file} has {what}.", path=str(place.file))
    found: Any = module
    for part in place.name.split("."):
        found = getattr(found, part, None)
    if isinstance(found, FunctionFlow):
        return found
    raise ModuleError(_about_missing(place, there, found), path=str(place.file))


def _about_missing(place: Entrypoint, there: Mapping[str, Any], found: Any) -> str:
    if found is not None:
        return f"{place.name!r} in {place.file} is no flow; put @flow above it."
    near = get_close_matches(place.name, there, n=1)
    has = f"It has {', '.join(there)}." if there else "Put @flow above a function of it."
    hint = f"Did you mean {near[0]!r}?" if near else has
    return f"{place.file} has no flow {place.name!r}. {hint}"
