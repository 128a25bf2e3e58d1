"""What a person sees of a flow in a notebook: badges, diagrams, the panel; and gates that hold tasks back.

A task that calls ``gate("name")`` (from the module that :func:`write_gates` puts beside the notebooks) says that it has
come, and goes on when it is let through, so a test can look at a run in any moment it likes without ever sleeping.
"""

from __future__ import annotations

import re
from base64 import b64decode
from html import unescape

from playwright.sync_api import Locator, expect

from tests.browser.driver import Page, Server
from tests.browser.server import until

__all__ = ["Gates", "badge", "diagram", "expect_badge", "expect_diagram", "kinds", "panel"]

#: What notebooks import.  A task may also wait for what another task's gate says, which two can only do at once.
GATES = """
import time
from pathlib import Path


def gate(name, until=None, seconds=60):
    here = Path(__file__).with_name("gates")
    (here / f"{name}.came").touch()
    end = time.monotonic() + seconds
    while not (here / (f"{until}.came" if until else f"{name}.open")).exists():
        if time.monotonic() > end:
            raise TimeoutError(f"Nobody opened {name!r}.")
        time.sleep(0.01)
    return name
"""

_NODE = re.compile(r'<g class="node ?([a-z ]*)"[^>]*><title>(.*?)</title>')


class Gates:
    """The gates of one test's notebooks, which lie in a folder of their own."""

    def __init__(self, server: Server, folder: str) -> None:
        self.name = folder
        self.path = server.folder / folder
        (self.path / "gates").mkdir(parents=True)
        (self.path / "gate.py").write_text(GATES)

    def came(self, name: str) -> None:
        """Wait until a task has come to this gate."""
        until((self.path / "gates" / f"{name}.came").exists, f"a task to come to gate {name!r}")

    def open(self, *names: str) -> None:
        """Let through who comes to these gates."""
        for name in names:
            (self.path / "gates" / f"{name}.open").touch()

    def close(self, *names: str) -> None:
        """Hold back who comes from now on."""
        for name in names:
            for end in ("open", "came"):
                (self.path / "gates" / f"{name}.{end}").unlink(missing_ok=True)


def first(page: Page, cell: int) -> Locator:
    """The first output below a cell, where a task's badge stands."""
    return page.cell(cell).locator(".jp-OutputArea-child").first


def badge(page: Page, cell: int) -> str:
    """What a person reads in the badge of a task cell, on one line."""
    return " ".join(first(page, cell).inner_text().split())


def expect_badge(page: Page, cell: int, words: str) -> None:
    """Wait until the badge of a task cell says this."""
    expect(first(page, cell)).to_contain_text(words, timeout=30_000)


def diagram(page: Page, cell: int) -> dict[str, str]:
    """The tones of the nodes in the diagram below a cell, by task; empty tones before any run."""
    source = page.output(cell).locator("img[alt^=diagram]").get_attribute("src") or ""
    drawing = b64decode(source.partition("base64,")[2]).decode()
    return {unescape(name): tone.removesuffix("bare").strip() for tone, name in _NODE.findall(drawing)}


def expect_diagram(page: Page, cell: int, **tones: str) -> None:
    """Wait until the diagram below a cell has these tones."""

    def agrees() -> bool:
        shown = diagram(page, cell) if page.output(cell).locator("img[alt^=diagram]").count() else {}
        return all(shown.get(name) == tone for name, tone in tones.items())

    until(agrees, f"the diagram to show {tones}")


def panel(page: Page, cell: int) -> Locator:
    """The panel below a cell, once it knows its flow."""
    found = page.output(cell).locator(".orch-panel")
    found.get_by_role("button", name="Run", exact=True).wait_for()
    return found


def kinds(page: Page, cell: int) -> list[str]:
    """The kinds of a cell's outputs in order; text streams by their name."""
    return [output.get("name") or output["output_type"] for output in page.outputs(cell)]
