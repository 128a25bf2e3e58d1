"""The house rules, read from the source by ``ast``: what imports what, what is public, what may be said where."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from orch_notebook import errors

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "orch_notebook"

#: The floors from the ground up; a module imports from its own floor or from a lower one.
FLOORS = ("errors", "model", "runtime", "functions", "promotion", "orchestrator", "jupyter", "cli")

#: The parts that stand beside the floors: the front door and the test doubles may use all of them.
BESIDE = ("", "testing", "assets", "__main__")

#: Libraries that cost time or need Jupyter; `import orch_notebook` loads none of them.
HEAVY = [
    "IPython",
    "aiosql",
    "anywidget",
    "apprise",
    "asyncio",
    "cloudpickle",
    "cronsim",
    "cryptography",
    "dateutil",
    "distributed",
    "fsspec",
    "graphviz",
    "ipykernel",
    "ipywidgets",
    "jupyter_client",
    "loky",
    "matplotlib",
    "nbclient",
    "nbconvert",
    "nbformat",
    "numpy",
    "pandas",
    "papermill",
    "psycopg",
    "pydantic",
    "pygraphviz",
    "rich",
    "sqlite3",
    "traitlets",
    "typer",
]

#: What the lower floors must not know.
JUPYTER = [
    "IPython",
    "anywidget",
    "ipykernel",
    "ipywidgets",
    "jupyter_client",
    "jupyter_server",
    "nbclient",
    "nbformat",
    "papermill",
]

#: The world outside: time, chance, threads, files and processes have no place in the model.
WORLD = [
    "asyncio",
    "os",
    "pathlib",
    "random",
    "secrets",
    "shutil",
    "socket",
    "sqlite3",
    "subprocess",
    "tempfile",
    "threading",
    "time",
    "uuid",
]


#: Every module's source by its dotted name.
SOURCES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
    if "static" not in path.parts
}


@dataclass(frozen=True)
class Import:
    """One import: its target and line, and whether it stands in a function or is for type checkers alone."""

    target: str
    line: int
    hidden: bool
    typing: bool


@dataclass(frozen=True)
class Module:
    """One source file of the package, parsed."""

    name: str
    path: Path
    tree: ast.Module

    @property
    def floor(self) -> str:
        """The floor it stands on, or the part beside the floors it belongs to."""
        return [*self.name.split("."), ""][1]

    @property
    def exported(self) -> list[str] | None:
        """The names in its ``__all__``, or ``None`` without one."""
        for node in self.tree.body:
            if isinstance(node, ast.Assign) and any(getattr(target, "id", "") == "__all__" for target in node.targets):
                return list(ast.literal_eval(node.value))
        return None

    @property
    def definitions(self) -> dict[str, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]:
        """Its top-level classes and functions by name."""
        kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        return {node.name: node for node in self.tree.body if isinstance(node, kinds)}

    def imports(self) -> Iterator[Import]:
        """Yield every import, wherever it stands."""
        functions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
        hidden = {id(node) for part in ast.walk(self.tree) if isinstance(part, functions) for node in ast.walk(part)}
        guards = [
            part for part in ast.walk(self.tree) if isinstance(part, ast.If) and "TYPE_CHECKING" in ast.dump(part.test)
        ]
        typing = {id(node) for part in guards for node in ast.walk(part)}
        for node in ast.walk(self.tree):
            for target in self._targets(node):
                yield Import(target, node.lineno, id(node) in hidden, id(node) in typing)

    def taken(self) -> Iterator[tuple[str, str]]:
        """Yield what it imports by name out of modules of ours, as (module, name), submodules aside."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.ImportFrom) and (base := self._base(node)) in SOURCES:
                yield from ((base, alias.name) for alias in node.names if f"{base}.{alias.name}" not in SOURCES)

    def _base(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        package = self.name.split(".") if self.path.name == "__init__.py" else self.name.split(".")[:-1]
        return ".".join([*package[: len(package) - node.level + 1], *filter(None, [node.module])])

    def _targets(self, node: ast.AST) -> list[str]:
        if isinstance(node, ast.Import):
            return [alias.name for alias in node.names]
        if not isinstance(node, ast.ImportFrom):
            return []
        base = self._base(node)
        return [f"{base}.{alias.name}" if f"{base}.{alias.name}" in SOURCES else base for alias in node.names]


MODULES = [Module(name, path, ast.parse(path.read_text(encoding="utf-8"))) for name, path in SOURCES.items()]

#: What others import from each module: (who, which name).
TAKEN: dict[str, list[tuple[str, str]]] = {}
for _module in MODULES:
    for _source, _name in _module.taken():
        TAKEN.setdefault(_source, []).append((_module.name, _name))

each_module = pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name)


