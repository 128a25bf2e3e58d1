"""The ``orch`` command: a face that parses, calls one verb of the orchestrator, and shows what comes back.

What it is made of takes a quarter of a second to load.  So where the words say plainly that a notebook is to be
executed, the process for it is started before that, and ended again if something turns out to be wrong.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from orch_notebook.promotion.booting import Spare, environment_of

__all__ = ["main"]


def main() -> None:
    """Run the command."""
    ahead = start_ahead(sys.argv[1:])
    try:
        from orch_notebook.cli.entrance import main as enter

        enter(ahead)
    finally:
        if ahead is not None and not ahead.is_told:
            ahead.close()


def start_ahead(words: Sequence[str]) -> Spare | None:
    """Start the process that ``orch run NOTEBOOK`` will need; None where the words say something else, or more."""
    notebook, kernel = read_run(words)
    if not notebook:
        return None
    environment = environment_of(notebook, kernel or None)
    if not environment.kernel:
        return None
    home = os.environ.get("ORCH_HOME")
    variables = {"ORCH_HOME": str(Path(home).expanduser().absolute())} if home else {}
    with suppress(OSError):  # there can be no further process, or not now; whoever needs it will say so
        return Spare(variables, environment)
    return None


def read_run(words: Sequence[str]) -> tuple[str, str]:
    """Return the notebook that is plainly to be executed, and the kernel if one is named; else two empty texts.

    Examples
    --------
    >>> read_run(["run", "-p", "n=3", "report.ipynb", "--kernel=ir"])
    ('report.ipynb', 'ir')
    >>> read_run(["run", "etl.py:nightly"]), read_run(["run", "a.ipynb", "--runner", "dask"]), read_run(["runs"])
    (('', ''), ('', ''), ('', ''))
    """
    notebooks, kernel, rest = [], "", iter(words[1:])
    for word in rest if words[:1] == ["run"] else ():
        if word == "--kernel":
            kernel = next(rest, "")
        elif word in ("-p", "--parameter", "--timeout"):
            next(rest, "")
        elif word.startswith("--kernel="):
            kernel = word.partition("=")[2]
        elif not word.startswith("-"):
            notebooks.append(word)
        elif word != "--json" and not word.startswith(("-p", "--parameter=", "--timeout=")):
            return "", ""
    is_plain = len(notebooks) == 1 and notebooks[0].endswith(".ipynb")
    return (notebooks[0], kernel) if is_plain else ("", "")
