"""Secrets from the command line: ``orch secret``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from orch_notebook.cli.app import AsJson, app, print_json, say
from orch_notebook.errors import NotFound
from orch_notebook.functions.secrets import Secret
from orch_notebook.runtime.home import close_homes, open_home

__all__ = ["secret"]

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the secret.")]

secret = typer.Typer(rich_markup_mode=None)
app.add_typer(secret, name="secret", help="Keep values that flows need and nobody should see.")


@secret.command(name="set")
def set_secret(name: Name) -> None:
    """Keep a secret, encrypted; its value is asked for, or read from standard input.

    A value that was there is replaced. Flows read it: Secret.load(NAME).get()
    """
    if sys.stdin.isatty():
        value = typer.prompt("Value", hide_input=True, confirmation_prompt=True)
    else:
        value = sys.stdin.read().removesuffix("\n")
    try:
        Secret(name, value).save(overwrite=True)
    finally:
        close_homes()
    say(f"Secret {name!r} is kept.")


@secret.command(name="list")
def list_secrets(as_json: AsJson = False) -> None:
    """List the names of the secrets."""
    try:
        names = sorted(open_home().store.secrets())
    finally:
        close_homes()
    if as_json:
        print_json(names)
    else:
        say("\n".join(names) or "No secrets yet. Keep one: orch secret set NAME")


@secret.command()
def delete(name: Name) -> None:
    """Forget a secret."""
    try:
        is_gone = Secret.delete(name)
    finally:
        close_homes()
    if not is_gone:
        raise NotFound(f"There is no secret {name!r}.", name=name)
    say(f"Secret {name!r} is gone.")
