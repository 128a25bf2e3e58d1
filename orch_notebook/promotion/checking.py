"""A notebook that nobody is running, checked in kernels and a store of its own.

In: a notebook, and what of it is checked.  Out: the report, of the orders of its flow and of how the flow compares with
plain cells.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import closing
from pathlib import Path

from orch_notebook.errors import NotebookError
from orch_notebook.model.findings import Report
from orch_notebook.model.runs import FlowRun
from orch_notebook.promotion.checks import executed_of, read_report, subject_of, write_check
from orch_notebook.promotion.executing import execute_now
from orch_notebook.promotion.lookup import find_run
from orch_notebook.promotion.terms import Given
from orch_notebook.promotion.trials import Trials
from orch_notebook.runtime.folders import Folder
from orch_notebook.runtime.settings import Settings
from orch_notebook.runtime.store import Store
from orch_notebook.runtime.store.opening import clock_of, open_store

__all__ = ["check_notebook"]


def check_notebook(
    settings: Settings,
    notebook: str | Path,
    parameters: Given | None = None,
    *,
    flow: str | None = None,
    all_cells: bool = False,
    kernel: str | None = None,
    seed: int = 0,
    orders: int = 1,
    plain: bool = True,
) -> Report:
    """Check the flow of a notebook that nobody is running, in kernels and stores of its own.

    Parameters
    ----------
    notebook : path
        The notebook.  Its plain cells are executed as they stand; its last ``%flow run`` and what follows is not.
    parameters : mapping or sequence of str, optional
        Values in place of the defaults.
    flow : str, optional
        Which flow, if there are several.
    all_cells : bool
        Count each code cell as a task.
    kernel : str, optional
        Instead of the one the notebook names.
    seed, orders : int
        See :func:`~orch_notebook.runtime.apart.check_flow`.
    plain : bool
        Also execute it with plain cells only and as a flow, and compare the two.

    Raises
    ------
    NotebookError
        The notebook cannot be read or executed, or has no tasks.
    ParameterError
        A parameter is unknown, missing or ill-typed.
    """
    path = Path(notebook)
    subject = subject_of(path, parameters or (), flow=flow, all_cells=all_cells)
    with tempfile.TemporaryDirectory(prefix="orch-check-", ignore_cleanup_errors=True) as name:
        folder, beside = Path(name), Folder(path.parent.resolve())
        apart = settings.apart(folder / "home")
        with closing(open_store(apart)) as store:

            def execute(book: Path) -> FlowRun:
                try:
                    return _execute(store, apart, path, book, kernel)
                finally:
                    beside.restore()  # so that each execution finds the files as they are now

            trials = Trials(subject, folder, execute)
            if plain and len(trials.flow):
                subject = trials.begin()
            ended = execute(write_check(subject, folder, seed=seed, orders=orders))
            executed = executed_of(ended)
            report = None if executed is None else read_report(executed)
            if report is None:
                raise NotebookError(f"{notebook} cannot be checked. {ended.state.message or ended.state.name}")
            return trials.complete(report) if plain else report


def _execute(store: Store, settings: Settings, path: Path, book: Path, kernel: str | None) -> FlowRun:
    clock = clock_of(store)
    # Two kernels show sets alike only if they hash alike.
    variables = {"PYTHONHASHSEED": os.environ.get("PYTHONHASHSEED", "0")}
    execution = execute_now(store, settings, clock, path, kernel=kernel, instead=book, variables=variables)
    try:
        execution.wait()
    except KeyboardInterrupt:
        execution.cancel()
        execution.wait()
        raise
    return find_run(store, clock.now(), execution.run_id)
