"""What IPython has learned since it started: magics and extensions, as a state that tasks may change.

In: a shell.  Out: how that state is read and put back, for whoever runs tasks several times.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orch_notebook.runtime.surroundings import Surrounding

__all__ = ["states_of"]


def states_of(shell: Any) -> Mapping[str, Surrounding]:
    """Return the states of a shell by name."""
    magics, loaded = shell.magics_manager.magics, shell.extension_manager.loaded

    def read(module: Any) -> tuple[dict[str, dict[str, Any]], set[str]]:
        # IPython adds some of its own when they are first asked for, and does so once.
        added = {kind: {n: each for n, each in known.items() if not _is_own(each)} for kind, known in magics.items()}
        return added, set(loaded)

    def put_back(module: Any, kept: tuple[dict[str, dict[str, Any]], set[str]]) -> None:
        for kind, known in kept[0].items():
            for name in [name for name, each in magics[kind].items() if name not in known and not _is_own(each)]:
                del magics[kind][name]
            magics[kind].update(known)
        loaded.clear()
        loaded.update(kept[1])

    return {"state:magics": Surrounding("IPython", read, put_back)}


def _is_own(magic: Any) -> bool:
    return str(getattr(magic, "__module__", "")).startswith(("IPython", "ipykernel"))
