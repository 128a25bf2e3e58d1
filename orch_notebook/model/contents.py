"""What a cell of an ordinary notebook consists of, told from its syntax.

In: the cell as plain Python.  Out: whether it only sets the stage (imports, definitions, settings, magics), whether it
is a list of values, what must not be moved, and every name it speaks of.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from orch_notebook.errors import ParameterError
from orch_notebook.model.cells import KNOWLEDGE, analyse
from orch_notebook.model.parameters import read_parameters

__all__ = ["STANDARD", "Contents", "looks_like_parameters", "read_contents"]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Magics that look at the session itself: its history, its list of names, the error before.
OF_THE_SESSION = _words(
    "who whos who_ls history hist recall rerun rep macro save edit reset reset_selective xdel debug pdb tb logstart "
    "logstop logon logoff notebook page store killbgscripts"
)
#: Magics that run code or look at a name: the cell is work, not setting.
WORKING = frozenset(name for name, what in KNOWLEDGE.magics.items() if what in ("code", "names"))
#: Modules that no cell can change by writing a file or installing something.
STANDARD = frozenset(sys.stdlib_module_names)
#: What IPython calls the inputs and outputs of earlier cells.
HISTORY = re.compile(r"In|Out|_{1,3}|_i{1,3}|_i?\d+|_oh|_ih|_dh")
ASKING = frozenset(("input", "raw_input", "getpass"))
#: What functions that set something are called.
SETTER = re.compile(
    r"set|seed|use$|rc|ion$|ioff$|init_|filterwarnings|simplefilter|basic[cC]onfig|reset_|\w+_seed$|xkcd$"
)
#: Names of one letter that say something.
SHORT_NAMES = frozenset("nkNK")


@dataclass(frozen=True, slots=True)
class Contents:
    """What a cell consists of.

    Parameters
    ----------
    does_nothing : bool
        Nothing but comments.
    sets_stage : bool
        Imports, definitions, settings of libraries, magics, and constants that stand among them.
    only_defines : bool
        Functions, classes and imports, and nothing whose result could depend on when it is executed.
    only_values : bool
        Nothing but names bound to literals.
    session : str
        What it needs of the session itself, so that it has to be executed at its place; or empty.
    imports : mapping
        The names its imports bind, and to what.
    binds : frozenset of str
        The names it binds otherwise.
    loads : frozenset of str
        Modules it imports.
    mentions : frozenset of str
        Every name it speaks of, in texts as well: ``df.query("x > @limit")``.
    """

    does_nothing: bool = False
    sets_stage: bool = False
    only_defines: bool = False
    only_values: bool = False
    session: str = ""
    imports: Mapping[str, str] = field(default_factory=dict)
    binds: frozenset[str] = frozenset()
    loads: frozenset[str] = frozenset()
    mentions: frozenset[str] = frozenset()


def read_contents(source: str, imported: str = "") -> Contents:
    """Return what a cell consists of.

    Parameters
    ----------
    source : str
        Plain Python.
    imported : str
        The import statements of the cells above, by which settings are told.

    Raises
    ------
    SyntaxError
        It is no Python.

    Examples
    --------
    >>> read_contents("import numpy as np\\nnp.random.seed(0)\\ndef f(x): return x").sets_stage
    True
    >>> read_contents("n = 3\\nnames = ['a', 'b']").only_values
    True
    >>> read_contents("x = f(3)\\nprint(Out[2])").session
    "it reads 'Out'"
    """
    tree = compile(source, "<cell>", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    assert isinstance(tree, ast.Module)
    body = tree.body
    if not body:
        return Contents(does_nothing=True)
    imports, binds, loads, mentions = _names(tree)
    imported = "\n".join([imported, *(ast.unparse(each) for each in ast.walk(tree) if _is_import(each))])
    values = [_is_value(each) for each in body]
    stage = [_sets_stage(each, imported) for each in body]
    return Contents(
        sets_stage=any(stage) and all(one or other for one, other in zip(stage, values, strict=True)),
        only_defines=all(_defines(each) for each in body),
        only_values=all(values),
        session=_needs_session(tree, binds | imports.keys()),
        imports=imports,
        binds=binds,
        loads=loads,
        mentions=mentions | binds | imports.keys(),
    )


def looks_like_parameters(source: str) -> bool:
    """Whether a cell of values could be what a notebook is given from outside.

    Each value is a number, a text, a truth value or ``None``, and its name says something: of one letter only ``n`` and
    ``k`` do.

    Examples
    --------
    >>> looks_like_parameters("n = 200  # rows\\npath = 'sales.csv'")
    True
    >>> looks_like_parameters("x = 3"), looks_like_parameters("sizes = [3, 1, 2]")
    (False, False)
    """
    try:
        found = read_parameters(source)
    except ParameterError:
        return False
    return bool(found) and not any(
        each.required
        or each.computed
        or each.note
        or each.name.startswith("_")
        or (len(each.name) < 2 and each.name not in SHORT_NAMES)
        or isinstance(each.default, list | dict)
        for each in found
    )


def _is_import(node: ast.AST) -> bool:
    return isinstance(node, ast.Import | ast.ImportFrom)


def _names(tree: ast.Module) -> tuple[dict[str, str], frozenset[str], frozenset[str], frozenset[str]]:
    """Return the names that imports bind, other names that are bound, modules imported, names spoken of."""
    imports: dict[str, str] = {}
    binds: set[str] = set()
    loads: set[str] = set()
    mentions: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                for alias in names:
                    loads.add(alias.name)
                    root = alias.name.partition(".")[0]
                    imports[alias.asname or root] = alias.name if alias.asname else root
            case ast.ImportFrom(module=module, names=names, level=level):
                origin = "." * level + (module or "")
                loads.add(origin)
                imports.update({alias.asname or alias.name: f"{origin}:{alias.name}" for alias in names})
            case ast.Name(id=name, ctx=context):
                mentions.add(name)
                if not isinstance(context, ast.Load):
                    binds.add(name)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                binds.add(name)
            case ast.Global(names=names):
                binds.update(names)
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                binds.add(name)
            case ast.Constant(value=str(text)):
                # Formulas, queries and the code of magics speak of names in texts.
                mentions.update(re.findall(r"[^\W\d]\w*", text))
    return imports, frozenset(binds), frozenset(loads), frozenset(mentions)


def _is_literal(value: ast.expr) -> bool:
    try:
        ast.literal_eval(value)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return False
    return True


def _is_value(statement: ast.stmt) -> bool:
    match statement:
        case ast.Assign(targets=targets, value=value):
            return all(isinstance(target, ast.Name) for target in targets) and _is_literal(value)
        case ast.AnnAssign(target=ast.Name(), value=ast.expr() as value):
            return _is_literal(value)
    return False


def _magic(statement: ast.stmt) -> tuple[str, str] | None:
    """Return which call of ``get_ipython()`` a statement is, and the magic's name."""
    match statement:
        case ast.Expr(
            value=ast.Call(
                func=ast.Attribute(value=ast.Call(func=ast.Name(id="get_ipython")), attr=attr), args=arguments
            )
        ):
            first = arguments[0].value if arguments and isinstance(arguments[0], ast.Constant) else ""
            return attr, str(first)
    return None


