"""Where a flow or task of a module is found again: by another process, and when its file has changed since.

In: ``etl.py:nightly`` or ``package.etl:nightly`` as a person writes it, or the flow itself.  Out: the place, and from
a place the module.  Loading a module runs its code, as importing it does; it never is ``__main__`` then.
"""

from __future__ import annotations

import hashlib
import importlib
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from orch_notebook.errors import ModuleError
from orch_notebook.functions.wrapping import Wrapped
from orch_notebook.runtime.files import make_private_folder, near_file, write_whole

__all__ = ["Entrypoint", "entrypoint_of", "is_entrypoint", "load_module", "pin", "read_entrypoint"]


@dataclass(frozen=True, slots=True)
class Entrypoint:
    """A flow or task in a module.

    Parameters
    ----------
    file : Path
        The module's file.
    module : str
        Its name, with those of the packages it is in.
    name : str
        What the flow is called there; empty for the only one.
    """

    file: Path
    module: str
    name: str

    @property
    def folder(self) -> Path:
        """The folder from which the module can be imported; relative paths mean what they mean there."""
        depth = self.module.count(".") + (self.file.name == "__init__.py")
        return self.file.parents[depth]

    @property
    def text(self) -> str:
        """Module and name, as a plan keeps them."""
        return f"{self.module}:{self.name}"


def is_entrypoint(text: str) -> bool:
    """Whether a word names a flow of a module, and no notebook.

    Examples
    --------
    >>> [is_entrypoint(word) for word in ("etl.py:nightly", "package.etl:nightly", "etl.py", "a/etl.ipynb")]
    [True, True, True, False]
    """
    where, colon, name = text.rpartition(":")
    if not colon:
        return text.endswith(".py")
    return where.endswith(".py") or all(part.isidentifier() for part in (*where.split("."), *name.split(".")))


def read_entrypoint(text: str) -> Entrypoint:
    """Return the place that ``file.py:name``, ``package.module:name`` or ``file.py`` speaks of.

    Raises
    ------
    ModuleError
        There is no such file or module.
    """
    where, colon, name = text.rpartition(":")
    if not colon:
        where, name = text, ""
    if where.endswith(".py"):
        file = Path(where).expanduser().absolute()
        if not file.is_file():
            raise ModuleError(f"There is no module {where}.{near_file(Path(where))}", path=str(file))
        return Entrypoint(file, file.stem, name)
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        spec = find_spec(where)
    except Exception as error:  # noqa: BLE001 - importing the packages around it runs their code
        raise _unloadable(where, error) from None
    if spec is None or not spec.origin or not spec.origin.endswith(".py"):
        raise ModuleError(f"There is no module {where!r} written in Python here; looked from {here}.", module=where)
    return Entrypoint(Path(spec.origin).absolute(), where, name)


def entrypoint_of(found: Wrapped[..., Any]) -> Entrypoint | None:
    """Return the place of a flow or task; None where no other process could find it: in a notebook or a function."""
    name = getattr(found.fn, "__module__", None) or ""
    module = sys.modules.get(name)
    origin = getattr(module, "__file__", None)
    if module is None or not origin or not origin.endswith(".py") or not Path(origin).is_file():
        return None
    file = Path(origin).absolute()
    for attribute, value in vars(module).items():
        if isinstance(value, Wrapped) and value.fn is found.fn:
            return Entrypoint(file, file.stem if name == "__main__" else name, attribute)
    return None


def pin(file: Path, folder: Path) -> Path:
    """Keep a copy of a module's file that no later edit changes, named by its content.

    Raises
    ------
    ModuleError
        It cannot be read or written.
    """
    try:
        data = file.read_bytes()
        copy = make_private_folder(folder) / f"{hashlib.sha256(data).hexdigest()}.py"
        if not (copy.exists() and copy.read_bytes() == data):
            write_whole(copy, data)
    except OSError as error:
        reason = error.strerror or error
        raise ModuleError(f"No copy of {file} can be kept in {folder}: {reason}.", path=str(file)) from None
    return copy


def load_module(place: Entrypoint, pinned: Path | None = None) -> ModuleType:
    """Return the module at a place, executed from its file or from a pinned copy of that.

    Raises
    ------
    ModuleError
        Its code cannot be read or raises.
    """
    folder = str(place.folder)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    known = sys.modules.get(place.module)
    if pinned is None and known is not None and Path(getattr(known, "__file__", None) or "").absolute() == place.file:
        return known
    source = pinned or place.file
    module = ModuleType(place.module)
    package, _, _ = place.module.rpartition(".")
    try:
        if package:
            importlib.import_module(package)
        # The code bears the name of the file it is read from, so tracebacks show the lines that ran.
        code = compile(source.read_bytes(), str(source), "exec", dont_inherit=True)
        module.__dict__.update(__file__=str(place.file), __package__=package, __builtins__=__builtins__)
        if place.file.name == "__init__.py":
            module.__dict__.update(__path__=[str(place.file.parent)], __package__=place.module)
        sys.modules[place.module] = module
        exec(code, vars(module))  # noqa: S102 - it is the user's own code, as if it were imported
    except BaseException as error:
        if known is None:
            sys.modules.pop(place.module, None)
        else:
            sys.modules[place.module] = known
        if isinstance(error, KeyboardInterrupt):
            raise
        raise _unloadable(str(place.file), error, str(source)) from None
    return module


def _unloadable(what: str, error: BaseException, source: str = "") -> ModuleError:
    line = error.lineno if isinstance(error, SyntaxError) else next(_lines_in(error, source), None)
    where = f", line {line}" if line else ""
    said = f": {str(error).splitlines()[0]}" if str(error) else ""
    return ModuleError(f"{what} cannot be loaded{where}: {type(error).__name__}{said}", path=what)


def _lines_in(error: BaseException, source: str) -> Iterator[int | None]:
    """Yield the lines of a file in which an error was raised, the innermost first."""
    frames = reversed(traceback.extract_tb(error.__traceback__))
    yield from (frame.lineno for frame in frames if frame.filename == source)
