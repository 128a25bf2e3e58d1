"""Runs that are executed now, each in a process of its own that this one starts, without a worker.

In: a notebook, or a run that is to be repeated.  Out: what executes it, which can be waited for and asked to stop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType

from orch_notebook.errors import OrchError
from orch_notebook.model.runs import FlowRun
from orch_notebook.promotion import upkeep
from orch_notebook.promotion.booting import Environment, Spare, environment_of
from orch_notebook.promotion.deployments import submit
from orch_notebook.promotion.launching import STARTING, Launch, launch_process
from orch_notebook.promotion.retrying import retry
from orch_notebook.promotion.spares import Spares, environment_of_run
from orch_notebook.promotion.terms import Given
from orch_notebook.runtime.clock import Clock
from orch_notebook.runtime.owners import this_owner
from orch_notebook.runtime.settings import Settings
from orch_notebook.runtime.store import Lease, Store

__all__ = ["Execution", "execute_now", "retry_now"]


class Execution:
    """A notebook that a process started here executes.

    Attributes
    ----------
    run_id : str
        The run it is.
    """

    def __init__(self, launch: Launch, settle: Callable[[str], object], ask: Callable[[], object]) -> None:
        self.run_id = launch.lease.run_id
        self._launch = launch
        self._settle = settle
        self._ask = ask
        self._settled = False

    @property
    def is_over(self) -> bool:
        """Whether the process has ended."""
        return self._launch.ended.is_set()

    def ends_within(self, seconds: float) -> bool:
        """Wait for its end, for so long at most; whether it came."""
        return self._launch.ended.wait(seconds)

    def cancel(self) -> None:
        """Ask for its end; its kernel is interrupted, and killed if that does not help."""
        self._ask()

    def wait(self) -> None:
        """Wait for its end, and see to it that the run is ended too."""
        self._launch.ended.wait()
        if not self._settled:
            self._settled = True
            self._settle(self._launch.said)


def execute_now(
    store: Store,
    settings: Settings,
    clock: Clock,
    notebook: str | Path,
    parameters: Given | None = None,
    *,
    kernel: str | None = None,
    timeout: float | None = None,
    instead: Path | None = None,
    variables: Mapping[str, str] = MappingProxyType({}),
    ahead: Spare | None = None,
) -> Execution:
    """Execute a notebook.

    Parameters
    ----------
    notebook : path
        The notebook.
    parameters : mapping or sequence of str, optional
        Values in place of the defaults.
    kernel : str, optional
        Instead of the one the notebook names.
    timeout : float, optional
        Seconds it may take.
    instead : Path, optional
        What is executed in the notebook's place, and in its folder.
    variables : mapping
        Environment variables that its kernel has from its start.
    ahead : Spare, optional
        A process that was started for it already.

    Raises
    ------
    NotebookError
        It cannot be read, or its kernel is not installed.
    ParameterError
        A parameter is unknown, missing or ill-typed.
    """
    environment = replace(environment_of(instead or notebook, kernel), variables=variables)
    with _spare(settings, environment, ahead) as spares:
        run = submit(
            store,
            settings,
            clock.now(),
            Path(notebook),
            parameters or {},
            this_owner(),
            timeout=timeout,
            kernel=kernel,
            instead=instead,
        )
        return _launch(store, settings, clock, run, str(notebook), spares)


def retry_now(store: Store, settings: Settings, clock: Clock, run: FlowRun, again: Sequence[str] = ()) -> Execution:
    """Execute the repetition of a run that has ended.

    Raises
    ------
    UsageError, NotebookError, UnknownTask
        As for :func:`~orch_notebook.promotion.retrying.retry`.
    """
    with _spare(settings, environment_of_run(store, run.run_id)) as spares:
        repeated = retry(store, run, clock.now(), again, owner=this_owner())
        return _launch(store, settings, clock, repeated, repeated.notebook or repeated.flow, spares)


@contextmanager
def _spare(settings: Settings, environment: Environment, ahead: Spare | None = None) -> Iterator[Spares]:
    """Have a process load what an execution takes while it is made out what it will be."""
    with closing(Spares(settings)) as spares:
        if ahead is not None and ahead.is_alive and ahead.environment.serves(environment):
            spares.adopt(ahead)
        else:
            spares.start(environment)
        yield spares


def _launch(store: Store, settings: Settings, clock: Clock, run: FlowRun, called: str, spares: Spares) -> Execution:
    """Execute a run that this process has claimed, in a process of its own."""
    lease = Lease(run.run_id, this_owner(), 1, run.created_at + timedelta(seconds=STARTING))
    try:
        launch = launch_process(settings, store, spares)(lease, lambda: None)
    except OSError as error:  # no memory, no room on the disk, too many processes
        why = f"could not be started ({error.strerror or error})"
        upkeep.settle(store, lease, why, clock.now())
        raise OrchError(f"The process that executes {called} {why}.", run_id=run.run_id) from None
    return Execution(
        launch,
        settle=lambda said: upkeep.settle(store, lease, said, clock.now()),
        ask=lambda: store.request(run.run_id, "cancel", clock.now()),
    )