def _sets_stage(statement: ast.stmt, imported: str) -> bool:
    if magic := _magic(statement):
        kind, name = magic
        return kind in ("run_line_magic", "run_cell_magic", "system") and name not in WORKING
    match statement:
        case ast.Import() | ast.ImportFrom() | ast.Pass():
            return True
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return True
        case ast.Expr(value=ast.Constant(value=str())):
            return True
        case ast.Try(body=body, handlers=handlers, orelse=orelse, finalbody=finalbody):
            parts = [*body, *(each for handler in handlers for each in handler.body), *orelse, *finalbody]
            return _is_staging(parts, imported)
        case ast.If(body=body, orelse=orelse):
            return _is_staging([*body, *orelse], imported)
        case ast.Expr(value=ast.Call(args=arguments, keywords=keywords)):
            given = [*arguments, *(keyword.value for keyword in keywords)]
            return all(map(_is_literal, given)) and _is_setting(statement, imported)
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()], value=value):
            return _is_literal(value) and _is_setting(statement, imported)
    return False


def _is_staging(parts: list[ast.stmt], imported: str) -> bool:
    found = [_sets_stage(each, imported) or _is_value(each) or _is_print(each) for each in parts]
    return all(found) and any(_is_import(each) or _magic(each) is not None for each in parts)


