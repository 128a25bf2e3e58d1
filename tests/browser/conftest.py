"""One Jupyter server and one Chromium for all browser tests; they run last.

Playwright keeps an event loop in the main thread as long as the browser is open.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.chromium import HOW_TO_INSTALL, find_chromium
from tests.browser.driver import Browser, Server

HERE = Path(__file__).parent


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what lies here as ``browser`` and move it to the end, whatever the order drawn: it opens once then."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.browser)
    items.sort(key=lambda item: item.path.is_relative_to(HERE))


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of Chromium; without it the test is skipped, or fails where CI asks for everything."""
    executable = find_chromium()
    if executable is None:
        reason = f"There is no Chromium here. {HOW_TO_INSTALL}"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    return executable


@pytest.fixture(scope="session")
def server(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The Jupyter server of the session; its notebooks lie in ``server.folder``."""
    root = tmp_path_factory.mktemp("lab")
    with Server(root / "notebooks", {**os.environ, "ORCH_HOME": str(root / "orch")}) as running:
        yield running


# It is closed before a test elsewhere begins, which may want a loop of its own: processes that share the tests out
# take them in any order.
@pytest.fixture(scope="package")
def browser(chromium: str, server: Server) -> Iterator[Browser]:
    """Chromium, looking at the server."""
    with Browser(chromium, server) as running:
        yield running


@pytest.fixture
def shots() -> Path:
    """The folder where pictures are kept to be looked at; git does not see it."""
    return HERE / "shots"
