"""What a person sees of a flow in a notebook: badges, diagrams, the panel; and gates that hold tasks back.

A task that calls ``gate("name")`` (from the module that :func:`write_gates` puts beside the notebooks) says that it has
come, and goes on when it is let through, so a test can look at a run in any moment it likes without ever sleeping.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Callable
from html import unescape
from typing import TypeVar

from playwright.sync_api import Locator

from tests.browser.driver import Page, Server
from tests.waiting import until

__all__ = ["Gates", "agree", "expect_badge", "expect_diagram", "expect_kinds", "expect_text", "panel", "printed"]

T = TypeVar("T")

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


def agree(look: Callable[[], T], claim: Callable[[T], object], what: str) -> None:
    """Wait until what is seen fits; what was seen last is told if it never does."""
    seen: list[T] = []

    def fits() -> object:
        seen[:] = [look()]
        return claim(seen[0])

    try:
        until(fits, what)
    except TimeoutError as error:
        raise AssertionError(f"{error} It shows {seen[0]!r}.") from None


def expect_badge(page: Page, cell: int, start: str, *words: str) -> None:
    """Wait until the badge of a task cell begins so and has these words in it."""
    agree(
        lambda: " ".join(" ".join(first(page, cell).all_inner_texts()).split()),
        lambda badge: badge.startswith(start) and all(word in badge for word in words),
        f"the badge of cell {cell} to say {', '.join((start, *words))}",
    )


def expect_text(page: Page, cell: int, *words: str) -> str:
    """Wait until a person can read all these words below a cell, and return all that stands there."""
    agree(
        lambda: page.text(cell),
        lambda shown: all(word in shown for word in words),
        f"the output of cell {cell} to say {', '.join(words)}",
    )
    return page.text(cell)


def diagram(page: Page, cell: int) -> dict[str, str]:
    """The tones of the nodes in the diagram below a cell, by task; empty tones before any run."""
    image = page.output(cell).locator("img[alt^=diagram]")
    source = (image.get_attribute("src") if image.count() else "") or ""
    drawing = b64decode(source.partition("base64,")[2]).decode()
    return {unescape(name): tone.removesuffix("bare").strip() for tone, name in _NODE.findall(drawing)}


def expect_diagram(page: Page, cell: int, **tones: str) -> None:
    """Wait until the diagram below a cell shows these tasks and no others, in these tones."""
    agree(lambda: diagram(page, cell), lambda shown: shown == tones, f"the diagram of cell {cell} to show {tones}")


def panel(page: Page, cell: int) -> Locator:
    """The panel below a cell, once it knows its flow."""
    found = page.output(cell).locator(".orch-panel")
    found.get_by_role("button", name="Run", exact=True).wait_for()
    return found


def expect_kinds(page: Page, cell: int, *kinds: str) -> None:
    """Wait until a cell has outputs of these kinds, in this order; text streams go by their name."""
    agree(
        lambda: tuple(output.get("name") or output["output_type"] for output in page.outputs(cell)),
        lambda found: found == kinds,
        f"the outputs of cell {cell} to be {', '.join(kinds)}",
    )


def printed(page: Page, cell: int) -> str:
    """What a cell has printed, as the notebook holds it."""
    return "".join(output["text"] for output in page.outputs(cell) if output["output_type"] == "stream")