@each_module
def test_imports_go_down_the_floors(module: Module) -> None:
    """A module imports only from its own floor or from lower ones."""
    if module.floor in BESIDE:
        return
    height = FLOORS.index(module.floor)
    for found in module.imports():
        if found.target.split(".")[0] != "orch_notebook" or found.target == "orch_notebook":
            continue
        floor = found.target.split(".")[1]
        where = f"{module.path}:{found.line} imports {found.target}"
        assert floor in FLOORS, f"{where}, which stands beside the floors"
        assert FLOORS.index(floor) <= height, f"{where}, which stands higher"


def test_imports_make_no_cycle() -> None:
    """No module reaches itself through what it imports."""
    edges = {
        module.name: {found.target for found in module.imports() if not found.typing and found.target in SOURCES}
        for module in MODULES
    }
    for start in edges:
        reached: set[str] = set()
        todo = sorted(edges[start])
        while todo:
            name = todo.pop()
            if name not in reached:
                reached.add(name)
                todo += edges[name]
        assert start not in reached, f"{start} imports itself by way of {sorted(reached)}"


@each_module
def test_no_import_of_ours_hides_in_a_function(module: Module) -> None:
    """Our own modules are imported where everybody sees it, but for the front door and for seams.

    A seam is a module that stands on a heavy library and is opened late, at one place: a class that extends one of that
    library's cannot be had otherwise.
    """
    if module.name == "orch_notebook":
        return
    hidden = [found for found in module.imports() if found.hidden and found.target.startswith("orch_notebook")]
    assert not [found for found in hidden if found.target not in seams()]


def seams() -> set[str]:
    """Return the modules that import a heavy library at their top and are imported in one place only."""
    openers: dict[str, list[str]] = {}
    for module in MODULES:
        for target in {found.target for found in module.imports() if found.target in SOURCES}:
            openers.setdefault(target, []).append(module.name)
    heavy = {
        module.name
        for module in MODULES
        if any(found.target.split(".")[0] in HEAVY for found in module.imports() if not (found.hidden or found.typing))
    }
    return {name for name in heavy if len(openers.get(name, ())) == 1}


def test_a_heavy_library_has_one_seam() -> None:
    """A library that is loaded late is loaded in one module of its floor, and everything else goes through that one."""
    loaders: dict[tuple[str, str], set[str]] = {}
    for module in MODULES:
        for found in module.imports():
            library = found.target.split(".")[0]
            if found.hidden and library in HEAVY:
                loaders.setdefault((library, module.floor), set()).add(module.name)
    assert not {seam: places for seam, places in loaders.items() if len(places) > 1}


@each_module
def test_the_lower_floors_know_no_jupyter_and_the_model_no_world(module: Module) -> None:
    """``model`` and ``runtime`` work without Jupyter; ``model`` without clock, thread, file, process or environment."""
    forbidden = {"model": {*JUPYTER, *WORLD}, "runtime": set(JUPYTER)}.get(module.floor, set())
    met = [found for found in module.imports() if found.target.split(".")[0] in forbidden and not found.typing]
    assert not met


def test_importing_the_package_is_light() -> None:
    """``import orch_notebook`` loads no library that costs time, so every kernel and command starts quickly."""
    code = f"import orch_notebook, sys; print([name for name in {HEAVY!r} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_every_public_name_can_be_had() -> None:
    """What ``orch_notebook.__all__`` promises is there when it is asked for."""
    code = "import orch_notebook as o; print([n for n in getattr(o, '__all__', ()) if getattr(o, n, None) is None])"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@each_module
