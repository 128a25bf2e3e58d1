"""What can be set from outside, in one table: environment variables, their defaults and their meaning."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from orch_notebook.errors import UsageError
from orch_notebook.model.retention import Retention
from orch_notebook.model.sizes import parse_size
from orch_notebook.model.tasks import RUNNER_WORDS, RUNNERS, read_resources
from orch_notebook.runtime.files import make_private_folder

__all__ = ["SETTINGS", "Setting", "Settings"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Setting:
    """One environment variable."""

    name: str
    default: str
    help: str


SETTINGS: tuple[Setting, ...] = (
    Setting("ORCH_HOME", "~/.orch", "Folder of the store, the results and the executed notebooks."),
    Setting("ORCH_DATABASE_URL", "", "postgresql://user@host/database, where several machines share a store."),
    Setting("ORCH_THREADS", "16", "Task runs performed at once by the thread runner of one flow run."),
    Setting("ORCH_RUNNER", "threads", f"Where the code of tasks runs that name no runner: {RUNNER_WORDS}."),
    Setting("ORCH_PROCESSES", "", "Bodies performed at once by the process runner; by default one for each processor."),
    Setting("ORCH_DASK", "", "Address of the scheduler for `--runner dask`; by default workers on this machine."),
    Setting("ORCH_RESOURCES", "", "What the tasks of a run share here: GPU=2,memory=16; of the rest there is 1."),
    Setting("ORCH_LEASE", "9", "Seconds without a heartbeat after which a run counts as lost."),
    Setting("ORCH_LATE", "15", "Seconds past its due time after which a run that has not started is Late."),
    Setting("ORCH_LOG_LIMIT", "1000000", "Characters of output kept per attempt of a task; the rest is counted."),
    Setting("ORCH_KEEP", "", "How long runs are kept: 30d, 100 (the newest of each), or 30d,100; without it, forever."),
    Setting("ORCH_COPIES", "2000000000", "Bytes of disk that a session may use for copies of versions changed since."),
    Setting("ORCH_MEMORY_LIMIT", "", "Memory that a run may take whose deployment sets no limit: 512MB, 2GB."),
    Setting("ORCH_SECRET_KEY", "", "Key that encrypts the secrets; by default the file secret.key of the home."),
    Setting("ORCH_RUN_ID", "", "Set by a worker in the kernel it starts: the run that this notebook execution is."),
)


def _read(read: Callable[[str], T], name: str, text: str) -> T:
    """Read a setting as the option of its kind is read; what is wrong with it names the variable."""
    try:
        return read(text)
    except UsageError as error:
        raise UsageError(f"{name}: {error}") from None


def _memory(text: str) -> int | None:
    return parse_size(text) if text else None


def _resources(text: str) -> dict[str, float]:
    try:
        return read_resources(text)
    except ValueError as error:
        raise UsageError(f"ORCH_RESOURCES {error}, not {text!r}.") from None


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings in force.

    Parameters
    ----------
    home : Path
        Folder of everything that is kept.
    database_url : str or None
        Address of the shared database; None for the SQLite file under `home`.
    threads : int
        Width of the thread runner.
    runner : str
        Name of the runner of tasks that name none.
    processes : int or None
        Width of the process runner; ``None`` for the number of processors.
    dask : str or None
        Address of the scheduler of Dask.
    resources : mapping
        How much there is of what tasks ask for.
    lease : float
        Seconds without a heartbeat after which a run counts as lost.
    late : float
        Seconds past its due time after which a waiting run is Late.
    log_limit : int
        Characters of output kept per attempt.
    keep : Retention
        How long runs are kept that belong to no deployment with a rule of its own.
    copies : int
        Bytes of disk that a session may use for copies of versions.
    memory : int or None
        Bytes that a run may take whose deployment sets no limit.
    secret_key : str or None
        Key that encrypts the secrets; None for the file of the home.
    parent_run_id : str or None
        The run a worker started this process for.
    """

    home: Path
    database_url: str | None = None
    threads: int = 16
    runner: str = "threads"
    processes: int | None = None
    dask: str | None = None
    resources: Mapping[str, float] = field(default_factory=dict)
    lease: float = 9.0
    late: float = 15.0
    log_limit: int = 1_000_000
    keep: Retention = field(default_factory=Retention)
    copies: int = 2_000_000_000
    memory: int | None = None
    secret_key: str | None = field(default=None, repr=False)
    parent_run_id: str | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """Read the settings from environment variables.

        Raises
        ------
        UsageError
            A variable does not hold a positive number where one is needed, or names no runner.
        """
        environment = os.environ if environment is None else environment
        values = {setting.name: environment.get(setting.name) or setting.default for setting in SETTINGS}

        def number(name: str) -> float:
            try:
                value = float(values[name])
            except ValueError:
                value = 0.0
            if not value > 0:
                raise UsageError(f"{name} must be a positive number, not {values[name]!r}.")
            return value

        if values["ORCH_RUNNER"] not in RUNNERS:
            raise UsageError(f"ORCH_RUNNER must be {RUNNER_WORDS}, not {values['ORCH_RUNNER']!r}.")
        return cls(
            home=Path(values["ORCH_HOME"]).expanduser().absolute(),
            database_url=values["ORCH_DATABASE_URL"] or None,
            threads=int(number("ORCH_THREADS")) or 1,
            runner=values["ORCH_RUNNER"],
            processes=int(number("ORCH_PROCESSES")) or 1 if values["ORCH_PROCESSES"] else None,
            dask=values["ORCH_DASK"] or None,
            resources=_resources(values["ORCH_RESOURCES"]),
            lease=number("ORCH_LEASE"),
            late=number("ORCH_LATE"),
            log_limit=int(number("ORCH_LOG_LIMIT")),
            keep=_read(Retention.parse, "ORCH_KEEP", values["ORCH_KEEP"]),
            copies=int(number("ORCH_COPIES")),
            memory=_read(_memory, "ORCH_MEMORY_LIMIT", values["ORCH_MEMORY_LIMIT"]),
            secret_key=values["ORCH_SECRET_KEY"] or None,
            parent_run_id=values["ORCH_RUN_ID"] or None,
        )

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which a process that is started finds the same home and store, and the same limit."""
        limit = "" if self.memory is None else str(self.memory)
        return {"ORCH_HOME": str(self.home), "ORCH_DATABASE_URL": self.database_url or "", "ORCH_MEMORY_LIMIT": limit}

    def apart(self, home: Path) -> Settings:
        """Return the same settings for runs that belong to nothing: with a home, and a store, of their own."""
        return replace(self, home=home, database_url=None, parent_run_id=None)

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self.home / "orch.db"

    def folder(self, *parts: str) -> Path:
        """Return a folder under the home that only its owner can read, made if need be."""
        return make_private_folder(self.home.joinpath(*parts))
