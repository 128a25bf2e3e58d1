"""Sources read to the end: cells, and the functions that they define and call.

In: source text and what the names around it are known to be.  Out: a summary, kept while what it rests on holds.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from orch_notebook.model.cells.effects import Effects, effects_of
from orch_notebook.model.cells.expressions import evaluate
from orch_notebook.model.cells.frame import Frame
from orch_notebook.model.cells.knowledge import KNOWLEDGE, USUAL_NAMES
from orch_notebook.model.cells.magics import timed_text
from orch_notebook.model.cells.names import code_of
from orch_notebook.model.cells.rules import Knowledge
from orch_notebook.model.cells.statements import execute
from orch_notebook.model.cells.values import EMPTY, NOTHING_KNOWN, ClassCode, Entry, FunctionCode, Summary

__all__ = ["OLD_NAMES", "Reader", "analyse", "body_of", "library_entry", "parse", "timed_python"]

#: How many calls deep functions of the notebook are followed.
DEEPEST = 24
#: How many bodies are read for one cell before arguments are no longer told apart.
WIDENED = 100
VAGUE = Entry(defined=True)
NO_OBJECT = Entry(is_object=False, defined=True)
#: How many objects are looked at for one cell before it is given up: about a third of a second.
PATIENCE = 200_000
#: How many different surroundings a body is remembered for.
REMEMBERED = 8
BUILTINS = frozenset(dir(builtins)) | {"__name__", "__file__", "__doc__", "__annotations__"}
IPYTHON_NAMES = frozenset(
    ("In", "Out", "_", "__", "___", "_oh", "_ih", "_dh", "exit", "quit", "get_ipython", "display")
)
#: Builtins of Python 2: code that asks which version it runs on still names them.
OLD_NAMES = frozenset(
    ("basestring", "execfile", "long", "raw_input", "reduce", "reload", "unichr", "unicode", "xrange")
)


@lru_cache(maxsize=4096)
def parse(source: str) -> ast.Module:
    """Return the syntax tree of a cell, which may await at its top level."""
    flags = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    tree = compile(source, "<cell>", "exec", flags, dont_inherit=True)
    assert isinstance(tree, ast.Module)
    return tree


@lru_cache(maxsize=4096)
def library_entry(name: str) -> Entry:
    """Return what a name means that nothing in sight binds."""
    if name in USUAL_NAMES:
        # IPython's own names are always there; a library has to be imported.
        is_there = False if name in IPYTHON_NAMES else None
        return Entry(frozenset({(("path", USUAL_NAMES[name]), False)}), False, defined=is_there)
    if name in BUILTINS:
        return Entry(frozenset({(("path", "builtins." + name), False)}), False, defined=False)
    if name in IPYTHON_NAMES:
        return Entry(EMPTY, False, defined=False)
    return NOTHING_KNOWN


def body_of(source: str) -> ast.Module:
    """Return the syntax tree of what a cell does: below ``%%time``, of the text that it times.

    Examples
    --------
    >>> ast.unparse(body_of("get_ipython().run_cell_magic('time', '', 'x = 1')"))
    'x = 1'
    """
    text = timed_python(source)
    return parse(source) if text is None else parse(text)


def timed_python(source: str) -> str | None:
    """Return the text that a cell runs by ``%%time``, if that is all it does and the text is Python.

    Examples
    --------
    >>> timed_python("get_ipython().run_cell_magic('time', '', 'x = 1')")
    'x = 1'
    >>> timed_python("get_ipython().run_cell_magic('time', '', '%%capture')")
    """
    text = timed_text(parse(source)) if "run_cell_magic" in source else None
    if text is not None:
        try:
            parse(text)
        except (SyntaxError, ValueError):
            return None  # magics once more, of which IPython makes Python
    return text


class _Memory:
    """Summaries of one body, each with what it rests on; hung on the node, so it goes when the source goes."""

    __slots__ = ("codes", "summaries")

    def __init__(self) -> None:
        self.summaries: dict[Any, list[Summary]] = {}
        self.codes: dict[Any, Any] = {}


def memory_of(node: ast.AST) -> _Memory:
    """Return what is remembered of a node."""
    found: _Memory | None = getattr(node, "_memory", None)
    if found is None:
        found = _Memory()
        node._memory = found  # type: ignore[attr-defined]
    return found


class Reader:
    """Reads cells and follows calls, with one table of knowledge."""

    def __init__(self, knowledge: Knowledge = KNOWLEDGE) -> None:
        self.knowledge = knowledge
        self._under_way: dict[FunctionCode, Summary] = {}
        self._assumed: set[FunctionCode] = set()
        self._bodies = 0
        self.effort = 0
        #: What was read while some function that calls itself was not yet done; good until that one is.
        self._drafts: dict[Any, list[Summary]] = {}

    def read_cell(self, source: str, entry: Callable[[str], Entry]) -> Summary:
        """Return what a cell does where its names are known so."""
        tree = body_of(source)
        memory = memory_of(tree).summaries.setdefault(self.knowledge.edition, [])
        for summary in memory:
            if all(entry(name) == known for name, known in summary.needs.items()):
                return summary
        frame = Frame(self, self.knowledge, entry)
        self._bodies = self.effort = 0
        try:
            execute(frame, tree.body)
        except RecursionError:
            frame = Frame(self, self.knowledge, entry)
            frame.give_up("it is nested too deeply to be read", rebinds=True)
            self._under_way.clear()
            self._drafts.clear()
        summary = frame.finish()
        summary.late = late_reads(frame, summary)
        memory.insert(0, summary)
        del memory[REMEMBERED:]
        return summary

    def summarise(self, code: FunctionCode, given: Mapping[str, Entry], caller: Frame) -> Summary:
        """Return what a function does when called with this from there."""
        self.effort += 20
        if self.effort > PATIENCE:
            caller.give_up("its functions call each other in too many ways")
            return Summary()
        if self._bodies > WIDENED:
            # Too many ways to call each other: go on without telling apart what they are called with.
            given = {name: VAGUE if known.is_object else NO_OBJECT for name, known in given.items()}
            if self._bodies > 2 * WIDENED:
                caller.give_up("its functions call each other in too many ways")
                return Summary()
        key = (self.knowledge.edition, frozenset(given.items()))
        memory = memory_of(code.node).summaries.setdefault(key, [])
        for summary in memory:
            if all(caller.peek(name) == known for name, known in summary.needs.items()):
                return summary
        if code in self._under_way or caller.depth > DEEPEST:
            self._assumed.add(code)
            return self._under_way.get(code, Summary())
        drafts = self._drafts.setdefault((code, key), [])
        for summary in drafts:
            if all(caller.peek(name) == known for name, known in summary.needs.items()):
                self._assumed |= self._under_way.keys()
                return summary
        assumed_before = self._assumed
        self._assumed = set()
        self._under_way[code] = Summary()
        try:
            summary = self._read_function(code, given, caller)
            if code in self._assumed:
                # It calls itself: read it again, knowing what it does at least.
                self._under_way[code] = summary
                self._drafts.clear()
                summary = self._read_function(code, given, caller)
        finally:
            del self._under_way[code]
            pending = self._assumed - {code}
            self._assumed = assumed_before | pending
        if pending:
            drafts.append(summary)
        else:
            memory.insert(0, summary)
            del memory[REMEMBERED:]
        if not self._under_way:
            self._drafts.clear()
        return summary

    def _read_function(self, code: FunctionCode, given: Mapping[str, Entry], caller: Frame) -> Summary:
        self._bodies += 1
        frame = Frame(self, self.knowledge, caller.peek, code, given, caller.depth + 1)
        node = code.node
        if isinstance(node, ast.Lambda):
            frame.summary.returned = evaluate(frame, node.body)
        elif isinstance(node, ast.GeneratorExp):
            made = evaluate(frame, ast.ListComp(node.elt, node.generators))
            frame.summary.returned = frame.element(made)
        elif execute(frame, node.body):
            frame.exits.append(frame.names)
        frame.join(frame.exits)
        return frame.finish()

    def read_source(self, frame: Frame, source: str) -> None:
        """Read Python text as if it stood in the frame's body."""
        try:
            tree = parse(source)
        except (SyntaxError, ValueError):
            frame.give_up("it runs text that is not plain Python")
            return
        frame.reach_around()
        execute(frame, tree.body)

    def function_code(self, node: ast.AST, enclosing: frozenset[str]) -> FunctionCode:
        """Return the one code of that node."""
        codes = memory_of(node).codes
        if enclosing not in codes:
            codes[enclosing] = code_of(node, enclosing)  # type: ignore[arg-type]
        found: FunctionCode = codes[enclosing]
        return found

    def class_code(
        self,
        node: ast.ClassDef,
        parents: tuple[ClassCode, ...],
        methods: Mapping[str, FunctionCode],
        properties: frozenset[str],
        maker: ClassCode | None = None,
    ) -> ClassCode:
        """Return the one code of that class with those parents."""
        codes = memory_of(node).codes
        key = (parents, tuple(methods.items()), properties, maker)
        if key not in codes:
            codes[key] = ClassCode(node, parents, methods, properties, maker)
        found: ClassCode = codes[key]
        return found


def late_reads(frame: Frame, summary: Summary) -> dict[str, frozenset[str]]:
    """Return for every function and class that a cell binds the globals its body names."""
    found: dict[str, frozenset[str]] = {}
    for name, (value, _) in summary.writes.items():
        for kind, code in frame.known_of(value):
            if kind == "function":
                found[name] = code.free
            elif kind == "class":
                found[name] = frozenset().union(*(method.free for method in code.all_methods().values()))
    return found


@lru_cache(maxsize=4096)
def analyse(source: str) -> Effects:
    """Return what a cell does to names, seen by itself.

    Parameters
    ----------
    source : str
        Plain Python, which may await at its top level.

    Raises
    ------
    SyntaxError
        It is no Python.

    Examples
    --------
    >>> effects = analyse("df = df.dropna(); model.fit(df); print(df)")
    >>> sorted(effects.reads), sorted(effects.writes), sorted(effects.mutates)
    (['df', 'model'], ['df'], ['model'])
    """
    return effects_of(Reader().read_cell(source, library_entry))
