"""What people see of a run, as pure functions: every face shows the same words, shapes and colours.

In: runs, task runs and graphs of the model, and the present moment.  Out: phrases, badges, summaries, table rows and
diagrams, as plain text, HTML, DOT or SVG.  All text that comes from users is escaped here.
"""

from orch_notebook.model.views.badges import badge_html, badge_text, pill
from orch_notebook.model.views.checks import check_html
from orch_notebook.model.views.diagrams import Node, NodeFace, dot, faces, nodes
from orch_notebook.model.views.drawings import draw, paint
from orch_notebook.model.views.graphs import explanation_html, explanation_text, graph_html, graph_text
from orch_notebook.model.views.looks import LOOKS, TONES, Look, Tone, icon, look_of
from orch_notebook.model.views.openings import Reopened, reopened_html, reopened_text
from orch_notebook.model.views.reasons import reason
from orch_notebook.model.views.summaries import TaskRow, summary_html, summary_text, task_rows
from orch_notebook.model.views.words import (
    attempt_words,
    clip,
    duration,
    outcome_words,
    plain,
    plain_lines,
    progress_words,
    run_words,
    state_words,
)

__all__ = [
    "LOOKS",
    "TONES",
    "Look",
    "Node",
    "NodeFace",
    "Reopened",
    "TaskRow",
    "Tone",
    "attempt_words",
    "badge_html",
    "badge_text",
    "check_html",
    "clip",
    "dot",
    "draw",
    "duration",
    "explanation_html",
    "explanation_text",
    "faces",
    "graph_html",
    "graph_text",
    "icon",
    "look_of",
    "nodes",
    "outcome_words",
    "paint",
    "pill",
    "plain",
    "plain_lines",
    "progress_words",
    "reason",
    "reopened_html",
    "reopened_text",
    "run_words",
    "state_words",
    "summary_html",
    "summary_text",
    "task_rows",
]
