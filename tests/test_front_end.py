"""The panel's front end as it is shipped: small, complete, and built without knowing any registry."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from orch_notebook.jupyter.widgets.surface import STATIC, front_end

JS = Path(__file__).parents[1] / "js"

#: A widget's script travels with every widget, and into notebooks that save widget state; and so does its style.
MOST_SCRIPT, MOST_STYLE = 60 * 1024, 20 * 1024


def test_the_lock_file_names_no_place_to_download_from() -> None:
    """Any mirror serves: versions and checksums are fixed, addresses are not."""
    packages = json.loads((JS / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    assert not [name for name, package in packages.items() if "resolved" in package]
    assert all(package.get("integrity") for name, package in packages.items() if name)


@pytest.mark.skipif(not STATIC.exists(), reason="the front end has not been built here: pip install -e .")
def test_the_bundle_is_small_and_fetches_nothing() -> None:
    """Script and style stay under their budget and load nothing from anywhere."""
    script, style = front_end()
    assert len(script.encode()) <= MOST_SCRIPT
    assert len(style.encode()) <= MOST_STYLE
    assert "export{" in script.replace(" ", "")
    for text in (script, style, front_end("restore")[0]):
        # An example of an address in a form names no place.
        assert not re.findall(r"https?://\w[^\s\"']*", text.replace("http://www.w3.org/2000/svg", ""))
