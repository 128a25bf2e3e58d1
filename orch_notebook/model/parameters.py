"""What a notebook can be given: the names its ``parameters`` cell binds, with types, defaults and help.

In: that cell's source, and the values somebody gives.  Out: a schema, and those values checked, or a
:class:`~orch_notebook.errors.ParameterError` that names every parameter that is unknown, missing or ill-typed.
papermill runs the cell first and then the given values in a cell after it; so a value computed in the cell from
another parameter keeps what the default gave, and :attr:`Parameter.note` says so.
"""

from __future__ import annotations

import ast
import io
import json
import re
import reprlib
import tokenize
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from typing import Any

from orch_notebook.errors import ParameterError
from orch_notebook.model.annotations import (
    Mismatch,
    admit,
    is_checkable,
    is_text,
    plain_words,
    travels_as,
)
from orch_notebook.model.limits import broken, limits_of_annotation, limits_of_comment, limits_words

__all__ = ["Parameter", "check_parameters", "default_parameters", "parse_assignments", "read_parameters"]


@dataclass(frozen=True, slots=True)
class Parameter:
    """One name a notebook can be given.

    Parameters
    ----------
    name : str
        As the notebook binds it.
    annotation : str
        Its type as written, or as its default shows; empty admits every JSON value.
    default : JSON value
        What it is when nothing is given; meaningless when `required` or `computed`.
    required : bool
        It has no default: ``n: int``.
    computed : bool
        Its default is no literal; only the running notebook knows it.
    help : str
        The comment behind it.
    note : str
        What may surprise whoever gives a value, as one sentence.
    limits : mapping
        What values may be beyond their type; see :mod:`orch_notebook.model.limits`.
    """

    name: str
    annotation: str = ""
    default: Any = None
    required: bool = False
    computed: bool = False
    help: str = ""
    note: str = ""
    limits: Mapping[str, Any] = field(default_factory=dict)

    def words(self) -> str:
        """Return name, type and default as one reads them in code.

        Examples
        --------
        >>> Parameter("n", "int", 200).words()
        'n: int = 200'
        """
        typed = f"{self.name}: {plain_words(self.annotation)}" if self.annotation else self.name
        shown = typed if self.required or self.computed else f"{typed} = {reprlib.repr(self.default)}"
        return f"{shown} ({limits_words(self.limits)})" if self.limits else shown

    def to_json(self) -> dict[str, Any]:
        """Return what differs from a bare parameter."""
        bare = Parameter(self.name)
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {key: value for key, value in values.items() if key == "name" or value != getattr(bare, key)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Parameter:
        """Read what :meth:`to_json` wrote."""
        return cls(**data)


def read_parameters(source: str) -> tuple[Parameter, ...]:
    """Read the parameters that a ``parameters`` cell binds, without running it.

    Parameters
    ----------
    source : str
        Assignments at its top level count; lines of ``%`` and ``!`` and everything else are passed over.

    Raises
    ------
    ParameterError
        The cell does not parse.

    Examples
    --------
    >>> for parameter in read_parameters("n: int = 200  # rows to draw\\nday: str  # which one"):
    ...     print(parameter.words(), "|", parameter.help)
    n: int = 200 | rows to draw
    day: str | which one
    """
    tree, source = _parse(source)
    comments = _trailing_comments(source)
    found: dict[str, Parameter] = {}
    for statement in tree.body:
        end = statement.end_lineno or statement.lineno
        comment = comments.get(end, comments.get(statement.lineno, ""))
        for name, annotation, value in _bindings(statement):
            found[name] = _parameter(name, annotation, value, comment, tuple(found))
    return tuple(found.values())


def _parse(source: str) -> tuple[ast.Module, str]:
    # IPython's own lines mean nothing to Python; blanked, the numbers of the other lines stay what they are.
    plain = re.sub(r"(?m)^[%!?].*$", "", source)
    for text in (source, plain):
        try:
            return ast.parse(text), text
        except SyntaxError as error:
            problem = error
        except ValueError as error:  # a null character, in some releases of Python
            problem = SyntaxError(str(error))
    where = f"line {problem.lineno}: " if problem.lineno else ""
    raise ParameterError(f"The parameters cell does not parse: {where}{problem.msg}.")


def _trailing_comments(source: str) -> dict[int, str]:
    comments = {}
    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type == tokenize.COMMENT and token.line[: token.start[1]].strip():
                comments[token.start[0]] = token.string.lstrip("#").strip()
    except (tokenize.TokenError, SyntaxError):
        pass
    return comments


def _bindings(statement: ast.stmt) -> Iterable[tuple[str, str, ast.expr | None]]:
    match statement:
        case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation, value=value):
            unquoted = annotation.value if isinstance(annotation, ast.Constant) else None
            yield name, unquoted if isinstance(unquoted, str) else ast.unparse(annotation), value
        case ast.Assign(targets=targets, value=value):
            for target in targets:
                match target, value:
                    case ast.Name(id=name), _:
                        yield name, "", value
                    case (ast.Tuple(elts=names), ast.Tuple(elts=values)) if len(names) == len(values):
                        for part, its_value in zip(names, values, strict=True):
                            if isinstance(part, ast.Name):
                                yield part.id, "", its_value


