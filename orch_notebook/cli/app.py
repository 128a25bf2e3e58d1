"""The typer application that the commands hang on, and how they print."""

from __future__ import annotations

import json
import sys
from typing import Any

import typer
from rich.console import Console

from orch_notebook import __version__

__all__ = ["app", "console", "print_json"]

app = typer.Typer(
    name="orch",
    help="Run, promote and watch notebooks made of tasks.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

#: Width follows the terminal; piped output is as wide as it needs to be, so that scripts see whole ids.
console = Console(width=None if sys.stdout.isatty() else 160, highlight=False, soft_wrap=not sys.stdout.isatty())


def print_json(data: Any) -> None:
    """Print JSON that scripts can read."""
    sys.stdout.write(json.dumps(data, indent=2, default=str) + "\n")


def _version(is_asked: bool) -> None:
    if is_asked:
        sys.stdout.write(f"orch_notebook {__version__}\n")
        raise typer.Exit


@app.callback()
def root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Show the version."),
) -> None:
    """Run, promote and watch notebooks made of tasks."""
