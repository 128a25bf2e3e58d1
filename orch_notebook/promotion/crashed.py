"""Calls what a flow wants called when its process has died: ``python -m orch_notebook.promotion.crashed RUN_ID``.

A worker starts it, in a process of its own, once it has ended such a run.  The flow is loaded from its pinned file;
what its ``on_crashed`` functions do cannot change the record.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

from orch_notebook.errors import OrchError
from orch_notebook.functions import hooks
from orch_notebook.functions.loading import load
from orch_notebook.functions.outcomes import Outcome
from orch_notebook.model.runs import FlowRun
from orch_notebook.model.states import StateType
from orch_notebook.promotion.modules import INTERRUPTED, place_of
from orch_notebook.runtime.context import FlowScope
from orch_notebook.runtime.hiding import hidden_output
from orch_notebook.runtime.home import close_homes, open_home
from orch_notebook.runtime.settings import Settings
from orch_notebook.runtime.store import Store
from orch_notebook.runtime.vault import learn_secrets

__all__ = ["call_hooks", "tell_crashed"]

logger = logging.getLogger("orch_notebook")


def tell_crashed(store: Store, settings: Settings, run: FlowRun | None) -> subprocess.Popen[bytes] | None:
    """Have the hooks of a run called, if it has crashed and its flow has any."""
    plan = store.plan(run.run_id) if run is not None and run.state.type is StateType.CRASHED else None
    if run is None or plan is None or not plan.has_crash_hooks or run.state.message.startswith(INTERRUPTED):
        return None
    log_path = settings.folder("runs", run.run_id) / "process.log"
    with os.fdopen(os.open(log_path, os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o600), "ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "orch_notebook.promotion.crashed", run.run_id],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, **settings.environment},
            start_new_session=True,
        )
    threading.Thread(target=process.wait, name=f"orch-reap-{process.pid}", daemon=True).start()
    return process


def call_hooks(run_id: str) -> None:
    """Load the flow of a run that has crashed and call its ``on_crashed`` functions.

    Raises
    ------
    OrchError
        The flow cannot be loaded any more.
    """
    home = open_home()
    run, plan = home.store.run(run_id), home.store.plan(run_id)
    if run is None or plan is None:
        raise OrchError(f"Run {run_id} is not there any more.", run_id=run_id)
    learn_secrets(home.store, home.settings)
    os.chdir(plan.folder)
    flow = load(place_of(plan), Path(plan.snapshot))
    name = run.name or run.flow
    scope = FlowScope(run.run_id, name, run.flow, run.parameters, run.tags, run.attempt, deployment=run.deployment)
    outcome = Outcome(StateType.CRASHED, run.state.name, run.state.message)
    hooks.call_hooks("on_crashed", flow, scope, outcome)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    with hidden_output():
        try:
            call_hooks(sys.argv[1])
        except OrchError as error:
            logger.error("The hooks of run %s could not be called: %s", sys.argv[1], error)
        finally:
            close_homes()