def test_all_is_complete(module: Module) -> None:
    """``__all__`` is a module's whole interface: others take from it nothing else, and what it names is there."""
    if module.definitions:
        assert module.exported is not None, f"{module.name} has no __all__"
    bound = set(module.definitions) | {name for node in module.tree.body for name in bound_names(node)}
    # A front door loads its names when they are asked for; that they can be had is another test's claim.
    if "__getattr__" not in module.definitions:
        assert set(module.exported or ()) <= bound, f"{module.name}.__all__ names what is not there"
    lacking = {name: taker for taker, name in TAKEN.get(module.name, ()) if name not in (module.exported or ())}
    assert not lacking, f"{module.name}.__all__ lacks what others import"


def bound_names(node: ast.stmt) -> set[str]:
    """Return the names that a top-level statement binds."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {alias.asname or alias.name.split(".")[0] for alias in node.names}
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)}


@each_module
def test_every_public_name_answers_a_question_mark(module: Module) -> None:
    """Modules, public classes and functions and their public methods begin with one line that says what they are."""
    documented: dict[str, str | None] = {module.name: ast.get_docstring(module.tree)}
    for name in module.exported or ():
        node = module.definitions.get(name)
        if node is None:
            continue
        documented[name] = ast.get_docstring(node)
        if isinstance(node, ast.ClassDef):
            documented |= {f"{name}.{part.name}": ast.get_docstring(part) for part in public_methods(node)}
    silent = [name for name, text in documented.items() if not text]
    assert not silent, f"{module.name}: no docstring on {silent}"
    endless = [name for name, text in documented.items() if not re.search(r"[.:?)]$", (text or "").splitlines()[0])]
    assert not endless, f"{module.name}: the first line of {endless} is no sentence"


def public_methods(node: ast.ClassDef) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Return the methods of a class that have no underscore."""
    methods = [part for part in node.body if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef)]
    return [part for part in methods if not part.name.startswith("_")]


def test_the_tree_of_errors_is_the_one_drawn() -> None:
    """The drawing in ``errors.py`` shows every exception in its place, and no other."""
    drawn: dict[str, str] = {}
    trail: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        if match := re.match(r" {4}((?:[│ ] {3})*)(├── |└── )?([A-Z]\w+)(?:  |$)", line):
            depth = len(match[1]) // 4 + bool(match[2])
            del trail[depth:]
            drawn[match[3]] = trail[-1] if trail else "Exception"
            trail.append(match[3])
    defined = {name: getattr(errors, name).__mro__[1].__name__ for name in errors.__all__}
    assert drawn == defined


def project_files() -> list[Path]:
    """Return the files that git holds or would take."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    return [path for name in listed if name and (path := ROOT / name).is_file()]


def test_no_file_names_a_machine_or_a_registry() -> None:
    """Nothing in the project holds only on the machine where it was written."""
    folders = r"(?<![\w.~/-])/(?:work|root|home/\w+|Users/\w+)(?![\w-])"
    hosts = r"\b(?:pypi\.org|pythonhosted\.org|registry\.(?:npmjs|yarnpkg)\.\w+|npmmirror\.com|anaconda\.org)\b"
    found = []
    for path in project_files():
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            continue
        if path == Path(__file__).resolve():
            continue
        found += [f"{path}:{number}" for number, line in enumerate(lines, 1) if re.search(f"{folders}|{hosts}", line)]
    assert not found


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.name)
def test_notebooks_are_kept_clean(path: Path) -> None:
    """A notebook is committed without outputs and counts, with cell ids that stay, for the kernel ``python3``."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    assert (notebook["nbformat"], notebook["nbformat_minor"] >= 5) == (4, True)
    ids = [cell["id"] for cell in notebook["cells"]]
    assert len(set(ids)) == len(ids)
    for cell in notebook["cells"]:
        assert cell["cell_type"] != "code" or (cell["outputs"], cell["execution_count"]) == ([], None)


def test_every_extra_that_another_takes_in_is_there() -> None:
    """What the tests need is made of extras by name, and a name that nothing defines cannot be installed."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    taken = re.findall(r"orch-notebook\[([\w,]+)\]", " ".join(word for words in extras.values() for word in words))
    assert {name for names in taken for name in names.split(",")} <= set(extras)
