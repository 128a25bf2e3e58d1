"""Hidden state of a process that a task may depend on or change, taken along to another process and back.

In: the names that the analysis of cells gives it (``state:random``, ``state:environ`` …).  Out: its content as plain
values.  What every task may depend on without saying so (:data:`~orch_notebook.model.cells.knowledge.AMBIENT`) goes
along with each; a random generator only with those that draw from it.  Libraries are asked only where they are loaded.
"""

from __future__ import annotations

import locale
import logging
import os
import sys
import warnings
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from orch_notebook.model.cells.knowledge import AMBIENT
from orch_notebook.runtime.generators import GENERATORS, put_generator, take_generator
from orch_notebook.runtime.originals import loaded

__all__ = ["CARRIED", "OUTSIDE", "Carrier", "put_states", "take_states"]


@dataclass(frozen=True, slots=True)
class Carrier:
    """The library that has one state, and the two ways of it: out of this process, and into it."""

    library: str
    take: Callable[[], Any]
    put: Callable[[Any], object]


def library(name: str) -> Any:
    """Return a library that the other process has loaded."""
    return import_module(name)


def _put_generator(name: str, state: Any) -> None:
    if state is not None:
        library(GENERATORS[name][0])
        put_generator(name, state)


def _put_environ(values: Mapping[str, str]) -> None:
    if os.environ != values:
        for name in os.environ.keys() - values.keys():
            del os.environ[name]
        os.environ.update(values)


def _put_cwd(path: str) -> None:
    if path and path != _take_cwd():
        os.chdir(path)


def _take_cwd() -> str:
    try:
        return str(Path.cwd())
    except OSError:  # somebody removed it
        return ""


def _put_warnings(filters: list[Any]) -> None:
    if warnings.filters != filters:
        warnings.resetwarnings()  # also lets every module forget what it has shown
        warnings.filters[:] = filters  # type: ignore[index]


def _take_sys() -> tuple[list[str], int]:
    return list(sys.path), sys.getrecursionlimit()


def _put_sys(state: tuple[list[str], int]) -> None:
    sys.path[:], limit = state
    sys.setrecursionlimit(limit)


def _take_logging() -> Any:
    root = logging.getLogger()
    known = dict(root.manager.loggerDict)
    levels = {name: found.level for name, found in known.items() if isinstance(found, logging.Logger) and found.level}
    return root.level, root.manager.disable, levels, [_handler_parts(handler) for handler in _stream_handlers()]


def _stream_handlers() -> list[Any]:
    return [handler for handler in logging.getLogger().handlers if type(handler) is logging.StreamHandler]


def _handler_parts(handler: Any) -> tuple[int, str, Any]:
    stream = "stdout" if handler.stream is sys.stdout else "stderr"
    return handler.level, stream, handler.formatter and (handler.formatter._fmt, handler.formatter.datefmt)


def _put_logging(state: Any) -> None:
    root = logging.getLogger()
    level, root.manager.disable, levels, handlers = state
    root.setLevel(level)
    for name in _take_logging()[2].keys() - levels.keys():
        logging.getLogger(name).setLevel(logging.NOTSET)
    for name, each in levels.items():
        logging.getLogger(name).setLevel(each)
    if [_handler_parts(handler) for handler in _stream_handlers()] == handlers:
        return
    for handler in _stream_handlers():
        root.removeHandler(handler)
    for handler_level, stream, formatter in handlers:
        new: Any = logging.StreamHandler(getattr(sys, stream))
        new.setLevel(handler_level)
        if formatter:
            new.setFormatter(logging.Formatter(*formatter))
        root.addHandler(new)


def _take_display() -> Any:
    """Return the options that say how numbers and frames are written, as far as they are not the usual ones."""
    options: dict[str, Any] = {}
    if config := getattr(loaded("pandas"), "_config", None):
        registered = getattr(config.config, "_registered_options", {})
        for name, option in registered.items():
            value = config.config._global_config
            for part in name.split("."):
                value = value[part]
            if value is not option.defval and value != option.defval and not callable(value):
                options[name] = value
    numpy = loaded("numpy")
    return options, numpy and (numpy.get_printoptions(), numpy.geterr())


def _put_display(state: Any) -> None:
    options, numbers = state
    if options or loaded("pandas") is not None:
        pandas = library("pandas")
        for name in _take_display()[0].keys() - options.keys():
            pandas.reset_option(name)
        for name, value in options.items():
            pandas.set_option(name, value)
    if numbers and loaded("numpy") is not None:
        numpy = loaded("numpy")
        numpy.set_printoptions(**numbers[0])
        numpy.seterr(**numbers[1])


#: Where figures are drawn is each process's own matter.
NOT_STYLE = frozenset({"backend", "backend_fallback", "interactive"})


def _take_style() -> dict[str, Any]:
    """Return what differs from the settings matplotlib began with."""
    matplotlib = loaded("matplotlib")
    if matplotlib is None:
        return {}
    usual = matplotlib.rcParamsOrig
    return {
        name: value
        for name, value in dict.items(matplotlib.rcParams)
        if name not in NOT_STYLE and value != dict.get(usual, name)
    }


def _put_style(style: dict[str, Any]) -> None:
    if not style and loaded("matplotlib") is None:
        return
    matplotlib = library("matplotlib")
    for name in _take_style().keys() - style.keys():
        matplotlib.rcParams[name] = dict.get(matplotlib.rcParamsOrig, name)
    matplotlib.rcParams.update(style)


#: What can be taken along, by the name that the analysis gives it.
CARRIED: Mapping[str, Carrier] = {
    **{
        name: Carrier(each[0], partial(take_generator, name), partial(_put_generator, name))
        for name, each in GENERATORS.items()
    },
    "state:environ": Carrier("os", lambda: dict(os.environ), _put_environ),
    "state:cwd": Carrier("os", _take_cwd, _put_cwd),
    "state:locale": Carrier(
        "locale", partial(locale.setlocale, locale.LC_ALL), partial(locale.setlocale, locale.LC_ALL)
    ),
    "state:sys": Carrier("sys", _take_sys, _put_sys),
    "state:warnings": Carrier("warnings", lambda: list(warnings.filters), _put_warnings),
    "state:logging": Carrier("logging", _take_logging, _put_logging),
    "state:display": Carrier("pandas", _take_display, _put_display),
    "state:matplotlib.rcParams": Carrier("matplotlib", _take_style, _put_style),
}

#: States that the analysis names after a module, and that are the system's or nobody's.
OUTSIDE = frozenset(
    f"state:{name}"
    for name in ("os", "asyncio", "threading", "signal", "socket", "time", "gc", "subprocess", "shutil", "tempfile")
)

#: What goes along with every task: figures take their style from where they are drawn, as numbers their form.
ALWAYS = (AMBIENT & CARRIED.keys()) | {"state:matplotlib.rcParams"}


def take_states(names: Collection[str], *, everything: bool = True) -> dict[str, Any]:
    """Return the content of these states, and of those that every task may depend on."""
    wanted = (ALWAYS | set(names)) if everything else set(names)
    return {name: carrier.take() for name, carrier in CARRIED.items() if name in wanted}


def put_states(states: Mapping[str, Any]) -> None:
    """Let this process have states that another had."""
    for name, state in states.items():
        CARRIED[name].put(state)
