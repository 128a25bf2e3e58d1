"""The pages say what the code does: tables are held against the code, links lead somewhere, examples parse."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
import typer

from orch_notebook.cli.entrance import all_commands
from orch_notebook.jupyter.commands import COMMANDS
from orch_notebook.model.headers import OPTIONS, Option, parse_header
from orch_notebook.model.runs import FlowRun, TaskRun
from orch_notebook.model.states import NAMES, State, StateType
from orch_notebook.model.tasks import Task
from orch_notebook.runtime.settings import SETTINGS, Setting
from tests.test_house import ROOT

#: The commands of ``orch`` by name, as typer builds them.
ORCH_COMMANDS = all_commands()

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
REFERENCE = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
GLOSSARY = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")


def row(*cells: str) -> str:
    """Return a line of a Markdown table."""
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def section(heading: str) -> str:
    """Return the part of the reference below the heading that begins so."""
    return next(part for part in REFERENCE.split("\n## ") if part.startswith(heading))


def code(text: str) -> str:
    """Return text as Markdown shows code, or nothing for nothing."""
    return f"`{text}`" if text else ""


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.flag)
def test_the_reference_describes_each_option_of_a_task(option: Option) -> None:
    """Each option of ``%%task`` has its row, in the words of ``%%task --help``."""
    assert row(code(f"{option.flag} {option.metavar}".rstrip()), option.help) in REFERENCE


@pytest.mark.parametrize("command", COMMANDS)
def test_the_reference_describes_each_command_of_flow(command: str) -> None:
    """Each command of ``%flow`` has its row, and each of its arguments too, in the words of its help."""
    does, arguments = COMMANDS[command]
    assert row(code(f"%flow {command}"), does) in section("`%flow`")
    if not arguments:
        return
    part = next(part for part in REFERENCE.split("\n### ") if part.startswith(f"`%flow {command}`"))
    for flag, options in arguments:
        words = [flag] if flag.startswith("-") else []
        words += [options["metavar"]] if "metavar" in options else []
        assert row(code(" ".join(words)), options["help"]) in part


@pytest.mark.parametrize("command", ORCH_COMMANDS)
def test_the_reference_describes_each_command_of_orch(command: str) -> None:
    """Each command of ``orch`` has its row, and each of its arguments and options too, in the words of its help."""
    asked = ORCH_COMMANDS[command]
    assert row(code(f"orch {command}"), asked.help.split("\n\n")[0]) in section("`orch`")
    part = next(part for part in REFERENCE.split("\n### ") if part.startswith(f"`orch {command}`"))
    with typer.Context(asked, info_name=command) as context:
        for parameter in asked.params:
            typed, means = parameter.get_help_record(context)
            # An argument is shown with its type behind it, which its name and help say already.
            assert row(code(re.sub(r" <\w+>$", "", typed)), means) in part


def test_the_reference_describes_each_key_of_the_json() -> None:
    """Each key of a run and of a task run that ``--json`` prints is described, in the order printed."""
    run = FlowRun("r", "f", State(StateType.PENDING), datetime.now(UTC)).to_json(with_tasks=True)
    task = TaskRun("r", Task("t")).to_json()
    for keys, opening in ((run, "A run"), (task, "A task run")):
        table = section("What `--json` shows").split(f"\n{opening}, ")[1].split("\n\n")[1]
        first_cells = [line.split("|")[1] for line in table.splitlines()[2:]]
        assert [key for cell in first_cells for key in re.findall(r"`(\w+)`", cell)] == list(keys)


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_the_reference_describes_each_setting(setting: Setting) -> None:
    """Each environment variable has its row, with its default."""
    assert row(code(setting.name), code(setting.default), setting.help) in REFERENCE


def test_the_reference_describes_nothing_that_is_not_there() -> None:
    """Options and variables that were renamed or removed have left the tables too; the order is the code's."""
    options = re.findall(r"^\| `(--[\w-]+)", section("`%%task`"), re.MULTILINE)
    assert options == [option.flag for option in OPTIONS]
    commands = re.findall(r"^\| `%flow (\w+)`", section("`%flow`"), re.MULTILINE)
    assert commands == list(COMMANDS)
    verbs = re.findall(r"^\| `orch ([\w ]+)`", section("`orch`"), re.MULTILINE)
    assert verbs == list(ORCH_COMMANDS)
    variables = re.findall(r"^\| `(\w+)`", section("Settings"), re.MULTILINE)
    assert variables == [setting.name for setting in SETTINGS]


@pytest.mark.parametrize("type_", StateType, ids=str)
def test_the_glossary_lists_the_names_of_each_state(type_: StateType) -> None:
    """Each state type has its row with all of its names, the usual one first."""
    assert f"| {type_} | {', '.join(NAMES[type_])} |" in GLOSSARY


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Each relative link names a file that is there, and an anchor its heading."""
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = page.parent / path if path else page
        assert there.exists(), f"{page.name} links to {target}"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", there.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_task_lines_in_examples_parse(page: Path) -> None:
    """Each ``%%task`` line that a page shows in an example is one that works."""
    for block in re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        for line in block.splitlines():
            if line.startswith("%%task"):
                parse_header(line.removeprefix("%%task"))
