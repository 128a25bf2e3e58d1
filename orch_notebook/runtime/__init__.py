"""Does things: time, stores, runners, the engine.  ``runtime.flow_run`` tells the code of a run about itself."""

from orch_notebook.runtime.context import deployment, flow_run, task_run

__all__ = ["deployment", "flow_run", "task_run"]
