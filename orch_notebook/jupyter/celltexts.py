"""What is executed for a ``%%task`` cell, as Python and tracebacks see it.

In: the header and the body as they were written.  Out: the source with IPython's syntax translated, known to
tracebacks under a name of its own and found to be sound.
"""

from __future__ import annotations

import linecache
from dataclasses import dataclass
from typing import Any

from orch_notebook.jupyter.cellmagics import commented
from orch_notebook.runtime.bodies import compile_cell

__all__ = ["TaskText", "show_in_tracebacks", "task_text"]


@dataclass(frozen=True, slots=True)
class TaskText:
    """The text of a task's cell.

    Parameters
    ----------
    raw : str
        As it was written, the header with it.
    code : str
        Its body as Python.
    source : str
        What is executed: a line in the header's place, and the body.
    filename : str
        What tracebacks call it.
    number : int
        Which execution it is, as the prompt shows it.
    """

    raw: str
    code: str
    source: str
    filename: str
    number: int


def task_text(shell: Any, line: str, body: str) -> TaskText:
    """Return the text of the task cell that is being executed.

    Raises
    ------
    SyntaxError
        It is not Python: this belongs to the person now, not to the run.
    """
    # IPython takes blank lines at the top away; tracebacks count them, and the header too.
    above = len(body) - len(body.lstrip("\n \t"))
    blank = "\n" * body.count("\n", 0, above)
    code = shell.input_transformer_manager.transform_cell(body)
    source = f"# %%task {line}\n{blank}{code}"
    raw = f"%%task {line}\n{body}"
    # As the prompt shows it: newer versions of IPython count on before they execute, older ones after.
    number = shell.displayhook.prompt_count
    filename = shell.compile.cache(source, number, raw_code=raw)
    if (shown := commented(body[above:])) is not None:
        show_in_tracebacks(filename, f"# %%task {line}\n{blank}{shown}", len(source))
    compile_cell(source, filename)
    return TaskText(raw, code, source, filename, number)


def show_in_tracebacks(filename: str, text: str, size: int | None = None) -> None:
    """Have tracebacks find a cell's lines; `size` is that of what is executed, if it is not this text."""
    linecache.cache[filename] = (len(text) if size is None else size, None, text.splitlines(keepends=True), filename)
