"""The HTML beside an executed notebook: one file, no network, text as text."""

import base64
import os
import re
import socket
import stat

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from orch_notebook.errors import NotebookError
from orch_notebook.promotion.html import write_html
from orch_notebook.promotion.notebooks import notebook_bytes

DOT = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


@pytest.fixture
def executed(tmp_path):
    """An executed notebook with prose, a badge, a picture, a failure and text that looks like HTML."""
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "dot.png").write_bytes(DOT)
    cells = [
        new_markdown_cell("# Größe\n\n![dot](dot.png) and $x^2$\n\n```mermaid\ngraph TD; A-->B\n```"),
        new_code_cell(
            "%%task load\nprint('<script>alert(1)</script>')",
            outputs=[
                new_output("display_data", data={"text/html": "<b class='badge'>✓ load</b>", "text/plain": "load"}),
                new_output("stream", text="<script>alert(1)</script>\n"),
                new_output("display_data", data={"application/vnd.jupyter.widget-view+json": {"model_id": "m"}}),
            ],
        ),
        new_code_cell(
            "1/0", outputs=[new_output("error", ename="ZeroDivisionError", evalue="<i>no</i>", traceback=["<i>no</i>"])]
        ),
    ]
    notebook = new_notebook(cells=cells, metadata={"orch_notebook": {"cwd": str(tmp_path / "work")}})
    notebook.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": {"state": {}, "version_major": 2}}
    path = tmp_path / "run {1}.ipynb"
    path.write_bytes(notebook_bytes(notebook))
    return path


def test_one_file_shows_it_all(executed):
    """Badges, pictures and tracebacks are in the file, which stands beside the notebook for its owner only."""
    html = write_html(executed)
    text = html.read_text(encoding="utf-8")
    assert html == executed.with_suffix(".html")
    assert "<title>run {1}</title>" in text
    assert "✓ load" in text
    assert base64.b64encode(DOT).decode() in text
    if os.name != "nt":
        assert stat.S_IMODE(html.stat().st_mode) == 0o600


def test_text_stays_text(executed):
    """What a cell printed or raised is shown, not interpreted."""
    text = write_html(executed).read_text(encoding="utf-8")
    assert "<script>alert(1)</script>" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "<i>no</i>" not in text


def test_nothing_is_loaded(executed, monkeypatch):
    """Neither writing nor opening the file needs a network."""

    def refuse(*_, **__):
        raise AssertionError("a connection was made")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    text = write_html(executed).read_text(encoding="utf-8")
    assert not re.findall(r"""(?:src|href)\s*=\s*["'](?:https?:)?//[^"']*""", text)
    assert not re.findall(r"@import[^;]*//|url\(\s*['\"]?https?://|import\(|import .* from", text)


def test_what_cannot_be_shown_is_one_line(executed, tmp_path):
    """A notebook that cannot be read or a file that cannot be written is a NotebookError."""
    with pytest.raises(NotebookError, match="There is no notebook"):
        write_html(tmp_path / "none.ipynb")
    with pytest.raises(NotebookError, match="cannot be written"):
        write_html(executed, tmp_path / "no" / "such" / "folder.html")
