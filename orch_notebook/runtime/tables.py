"""What arrays and frames hold, read without importing the libraries they come from.

Arrays are hashed where they lie; a frame is read by its columns, because how its blocks are arranged in memory changes
without anybody seeing it.
"""

from __future__ import annotations

import hashlib
import marshal
import sys
from collections.abc import Callable
from typing import Any

__all__ = ["look_at_table", "spans_of"]

SCALARS = frozenset({bool, int, float, complex, str, bytes, type(None)})
#: Bytes read of an array that is too big to be read whole, from pieces spread over it.
SAMPLE = 4_000_000
MOST_OBJECTS = 500_000

Take = Callable[[int], bool]
Found = tuple[dict[str, bytes], tuple[tuple[int, int], ...], str, str, dict[str, Any]]


def look_at_table(value: Any, take: Take) -> Found | None:
    """Return tokens by label, spans of memory, what it is, its size in words, and parts; None for anything else.

    Parameters
    ----------
    value
        Anything.
    take : callable
        ``take(size)`` says whether so many bytes may be read whole.
    """
    home = type(value).__module__.partition(".")[0]
    numpy, pandas = sys.modules.get("numpy"), sys.modules.get("pandas")
    if numpy is None:
        return None
    if isinstance(value, numpy.ndarray):
        return _look_at_array(value, take)
    if isinstance(value, numpy.random.RandomState):
        state = value.get_state(legacy=False)
        return {"state": _hash(repr(_plain(state)).encode())}, (), "generator of random numbers", "", {}
    if isinstance(value, numpy.random.Generator | numpy.random.BitGenerator):
        bits = getattr(value, "bit_generator", value)
        return {"state": _hash(repr(_plain(bits.state)).encode())}, (), "generator of random numbers", "", {}
    if pandas is not None and isinstance(value, pandas.DataFrame):
        return _look_at_frame(value, take)
    if pandas is not None and isinstance(value, pandas.Series):
        array, spans, parts = _column(value.array, take)
        own = {"values": array, "index": index_token(value.index, take), "name": _hash(repr(value.name).encode())}
        return own, spans, "series", _rows(len(value)), parts
    if pandas is not None and isinstance(value, pandas.Index | pandas.api.extensions.ExtensionArray):
        own = {"values": index_token(value, take)}
        return own, (), "index" if isinstance(value, pandas.Index) else "array", _rows(len(value), "value"), {}
    if home == "torch" and type(value).__name__ in ("Tensor", "Parameter"):
        return _look_at_tensor(value, take)
    return None


def _look_at_array(value: Any, take: Take) -> Found:
    shape = "×".join(map(str, value.shape)) or "one"
    own = {"type": _hash(f"{value.dtype.str} {value.shape}".encode())}
    parts: dict[str, Any] = {}
    if value.dtype.hasobject:
        own["values"], parts = _objects(value.ravel().tolist())
    else:
        own["values"] = _memory(value, take)
    mask = getattr(value, "_mask", None)
    if mask is not None and hasattr(mask, "tobytes"):
        own["mask"] = _hash(mask.tobytes())
    return own, spans_of(value), "array", f"{shape} {value.dtype}", parts


def _look_at_frame(value: Any, take: Take) -> Found:
    own = {" columns": index_token(value.columns, take), " index": index_token(value.index, take)}
    spans: list[tuple[int, int]] = []
    parts: dict[str, Any] = {}
    for name, array in zip(value.columns, _columns(value), strict=True):
        label = f"column {name!r}"
        while label in own:
            label += "'"
        own[label], found, inner = _column(array, take)
        spans += found
        parts |= {f"[{name!r}]{key}": part for key, part in inner.items()}
    size = f"{_rows(len(value))} × {_rows(value.shape[1], 'column')}"
    return own, tuple(spans), "frame", size, parts


def _columns(value: Any) -> Any:
    walk = getattr(value, "_iter_column_arrays", None)
    return walk() if walk is not None else (value.iloc[:, number].array for number in range(value.shape[1]))


