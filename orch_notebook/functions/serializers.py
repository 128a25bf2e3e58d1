"""How results become bytes: pickled by default, as JSON that others can read, or either of them compressed.

In: a value.  Out: bytes, and from them the same value again; what JSON would silently change (tuples, keys that are no
texts, classes) is marked, so that it comes back as it was.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from orch_notebook.errors import UsageError
from orch_notebook.functions.arguments import adapter_of
from orch_notebook.runtime.pickling import from_bytes, to_bytes
from orch_notebook.runtime.redaction import redactor

__all__ = [
    "CompressedJSONSerializer",
    "CompressedPickleSerializer",
    "CompressedSerializer",
    "JSONSerializer",
    "PickleSerializer",
    "Serializer",
    "dump",
    "reader",
    "serializer_of",
]

#: How what JSON has no word for is marked.
CLASS, DATA = "__class__", "data"
SERIES: Mapping[str, Callable[[Any], Any]] = {f"builtins.{kind.__name__}": kind for kind in (tuple, set, frozenset)}


class Serializer:
    """Makes bytes of values and values of bytes; a class of one's own has a `type`, ``dumps`` and ``loads``.

    Attributes
    ----------
    type : str
        What is noted with each result, so that it is read as it was written.
    """

    type: str = ""

    def dumps(self, obj: Any) -> bytes:
        """Return a value as bytes."""
        raise NotImplementedError

    def loads(self, blob: bytes) -> Any:
        """Return the value that these bytes were made of."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"<serializer {self.type!r}>"


class PickleSerializer(Serializer):
    """Pickles, functions and classes of a notebook included.

    Parameters
    ----------
    picklelib : str
        Another library with ``dumps`` and ``loads``.
    """

    type = "pickle"

    def __init__(self, picklelib: str = "cloudpickle") -> None:
        self._library = picklelib

    def dumps(self, obj: Any) -> bytes:
        """Return a value as a pickle."""
        if self._library == "cloudpickle":
            return to_bytes(obj)
        data: bytes = import_module(self._library).dumps(obj)
        return data

    def loads(self, blob: bytes) -> Any:
        """Return the value of a pickle."""
        return from_bytes(blob) if self._library == "cloudpickle" else import_module(self._library).loads(blob)