def _parameter(name: str, annotation: str, value: ast.expr | None, comment: str, earlier: Sequence[str]) -> Parameter:
    comment, limits = limits_of_comment(comment)
    limits = {**limits_of_annotation(annotation), **limits}
    # papermill's older way to give a type: `n = 1  # type: int  how many`.
    if typed := re.match(r"type:\s*(\S+)\s*(.*)", comment):
        annotation, comment = annotation or typed[1], typed[2]
    if value is None or (isinstance(value, ast.Constant) and value.value is Ellipsis):
        return Parameter(
            name, annotation, required=True, help=comment, note=_type_note(name, annotation), limits=limits
        )
    try:
        literal = ast.literal_eval(value)
        default = _plain(literal)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        note = _computed_note(name, value, earlier)
        return Parameter(name, annotation, computed=True, help=comment, note=note, limits=limits)
    annotation = annotation or ("" if literal is None else type(literal).__name__)
    note = _type_note(name, annotation)
    if broken(limits, default):
        note = f"The default of {name!r} is not {limits_words(limits)}."
    return Parameter(name, annotation, default, help=comment, note=note, limits=limits)


def _plain(literal: Any) -> Any:
    """Return the literal as JSON holds it; raise ``TypeError`` for what JSON cannot."""
    match literal:
        case None | bool() | int() | float() | str():
            return literal
        case list() | tuple():
            return [_plain(item) for item in literal]
        case set() | frozenset():
            return sorted((_plain(item) for item in literal), key=repr)
        case dict() if all(isinstance(key, str) for key in literal):
            return {key: _plain(item) for key, item in literal.items()}
    raise TypeError(type(literal).__name__)


def _type_note(name: str, annotation: str) -> str:
    if annotation and not is_checkable(annotation) and annotation.split(".")[-1] != "Any":
        return f"{name!r} is annotated {annotation}, which cannot be checked; any JSON value is taken."
    if form := travels_as(annotation):
        return f"A given {name!r} reaches the notebook as {form}."
    return ""


def _computed_note(name: str, value: ast.expr, earlier: Sequence[str]) -> str:
    read = {node.id for node in ast.walk(value) if isinstance(node, ast.Name)}
    sources = [other for other in earlier if other in read]
    if sources:
        listed = ", ".join(map(repr, sources))
        return (
            f"{name!r} is computed from {listed} before given values arrive, so it does not follow them; "
            "compute it in the next cell."
        )
    return f"The default of {name!r} is no literal; it is computed when the notebook runs."


