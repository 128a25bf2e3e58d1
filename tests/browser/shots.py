"""Pictures of flows in JupyterLab, to be looked at: ``python -m tests.browser.shots [SCENE …]``.

Every scene is taken in the light and the dark theme, wide and narrow; ``--readme`` takes the picture of the README
instead.  They go to ``tests/browser/shots``, which git does not see.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import nbformat
from playwright.sync_api import Locator

from tests.browser.chromium import HOW_TO_INSTALL, find_chromium
from tests.browser.driver import Browser, Page, Server
from tests.browser.flows import Gates, expect_badge, panel

WIDTHS = (1400, 700)
THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
#: Hides the side bar, as one does where there is little room.
FOLD = "fold => { if (fold) window.jupyterapp.shell.collapseLeft(); else window.jupyterapp.shell.expandLeft() }"
HERE = Path(__file__).parent
FIRST = HERE.parents[1] / "notebooks" / "01_first_flow.ipynb"
IMAGES = HERE.parents[1] / "docs" / "images"

LOAD = "%load_ext orch_notebook\nfrom gate import gate"
PIPELINE = (
    LOAD,
    "%%task load\nsales = list(range(200))\nprint('200 days of sales')",
    "%%task clean --retries 2\nkept = [day for day in sales if day % 7]\nprint(f'{len(kept)} working days')\nkept[:5]",
    "%%task trend\ngone = gate('trend')\ntrend = max(kept) - min(kept)",
    "%%task season\nseason = sum(kept[::7]) / limit",
    "%%task report\nprint(trend, season)",
    "%flow",
    "%flow run",
)
BROKEN, WHOLE = "limit = 0", "limit = 9"


Act = Callable[[Page, Gates, int], None]


def layered(width: int, depth: int) -> list[str]:
    """Cells of a flow of so many layers, each task reading three of the layer before."""
    cells = []
    for layer in range(depth):
        for place in range(width):
            reads = [f"v{layer - 1}_{(place + step) % width}" for step in (0, 1, 5)] if layer else ["1"]
            cells.append(f"%%task step_{layer}_{place}\nv{layer}_{place} = {' + '.join(dict.fromkeys(reads))}")
    return cells


def idle(page: Page, gates: Gates, cells: int) -> None:
    """Everything is defined, nothing has run."""
    for cell in range(cells - 1):
        page.run(cell)
    panel(page, cells - 2)


def running(page: Page, gates: Gates, cells: int) -> None:
    """One task waits, the others are where they can be."""
    page.start_all()
    gates.came("trend")
    expect_badge(page, 4, "Completed")


def ended(page: Page, gates: Gates, cells: int) -> None:
    """The run is over and the panel shows it."""
    gates.open("trend")
    page.run_all(300)
    panel(page, cells - 2)


def cached(page: Page, gates: Gates, cells: int) -> None:
    """Everything has run and nothing is stale; the second run says so."""
    ended(page, gates, cells)
    page.run(cells - 1)
    panel(page, cells - 2).get_by_text("Nothing is stale").wait_for()


def tab(name: str, then: Callable[[Locator], None] = lambda shown: None) -> Act:
    """After a few runs, one of the panel's tabs."""

    def act(page: Page, gates: Gates, cells: int) -> None:
        ended(page, gates, cells)
        page.edit(2, "%%task clean --retries 2\nkept = [day for day in sales if day % 5]\nprint(len(kept), 'days')")
        page.run(2)
        page.run(cells - 1)
        shown = panel(page, cells - 2)
        shown.get_by_role("tab", name=name).click()
        shown.get_by_role("tabpanel").first.wait_for()
        then(shown)

    return act


def compare(shown: Locator) -> None:
    """Two runs side by side."""
    shown.get_by_role("button", name="Compare").click()
    shown.get_by_text("more are the same").wait_for()


def fill_in(shown: Locator) -> None:
    """A schedule that was chosen, its next due times below."""
    shown.get_by_label("Schedule").select_option("weekdays")
    shown.get_by_text("Monday through Friday").wait_for()


def reopened(page: Page, gates: Gates, cells: int) -> None:
    """Saved and opened again without its kernel."""
    ended(page, gates, cells)
    page.save()
    page.wait("() => !window.jupyterapp.shell.currentWidget.context.model.dirty")
    page.reload(keep_kernel=False)


def explained(page: Page, gates: Gates, cells: int) -> None:
    """Nothing has run; the last cell says why tasks wait."""
    page.run_all(120)


