"""``%%time`` and ``%%capture`` inside tasks: the body they run is the task's own, with its names and line numbers.

IPython's run their text as a cell of its own.  Its tracebacks have no lines then, and ``%%capture`` puts another
``sys.stdout`` in place for all tasks at once.  That it shows an error in what it runs, and the cell goes on as if there
had been none, is so here too: what stands below counts on it.
"""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable
from io import StringIO
from types import FrameType
from typing import Any

from IPython.core.displayhook import DisplayHook
from IPython.core.error import UsageError
from IPython.core.magic import MagicAlias
from IPython.core.magic_arguments import parse_argstring
from IPython.utils.capture import CapturedIO

from orch_notebook.jupyter.hooks import error_output
from orch_notebook.runtime.bodies import compile_cell, evaluate
from orch_notebook.runtime.capture import Capture, capturing, current
from orch_notebook.runtime.timing import timed

__all__ = ["CellMagicRoutes", "commented"]


class _OfThread:
    """An attribute that every thread sets for itself."""

    def __init__(self) -> None:
        self._values = threading.local()

    def __get__(self, alias: Any, kind: type) -> bool:
        return bool(vars(self._values).get(str(id(alias)), False))

    def __set__(self, alias: Any, value: bool) -> None:
        vars(self._values)[str(id(alias))] = value


class CellMagicRoutes:
    """Puts ours in front of IPython's, which plain cells keep.

    Parameters
    ----------
    shell
        The IPython shell.
    """

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._usual = shell.run_cell_magic
        self._ours: dict[str, Callable[[str, str, FrameType], Any]] = {"time": self._time, "capture": self._capture}

    def open(self) -> None:
        """Begin to route."""

        # At the shell, where bodies call them: IPython loads the magics themselves when somebody first asks.
        @functools.wraps(self._usual)
        def run_cell_magic(magic_name: str, line: str, cell: str) -> Any:
            act = self._ours.get(magic_name) if current.get() is not None else None
            body = _body_that_calls(sys._getframe()) if act is not None else None
            return self._usual(magic_name, line, cell) if act is None or body is None else act(line, cell, body)

        self._shell.run_cell_magic = run_cell_magic
        self._shell.get_local_scope = self._local_scope
        # An alias takes a second call that begins before the first has ended for a recursion; tasks run side by side.
        MagicAlias._in_call = _OfThread()

    def close(self) -> None:
        """Put IPython's back."""
        vars(self._shell).pop("run_cell_magic", None)
        vars(self._shell).pop("get_local_scope", None)
        if isinstance(vars(MagicAlias).get("_in_call"), _OfThread):
            del MagicAlias._in_call

    def _local_scope(self, stack_depth: int) -> Any:
        """Return the names that a line magic finds where it stands."""
        found = type(self._shell).get_local_scope(self._shell, stack_depth + 1)
        # %timeit puts all of them back when it is done: what other tasks have published meanwhile would be gone.
        is_timeit = sys._getframe(1).f_locals.get("magic_name") == "timeit"
        return {} if is_timeit and found is self._shell.user_ns else found

    def _compile(self, text: str, body: FrameType) -> Callable[[], Any]:
        """Return what runs text as the rest of a task's body, below the line that the body has come to."""
        source = "\n" * body.f_lineno + self._shell.input_transformer_manager.transform_cell(text)
        code, last = compile_cell(source, body.f_code.co_filename)
        names = body.f_locals  # of a module's frame these are its names themselves

        def run() -> Any:
            if code is not None:
                evaluate(code, body.f_globals, names)
            return evaluate(last, body.f_globals, names) if last is not None else None

        return run

    def _time(self, line: str, cell: str, body: FrameType) -> Any:
        if line.strip():
            return self._usual("time", line, cell)
        run = self._compile(cell, body)
        with timed():
            return run()

    def _capture(self, line: str, cell: str, body: FrameType) -> None:
        given = parse_argstring(self._shell.find_cell_magic("capture"), line)
        inner, outer = Capture(lambda level, text: None), current.get()
        assert outer is not None
        try:
            run = self._compile(cell, body)
            with capturing(inner):
                value = run()
                if value is not None:
                    data, metadata = self._shell.display_formatter.format(value)
                    inner.put({"output_type": "display_data", "data": data, "metadata": metadata})
        except UsageError as error:
            # IPython says in words what is wrong with a magic; here the words are captured.
            inner.write("stderr", f"UsageError: {error}\n")
        except Exception as error:  # noqa: BLE001 - as IPython does: shown below the cell, whatever it is
            outer.put(error_output(self._shell, error))
        texts = {"stdout": StringIO(), "stderr": StringIO()}
        leaves = {"stdout": given.no_stdout, "stderr": given.no_stderr}
        shown: list[dict[str, Any]] = []
        for output in inner.take():
            if leaves.get(output.get("name", ""), given.no_display):
                _hand_on(output, outer)
            elif output["output_type"] == "stream":
                texts[output["name"]].write(output["text"])
            elif "data" in output:
                kept: dict[str, Any] = {key: output[key] for key in ("data", "metadata", "transient") if key in output}
                shown.append(kept | {"update": output["output_type"] == "update_display_data"})
        if given.output and DisplayHook.semicolon_at_end_of_expression(cell):
            body.f_locals.pop(given.output, None)  # a semicolon at the end says that nothing is wanted
        elif given.output:
            body.f_locals[given.output] = CapturedIO(
                None if given.no_stdout else texts["stdout"],
                None if given.no_stderr else texts["stderr"],
                None if given.no_display else shown,
            )


def _body_that_calls(frame: FrameType | None) -> FrameType | None:
    """Return the frame of the task's body that has come to a cell magic, if it is a body that has."""
    while frame is not None and (frame.f_code is not _EVALUATE):
        if frame.f_code.co_name == "<module>" and frame.f_back is not None and frame.f_back.f_code is _EVALUATE:
            return frame
        frame = frame.f_back
    return None


_EVALUATE = evaluate.__code__


def _hand_on(output: dict[str, Any], capture: Capture) -> None:
    if output["output_type"] == "stream":
        capture.write(output["name"], output["text"])
    else:
        capture.put(output)


def commented(body: str) -> str | None:
    """Return a body whose first lines are cell magics of ours with those as comments, for tracebacks to show.

    IPython makes one line of the magic and all that follows it; people know the lines they wrote.

    Examples
    --------
    >>> commented("%%time\\nx = 1")
    '# %%time\\nx = 1'
    >>> commented("x = 1")
    """
    lines = body.splitlines()
    count = 0
    while count < len(lines) and lines[count].startswith("%%") and lines[count][2:].split()[:1] != []:
        if lines[count][2:].split()[0] not in ("time", "capture"):
            return None
        lines[count] = "# " + lines[count]
        count += 1
    return "\n".join(lines) if count else None
