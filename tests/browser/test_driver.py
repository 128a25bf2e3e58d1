"""The driver sees what a person would see, in JupyterLab and in Notebook 7."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from tests.browser.driver import Browser, Server
from tests.browser.flows import expect_text

App = Literal["lab", "notebook"]
each_app = pytest.mark.parametrize("app", ["lab", "notebook"])

BUTTON = """
import ipywidgets
button = ipywidgets.Button(description="Press me")
button.on_click(lambda _: setattr(button, "description", "Pressed"))
button
"""


@each_app
def test_a_notebook_runs(browser: Browser, server: Server, app: App) -> None:
    """Cells run one by one and all together, the package is there, outputs and errors are read, nothing complains."""
    name = server.write(
        f"plain-{app}.ipynb", "x = 6", "print(x * 7)", "import orch_notebook; orch_notebook.__version__", "1 / 0"
    )
    with browser.open(name, app) as page:
        page.run(0)
        assert page.run(1) == [{"output_type": "stream", "name": "stdout", "text": "42\n"}]
        expect_text(page, 1, "42")
        page.run_all()
        expect_text(page, 2, "'")
        assert [output["ename"] for output in page.outputs(3)] == ["ZeroDivisionError"]
        assert page.problems() == []


@each_app
def test_a_widget_answers_a_click(browser: Browser, server: Server, app: App) -> None:
    """A click reaches the kernel and its answer comes back to the page."""
    with browser.open(server.write(f"widget-{app}.ipynb", BUTTON), app) as page:
        page.run(0)
        page.output(0).get_by_role("button", name="Press me").click()
        page.output(0).get_by_role("button", name="Pressed").wait_for()
        assert page.problems() == []


def test_a_running_cell_is_seen_running_and_can_be_interrupted(browser: Browser, server: Server) -> None:
    """What is shown while a cell runs is seen before it ends; an interrupt ends it."""
    name = server.write("running.ipynb", "import time\nprint('begun')\nwhile True: time.sleep(0.01)")
    with browser.open(name) as page:
        page.start(0)
        page.output(0).get_by_text("begun").wait_for()
        assert page.state(0) == "running"
        page.interrupt()
        page.wait_idle()
        assert page.outputs(0)[-1]["ename"] == "KeyboardInterrupt"


def test_problems_tells_what_goes_wrong_unseen(browser: Browser, server: Server) -> None:
    """A request that would leave the machine is refused and told, and so are errors in the console."""
    picture = "from IPython.display import HTML; HTML('<img src=\"http://example.invalid/picture.png\">')"
    with browser.open(server.write("problems.ipynb", picture)) as page:
        page.run(0)
        page.evaluate("() => console.error('something broke')")
        page.wait("() => document.querySelector('img[src*=invalid]')?.complete")
        assert set(page.external) == {"http://example.invalid/picture.png"}
        assert "console: something broke" in page.problems()


def test_an_edited_cell_runs_as_edited_and_saves(browser: Browser, server: Server) -> None:
    """An edit changes what runs, and saving writes it to the file."""
    with browser.open(server.write("edited.ipynb", "'before'")) as page:
        page.edit(0, "'after'")
        assert page.run(0)[0]["data"]["text/plain"] == "'after'"
        page.save()
    assert "'after'" in (server.folder / "edited.ipynb").read_text()


def test_pictures_are_taken_in_both_themes(browser: Browser, server: Server, shots: Path) -> None:
    """The light and the dark picture of the same page differ."""
    with browser.open(server.write("themes.ipynb", "'hello'")) as page:
        page.run(0)
        light = page.screenshot(shots / "plain-light.png", "light").read_bytes()
        dark = page.screenshot(shots / "plain-dark.png", "dark").read_bytes()
        assert light != dark
        assert page.screenshot(shots / "plain-output.png", of=page.cell(0)).stat().st_size < len(light)
