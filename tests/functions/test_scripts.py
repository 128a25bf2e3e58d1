"""Scripts as users of Prefect write them, with the import changed: those of the page that says how."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

import orch_notebook
from orch_notebook import assets, runtime
from tests.test_house import ROOT

PAGE = (ROOT / "docs" / "from-prefect.md").read_text(encoding="utf-8")

#: Each section's heading, its script, and what it prints.
SECTIONS = {
    heading: (script, prints)
    for heading, script, prints in re.findall(
        r"^## ([^\n]+)\n[^#]*?```python\n(.*?)```\n\n```text prints\n(.*?)```", PAGE, re.M | re.S
    )
}


def test_the_page_has_ten_scripts() -> None:
    """None of them is lost to a slip in the page's form."""
    assert len(SECTIONS) == PAGE.count("```python\n") >= 10


@pytest.mark.processes
@pytest.mark.parametrize("heading", SECTIONS)
def test_a_script_prints_what_the_page_says(environment, tmp_path, heading) -> None:
    """Each script runs by itself, in a folder of its own, and prints what stands below it; nothing warns."""
    script, prints = SECTIONS[heading]
    (tmp_path / "script.py").write_text(script)
    command = [sys.executable, "-W", "error", "script.py"]
    ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stdout) == (0, prints), ended.stderr


def test_each_name_of_the_page_can_be_imported() -> None:
    """What the table of imports promises is there."""
    for names in re.findall(r"^\| `from prefect[.\w]* import ([^`]+)`", PAGE, re.M):
        for name in re.findall(r"\w+", names):
            assert any(hasattr(module, name) for module in (orch_notebook, runtime, assets)), name
