"""Your notebook is the pipeline.

Load the extension in any notebook on the stock IPython kernel, mark cells with ``%%task``, run them with ``%flow run``,
and ``%flow promote`` the same notebook to a scheduled flow.  Importing this package is cheap: the parts that need
Jupyter, SQLite or papermill are loaded when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

__all__ = ["Orchestrator", "__version__", "load_ipython_extension", "unload_ipython_extension"]

# Where each public name is found when it is first asked for; loading them all would take a hundred times as long.
_HOMES = {
    "Orchestrator": ("orch_notebook.orchestrator", "Orchestrator"),
    "load_ipython_extension": ("orch_notebook.jupyter.magics", "load"),
    "unload_ipython_extension": ("orch_notebook.jupyter.magics", "unload"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _HOMES[name]
    value = getattr(import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
