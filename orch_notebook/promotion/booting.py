"""Processes that can execute a notebook, from before it is known which run that will be.

In: an :class:`Environment`, which says what kernel such a process starts.  Out: a :class:`Spare`, whose kernel boots
while it loads what an execution takes itself, and which is told its run by one line.

Importing this takes next to nothing, so that a command line can start such a process before it loads anything else.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orch_notebook.runtime.store import Lease

__all__ = ["EXTENSION", "Environment", "Spare", "environment_of"]

#: What a notebook with tasks loads first, a tenth of a second's work.
EXTENSION = "orch_notebook.jupyter.magics"


@dataclass(frozen=True, slots=True)
class Environment:
    """What a process that executes a notebook has to have ready.

    Parameters
    ----------
    kernel : str
        The name of the kernel; empty for none.
    preload : tuple of str
        Modules that the kernel imports at once.
    variables : mapping
        Environment variables it has from its start, for those that come too late with the run.
    """

    kernel: str
    preload: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict, hash=False)

    def serves(self, other: Environment) -> bool:
        """Whether what is ready for this has all that another needs: more modules do no harm."""
        return self.kernel == other.kernel and not self.lacks(other)

    def lacks(self, other: Environment) -> int:
        """Return how many modules of another are not imported here."""
        return len(set(other.preload) - set(self.preload))


def environment_of(notebook: str | Path, kernel: str | None = None, preload: Sequence[str] = ()) -> Environment:
    """Return what executing a notebook takes, in its own kernel or in another, with modules that it shall find."""
    try:
        found = _environment(Path(notebook), Path(notebook).stat().st_mtime_ns, kernel)
    except OSError:  # whoever executes it will say so
        return Environment("")
    return replace(found, preload=(*found.preload, *preload))


@lru_cache(maxsize=256)
def _environment(path: Path, changed_at: int, kernel: str | None) -> Environment:
    named, uses_tasks = peek(path)
    return Environment(kernel or named, (EXTENSION,) if uses_tasks else ())


def peek(path: Path) -> tuple[str, bool]:
    """Return, at the price of reading a file, the kernel a notebook asks for, and whether it seems to have tasks."""
    try:
        data = json.loads(path.read_bytes().decode("utf-8-sig"))
        spec = data["metadata"].get("kernelspec", {}).get("name")
        uses_tasks = "orch_notebook" in json.dumps([cell.get("source") for cell in data["cells"]])
    except (
        OSError,
        ValueError,
        RecursionError,
        AttributeError,
        KeyError,
        TypeError,
    ):  # whoever executes it will say so
        return "", False
    return spec if isinstance(spec, str) and spec else "python3", uses_tasks


class Spare:
    """A process that loads what an execution takes, and starts a kernel, before it is told its run.

    Parameters
    ----------
    variables : mapping
        Environment variables besides those of this process.
    environment : Environment
        The kernel it starts.
    output : int, optional
        Where it writes before it is told where to.

    Attributes
    ----------
    is_told : bool
        Whether it has been told a run.

    Raises
    ------
    OSError
        There can be no further process.
    """

    def __init__(
        self, variables: Mapping[str, str], environment: Environment, output: int = subprocess.DEVNULL
    ) -> None:
        self.environment = environment
        self.started_at = time.monotonic()
        self.is_told = False
        variables = {**os.environ, **variables, **environment.variables, "PYTHONUNBUFFERED": "1"}
        variables.pop("JPY_PARENT_PID", None)  # else a kernel would watch the worker's parent instead of its own
        self.process = subprocess.Popen(
            [sys.executable, "-m", "orch_notebook.promotion.start", environment.kernel, *environment.preload],
            stdin=subprocess.PIPE,  # stays open as long as this worker lives
            stdout=output,
            stderr=output,
            env=variables,
            start_new_session=True,
        )

    @property
    def is_alive(self) -> bool:
        """Whether it can still be told."""
        return self.process.poll() is None

    def tell(self, lease: Lease, log_path: Path) -> bool:
        """Have it execute a claimed run and write to a log; False if it did not live to be told."""
        line = json.dumps([lease.run_id, lease.owner, str(lease.token), str(log_path)]) + "\n"
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(line.encode())
            self.process.stdin.flush()
        except OSError:
            return False
        self.is_told = True
        return True

    def ask_to_end(self) -> None:
        """Let it end its kernel, and then itself."""
        with suppress(OSError):
            self.process.stdin.close()  # type: ignore[union-attr]
        self.process.terminate()

    def close(self, seconds: float = 2.0) -> None:
        """End it and its kernel."""
        self.ask_to_end()
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