def _is_print(statement: ast.stmt) -> bool:
    match statement:
        case ast.Expr(value=ast.Call(func=ast.Name(id="print"), args=arguments)):
            return all(map(_is_literal, arguments))
        case ast.Raise():
            return True
    return False


def _is_setting(statement: ast.stmt, imported: str) -> bool:
    """Whether a statement changes how a library behaves, and nothing else that could be seen."""
    try:
        effects = analyse(f"{imported}\n{ast.unparse(statement)}")
        before = analyse(imported)
    except SyntaxError:
        return False
    path = _path(statement)
    if isinstance(statement, ast.Assign):
        return path[0] in before.writes and effects.writes == before.writes
    is_known = SETTER.match(path[-1]) or path[:2] == ["sys", "path"]
    changes = effects.state_changes - before.state_changes
    return bool(is_known and changes) and not any(state.startswith("file:") for state in changes)


def _path(statement: ast.stmt) -> list[str]:
    """Return the dotted path of what a statement calls or assigns to; empty names where there is none."""
    value: ast.AST = ast.Pass()
    match statement:
        case ast.Assign(targets=[target]):
            value = target
        case ast.Expr(value=ast.Call(func=function)):
            value = function
    path: list[str] = []
    while isinstance(value, ast.Attribute | ast.Subscript):
        if isinstance(value, ast.Attribute):
            path.insert(0, value.attr)
        value = value.value
    return [value.id if isinstance(value, ast.Name) else "", *path]


def _defines(statement: ast.stmt) -> bool:
    """Whether a statement gives the same whenever it is executed."""
    match statement:
        case ast.Import() | ast.ImportFrom():
            return all(alias.name != "*" for alias in statement.names)
        case ast.FunctionDef(decorator_list=[], args=args) | ast.AsyncFunctionDef(decorator_list=[], args=args):
            return all(map(_is_literal, [*args.defaults, *(each for each in args.kw_defaults if each is not None)]))
        case ast.ClassDef(decorator_list=[], bases=[], keywords=[], body=body):
            return all(_defines(each) or _is_value(each) for each in body)
        case ast.Expr(value=ast.Constant(value=str())) | ast.Pass():
            return True
    return False


def _needs_session(tree: ast.Module, bound: frozenset[str] | set[str]) -> str:
    for node in _walk(tree):
        match node:
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name in ASKING:
                return f"it asks somebody with {name}()"
            case ast.Call(func=ast.Attribute(value=ast.Call(func=ast.Name(id="get_ipython")), attr=attr)):
                name = str(node.args[0].value) if node.args and isinstance(node.args[0], ast.Constant) else ""
                if attr in ("run_line_magic", "run_cell_magic") and name in OF_THE_SESSION:
                    return f"it uses the magic %{name}"
            case ast.Name(id=name, ctx=ast.Load()) if HISTORY.fullmatch(name) and name not in bound:
                return f"it reads {name!r}"
    return ""


def _walk(tree: ast.AST) -> Iterator[ast.AST]:
    """Walk what a cell executes at its place, leaving out the bodies of the functions it defines."""
    todo: list[ast.AST] = [tree]
    while todo:
        node = todo.pop()
        yield node
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        todo.extend(ast.iter_child_nodes(node))
