"""What a value is, by structure: equal for equal values, whatever process made them.

The package's own race detector compares the objects of one process, down to what libraries keep in them.  Here values
of different executions are compared, so what a library only remembers (a figure that was drawn or not) is left out.
"""

from __future__ import annotations

import hashlib
import re
import types
from typing import Any

ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
DEPTH = 6
WIDTH = 2000


def fingerprint(value: Any) -> str:
    """Return a short text that is the same for values that are the same."""
    text = describe(value, DEPTH, set())
    return text if len(text) < 60 else hashlib.sha1(text.encode("utf-8", "replace")).hexdigest()


def describe(value: Any, depth: int, seen: set[int]) -> str:
    """Return a text of all that can be seen of a value."""
    kind = type(value)
    name = f"{kind.__module__}.{kind.__qualname__}"
    if value is None or kind in (bool, int, float, complex, str, bytes):
        return repr(value)
    if isinstance(value, types.ModuleType):
        return f"module {value.__name__}"
    if isinstance(value, type):
        return f"class {value.__qualname__}"
    if isinstance(value, types.FunctionType):
        return f"function {value.__qualname__} {value.__code__.co_varnames} {value.__code__.co_names}"
    if isinstance(value, types.BuiltinFunctionType | types.MethodType):
        return f"function {value.__qualname__}"
    if depth <= 0 or id(value) in seen:
        return name
    seen = seen | {id(value)}
    try:
        return f"{name}({_parts(value, kind, depth, seen)})"
    except Exception as error:  # noqa: BLE001 - what cannot be looked into is told by its type
        return f"{name} {type(error).__name__}"


def _parts(value: Any, kind: type, depth: int, seen: set[int]) -> str:
    module = kind.__module__.partition(".")[0]
    if module == "numpy":
        if hasattr(value, "tobytes") and str(getattr(value, "dtype", "")) != "object":
            return f"{getattr(value, 'shape', '')} {value.dtype} {hashlib.sha1(value.tobytes()).hexdigest()}"
        if hasattr(value, "tolist"):
            return describe(value.tolist(), depth - 1, seen)
        if hasattr(value, "bit_generator"):
            return describe(value.bit_generator.state, depth - 1, seen)
        return ADDRESS.sub("", repr(value))
    if module == "pandas" and hasattr(value, "to_pickle") and hasattr(value, "index"):
        import pandas

        hashed = pandas.util.hash_pandas_object(value.astype(str))
        columns = list(map(str, getattr(value, "columns", [getattr(value, "name", "")])))
        return f"{value.shape} {columns} {hashlib.sha1(hashed.values.tobytes()).hexdigest()}"
    if module == "pandas":
        return ADDRESS.sub("", repr(value))
    if module in ("matplotlib", "mpl_toolkits") and hasattr(value, "findobj"):
        return _drawing(value)
    if isinstance(value, dict):
        parts = [(describe(k, depth - 1, seen), describe(v, depth - 1, seen)) for k, v in list(value.items())[:WIDTH]]
        return f"{len(value)} {parts}"
    if isinstance(value, set | frozenset):
        return f"{len(value)} {sorted(describe(item, depth - 1, seen) for item in list(value)[:WIDTH])}"
    if isinstance(value, list | tuple):
        return f"{len(value)} {[describe(item, depth - 1, seen) for item in value[:WIDTH]]}"
    if isinstance(value, types.GeneratorType):
        frame = value.gi_frame
        return f"{value.__qualname__} {frame.f_lasti if frame else 'ended'}"
    if hasattr(value, "getstate") and module == "random":
        return repr(value.getstate())
    if hasattr(value, "toarray"):
        return f"{value.shape} {hashlib.sha1(value.toarray().tobytes()).hexdigest()}"
    held = getattr(value, "__dict__", None)
    if isinstance(held, dict) and module not in ("matplotlib", "threading", "_thread"):
        parts = sorted((str(k), describe(v, depth - 1, seen)) for k, v in list(held.items())[:WIDTH])
        return str([pair for pair in parts if not pair[0].startswith("__")])
    return ADDRESS.sub(" at", repr(value)) if module in ("builtins", "collections", "datetime", "fractions") else ""


def _drawing(value: Any) -> str:
    """Return the structure of a figure or of a part of one."""
    kinds: dict[str, int] = {}
    for part in value.findobj():
        kinds[type(part).__name__] = kinds.get(type(part).__name__, 0) + 1
    titles = [axes.get_title() for axes in getattr(value, "axes", None) or [] if hasattr(axes, "get_title")]
    # Ticks are made when a figure is drawn, which may or may not have happened yet.
    return (
        f"{sorted((k, n) for k, n in kinds.items() if k in ('Axes', 'Line2D', 'Rectangle', 'Text'))} {titles}"
        if (hasattr(value, "number"))
        else type(value).__name__
    )
