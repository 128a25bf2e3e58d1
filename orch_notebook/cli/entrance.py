"""What the ``orch`` command is made of: all its commands, and what becomes of errors.

Exit codes: 0 all well; 1 a run failed, or something was found wrong; 2 what was asked cannot be done as asked;
3 the store cannot be used; 130 interrupted.
"""

from __future__ import annotations

import errno
import os
import sys
from typing import Any

import typer

from orch_notebook.cli import (
    assets,
    backfilling,
    demo,
    deploying,
    keeping,
    notebooks,
    promoting,
    repeating,
    runs,
    secrets,
    telling,
    working,
)
from orch_notebook.cli.app import app
from orch_notebook.errors import FlowRunError, OrchError, StoreError
from orch_notebook.promotion.booting import Spare
from orch_notebook.promotion.notebooks import spare_formats

__all__ = ["all_commands", "app", "main"]

COMMANDS = (
    runs,
    notebooks,
    promoting,
    repeating,
    working,
    deploying,
    backfilling,
    telling,
    keeping,
    demo,
    secrets,
    assets,
)


def all_commands() -> dict[str, Any]:
    """Return every command by its words, those of a group with the group's name before theirs."""
    found: dict[str, Any] = {}
    group: Any = typer.main.get_command(app)
    for name in group.list_commands(typer.Context(group)):
        command = group.commands[name]
        inner = getattr(command, "commands", None)
        found |= {name: command} if inner is None else {f"{name} {each}": inner[each] for each in inner}
    return found


def main(ahead: Spare | None = None) -> None:
    """Run the command; every error we know is one line on standard error.

    Parameters
    ----------
    ahead : Spare, optional
        A process that was started for it already.
    """
    spare_formats()
    try:
        code = app(prog_name="orch", standalone_mode=False, obj=ahead)
        sys.stdout.flush()
        sys.exit(code if isinstance(code, int) else 0)
    except FlowRunError as error:
        sys.exit(_say(error, 1))
    except StoreError as error:
        sys.exit(_say(error, 3))
    except OrchError as error:
        sys.exit(_say(error, 2))
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(130)
    except OSError as error:
        if error.filename is not None:
            sys.exit(_say(f"{error.filename}: {error.strerror}.", 2))
        # Our own output: who read it has had enough, as 'head' has, or it goes to a full disk.  What is left in the
        # buffers can go nowhere, and must not be tried again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(0 if error.errno == errno.EPIPE else _say(f"{error.strerror or error}.", 2))
    except Exception as error:
        # Typer's own errors about arguments have a message in common, but no class that all its versions know.
        if not hasattr(error, "format_message"):
            raise
        sys.exit(_say(_about_arguments(error), 2))


def _about_arguments(error: Exception) -> str:
    """Return what is wrong with the arguments, and where to read what they may be, in one line."""
    said = " ".join(str(error.format_message()).split())  # type: ignore[attr-defined]
    path = getattr(getattr(error, "ctx", None), "command_path", "orch")
    said = said.rstrip(".")
    return f"{said}{'' if said.endswith('?') else '.'} See '{path} --help'."


def _say(message: object, code: int) -> int:
    sys.stderr.write(f"orch: {message}\n")
    return code
