"""Names for task cells that bear none.

In: a cell's source, and what else is known of it: the heading above it, the names that cells below use.  Out: a name a
person would have given it, and that no other task bears.
"""

from __future__ import annotations

import ast
import builtins
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache
from html import unescape

__all__ = ["heading_of", "name_for"]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Characters a name may have; a graph of longer ones cannot be read.
LONGEST = 30
#: Names that say nothing of what a cell makes.
SCRATCH = _words("i j k n ax axs axes fig f _ __ ret res result tmp temp x y z a b c out")
#: Words at the end of a cut text that leave it hanging.
HANGING = _words("a an the of for in on to and or with by from is are as at using via our its this that")
#: A heading in one line, in Markdown or HTML.
HEADING = re.compile(r" {0,3}#{1,6}\s*(.*?)\s*#*\s*$|\s*<h[1-6][^>]*>(.*?)(?:</h[1-6]>|$)", re.I)
#: What lines that are no prose begin with.
NO_PROSE = re.compile(r"[!%#\-=*/\\]|coding[:=]|noqa|type:|pylint|fmt:|@|<|>>>|\.\.\.|https?:")


def name_for(source: str, taken: Collection[str], *, heading: str = "", used: Mapping[str, int] | None = None) -> str:
    """Return a name for a task: of its heading, its first comment, its main output, or what it does.

    Parameters
    ----------
    source : str
        Its code.
    taken : collection of str
        Names that other tasks bear.
    heading : str
        The heading it stands below, as text, if it is the first cell there.
    used : mapping, optional
        Names that cells below use, and how many of them do; the main output is the most used.

    Examples
    --------
    >>> name_for("# Load the data\\ndf = 1", ())
    'load_the_data'
    >>> name_for("df = read()", {"df"})
    'df_2'
    >>> name_for("df.head()", ()), name_for("plt.plot(x)", ()), name_for("print(total)", ())
    ('df_head', 'plot', 'print_total')
    >>> name_for("a = 1\\nb = 2", (), heading="2.1 Splitting the *data*")
    'splitting_the_data'
    """
    tree = _parsed(source)
    base = worded(heading) or worded(_comment(source))
    if not base and tree is not None:
        base = _main_output(tree, used or {}) or _act(tree) or _any_output(tree)
    base = base or "task"
    number, name = 1, base
    while name in taken:
        number += 1
        name = f"{base}_{number}"
    return name


def worded(text: str) -> str:
    """Return a text's first words as a name, or nothing where it has none.

    Examples
    --------
    >>> worded("Load the data, then look"), worded("3. *Training* a `Ridge` model"), worded("Example: wine")
    ('load_the_data', 'training_a_ridge_model', 'example_wine')
    """
    # Numbers of chapters and steps say little, and change.
    text = re.sub(r"^\W*(?:(?:step|part|chapter|section|exercise)\s+)?\d+(?:\.\d+)*[.):\s]\s*", "", text, flags=re.I)
    first = re.split(r"[.:;?!](?:\s|$)|,\s|\s[-–—]\s|\s\(|\s#", text.strip(), maxsplit=1)[0]
    if len(first.split()) == 1 and not re.search(r"[.;?!](?:\s|$)", text):
        first = text  # "Example: wine" says more than "example"
    words = re.findall(r"\w+", re.sub(r"['’`*]", "", first if re.search(r"\w{3}", first) else text).lower())
    words = [word for word in words if f"a{word}".isidentifier()]
    kept: list[str] = []
    for word in words:
        if kept and len("_".join([*kept, word])) > LONGEST:
            while len(kept) > 1 and kept[-1] in HANGING:
                kept.pop()
            break
        kept.append(word)
    return "_".join(kept)[:LONGEST].strip("_")


def heading_of(markdown: str) -> str:
    """Return the last heading of a markdown cell as plain text, or nothing where it has none.

    Examples
    --------
    >>> heading_of("# Title\\n\\nWords.\\n\\n## The [data](a.csv) `df`\\nMore.")
    'The data df'
    >>> heading_of("Loading\\n=======\\n"), heading_of("<h2>Plots &amp; tables</h2>"), heading_of("no heading")
    ('Loading', 'Plots & tables', '')
    """
    found = ""
    is_code = False
    lines = markdown.splitlines()
    for line, following in zip(lines, [*lines[1:], ""], strict=False):
        if line.lstrip().startswith(("```", "~~~")):
            is_code = not is_code
        elif is_code:
            continue
        elif match := HEADING.match(line):
            found = match[1] or match[2] or found
        elif line.strip() and re.fullmatch(r" {0,3}(={3,}|-{3,})\s*", following) and not line.startswith(("|", ">")):
            found = line.strip()
    found = re.sub(r"!\[[^\]]*\]\([^)]*\)|<[^>]+>|\$[^$]*\$", "", found)
    found = re.sub(r"\[([^\]]*)\](?:\([^)]*\)|\[[^\]]*\])", r"\1", found)
    return unescape(re.sub(r"[`*]|(?<!\w)_|_(?!\w)", "", found)).strip()