def _column(array: Any, take: Take) -> tuple[bytes, tuple[tuple[int, int], ...], dict[str, Any]]:
    """Return the token, the spans and the parts of one column."""
    numpy = sys.modules["numpy"]
    # What pandas wraps around an array, and a categorical's codes.
    inner = array
    for name in ("_ndarray", "_codes", "_data"):
        if not isinstance(inner, numpy.ndarray) and isinstance(getattr(array, name, None), numpy.ndarray):
            inner = getattr(array, name)
    if not isinstance(inner, numpy.ndarray):
        inner = numpy.asarray(array, dtype=object)
    head = str(array.dtype).encode()
    if inner.dtype.hasobject:
        found, parts = _objects(inner.ravel().tolist())
        return _hash(head + found), spans_of(inner), parts
    mask = getattr(array, "_mask", None)
    tail = mask.tobytes() if isinstance(mask, numpy.ndarray) else b""
    return _hash(head + _memory(inner, take) + tail), spans_of(inner), {}


def index_token(index: Any, take: Take) -> bytes:
    """Return a token for an index, whose labels nobody changes in place."""
    names = repr(list(getattr(index, "names", ())))
    if type(index).__name__ == "RangeIndex":
        return _hash(f"range {index.start} {index.stop} {index.step} {names}".encode())
    array = getattr(index, "array", index) if type(index).__name__ != "MultiIndex" else index.to_numpy()
    found, _, _ = _column(array, take)
    return _hash(names.encode() + found)


def _look_at_tensor(value: Any, take: Take) -> Found:
    held = value.detach().cpu()
    array = (held.float() if str(held.dtype) == "torch.bfloat16" else held).numpy()
    own, spans, _, size, _ = _look_at_array(array, take)
    grad = getattr(value, "grad", None) if value.is_leaf else None
    parts = {".grad": grad} if grad is not None else {}
    return own, spans, "tensor", size, parts


def _objects(values: list[Any]) -> tuple[bytes, dict[str, Any]]:
    """Return a token for the plain values of an array of objects, and those that are not plain."""
    if set(map(type, values)) <= SCALARS:
        return _hash(marshal.dumps(values, 2)), {}
    told = [marshal.dumps(each, 2) if type(each) in SCALARS else type(each).__name__.encode() for each in values]
    parts = {f"[{n}]": each for n, each in enumerate(values[:MOST_OBJECTS]) if type(each) not in SCALARS}
    return _hash(b"|".join(told)), parts


def _memory(array: Any, take: Take) -> bytes:
    numpy = sys.modules["numpy"]
    if array.dtype.kind in "mM" or array.dtype.isbuiltin != 1:
        array = array.view("V" + str(array.dtype.itemsize)) if array.flags.c_contiguous and array.ndim else array
    if not take(array.nbytes):
        flat = array.reshape(-1) if array.flags.c_contiguous else array.ravel(order="K")
        step = max(1, flat.size * array.itemsize // SAMPLE)
        edges = numpy.concatenate([flat[:4096], flat[-4096:], flat[::step]])
        return _hash(b"sampled" + edges.tobytes())
    if array.flags.c_contiguous:
        try:
            return _hash(memoryview(array).cast("B"))
        except (TypeError, ValueError):
            pass
    return _hash(array.tobytes())


def spans_of(array: Any) -> tuple[tuple[int, int], ...]:
    """Return where the memory of an array lies: its start and its end, if it has any.

    Examples
    --------
    >>> import numpy
    >>> whole = numpy.zeros(4)
    >>> [(start, end)], [(first, last)] = spans_of(whole), spans_of(whole[1:3])
    >>> end - start, first - start
    (32, 8)
    """
    if not array.size:
        return ()
    start = array.__array_interface__["data"][0]
    low = sum(min(0, step * (length - 1)) for step, length in zip(array.strides, array.shape, strict=True))
    high = sum(max(0, step * (length - 1)) for step, length in zip(array.strides, array.shape, strict=True))
    return ((start + low, start + high + array.itemsize),)


def _plain(state: Any) -> Any:
    if isinstance(state, dict):
        return {key: _plain(part) for key, part in state.items()}
    return state.tolist() if hasattr(state, "tolist") else state


def _rows(number: int, noun: str = "row") -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def _hash(data: Any) -> bytes:
    return hashlib.blake2b(data, digest_size=12).digest()
