"""The typer application that the commands hang on, and how they print."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from orch_notebook import __version__

__all__ = ["AsJson", "Name", "Notebook", "Parameters", "RunId", "app", "columns", "console", "print_json", "say"]

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the deployment.")]
Notebook = Annotated[Path, typer.Argument(metavar="NOTEBOOK", help="Path of the notebook.")]
Parameters = Annotated[
    list[str] | None, typer.Option("--parameter", "-p", metavar="NAME=VALUE", help="A parameter; may be repeated.")
]
RunId = Annotated[str, typer.Argument(metavar="RUN", help="A run's id, or enough of its beginning.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

#: Commands as ``orch --help`` lists them: work, promote, operate, keep house; what is not named here comes last.
ORDER = (
    *("run", "graph", "check", "taskify", "demo"),
    *("promote", "deploy", "deployments", "trigger", "pause", "unpause", "versions", "rollback", "delete"),
    *("apply", "export", "backfill", "backfills"),
    *("worker", "runs", "show", "logs", "cancel", "retry", "resume", "compare", "assets"),
    *("notify", "secret", "doctor", "gc", "db"),
)


class Ordered(typer.core.TyperGroup):
    """Commands in the order in which people meet them."""

    def list_commands(self, context: Any) -> list[str]:
        """Return the names of the commands."""
        names = super().list_commands(context)
        return sorted(names, key=lambda name: ORDER.index(name) if name in ORDER else len(ORDER))


app = typer.Typer(
    name="orch",
    cls=Ordered,
    help="Run, promote and watch notebooks made of tasks.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

#: Width follows the terminal; piped output is as wide as it needs to be, so that scripts see whole ids.
console = Console(width=None if sys.stdout.isatty() else 10_000, highlight=False, markup=False, emoji=False)


def columns() -> int | None:
    """Return the width of the terminal; None where the output is piped."""
    return console.width if console.is_terminal else None


def say(text: str = "") -> None:
    """Print text as it is; a line too long is wrapped by the terminal, so that a path can be copied whole."""
    console.print(text, soft_wrap=True)


def print_json(data: Any) -> None:
    """Print JSON that scripts can read."""
    sys.stdout.write(json.dumps(data, indent=2, default=str) + "\n")


def _version(is_asked: bool) -> None:
    if is_asked:
        sys.stdout.write(f"orch_notebook {__version__}\n")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Show the version."),
) -> None:
    """Run, promote and watch notebooks made of tasks."""
    if context.invoked_subcommand is None:
        sys.stdout.write(context.get_help() + "\n")