@lru_cache(maxsize=500)
def _parsed(source: str) -> ast.Module | None:
    try:
        tree: ast.Module = compile(source, "<cell>", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    except (SyntaxError, ValueError):
        return None
    return tree


def _comment(source: str) -> str:
    """Return the comment that a cell begins with, unless it is code that somebody took out."""
    first = next((line.strip() for line in source.splitlines() if line.strip()), "")
    text = first.lstrip("#").strip(" \t-=*#")
    if not first.startswith("#") or NO_PROSE.match(first[1:].lstrip() or "-") or not re.search(r"\w{2}", text):
        return ""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return text
    plain = all(isinstance(node, ast.Expr) and isinstance(node.value, ast.Name | ast.Constant) for node in tree.body)
    return text if plain else ""


def _bound_names(tree: ast.Module) -> Iterator[str]:
    """Yield the names that a cell's own statements bind, in order; not those of loops and imports."""
    for statement in tree.body:
        match statement:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.Assign(targets=targets):
                for target in targets:
                    yield from _targets(target)
            case ast.AnnAssign(target=target) | ast.AugAssign(target=target):
                yield from _targets(target)
            case ast.With(body=body) | ast.If(body=body) | ast.Try(body=body) | ast.For(body=body):
                yield from _bound_names(ast.Module(body, []))


def _targets(target: ast.expr) -> Iterator[str]:
    match target:
        case ast.Name(id=name):
            yield name
        case ast.Tuple(elts=parts) | ast.List(elts=parts):
            # The first of several that come together is the one that counts: the last to be yielded.
            for part in reversed(parts):
                yield from _targets(part)
        case ast.Starred(value=part):
            yield from _targets(part)
        case ast.Subscript(value=part) | ast.Attribute(value=part):
            yield from _targets(part)


def _main_output(tree: ast.Module, used: Mapping[str, int]) -> str:
    made = [name for name in dict.fromkeys(_bound_names(tree)) if name not in SCRATCH and not name.startswith("_")]
    if not made:
        return ""
    wanted = Counter({name: used.get(name, 0) for name in made})
    most = max(wanted.values())
    # Among equals the last: what stands before it usually leads up to it.
    return [name for name in made if wanted[name] == most][-1].lower()[:LONGEST]


def _any_output(tree: ast.Module) -> str:
    return next((name.lower() for name in reversed(list(_bound_names(tree))) if name.strip("_")), "")


def _act(tree: ast.Module) -> str:
    """Return what a cell that binds nothing worth a name does: its last call that says something."""
    last = tree.body[-1] if tree.body else None
    acts = [_said(node.value) for node in tree.body if isinstance(node, ast.Expr)]
    drawn = next((act for act in acts if act in DRAWINGS), "")
    if drawn:
        return drawn
    if isinstance(last, ast.For | ast.While | ast.If | ast.With):
        return _act(ast.Module(last.body, []))
    return next((act for act in reversed(acts) if act), "")


DRAWINGS = _words(
    "plot scatter hist bar barh boxplot imshow contour contourf pie errorbar fill_between pairplot heatmap lmplot "
    "regplot distplot histplot kdeplot jointplot countplot barplot catplot violinplot pcolormesh quiver"
)
#: Calls that say nothing of what is drawn or made.
SILENT = _words("show figure subplots title xlabel ylabel legend axis grid xlim ylim tight_layout get_ipython")


def _said(value: ast.expr) -> str:
    """Return what an expression does in a word or two."""
    match value:
        case ast.Await(value=inner) | ast.Starred(value=inner) | ast.UnaryOp(operand=inner):
            return _said(inner)
        case ast.Call(func=ast.Attribute(value=ast.Call(func=ast.Name(id="get_ipython")), attr=attr), args=arguments):
            return _magic(attr, [node.value for node in arguments if isinstance(node, ast.Constant)])
        case ast.Call(func=ast.Name(id=name), args=arguments) if name in ("print", "display"):
            told = next((said for each in arguments if (said := _root(each) or _said(each))), "")
            return f"{'show' if name == 'display' else name}_{told}"[:LONGEST].rstrip("_") if told else name
        case ast.Call(func=ast.Name(id=name), args=arguments):
            told = _root(arguments[0]) if name in dir(builtins) and arguments else ""
            return f"{name}_{told}".lower()[:LONGEST].strip("_")
        case ast.Call(func=ast.Attribute(value=owner, attr=attr)):
            if attr in SILENT or isinstance(owner, ast.Constant):
                return ""
            root = _root(owner)
            is_drawing = attr in DRAWINGS or root in ("plt", "ax", "sns", "np", "pd", "fig", "axes")
            return attr.lower() if is_drawing or not root else f"{root}_{attr}".lower()[:LONGEST].rstrip("_")
        case ast.Attribute(value=owner, attr=attr):
            root = _root(owner)
            return f"{root}_{attr}".lower()[:LONGEST].strip("_") if root else attr.lower()
        case ast.Name(id=name):
            return f"show_{name}".lower()[:LONGEST] if not name.startswith("_") else ""
        case ast.Subscript(value=owner):
            root = _root(owner)
            return f"{root}_part".lower()[:LONGEST] if root else ""
        case ast.BinOp(left=left) | ast.Compare(left=left):
            root = _root(left)
            return f"show_{root}".lower()[:LONGEST] if root else ""
    return ""


def _root(value: ast.expr) -> str:
    while isinstance(value, ast.Attribute | ast.Subscript | ast.Call):
        value = value.func if isinstance(value, ast.Call) else value.value
    return value.id if isinstance(value, ast.Name) and not value.id.startswith("_") else ""


def _magic(attr: str, texts: list[object]) -> str:
    if attr in ("run_line_magic", "run_cell_magic") and texts:
        name, line, body = (*map(str, texts), "", "")[:3]
        tree = _parsed(body or line)
        return (_main_output(tree, {}) or _act(tree) if tree is not None else "") or worded(name)
    if attr in ("system", "getoutput") and texts:
        return worded(" ".join(str(texts[0]).split()[:2]))
    return ""
