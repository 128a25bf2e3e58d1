"""What IPython's magics do, once its transformer has made them calls of ``get_ipython()``.

In: a frame and such a call.  Out: what it may give; effects are noted in the frame.
"""

from __future__ import annotations

import ast

from orch_notebook.model.cells.frame import Frame
from orch_notebook.model.cells.values import EMPTY, Value

__all__ = ["call_ipython", "timed_text"]

RUNNERS = ("run_line_magic", "run_cell_magic")


def timed_text(tree: ast.Module) -> str | None:
    """Return the text that ``%%time`` runs, if that is all that a cell does.

    Examples
    --------
    >>> timed_text(ast.parse("get_ipython().run_cell_magic('time', '', 'x = 1')"))
    'x = 1'
    >>> timed_text(ast.parse("x = 1"))
    """
    match tree.body:
        case [
            ast.Expr(
                ast.Call(
                    func=ast.Attribute(value=ast.Call(func=ast.Name(id="get_ipython")), attr="run_cell_magic"),
                    args=[ast.Constant(value="time"), ast.Constant(value=""), ast.Constant(value=str(text))],
                )
            )
        ]:
            return text
    return None


def call_ipython(frame: Frame, name: str, node: ast.Call) -> Value:
    """Note what ``get_ipython().name(...)`` does."""
    texts = [argument.value if isinstance(argument, ast.Constant) else None for argument in node.args]
    if name in RUNNERS and texts and isinstance(texts[0], str):
        line = str(texts[1] or "") if len(texts) > 1 else ""
        body = str(texts[2] or "") if len(texts) > 2 else ""
        return call_magic(frame, node, texts[0], line, body, is_cell=name == "run_cell_magic")
    if name in ("system", "getoutput", "getoutput_", "system_piped", "system_raw"):
        frame.give_up("it runs a shell command: !" + str(texts[0] if texts else "").strip()[:60])
        return frame.new(node, ("type", "list"))
    if name in ("user_ns", "ev", "ex", "push", "run_cell", "reset"):
        frame.give_up(f"it calls get_ipython().{name}()", rebinds=True)
    return frame.new(node)


def call_magic(frame: Frame, node: ast.Call, magic: str, line: str, body: str, *, is_cell: bool) -> Value:
    """Note what one magic does."""
    sign = "%%" if is_cell else "%"
    what = frame.knowledge.magics.get(magic)
    if what is None:
        frame.give_up(f"it uses the magic {sign}{magic}", rebinds=magic in BINDING or is_cell)
    elif what == "code":
        run_text(frame, magic, line, body)
    elif what == "names":
        # IPython colours sources with one object for all.
        frame.summary.exclusive.add("inspector")
        for word in line.split():
            if (name := word.strip("?").partition(".")[0]).isidentifier():
                frame.read_if_there(name)
                frame.summary.indirect.add(name)  # IPython looks for it among the globals
    elif what == "backend":
        # The usual one is in force from the beginning: naming it again changes something only after another was.
        frame.touch("state:matplotlib.rcParams", "reset" if line.split()[:1] in ([], ["inline"]) else "change")
    elif what == "delete":
        for word in line.split():
            if word.isidentifier():
                frame.unbind(word)
    elif what == "file":
        words = line.split()
        frame.touch("file:" + (words[-1].strip("'\"") if words else "*"))
    elif what != "nothing" and (line or magic in ("cd", "precision")):
        frame.touch(what)
    return EMPTY if what in ("nothing", "file", "names", "backend", "delete") else frame.new(node)


#: Magics that may bind any name.
BINDING = (
    "run",
    "store",
    "load",
    "loadpy",
    "rerun",
    "recall",
    "macro",
    "edit",
    "reset",
    "reset_selective",
    "pylab",
    "sql",
)


def run_text(frame: Frame, magic: str, line: str, body: str) -> None:
    """Read the code that ``%time`` and its kin run."""
    words = line.split()
    if magic == "capture":
        for name in [word for word in words if word.isidentifier()][:1]:
            frame.bind(name, frame.new(ast.Name(name)))
        line = ""
    options = 0
    while options < len(words) and words[options].startswith("-"):
        # Options with a value of their own: %timeit -n 10 -r 3.
        has_value = words[options] in ("-n", "-r", "-l", "-s", "-T", "-D", "-f", "-p", "-c")
        options += 2 if has_value else 1
    if options:
        line = " ".join(words[options:])
    names = frame.names.fork()
    for text in (line, body):
        if text.strip():
            frame.linker.read_source(frame, text)
    if magic in ("timeit", "memit", "mprun", "lprun"):
        # Their code runs in a function of its own, so nothing it binds is seen afterwards.
        frame.names = names
