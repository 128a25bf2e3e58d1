"""What follows ``%flow``: one table of commands and options; lines are read, help shown and docs checked from it."""

from __future__ import annotations

import argparse
import shlex
from typing import Any, NoReturn

from orch_notebook.errors import HeaderError
from orch_notebook.model.tasks import RUNNER_WORDS, RUNNERS

__all__ = ["COMMANDS", "command_help", "read_command"]

SELECT = ("select", {"nargs": "*", "metavar": "SELECT", "help": "task, task+, +task or tag:word"})
FLOW: tuple[str, dict[str, Any]] = ("--flow", {"metavar": "NAME", "help": "which, where the notebook has several"})

#: Command → one line of help, and its arguments as argparse takes them.
COMMANDS: dict[str, tuple[str, list[tuple[str, dict[str, Any]]]]] = {
    "panel": ("show the panel: run, cancel, watch (also plain %flow, or flow at the end of a cell)", [FLOW]),
    "run": (
        "run what is stale, in parallel where the data allows; what is selected runs in any case",
        [
            SELECT,
            ("--all", {"action": "store_true", "dest": "everything", "help": "all of them, whether stale or fresh"}),
            ("--stale", {"action": "store_true", "help": "of what is selected, only what is stale"}),
            ("--background", {"action": "store_true", "help": "return at once; go on while other cells run"}),
            (
                "--runner",
                {"choices": RUNNERS, "metavar": "NAME", "help": f"{RUNNER_WORDS}, for tasks that name none"},
            ),
            ("--quiet", {"action": "store_true", "help": "show no summary; badges change all the same"}),
            FLOW,
        ],
    ),
    "graph": (
        "show the diagram of the tasks",
        [
            SELECT,
            (
                "--why",
                {"action": "store_true", "help": "say what each task does to names, and why it waits for others"},
            ),
            ("--dot", {"action": "store_true", "help": "print it in the DOT language"}),
            FLOW,
        ],
    ),
    "check": (
        "find what depends on the order of the tasks or on chance, by running them in several orders",
        [
            ("--seed", {"type": int, "default": 0, "metavar": "N", "help": "draw the other orders with this number"}),
            ("--orders", {"type": int, "default": 1, "metavar": "K", "help": "try so many other orders"}),
            ("--all-cells", {"action": "store_true", "help": "count each code cell of the notebook as a task"}),
            ("--notebook", {"metavar": "PATH", "help": "the notebook of --all-cells, by default this one as saved"}),
            FLOW,
        ],
    ),
    "status": ("show where the latest run stands", []),
    "open": (
        "take up a run of this notebook that failed elsewhere: restore what its failed task read, say where it failed",
        [
            ("run", {"metavar": "RUN", "help": "the run's id, or enough of it"}),
            (
                "--anyway",
                {"action": "store_true", "help": "though the notebook differs from what the run executed"},
            ),
        ],
    ),
    "resume": (
        "finish the run that was opened, or the last one of this session; what completed is not run again",
        [
            ("run", {"nargs": "?", "metavar": "RUN", "help": "another run, which is opened first"}),
            ("--background", {"action": "store_true", "help": "return at once; go on while other cells run"}),
            ("--quiet", {"action": "store_true", "help": "show no summary; badges change all the same"}),
        ],
    ),
    "cancel": ("cancel the run that goes on in the background", []),
    "remove": ("take tasks out of the flow", [("names", {"nargs": "+", "metavar": "TASK", "help": "task to remove"})]),
    "promote": (
        "make the saved notebook run by itself; workers execute it (orch worker)",
        [
            ("name", {"metavar": "NAME", "help": "name of the deployment"}),
            ("--cron", {"action": "append", "metavar": "EXPR", "help": "when, as cron: '0 6 * * *'"}),
            ("--every", {"action": "append", "metavar": "LENGTH", "help": "how often: 30s, 10m, 1h30m"}),
            ("--at", {"action": "append", "metavar": "ISO", "help": "once, at this moment: 2026-11-20T06:00"}),
            (
                "--rrule",
                {"action": "append", "metavar": "RULE", "help": "as a calendar rule: FREQ=MONTHLY;BYDAY=-1FR"},
            ),
            ("--start", {"metavar": "ISO", "help": "what --every and --rrule count from; now if left out"}),
            ("--tz", {"metavar": "ZONE", "help": "time zone of the wall clock meant, as Europe/Madrid; UTC if none"}),
            ("-p", {"action": "append", "metavar": "NAME=VALUE", "help": "value of a parameter", "dest": "parameters"}),
            ("--retries", {"type": int, "default": 0, "metavar": "N", "help": "repetitions of a run that fails"}),
            ("--retry-delay", {"metavar": "LENGTH", "default": "0", "help": "wait before each repetition"}),
            ("--timeout", {"metavar": "LENGTH", "help": "the longest a run may take"}),
            ("--memory-limit", {"metavar": "SIZE", "help": "memory a run may take: 512MB, 2GB"}),
            (
                "--env",
                {
                    "action": "append",
                    "metavar": "NAME=VALUE",
                    "help": "environment variable of its runs; no secret",
                },
            ),
            (
                "--preload",
                {"action": "append", "metavar": "MODULE", "help": "have its kernels import it first"},
            ),
            (
                "--warm",
                {"type": int, "default": 0, "metavar": "N", "help": "kernels kept started for it before it is due"},
            ),
            ("--track", {"action": "store_true", "help": "execute the file as it is when due, no pinned copy"}),
            ("--kernel", {"metavar": "NAME", "help": "kernel, if not the notebook's own"}),
            ("--queue", {"metavar": "NAME", "default": "default", "help": "where workers look for its runs"}),
            (
                "--priority",
                {"type": int, "default": 0, "metavar": "N", "help": "of due runs, higher ones go first"},
            ),
            ("--limit", {"type": int, "metavar": "N", "help": "runs of it that may go on at once"}),
            ("--overlap", {"metavar": "POLICY", "help": "while they do, a due run may queue, skip or cancel them"}),
            (
                "--catch-up",
                {"metavar": "POLICY", "default": "latest", "help": "due times nobody saw: latest, all, skip, limit:N"},
            ),
            ("--tag", {"action": "append", "dest": "tags", "metavar": "WORD", "help": "word to find its runs by"}),
            ("--notebook", {"metavar": "PATH", "help": "the notebook, where the front end does not tell it"}),
        ],
    ),
}


