"""Your notebook is the pipeline.

Load the extension in any notebook on the stock IPython kernel, mark cells with ``%%task``, run them with ``%flow run``,
and ``%flow promote`` the same notebook to a scheduled flow.  Importing this package is cheap: the parts that need
Jupyter, SQLite or papermill are loaded when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

__all__ = [
    "DEFAULT",
    "FLOW_PARAMETERS",
    "INPUTS",
    "NO_CACHE",
    "RUN_ID",
    "TASK_SOURCE",
    "CachePolicy",
    "Cancelled",
    "Completed",
    "CompressedJSONSerializer",
    "CompressedPickleSerializer",
    "CompressedSerializer",
    "ConcurrentTaskRunner",
    "Crashed",
    "DaskTaskRunner",
    "Failed",
    "JSONSerializer",
    "Orchestrator",
    "PickleSerializer",
    "ProcessPoolTaskRunner",
    "Secret",
    "SequentialTaskRunner",
    "Serializer",
    "ThreadPoolTaskRunner",
    "Variable",
    "__version__",
    "allow_failure",
    "as_completed",
    "concurrency",
    "create_image_artifact",
    "create_link_artifact",
    "create_markdown_artifact",
    "create_progress_artifact",
    "create_table_artifact",
    "exponential_backoff",
    "flow",
    "get_run_logger",
    "limit_concurrency",
    "load_ipython_extension",
    "materialize",
    "opaque",
    "pause_flow_run",
    "quote",
    "rate_limit",
    "record",
    "remove_limit",
    "resume_flow_run",
    "serve",
    "suspend_flow_run",
    "tags",
    "task",
    "task_input_hash",
    "transaction",
    "unload_ipython_extension",
    "unmapped",
    "update_progress_artifact",
    "wait",
]

# Where each public name is found when it is first asked for; loading them all would take a hundred times as long.
_HOMES = {
    "suspend_flow_run": ("orch_notebook.functions.pausing", "suspend_flow_run"),
    "resume_flow_run": ("orch_notebook.functions.resuming", "resume_flow_run"),
    "pause_flow_run": ("orch_notebook.functions.pausing", "pause_flow_run"),
    "transaction": ("orch_notebook.functions.transactions", "transaction"),
    "remove_limit": ("orch_notebook.functions.limits", "remove_limit"),
    "rate_limit": ("orch_notebook.functions.limits", "rate_limit"),
    "limit_concurrency": ("orch_notebook.functions.limits", "limit_concurrency"),
    "concurrency": ("orch_notebook.functions.limits", "concurrency"),
    "update_progress_artifact": ("orch_notebook.functions.artifacts", "update_progress_artifact"),
    "create_table_artifact": ("orch_notebook.functions.artifacts", "create_table_artifact"),
    "create_progress_artifact": ("orch_notebook.functions.artifacts", "create_progress_artifact"),
    "create_markdown_artifact": ("orch_notebook.functions.artifacts", "create_markdown_artifact"),
    "create_link_artifact": ("orch_notebook.functions.artifacts", "create_link_artifact"),
    "create_image_artifact": ("orch_notebook.functions.artifacts", "create_image_artifact"),
    "Secret": ("orch_notebook.functions.secrets", "Secret"),
    "Variable": ("orch_notebook.functions.variables", "Variable"),
    "task_input_hash": ("orch_notebook.functions.policies", "task_input_hash"),
    "CachePolicy": ("orch_notebook.functions.policies", "CachePolicy"),
    "TASK_SOURCE": ("orch_notebook.functions.policies", "TASK_SOURCE"),
    "RUN_ID": ("orch_notebook.functions.policies", "RUN_ID"),
    "NO_CACHE": ("orch_notebook.functions.policies", "NO_CACHE"),
    "INPUTS": ("orch_notebook.functions.policies", "INPUTS"),
    "FLOW_PARAMETERS": ("orch_notebook.functions.policies", "FLOW_PARAMETERS"),
    "DEFAULT": ("orch_notebook.functions.policies", "DEFAULT"),
    "Cancelled": ("orch_notebook.functions.outcomes", "Cancelled"),
    "Completed": ("orch_notebook.functions.outcomes", "Completed"),
    "ConcurrentTaskRunner": ("orch_notebook.functions.runners", "ConcurrentTaskRunner"),
    "DaskTaskRunner": ("orch_notebook.functions.runners", "DaskTaskRunner"),
    "ProcessPoolTaskRunner": ("orch_notebook.functions.runners", "ProcessPoolTaskRunner"),
    "SequentialTaskRunner": ("orch_notebook.functions.runners", "SequentialTaskRunner"),
    "ThreadPoolTaskRunner": ("orch_notebook.functions.runners", "ThreadPoolTaskRunner"),
    "Crashed": ("orch_notebook.functions.outcomes", "Crashed"),
    "Failed": ("orch_notebook.functions.outcomes", "Failed"),
    "Orchestrator": ("orch_notebook.orchestrator", "Orchestrator"),
    "CompressedJSONSerializer": ("orch_notebook.functions.serializers", "CompressedJSONSerializer"),
    "CompressedPickleSerializer": ("orch_notebook.functions.serializers", "CompressedPickleSerializer"),
    "CompressedSerializer": ("orch_notebook.functions.serializers", "CompressedSerializer"),
    "JSONSerializer": ("orch_notebook.functions.serializers", "JSONSerializer"),
    "PickleSerializer": ("orch_notebook.functions.serializers", "PickleSerializer"),
    "Serializer": ("orch_notebook.functions.serializers", "Serializer"),
    "allow_failure": ("orch_notebook.functions.arguments", "allow_failure"),
    "as_completed": ("orch_notebook.functions.futures", "as_completed"),
    "exponential_backoff": ("orch_notebook.functions.options", "exponential_backoff"),
    "flow": ("orch_notebook.functions.decorator", "flow"),
    "get_run_logger": ("orch_notebook.functions.logs", "get_run_logger"),
    "record": ("orch_notebook.functions.values", "record"),
    "opaque": ("orch_notebook.functions.arguments", "opaque"),
    "quote": ("orch_notebook.functions.arguments", "quote"),
    "tags": ("orch_notebook.runtime.context", "tags"),
    "task": ("orch_notebook.functions.tasks", "task"),
    "unmapped": ("orch_notebook.functions.arguments", "unmapped"),
    "deploy_flow": ("orch_notebook.promotion.serving", "deploy_flow"),
    "serve": ("orch_notebook.promotion.serving", "serve"),
    "serve_flow": ("orch_notebook.promotion.serving", "serve_flow"),
    "wait": ("orch_notebook.functions.futures", "wait"),
    "materialize": ("orch_notebook.functions.materializing", "materialize"),
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


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    """Return where the Jupyter server finds what it may load."""
    return [{"module": "orch_notebook.jupyter.server"}]
