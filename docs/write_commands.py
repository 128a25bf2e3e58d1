"""Writes the tables of ``orch`` in reference.md anew from the commands: ``python docs/write_commands.py``."""

from __future__ import annotations

import re
from pathlib import Path

import typer

from orch_notebook.cli.entrance import all_commands

REFERENCE = Path(__file__).with_name("reference.md")
TABLE = r"\| {head} \| (?:does|means) \|\n\|---\|---\|\n(?:\|[^\n]*\n)*"


def row(left: str, right: str) -> str:
    """Return one line of a table of two columns."""
    return f"| `{left.replace('|', chr(92) + '|')}` | {right.replace('|', chr(92) + '|')} |\n"


def arguments_of(name: str, command: typer.core.TyperCommand) -> str:
    """Return the table of a command's arguments and options."""
    lines = "| argument | means |\n|---|---|\n"
    with typer.Context(command, info_name=name) as context:
        for parameter in command.params:
            typed, means = parameter.get_help_record(context) or ("", "")
            # An argument is shown with its type behind it, which its name and help say already.
            lines += row(re.sub(r" <\w+>$", "", typed), means)
    return lines


def main() -> None:
    """Rewrite the file."""
    commands = all_commands()
    text = REFERENCE.read_text("utf-8")
    head, marker, rest = text.partition("## `orch`: the command line")
    overview = "| command | does |\n|---|---|\n"
    overview += "".join(row(f"orch {name}", command.help.split("\n\n")[0]) for name, command in commands.items())
    rest = re.sub(TABLE.format(head="command"), lambda _: overview, rest, count=1)
    for name, command in commands.items():
        title = f"### `orch {name}`"
        if title not in rest:
            raise SystemExit(f"reference.md has no section {title}; write one.")
        before, _, section = rest.partition(title)
        table = arguments_of(name, command)
        rest = before + title + re.sub(TABLE.format(head="argument"), lambda _, new=table: new, section, count=1)
    REFERENCE.write_text(head + marker + rest, "utf-8")


if __name__ == "__main__":
    main()
