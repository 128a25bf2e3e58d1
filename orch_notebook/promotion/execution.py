"""One notebook, executed once, in a kernel of its own, through papermill.

In: a notebook, its parameters, where it runs, where the executed copy goes, and who wants to know how it goes.  Out: an
:class:`Execution` that says how it ended; what the notebook did never raises here, only what keeps it from being
executed does.

Importing this takes up to a second (papermill, nbclient, nbformat), so only the process that executes does it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbclient.exceptions import DeadKernelError
from papermill import execute_notebook
from papermill.exceptions import PapermillException

from orch_notebook.errors import NotebookError
from orch_notebook.model.parameters import check_parameters
from orch_notebook.promotion.client import ENGINE
from orch_notebook.promotion.notebooks import (
    check_kernel,
    has_tasks,
    kernel_of,
    language_of,
    parameters_of,
    read_notebook,
    runs_flow,
)
from orch_notebook.promotion.recording import Execution, Progress, Quiet, Recording
from orch_notebook.promotion.stopping import Stop, Watch
from orch_notebook.runtime.files import make_private_folder

if TYPE_CHECKING:
    from nbformat import NotebookNode

__all__ = ["Execution", "Progress", "Stop", "execute"]


def execute(
    path: str | Path,
    *,
    output: str | Path,
    parameters: Mapping[str, Any] | None = None,
    cwd: str | Path | None = None,
    progress: Progress | None = None,
    kernel: str | None = None,
    timeout: float | None = None,
    memory: int | None = None,
    env: Mapping[str, str] | None = None,
    metadata: Mapping[str, Any] | None = None,
    stop: Stop | None = None,
    start_timeout: float = 60.0,
    clock: Callable[[], float] = time.monotonic,
    save_every: float = 2.0,
) -> Execution:
    """Execute a notebook in a kernel of its own and say how it ended.

    Parameters
    ----------
    path : path
        The notebook; it is not changed.
    output : path
        Where the executed copy goes, written whole each time, for its owner only (0600).
    parameters : mapping, optional
        Checked against the notebook's ``parameters`` cell and injected after it, as papermill does.
    cwd : path, optional
        Where the kernel runs; by default the notebook's own folder, so that relative paths mean what they meant.
    progress : Progress, optional
        Told about cells and what they write, in this thread.
    kernel : str, optional
        Instead of the one the notebook names.
    timeout : float, optional
        Seconds for the whole notebook; then the running cell is interrupted, and the kernel killed 5 s later.
    memory : int, optional
        Bytes that the kernel and what it starts may take; beyond that it is killed.
    env : mapping, optional
        Environment variables of the kernel besides those of this process.
    metadata : mapping, optional
        JSON kept in the executed copy under ``metadata.orch_notebook``.
    stop : Stop, optional
        Through which somebody may end the execution early.
    start_timeout : float
        Seconds a kernel may take to start.
    clock : callable
        Seconds from anywhere, to space writes of the copy.
    save_every : float
        Seconds between such writes, at least.

    Raises
    ------
    NotebookError
        It cannot be read, or its kernel is not there or does not start.
    ParameterError
        A parameter is unknown, missing or ill-typed.

    Notes
    -----
    A notebook that defines tasks and never runs them gets a last cell ``%flow run``, tagged ``injected-flow-run``.
    Nobody is there to answer ``input()``: it raises in the cell.
    """
    source, target = Path(path), Path(output)
    notebook = read_notebook(source)
    language = language_of(notebook)
    given = dict(parameters or {})
    if language == "python":
        given = check_parameters(parameters_of(notebook), given)
    kernel = check_kernel(kernel or kernel_of(notebook))
    folder = _folder(source, cwd)
    positions = _prepare(notebook)
    try:
        make_private_folder(target.parent)
    except OSError as error:
        raise NotebookError(f"{target} cannot be written: {error.strerror or error}.", path=str(target)) from None

    about = {"source": str(source), "cwd": str(folder), "parameters": given, **(metadata or {})}
    start = {"cwd": str(folder), "env": {**os.environ, **(env or {})}}
    with Watch(timeout, stop or Stop(), memory) as watch:
        recording = Recording(positions, target, about, progress or Quiet(), watch, clock, save_every)
        try:
            _run(notebook, given, kernel, language, recording, start, start_timeout)
        except BaseException as error:
            recording.give_up(error)
            raise
    return recording.finish()


def _folder(source: Path, cwd: str | Path | None) -> Path:
    folder = Path(cwd) if cwd is not None else source.parent
    if not folder.is_dir():
        raise NotebookError(f"{source} should run in {folder}, which is no folder.", path=str(source))
    return folder.resolve()


def _prepare(notebook: NotebookNode) -> dict[str, int]:
    """Ready the notebook for papermill and return the position of every cell by its id."""
    positions = {cell.id: index for index, cell in enumerate(notebook.cells)}
    if has_tasks(notebook) and not runs_flow(notebook):
        last = type(notebook)(cell_type="code", source="%flow run", outputs=[], execution_count=None)
        last["id"] = next(name for name in _names("injected-flow-run") if name not in positions)
        last["metadata"] = type(notebook)(tags=["injected-flow-run"])
        positions[last.id] = len(notebook.cells)
        notebook.cells.append(last)
    for each in (notebook, *notebook.cells):
        for volatile in ("widgets", "papermill", "execution"):
            each.metadata.pop(volatile, None)
    return positions


def _names(name: str) -> Iterator[str]:
    yield name
    yield from (f"{name}-{number}" for number in count(2))


def _run(
    notebook: NotebookNode,
    given: Mapping[str, Any],
    kernel: str,
    language: str,
    recording: Recording,
    start: Mapping[str, Any],
    start_timeout: float,
) -> None:
    for last_try in (False, True):
        try:
            execute_notebook(
                notebook,
                None,
                parameters=dict(given),
                engine_name=ENGINE,
                kernel_name=kernel,
                language=language,
                progress_bar=False,
                recorder=recording,
                start=start,
                start_timeout=start_timeout,
            )
        except DeadKernelError:
            # A kernel that is asked to stop while it starts dies of it, before any cell.
            if recording.ended is None and recording.admits(max(0, recording.reached)):
                raise
        except PapermillException as error:
            # Raised at the end for every error output; the recording knows which cell failed, if any did.
            if recording.notebook is None:
                raise NotebookError(f"The notebook cannot be executed: {error}.") from None
        except (RuntimeError, OSError) as error:
            if recording.reached >= 0:
                raise
            # Many kernels starting at once may pick the same port; a second try finds another.
            if last_try or isinstance(error, OSError):
                text = str(error).strip().splitlines()
                reason = text[0].rstrip(".") if text else type(error).__name__
                raise NotebookError(f"The kernel {kernel!r} did not start: {reason}.", kernel=kernel) from None
            continue
        return