class JSONSerializer(Serializer):
    """JSON that others can read.

    What JSON has no word for is marked with its class and read back as such: tuples, sets, bytes, dates, decimals,
    enumerations, paths, dataclasses, models of pydantic.

    Parameters
    ----------
    jsonlib : str
        Another library with ``dumps`` and ``loads``, such as ``orjson``.
    dumps_kwargs, loads_kwargs : mapping, optional
        Passed to it.

    Examples
    --------
    >>> written = JSONSerializer().dumps({"n": (1, 2)})
    >>> written
    b'{"n": {"__class__": "builtins.tuple", "data": [1, 2]}}'
    >>> JSONSerializer().loads(written)
    {'n': (1, 2)}
    """

    type = "json"

    def __init__(
        self,
        jsonlib: str = "json",
        *,
        dumps_kwargs: Mapping[str, Any] | None = None,
        loads_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        self._library = jsonlib
        self._dumps_kwargs = dict(dumps_kwargs or {})
        self._loads_kwargs = dict(loads_kwargs or {})

    def dumps(self, obj: Any) -> bytes:
        """Return a value as JSON.

        Raises
        ------
        TypeError
            Neither JSON nor pydantic can write it.
        """
        written = import_module(self._library).dumps(_marked(obj), **self._dumps_kwargs)
        data: bytes = written.encode() if isinstance(written, str) else written
        return data

    def loads(self, blob: bytes) -> Any:
        """Return the value that JSON was made of."""
        return _unmarked(import_module(self._library).loads(blob, **self._loads_kwargs))


class CompressedSerializer(Serializer):
    """Compresses what another serializer makes.

    Parameters
    ----------
    serializer : str or Serializer
        The other one.
    compressionlib : str
        A library with ``compress`` and ``decompress``: lzma, zlib, gzip, bz2, or one that is installed.
    """

    def __init__(self, serializer: str | Serializer, compressionlib: str = "lzma") -> None:
        self.serializer = serializer_of(serializer)
        self._library = compressionlib
        self.type = f"compressed/{self.serializer.type}" + ("" if compressionlib == "lzma" else f"+{compressionlib}")
        self._call("compress")

    def _call(self, name: str) -> Callable[[bytes], bytes]:
        try:
            found: Callable[[bytes], bytes] = getattr(import_module(self._library), name)
        except (ImportError, AttributeError):
            raise UsageError(f"compressionlib={self._library!r} has no {name}(); lzma, zlib, gzip, bz2 have.") from None
        return found

    def compress(self, blob: bytes) -> bytes:
        """Return bytes compressed."""
        return self._call("compress")(blob)

    def dumps(self, obj: Any) -> bytes:
        """Return a value as compressed bytes."""
        return self.compress(self.serializer.dumps(obj))

    def loads(self, blob: bytes) -> Any:
        """Return the value that these bytes were made of."""
        return self.serializer.loads(self._call("decompress")(blob))


class CompressedPickleSerializer(CompressedSerializer):
    """Compressed pickles."""

    def __init__(self, compressionlib: str = "lzma") -> None:
        super().__init__("pickle", compressionlib)


class CompressedJSONSerializer(CompressedSerializer):
    """Compressed JSON."""

    def __init__(self, compressionlib: str = "lzma") -> None:
        super().__init__("json", compressionlib)


def serializer_of(given: Any) -> Serializer:
    """Return what was asked for by name, or is a serializer itself.

    Raises
    ------
    UsageError
        There is none of that name, or it cannot write and read.

    Examples
    --------
    >>> serializer_of("compressed/json")
    <serializer 'compressed/json'>
    """
    if isinstance(given, str):
        kind, _, rest = given.partition("/")
        if kind == "compressed" and rest:
            name, _, library = rest.partition("+")
            return CompressedSerializer(name, library or "lzma")
        if given in ("pickle", "json"):
            return PickleSerializer() if given == "pickle" else JSONSerializer()
        raise UsageError(
            f"result_serializer={given!r} is none that there is: pickle, json, compressed/pickle or compressed/json."
        )
    if isinstance(given, Serializer) or (callable(getattr(given, "dumps", None)) and hasattr(given, "loads")):
        return given if isinstance(given, Serializer) and given.type else _Own(given)
    raise UsageError(f"result_serializer is a name such as 'json', or has dumps() and loads(); {given!r} has not.")


class _Own(Serializer):
    """A serializer of the person's that says no type: it is told by its class."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.type = f"{type(inner).__module__}.{type(inner).__qualname__}"

    def dumps(self, obj: Any) -> bytes:
        data: bytes = self._inner.dumps(obj)
        return data

    def loads(self, blob: bytes) -> Any:
        return self._inner.loads(blob)


def reader(written_as: str, own: Serializer | None) -> Serializer | None:
    """Return what reads a result: the task's own serializer if it wrote it, else the one of that name; None if none."""
    if own is not None and own.type == written_as:
        return own
    try:
        return serializer_of(written_as)
    except UsageError:
        return None


def dump(serializer: Serializer, value: Any) -> bytes:
    """Return a value as bytes that hold no secret.

    Raises
    ------
    SecretExposed
        They would hold the value of one, also compressed.
    """
    if isinstance(serializer, CompressedSerializer):
        return serializer.compress(dump(serializer.serializer, value))
    data = serializer.dumps(value)
    redactor.check(data)
    if redactor and not isinstance(serializer, PickleSerializer | JSONSerializer):
        redactor.check(to_bytes(value))  # nobody knows how the other one writes texts
    return data


def _marked(value: Any) -> Any:
    """Return a value as JSON has it, with a mark on each part that JSON has no word for."""
    kind = type(value)
    if value is None or kind in (bool, int, float, str):
        return value
    if kind is list:
        return [_marked(each) for each in value]
    if kind is dict:
        if all(type(key) is str for key in value) and CLASS not in value:
            return {key: _marked(each) for key, each in value.items()}
        return {CLASS: "builtins.dict", DATA: [[_marked(key), _marked(each)] for key, each in value.items()]}
    if kind in (tuple, set, frozenset):
        return {CLASS: f"builtins.{kind.__name__}", DATA: [_marked(each) for each in value]}
    if kind is bytes:
        return {CLASS: "builtins.bytes", DATA: base64.b64encode(value).decode()}
    name, adapter = _name_of(kind), adapter_of(kind)
    if adapter is None:
        raise TypeError(f"A {kind.__name__} cannot be written as JSON; the serializer 'pickle' may do it.")
    data = adapter.dump_python(value, mode="json")
    if adapter.validate_python(data) != value:
        raise TypeError(f"A {kind.__name__} would not come back from JSON as it is; the serializer 'pickle' may do it.")
    return {CLASS: name, DATA: data}


def _unmarked(value: Any) -> Any:
    if isinstance(value, list):
        return [_unmarked(each) for each in value]
    if not isinstance(value, dict):
        return value
    if CLASS not in value:
        return {key: _unmarked(each) for key, each in value.items()}
    name, data = value[CLASS], value[DATA]
    if name == "builtins.dict":
        return {_unmarked(key): _unmarked(each) for key, each in data}
    if name == "builtins.bytes":
        return base64.b64decode(data)
    if name in SERIES:
        return SERIES[name](map(_unmarked, data))
    module, _, path = name.partition(":")
    kind: Any = import_module(module)
    for step in path.split("."):
        kind = getattr(kind, step)
    return adapter_of(kind).validate_python(data)


def _name_of(kind: type) -> str:
    # What is found under its name again when it is read; a class of a function is not.
    found: Any = import_module(kind.__module__)
    for step in kind.__qualname__.split("."):
        found = getattr(found, step, None)
    if found is not kind:
        raise TypeError(f"A {kind.__name__} cannot be written as JSON: its class stands in no module.")
    return f"{kind.__module__}:{kind.__qualname__}"
