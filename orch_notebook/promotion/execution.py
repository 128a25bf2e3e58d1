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
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbclient.exceptions import DeadKernelError
from papermill import execute_notebook
from papermill.exceptions import PapermillException

from orch_notebook.errors import NotebookError
from orch_notebook.model.parameters import check_parameters
from orch_notebook.promotion.client import ENGINE
from orch_notebook.promotion.kernels import Kernel
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

#: Kernels that are started for one execution, until one is ready.
TRIES = 3


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
    ahead: Kernel | None = None,
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
    ahead : Kernel, optional
        One that has been started already, with the variables of this process; it is used if it is the right one, and
        ended in any case.

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
    with _Kernels(ahead) as kernels:
        source, target = Path(path), Path(output)
        notebook = read_notebook(source)
        language = language_of(notebook)
        given = dict(parameters or {})
        if language == "python":
            given = check_parameters(parameters_of(notebook), given)
        kernels.name = check_kernel(kernel or kernel_of(notebook))
        folder = _folder(source, cwd)
        positions = _prepare(notebook)
        try:
            make_private_folder(target.parent)
        except OSError as error:
            raise NotebookError(f"{target} cannot be written: {error.strerror or error}.", path=str(target)) from None
        kernels.cwd, kernels.env, kernels.timeout = folder, dict(env or {}), start_timeout
        kernels.faults = target.with_suffix(".kernel.log")

        about = {"source": str(source), "cwd": str(folder), "parameters": given, **(metadata or {})}
        with Watch(timeout, stop or Stop(), memory) as watch:
            recording = Recording(positions, target, about, progress or Quiet(), watch, clock, save_every)
            try:
                _run(notebook, given, kernels, language, recording)
                return recording.finish()
            except BaseException as error:
                recording.give_up(error)
                raise
            finally:
                kernels.close()


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


class _Kernels:
    """The kernel of an execution, or the next when the first did not start."""

    def __init__(self, ahead: Kernel | None) -> None:
        self.name = ""
        self.cwd = Path()
        self.env: Mapping[str, str] = {}
        self.faults = Path()
        self.timeout = 60.0
        self._ahead = ahead
        self._kernel: Kernel | None = None

    def __enter__(self) -> _Kernels:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> Callable[[], Kernel]:
        """Start a kernel, and return what waits until it is ready for the first cell and returns it."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None and ahead.name != self.name:
            ahead.kill()
            ahead = None
        try:
            kernel = self._kernel = ahead or Kernel(self.name, cwd=self.cwd, env={**os.environ, **self.env})
        except OSError as error:
            # Said when it is waited for: by then there is an executed notebook that shows that nothing ran.
            return partial(_fail, error)

        def ready() -> Kernel:
            kernel.ready(self.timeout)
            if ahead is not None:
                kernel.enter(self.cwd, self.env, self.timeout)
            if kernel.is_python:
                kernel.prepare(self.faults)
            return kernel

        return ready

    def close(self) -> None:
        """End the kernel, also one that nobody has used."""
        kernel, self._kernel = self._kernel, None
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            ahead.kill()
        if kernel is not None:
            kernel.close()


def _fail(error: OSError) -> Kernel:
    raise error


def _run(
    notebook: NotebookNode, given: Mapping[str, Any], kernels: _Kernels, language: str, recording: Recording
) -> None:
    for tries_left in reversed(range(TRIES)):
        try:
            execute_notebook(
                notebook,
                None,
                parameters=dict(given),
                engine_name=ENGINE,
                kernel_name=kernels.name,
                language=language,
                progress_bar=False,
                recorder=recording,
                ready=kernels.start(),
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
            kernels.close()
            # No cell has begun.  A kernel that is reached by ports may find one of them taken; the next finds others.
            if not tries_left or isinstance(error, OSError):
                text = str(error).strip().splitlines()
                reason = text[0].rstrip(".") if text else type(error).__name__
                raise NotebookError(
                    f"The kernel {kernels.name!r} did not start: {reason}.", kernel=kernels.name
                ) from None
            continue
        return
