"""A person at JupyterLab, for tests: real Chromium, and the acts of somebody who works there.

:class:`Browser` is one Chromium that looks at one :class:`~tests.browser.server.Server`; ``browser.open(notebook)``
gives a :class:`Page` on which cells are run, buttons clicked, outputs read and pictures taken.  State is read from the
application's own model (``window.jupyterapp``); only clicks go by what is drawn.  Nothing waits for a time to pass:
every wait is for a condition.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from playwright.sync_api import Browser as Chromium
from playwright.sync_api import Locator, Route, expect, sync_playwright

from tests.browser.server import Server

__all__ = ["Browser", "Page", "Server"]

#: Said by Notebook 7 itself, without any extension of ours: plugins of JupyterLab that miss what only Lab has.
KNOWN_NOISE = (
    "Cannot read properties of undefined (reading 'schema')",
    "Command 'filebrowser:open-path' not registered",
)

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

#: The notebook in front, as both applications know it.
NOTEBOOK = "window.jupyterapp.shell.currentWidget"


#: Milliseconds; Playwright's own 5 seconds are short where other tests share the machine.
PATIENCE = 30_000


class Browser:
    """One headless Chromium; a context manager that ends it."""

    def __init__(self, executable: str, server: Server) -> None:
        self.server = server
        self._playwright = sync_playwright().start()
        self._chromium: Chromium = self._playwright.chromium.launch(executable_path=executable, args=FLAGS)

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *exc: object) -> None:
        self._chromium.close()
        self._playwright.stop()

    def open(self, name: str, app: Literal["lab", "notebook"] = "lab", *, size: tuple[int, int] = (1400, 1000)) -> Page:
        """Open a notebook in JupyterLab or Notebook 7 and wait until its kernel is idle."""
        width, height = size
        context = self._chromium.new_context(viewport={"width": width, "height": height})
        return Page(context.new_page(), self.server, name, app)

    def open_sheet(self, *, size: tuple[int, int] = (1400, 900)) -> Any:
        """Open an empty page, in which a test shows what it likes."""
        width, height = size
        expect.set_options(timeout=PATIENCE)
        return self._chromium.new_context(viewport={"width": width, "height": height}).new_page()


class Page:
    """One notebook open in the browser.

    Attributes
    ----------
    playwright
        The page as Playwright gives it, for what is not foreseen here.
    external : list of str
        Requests that wanted to leave this machine; they were refused.
    """

    def __init__(self, page: Any, server: Server, name: str, app: Literal["lab", "notebook"]) -> None:
        self.playwright = page
        self.external: list[str] = []
        self._errors: list[str] = []
        page.set_default_timeout(PATIENCE)
        expect.set_options(timeout=PATIENCE)
        page.context.route("**/*", self._guard)
        page.on("pageerror", lambda error: self._errors.append(f"page error: {error}"))
        page.on("console", lambda line: self._errors.append(f"console: {line.text}") if line.type == "error" else None)
        page.on("websocket", lambda socket: self._note_external(socket.url))
        self._address = server.url(name, app)
        self._load()

    def _load(self, *, is_idle: bool = True) -> None:
        self.playwright.goto(self._address)
        self.wait("() => window.jupyterapp && window.jupyterapp.started.then(() => true)")
        self.wait(f"() => {NOTEBOOK}?.content?.widgets?.length && {NOTEBOOK}.context.isReady")
        self.evaluate(
            f"() => {{ window.restarts = []; {NOTEBOOK}.sessionContext.statusChanged.connect((_, status) => "
            "/restarting|dead/.test(status) && window.restarts.push(status)) }"
        )
        if is_idle:
            self.wait_idle()

    def _note_external(self, url: str) -> bool:
        if urlsplit(url).hostname in ("127.0.0.1", "localhost", None):
            return False
        self.external.append(url)
        return True

    def _guard(self, route: Route) -> None:
        if self._note_external(route.request.url):
            route.abort()
        else:
            route.continue_()

    def close(self) -> None:
        """Shut the notebook's kernel down and close the page."""
        self.evaluate(f"() => {NOTEBOOK}.sessionContext.shutdown()")
        self.playwright.context.close()

    def __enter__(self) -> Page:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # What is there

    def evaluate(self, script: str, argument: Any = None) -> Any:
        """Evaluate JavaScript in the page."""
        return self.playwright.evaluate(script, argument)

    def wait(self, script: str, argument: Any = None, *, seconds: float = 30) -> Any:
        """Wait until a JavaScript function gives something true, and return that."""
        return self.playwright.wait_for_function(script, arg=argument, timeout=seconds * 1000).json_value()

    def wait_idle(self, seconds: float = 60) -> None:
        """Wait until every command has ended and the kernel has nothing to do."""
        self.wait(
            f"() => !window.acting && {NOTEBOOK}.sessionContext.session?.kernel?.status === 'idle'", seconds=seconds
        )

    def cell(self, index: int) -> Locator:
        """Return the cell of this number, counted from 0 over all cells, as something to click or look at."""
        return self.playwright.locator(".jp-Notebook .jp-Cell").nth(index)

    def output(self, index: int) -> Locator:
        """Return the output area of a cell."""
        return self.cell(index).locator(".jp-Cell-outputWrapper")

    def outputs(self, index: int) -> list[dict[str, Any]]:
        """Return a cell's outputs from the model, in the notebook format."""
        found: list[dict[str, Any]] = self.evaluate(
            f"index => {NOTEBOOK}.content.widgets[index].model.outputs.toJSON()", index
        )
        return found

    def text(self, index: int) -> str:
        """Return what a person reads below a cell."""
        return "\n".join(self.output(index).all_inner_texts())

    def html(self, index: int) -> str:
        """Return the document below a cell as the browser holds it."""
        return "\n".join(part.inner_html() for part in self.output(index).all())

    def count(self, index: int) -> int | None:
        """Return the number in the brackets before a cell."""
        found: int | None = self.evaluate(f"index => {NOTEBOOK}.content.widgets[index].model.executionCount", index)
        return found

    def state(self, index: int) -> str:
        """Return where the execution of a cell stands: ``scheduled``, ``running`` or ``idle``."""
        found: str = self.evaluate(f"index => {NOTEBOOK}.content.widgets[index].model.executionState ?? 'idle'", index)
        return found

    def problems(self, *ignore: str) -> list[str]:
        """Return what went wrong unseen: page and console errors, requests to elsewhere, restarted kernels."""
        noise = (*KNOWN_NOISE, *ignore)
        errors = [line for line in self._errors if not any(text in line for text in noise)]
        restarts = [f"kernel: {status}" for status in self.evaluate("() => window.restarts")]
        return errors + [f"external request: {url}" for url in self.external] + restarts

    # What a person does

    def command(self, name: str, **arguments: Any) -> None:
        """Call a command of the application without waiting for it to end; :meth:`wait_idle` does."""
        self.evaluate(
            "([name, args]) => { window.acting = (window.acting ?? 0) + 1; const end = () => { window.acting -= 1 };"
            " window.jupyterapp.commands.execute(name, args).then(end, end) }",
            [name, arguments],
        )

    def start(self, index: int) -> None:
        """Run one cell without waiting for its end."""
        self.evaluate(
            f"index => {{ {NOTEBOOK}.content.deselectAll(); {NOTEBOOK}.content.activeCellIndex = index }}", index
        )
        self.command("notebook:run-cell")

    def run(self, index: int, seconds: float = 60) -> list[dict[str, Any]]:
        """Run one cell, wait for its end and return its outputs."""
        self.start(index)
        self.wait_idle(seconds)
        return self.outputs(index)

    def start_all(self) -> None:
        """Choose *Run All Cells* without waiting for the end."""
        self.command("notebook:run-all-cells")

    def run_all(self, seconds: float = 120) -> None:
        """Choose *Run All Cells* and wait until the last one has ended."""
        self.start_all()
        self.wait_idle(seconds)

    def edit(self, index: int, source: str) -> None:
        """Replace the source of a cell."""
        self.evaluate(
            f"([index, source]) => {{ {NOTEBOOK}.content.widgets[index].model.sharedModel.setSource(source) }}",
            [index, source],
        )

    def reload(self, *, keep_kernel: bool = True, is_idle: bool = True) -> None:
        """Load the page again, as it was saved; the kernel goes on, also with a cell, or is shut down before."""
        if not keep_kernel:
            self.evaluate(f"() => {NOTEBOOK}.sessionContext.shutdown()")
        self._load(is_idle=is_idle)

    def restart(self) -> None:
        """Restart the kernel, as the menu does when one has confirmed it."""
        self.evaluate(f"() => {NOTEBOOK}.sessionContext.restartKernel()")
        self.wait_idle()
        self.evaluate("() => { window.restarts = [] }")

    def interrupt(self) -> None:
        """Press the stop button of the toolbar."""
        self.evaluate(f"() => {NOTEBOOK}.sessionContext.session.kernel.interrupt()")

    def save(self) -> None:
        """Save the notebook to its file."""
        self.evaluate(f"() => {NOTEBOOK}.context.save()")

    def screenshot(self, path: Path, theme: Literal["light", "dark"] = "light", *, of: Locator | None = None) -> Path:
        """Take a picture of the page, or of a part of it, in the light or the dark theme."""
        name = "JupyterLab Dark" if theme == "dark" else "JupyterLab Light"
        self.command("apputils:change-theme", theme=name)
        # Lab veils the page while a theme loads.
        self.wait(
            "light => document.body.dataset.jpThemeLight === light && !document.getElementById('jupyterlab-splash')",
            str(theme == "light").lower(),
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        (of or self.playwright).screenshot(path=path)
        return path
