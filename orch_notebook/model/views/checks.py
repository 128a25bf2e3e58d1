"""What a check found, as HTML: the verdict, each finding with the line to write, and how far the check went."""

from __future__ import annotations

from html import escape

from orch_notebook.model.findings import Finding, Report
from orch_notebook.model.views.badges import chip, dim, pill
from orch_notebook.model.views.words import clip, plain

__all__ = ["check_html"]

_FONT = "font-size:13px;line-height:1.5;font-family:var(--jp-ui-font-family,system-ui,sans-serif);max-width:1080px"
_LINE = (
    "margin:4px 0 0;padding:4px 8px;font-size:12px;border:1px solid rgba(128,128,128,0.25);border-radius:4px;"
    "background:rgba(128,128,128,0.08);white-space:pre-wrap"
)


def check_html(report: Report) -> str:
    """Return a report as HTML that styles itself and needs no script."""
    mark = pill("Completed", "Clean") if report.is_clean else pill("Failed", f"{len(report.findings)} found")
    parts = [f"<div>{mark} {escape(plain(report.verdict()))}</div>"]
    parts += [_finding(finding) for finding in report.findings]
    parts += [f'<div style="margin:6px 0 0">{dim(plain(note))}</div>' for note in report.remarks()]
    return f'<div style="{_FONT}">{"".join(parts)}</div>'


def _finding(finding: Finding) -> str:
    where = "" if finding.cell_index is None else " " + dim(f"cell {finding.cell_index + 1}")
    head = f"{chip(clip(plain(finding.task), 80))}{where} <b>{escape(finding.kind)}</b>"
    line = f'<pre style="{_LINE}">{escape(finding.line)}</pre>' if finding.line else ""
    return f'<div style="margin:10px 0 0">{head}<div>{escape(clip(plain(finding.text), 600))}</div>{line}</div>'
