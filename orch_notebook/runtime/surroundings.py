"""What surrounds tasks without a name in the notebook: random generators, settings of libraries, files.

In: nothing but the process and its working directory.  Out: a token for each state, by the name that the analysis of
cells gives it, and the way back to how all of it stood.
"""

from __future__ import annotations

import operator
import sys
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from orch_notebook.runtime.ambient import CARRIED, Carrier
from orch_notebook.runtime.folders import Folder
from orch_notebook.runtime.insides import content
from orch_notebook.runtime.tokens import Budget

__all__ = ["CHANCE", "Surrounding", "Surroundings", "stir"]

#: Generators of random numbers that a whole process shares.
CHANCE = ("state:random", "state:numpy.random", "state:torch")


@dataclass(frozen=True, slots=True)
class Surrounding:
    """One state of the process: the library that must be loaded, how it is read and how it is put back."""

    library: str
    read: Callable[[Any], Any]
    put_back: Callable[[Any, Any], object]


def _read_display(pandas: Any) -> dict[str, Any]:
    found = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for key in pandas._config.config._registered_options:
            found[key] = pandas.get_option(key)
    return found


def _put_display(pandas: Any, kept: Mapping[str, Any]) -> None:
    now = _read_display(pandas)
    for key, value in kept.items():
        if now.get(key) != value:
            pandas.set_option(key, value)


def _put_root(module: Any, kept: tuple[int, list[Any]]) -> None:
    module.root.level, module.root.handlers[:] = kept


def _read_printing(numpy: Any) -> tuple[Any, Any]:
    return numpy.get_printoptions(), numpy.geterr()


def _put_printing(numpy: Any, kept: tuple[dict[str, Any], dict[str, Any]]) -> None:
    numpy.set_printoptions(**{key: value for key, value in kept[0].items() if key != "override_repr" or value})
    numpy.seterr(**kept[1])


def _same(carrier: Carrier) -> Surrounding:
    return Surrounding(carrier.library, lambda module: carrier.take(), lambda module, kept: carrier.put(kept))


#: By the names of the analysis; where one of its names covers two libraries, the second has a mark behind it.  What can
#: be taken along to another process is put back as it is there; but here handlers of logs and functions among the
#: settings of pandas stay the very objects that they were.
STATES: Mapping[str, Surrounding] = {
    **{name: _same(carrier) for name, carrier in CARRIED.items()},
    "state:display": Surrounding("pandas", _read_display, _put_display),
    "state:display numpy": Surrounding("numpy", _read_printing, _put_printing),
    "state:logging": Surrounding("logging", lambda m: (m.root.level, list(m.root.handlers)), _put_root),
}


class Surroundings:
    """The states of this process and the files of its working directory, as they stood when this was made.

    Parameters
    ----------
    folder : Path, optional
        Whose files are watched; by default the working directory.  Hidden files, notebooks and caches are not.
    more : mapping
        States that only the face knows, by name.
    """

    def __init__(self, folder: Path | None = None, more: Mapping[str, Surrounding] = MappingProxyType({})) -> None:
        self._known = {**STATES, **more}
        self._states = dict(self._read())
        self._folder = Folder((folder or Path.cwd()).resolve())
        #: Whether there are more files than are watched.
        self.is_crowded = self._folder.is_crowded

    def _read(self) -> Iterator[tuple[str, Any]]:
        for name, state in self._known.items():
            module = sys.modules.get(state.library)
            # Another version of the library may not have it: that state is not watched.
            with suppress(Exception):
                if module is not None:
                    yield name, state.read(module)

    def look(self) -> dict[str, str]:
        """Return a token for every state and file, as they are now."""
        found: dict[str, str] = {}
        for name, value in self._read():
            # A library that a task was the first to load: there was nothing before that to go back to.
            self._states.setdefault(name, value)
            found[name.partition(" ")[0]] = found.get(name.partition(" ")[0], "") + _token(value)
        for path, seen in self._folder.look().items():
            found[f"file:{path}"] = seen
        return found

    def note(self, changed: set[str]) -> None:
        """Take note of files that a task has written; they are put back."""
        self._folder.note(name.partition(":")[2] for name in changed if name.startswith("file:"))

    def put_back(self) -> list[str]:
        """Put states and files back; return the names of those that could not be."""
        failed: list[str] = []
        now = dict(self._read())
        for name, kept in self._states.items():
            if name not in now or _token(now[name]) != _token(kept):
                try:
                    self._known[name].put_back(sys.modules[self._known[name].library], kept)
                except Exception:  # noqa: BLE001 - said to the person, who can mend it
                    failed.append(name)
        return [*failed, *(f"file:{path}" for path in self._folder.put_back())]


def _token(value: Any) -> str:
    return content(value, Budget()).hex()


def stir(but: Collection[str] = ()) -> None:
    """Give the shared generators of random numbers a new start, as a new kernel would, `but` for some states."""
    for name, seed in zip(CHANCE, ("seed", "random.seed", "seed"), strict=True):
        module = sys.modules.get(STATES[name].library)
        if module is not None and name not in but:
            operator.attrgetter(seed)(module)()
