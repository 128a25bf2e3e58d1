"""A real PostgreSQL server of the tests' own: on a socket in a temporary folder, on loopback, ended by its process id.

Only the standard library is used here: the command that runs the tests asks where PostgreSQL is before anything else
is installed.
"""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

__all__ = ["HOW_TO_INSTALL", "PostgresServer", "find_postgres"]

HOW_TO_INSTALL = "On Debian: apt-get install postgresql. Elsewhere put initdb and postgres on PATH."
USER = "orch"
PROGRAMS = ("initdb", "postgres")


def find_postgres() -> Path | None:
    """Return the folder of PostgreSQL's programs, the newest there is; None if there is none."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name), reverse=True)
    on_path = shutil.which("initdb")
    if on_path:
        folders.append(Path(on_path).resolve().parent)
    return next((folder for folder in folders if all((folder / name).exists() for name in PROGRAMS)), None)


def _account() -> str | None:
    """Return whom the server runs as: it refuses to run as root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            pwd.getpwnam(name)
        except KeyError:
            continue
        return name
    raise RuntimeError("PostgreSQL does not run as root, and there is no user to run it as.")


class PostgresServer:
    """A server with one database, in which every test has a schema of its own."""

    def __init__(self) -> None:
        programs = find_postgres()
        if programs is None:
            raise RuntimeError(f"There is no PostgreSQL here. {HOW_TO_INSTALL}")
        self._programs = programs
        self._account = _account()
        self._folder = Path(tempfile.mkdtemp(prefix="orch-pg-", dir="/tmp"))
        self._data = self._folder / "data"
        if self._account:
            shutil.chown(self._folder, self._account)
        self._schemas = itertools.count(1)
        self._process: subprocess.Popen[bytes] | None = None
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self.port = found.getsockname()[1]
        self._call("initdb", "-D", self._data, "-U", USER, "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C")
        self.start()

    def _call(self, program: str, *arguments: object) -> None:
        command = [str(self._programs / program), *map(str, arguments)]
        done = subprocess.run(command, user=self._account, cwd=self._folder, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{program} failed: {done.stderr or done.stdout}")

    def start(self) -> None:
        """Start the server; whoever connects waits until it answers."""
        options = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": self._folder,
            "fsync": "off",
            "full_page_writes": "off",
            "max_connections": 200,
        }
        command = [str(self._programs / "postgres"), "-D", str(self._data)]
        for name, value in options.items():
            command += ["-c", f"{name}={value}"]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, user=self._account, cwd=self._folder, stdout=log, stderr=log)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End the server: SIGINT lets nobody finish, SIGQUIT is as good as pulling the plug."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(60)
            self._process = None

    def close(self) -> None:
        """End the server and remove all it wrote."""
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def url(self) -> str:
        """Return where a store finds an empty schema."""
        schema = f"test_{next(self._schemas)}"
        base = f"postgresql://{USER}@127.0.0.1:{self.port}/postgres"
        return f"{base}?options=-csearch_path%3D{schema}"
