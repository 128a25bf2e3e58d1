"""The HTML beside an executed notebook, for those who look without Jupyter.

In: an executed notebook.  Out: one file that needs no other and no network: neither writing nor opening it loads
anything.  Formulas and Mermaid diagrams, which a browser would have to fetch a library for, stay as they were typed.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from orch_notebook.errors import NotebookError
from orch_notebook.promotion.notebooks import read_notebook
from orch_notebook.runtime.files import write_whole

if TYPE_CHECKING:
    from nbformat import NotebookNode

__all__ = ["write_html"]

#: nbconvert's own template without the scripts it would fetch.
TEMPLATE = """\
{%- extends 'index.html.j2' -%}
{%- block html_head_js -%}{%- endblock -%}
{%- block html_head_js_mathjax -%}{%- endblock -%}
{%- block html_head_js_mermaidjs -%}{%- endblock -%}
{%- block jupyter_widgets -%}{%- endblock -%}
"""

LOG = logging.getLogger("orch_notebook.html")
LOG.setLevel(
    logging.ERROR
)  # nbconvert warns of figures without alternative text, about which nobody here can do a thing


def write_html(path: str | Path, output: str | Path | None = None) -> Path:
    """Write an executed notebook as HTML and return where it is.

    Parameters
    ----------
    path : path
        The executed notebook.
    output : path, optional
        By default beside it, with the suffix ``.html``; written whole, for its owner only (0600).

    Raises
    ------
    NotebookError
        The notebook cannot be read, or the HTML not be made or written.
    """
    source = Path(path)
    target = Path(output) if output is not None else source.with_suffix(".html")
    notebook = read_notebook(source)
    _leave_out_what_needs_a_kernel(notebook)
    folder = notebook.metadata.get("orch_notebook", {}).get("cwd") or str(source.parent)

    # The one place where nbconvert is imported: it takes 400 ms.
    from nbconvert import HTMLExporter

    exporter = HTMLExporter(raw_template=TEMPLATE, embed_images=True, log=LOG)
    try:
        html, _ = exporter.from_notebook_node(notebook, {"metadata": {"name": source.stem, "path": folder}})
    except Exception as error:  # noqa: BLE001 - whatever a cell holds, its conversion must not end the run
        lines = str(error).strip().splitlines()
        reason = lines[0] if lines else type(error).__name__
        raise NotebookError(f"{source} cannot be shown as HTML: {reason}.", path=str(source)) from None
    try:
        return write_whole(target, html.encode("utf-8", "replace"))
    except OSError as error:
        raise NotebookError(f"{target} cannot be written: {error.strerror or error}.", path=str(target)) from None


def _leave_out_what_needs_a_kernel(notebook: NotebookNode) -> None:
    # Views of widgets are blank without the kernel they belonged to; what stands beside them is not.
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            data = output.get("data")
            if data is None:
                continue
            data.pop("application/vnd.jupyter.widget-view+json", None)
            if not any(kind.startswith(("text/", "image/")) for kind in data):
                data["text/plain"] = f"[{', '.join(data) or 'a widget'}: shown in Jupyter only]"