def default_parameters(schema: Iterable[Parameter]) -> dict[str, Any]:
    """Return the defaults that are known without running the notebook.

    Examples
    --------
    >>> default_parameters(read_parameters("n = 1\\nday: str\\nm = n + 1"))
    {'n': 1}
    """
    return {each.name: each.default for each in schema if not (each.required or each.computed)}


def check_parameters(schema: Sequence[Parameter], given: Mapping[str, Any], taker: str = "notebook") -> dict[str, Any]:
    """Check given values and return them as JSON knows them, in the order of the notebook.

    Parameters
    ----------
    schema : sequence of Parameter
        What the notebook takes.
    given : mapping
        Values by name; text is also taken for the number, list … it spells.
    taker : str
        What takes them, in the words of an error.

    Returns
    -------
    dict
        The given ones only: a default is the notebook's own business.  Checking them again changes nothing.

    Raises
    ------
    ParameterError
        Names every unknown, missing or ill-typed one, and all that are known; ``parameters`` lists the culprits.

    Examples
    --------
    >>> schema = read_parameters("n: int = 200\\nrate = 0.5")
    >>> check_parameters(schema, {"rate": "1", "n": "300"})
    {'n': 300, 'rate': 1.0}
    >>> check_parameters(schema, {"m": 3})
    Traceback (most recent call last):
    orch_notebook.errors.ParameterError: There is no parameter 'm'. The notebook takes n: int = 200, rate: float = 0.5.
    """
    known = {parameter.name: parameter for parameter in schema}
    problems: dict[str, str] = {}
    for name in given:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            problems[name] = f"There is no parameter {name!r}." + (f" Did you mean {near[0]!r}?" if near else "")
    checked: dict[str, Any] = {}
    for name, parameter in known.items():
        if name not in given:
            if parameter.required:
                typed = f" ({parameter.annotation})" if parameter.annotation else ""
                problems[name] = f"Parameter {name!r}{typed} has no default and must be given."
            continue
        try:
            checked[name] = admit(parameter.annotation, given[name])
            if broken(parameter.limits, checked[name]):
                raise Mismatch(repr(checked[name]))
        except Mismatch as mismatch:
            wanted = plain_words(parameter.annotation) if is_checkable(parameter.annotation) else "a JSON value"
            wanted = f"{wanted} {limits_words(parameter.limits)}" if parameter.limits else wanted
            problems[name] = f"Parameter {name!r} takes {wanted}, not {mismatch}."
    if problems:
        takes = ", ".join(parameter.words() for parameter in schema)
        why = ": no cell is tagged 'parameters'" if taker == "notebook" else ""
        last = f"The {taker} takes {takes}." if takes else f"The {taker} takes none{why}."
        raise ParameterError(" ".join([*problems.values(), last]), parameters=list(problems))
    return checked


def parse_assignments(assignments: Iterable[str], schema: Iterable[Parameter] = ()) -> dict[str, Any]:
    """Read ``name=value`` words of a command line.

    Parameters
    ----------
    assignments : iterable of str
        The last one of a name prevails.
    schema : iterable of Parameter
        Where it is known: a parameter without a type takes what its text spells in JSON, else the text itself.

    Raises
    ------
    ParameterError
        A word is not of that form.

    Examples
    --------
    >>> parse_assignments(["n=200", "name=x=y"])
    {'n': '200', 'name': 'x=y'}
    >>> parse_assignments(["m=200"], read_parameters("m = len('ab')"))
    {'m': 200}
    """
    known = {parameter.name: parameter for parameter in schema}
    values: dict[str, Any] = {}
    for word in assignments:
        name, equals, value = word.partition("=")
        name = name.strip()
        if not equals or not name.isidentifier():
            raise ParameterError(f"A parameter is given as name=value, not {word!r}.", parameters=[name])
        parameter = known.get(name)
        untyped = parameter is not None and not is_text(parameter.annotation) and not is_checkable(parameter.annotation)
        values[name] = _spelled_or_text(value) if untyped else value
    return values


def _spelled_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
