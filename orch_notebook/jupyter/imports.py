"""Acts on a module of a library in the moment it is imported: a task may be the first to do so, and use it at once."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType

__all__ = ["WhenImported"]


class WhenImported(MetaPathFinder):
    """Waits for a module to come into being.

    Parameters
    ----------
    name : str
        The module's full name.
    act : callable
        Called once the module has been executed, in the thread that imports it.
    """

    def __init__(self, name: str, act: Callable[[], object]) -> None:
        self.name = name
        self._act = act

    @property
    def module(self) -> ModuleType | None:
        """The module, where it was imported already."""
        return sys.modules.get(self.name)

    def wait(self) -> None:
        """Begin to wait."""
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)

    def forget(self) -> None:
        """Wait no longer."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find the module as everybody else would, and let what was asked for follow its execution."""
        if name != self.name or self not in sys.meta_path:
            return None
        sys.meta_path.remove(self)
        spec = find_spec(name)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_and_act(module: ModuleType) -> None:
                execute(module)
                self._act()

            spec.loader.exec_module = execute_and_act  # type: ignore[method-assign]
        return spec
