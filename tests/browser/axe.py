"""What an accessibility checker finds in a part of the page: axe-core, from the front end's own packages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.browser.driver import Page

__all__ = ["AXE", "expect_accessible", "find_violations"]

AXE = Path(__file__).parents[2] / "js" / "node_modules" / "axe-core" / "axe.min.js"

#: Every violation as a line: the rule, what it wants, and the first elements that break it.
CHECK = """async selector => {
    const found = await axe.run(selector, { resultTypes: ["violations"] });
    const tell = node => `${node.html.slice(0, 160)} ${node.failureSummary}`;
    return found.violations.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.slice(0, 3).map(tell).join(" | ")}`);
}"""


def find_violations(page: Any, selector: str) -> list[str]:
    """Return what axe-core finds wrong in a part of a Playwright page."""
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(AXE.read_text(encoding="utf-8"))
    found: list[str] = page.evaluate(CHECK, selector)
    return found


def expect_accessible(page: Page, selector: str, moment: str) -> None:
    """Fail with what is wrong in a part of a notebook's page; `moment` says in which state it is."""
    found = find_violations(page.playwright, selector)
    assert not found, f"{moment}: " + "\n".join(found)