SCENES: dict[str, tuple[tuple[str, ...], Act]] = {
    "idle": ((f"{LOAD}\n{WHOLE}", *PIPELINE[1:]), idle),
    "running": ((f"{LOAD}\n{WHOLE}", *PIPELINE[1:]), running),
    "failed": ((f"{LOAD}\n{BROKEN}", *PIPELINE[1:]), ended),
    "cached": ((f"{LOAD}\n{WHOLE}", *PIPELINE[1:]), cached),
    "timeline": ((f"{LOAD}\n{WHOLE}", *PIPELINE[1:]), tab("Timeline")),
    "tasks": ((f"{LOAD}\n{WHOLE}", *PIPELINE[1:]), tab("Tasks")),
    "history": ((f"{LOAD}\n{WHOLE}", *PIPELINE[1:]), tab("History", compare)),
    "promote": ((f"{LOAD}\n{WHOLE}", *PIPELINE[1:]), tab("Promote", fill_in)),
    "reopened": ((f"{LOAD}\n{BROKEN}", *PIPELINE[1:]), reopened),
    "one": ((LOAD, "%%task only\n6 * 7", "%flow", "%flow run"), ended),
    "why": (
        (
            f"{LOAD}\n{WHOLE}\nimport numpy as np",
            *PIPELINE[1:4],
            "%%task noise\nnp.random.seed(1)\nnoise = np.random.rand(9)",
            "%%task shuffled --inputs kept,trend\nnp.random.shuffle(kept)\nopen('kept.txt', 'w').write(str(kept))",
            "%%task listed\nnames = !ls\nprint(open('kept.txt').read(), names)",
            "%flow graph --why",
        ),
        explained,
    ),
    "outputs": (
        (
            f"{LOAD}\nimport time, warnings, logging\nfrom tqdm import tqdm\nfrom tqdm.auto import tqdm as bar",
            *(
                f"%%task {name}\n%%time\nfor step in tqdm(range(40), desc='{name}'):\n    time.sleep(0.02)\n"
                f"for step in bar(range(20), desc='as a widget'):\n    time.sleep(0.02)\n"
                f"warnings.warn('{name} is careful')\nlogging.getLogger('{name}').warning('logged')\n"
                f"shown = display('first', display_id=True)\nshown.update('{name} updated')\n'{name}'"
                for name in ("north", "south")
            ),
            "%flow run",
            "%%task asks\nname = input('Who? ')",
            "%flow run asks",
        ),
        explained,
    ),
    "forty": ((LOAD, *layered(8, 5), "%flow", "%flow run"), ended),
    "thousand": ((LOAD, *layered(100, 10), "%flow", "%flow run"), ended),
}


def take(page: Page, name: str, folder: Path, last: int) -> None:
    """Take one scene in both themes and widths; of long notebooks the last cells."""
    for width in WIDTHS:
        page.playwright.set_viewport_size({"width": width, "height": 2600})
        for theme in THEMES:
            page.evaluate(FOLD, width < 1000)
            page.cell(last).scroll_into_view_if_needed()
            path = page.screenshot(folder / f"{name}-{width}-{theme}.png", theme)
            print(f"{path}  {path.stat().st_size // 1024} KB")


def readme(browser: Browser, server: Server, folder: Path) -> None:
    """The tasks of the first notebook and its panel, while the slower of two models is being trained."""
    notebook = nbformat.read(FIRST, as_version=4)
    source = {cell.id: cell.source for cell in notebook.cells}
    tasks = [text for name, text in source.items() if name.startswith("task-")]
    name = server.write("first_flow.ipynb", f"{source['load-ext']}\n{source['imports']}", *tasks, "%flow")
    for theme in THEMES:
        with browser.open(name, size=(1000, 2000)) as page:
            page.evaluate(FOLD, True)
            page.screenshot(HERE / "shots" / "theme.png", theme)
            page.run_all()
            last = len(tasks) + 1
            shown = panel(page, last)
            shown.get_by_role("button", name="Run", exact=True).click()
            expect_badge(page, 3, "Completed")
            expect_badge(page, 4, "Running")
            shown.locator('[data-node="3"]').click()
            top, end = page.cell(3).bounding_box(), page.cell(last).bounding_box()
            assert top and end
            clip = {**top, "y": top["y"] - 6, "height": end["y"] + end["height"] - top["y"] + 12}
            path = folder / ("first_flow.png" if theme == "light" else "first_flow_dark.png")
            page.playwright.screenshot(path=path, clip=clip)
            page.command("kernelmenu:interrupt")


def main() -> None:
    """Take the pictures that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenes", nargs="*", choices=[*SCENES, []], help="all but 'thousand' if none is named")
    parser.add_argument("--folder", type=Path, default=HERE / "shots")
    parser.add_argument("--readme", action="store_true")
    given = parser.parse_args()
    chromium = find_chromium()
    if chromium is None:
        raise SystemExit(f"There is no Chromium here. {HOW_TO_INSTALL}")
    with tempfile.TemporaryDirectory() as root:
        home = {name: f"{root}/{name.lower()}" for name in ("HOME", "IPYTHONDIR", "ORCH_HOME")}
        with Server(Path(root, "notebooks"), {**os.environ, **home}) as server, Browser(chromium, server) as browser:
            if given.readme:
                readme(browser, server, IMAGES)
                return
            for name in given.scenes or [name for name in SCENES if name != "thousand"]:
                cells, act = SCENES[name]
                gates = Gates(server, name)
                with browser.open(server.write(f"{name}/nightly.ipynb", *cells), size=(1400, 2600)) as page:
                    act(page, gates, len(cells))
                    take(page, name, given.folder, len(cells) - 1)
                    gates.open("trend")
                    page.wait_idle()


if __name__ == "__main__":
    main()