class _Parser(argparse.ArgumentParser):
    """Says in one line what is wrong instead of ending the process."""

    def error(self, message: str) -> NoReturn:
        raise HeaderError(f"{self.prog}: {message}. See {self.prog} --help.")


def _parser() -> _Parser:
    parser = _Parser(prog="%flow", description="Run, watch and promote the tasks of this notebook.", add_help=False)
    parser.add_argument("-h", "--help", action="store_true", dest="help")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)
    for name, (line, arguments) in COMMANDS.items():
        command = commands.add_parser(name, help=line, description=line[0].upper() + line[1:] + ".", add_help=False)
        command.add_argument("-h", "--help", action="store_true", dest="help", help="show this help")
        for flag, options in arguments:
            command.add_argument(flag, **options)
    return parser


def command_help(name: str | None = None) -> str:
    """Return the help of ``%flow``, or of one of its commands."""
    parser = _parser()
    if name is None:
        rows = "\n".join(f"  %flow {command:<9} {line}" for command, (line, _) in COMMANDS.items())
        return f"{parser.description}\n\n{rows}\n\n%flow COMMAND --help shows the options of a command."
    subparsers = next(action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    return str(subparsers.choices[name].format_help()).strip()


def read_command(line: str) -> argparse.Namespace:
    """Read what follows ``%flow``.

    Raises
    ------
    HeaderError
        In one line: an unknown command or option, or a bad value.

    Examples
    --------
    >>> read_command("run train+ --background").select
    ['train+']
    >>> read_command("").command
    'panel'
    >>> read_command("rnu")
    Traceback (most recent call last):
    orch_notebook.errors.HeaderError: %flow has no command 'rnu'. There are panel, run, graph, check, status, open, \
resume, cancel, remove, promote.
    """
    try:
        words = shlex.split(line, comments=True)
    except ValueError as error:
        raise HeaderError(f"%flow {line}: {error}.") from None
    if words and words[0] not in COMMANDS and words[0] not in ("-h", "--help"):
        raise HeaderError(f"%flow has no command {words[0]!r}. There are {', '.join(COMMANDS)}.")
    if "-h" in words or "--help" in words:
        command = words[0] if words[0] in COMMANDS else None
        return argparse.Namespace(command=command, help=True)
    return _parser().parse_args(words or ["panel"])
