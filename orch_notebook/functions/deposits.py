"""Where results rest, and as what: in the event of their completion, in ORCH_HOME, or in a storage of the person's.

In: a value that a task run returned, and what its task and flow say about results.  Out: what is recorded of where it
is; and from that the value again, or nothing if it cannot be had any more.
"""

from __future__ import annotations

import base64
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from orch_notebook.functions.options import FlowOptions, TaskOptions
from orch_notebook.functions.serializers import PickleSerializer, Serializer, dump, reader
from orch_notebook.runtime.home import Home
from orch_notebook.runtime.pickling import to_bytes
from orch_notebook.runtime.storages import Storage, place_of

__all__ = ["AS_USUAL", "Deposits", "Found", "Shelf"]

#: Results up to this many bytes are kept inside the event of their completion.
INLINE = 4096

PICKLE = PickleSerializer()


@dataclass(frozen=True, slots=True)
class Shelf:
    """How one result is kept.

    Parameters
    ----------
    serializer : Serializer or None
        What makes bytes of it; pickles by default.
    storage : Storage or None
        Where; by default in the event or in ORCH_HOME.
    name : str
        As what in the storage; by default its key.
    """

    serializer: Serializer | None = None
    storage: Storage | None = None
    name: str = ""


AS_USUAL = Shelf()


class Found(NamedTuple):
    """A result that another run has kept."""

    value: Any
    made_by: str
    expires_at: datetime | None


class Deposits:
    """The results of one flow run, as they rest.

    Parameters
    ----------
    home : Home
        Where they rest if nothing else is said.
    line : str
        The first run of the line that the run belongs to.
    """

    def __init__(self, home: Home, line: str) -> None:
        self._results = home.results
        self._named = home.settings.folder("results") / "named"
        self._line = line
        self._place: str | None = None
        self._serializer: Serializer | None = None

    def follow(self, options: FlowOptions, outer: Deposits | None = None) -> None:
        """Keep results as a flow says, or else as the flow around it does, where their tasks say nothing."""
        given = options.result_storage
        self._place, self._serializer = (None, None) if outer is None else (outer._place, outer._serializer)
        if given is not None:
            self._place = place_of(given)
        if options.result_serializer is not None:
            self._serializer = options.result_serializer

    def shelf(self, options: TaskOptions | FlowOptions, name: str = "") -> Shelf:
        """Return how results of a task are kept; under a name of its own, if it has one."""
        serializer = options.result_serializer or self._serializer
        place = place_of(options.result_storage) if options.result_storage is not None else self._place
        if place is None and name:
            place = str(self._named)
        if place is None:
            return AS_USUAL if serializer is None else Shelf(serializer)
        return Shelf(serializer, Storage(place, self._results), name)

    # keeping

    def put(
        self, shelf: Shelf, key: str, value: Any, made_by: str, *, is_shared: bool, expires_at: datetime | None = None
    ) -> dict[str, Any]:
        """Keep a value; return what is recorded of where it is.

        Parameters
        ----------
        key : str
            What it depends on.
        made_by : str
            The task run that returned it.
        is_shared : bool
            Other runs may use it too, until it expires.

        Raises
        ------
        Exception
            It cannot be written, or holds a secret; nothing is kept then.
        """
        written_as = {} if shelf.serializer is None else {"as": shelf.serializer.type}
        if shelf.storage is not None:
            name = shelf.name or (key if is_shared else f"{self._line}/{key}")
            head = {
                "as": (shelf.serializer or PICKLE).type,
                "made_by": made_by,
                "made_at": datetime.now(UTC).isoformat(),
                "expires_at": None if expires_at is None else expires_at.isoformat(),
            }
            shelf.storage.write(name, head, dump(shelf.serializer or PICKLE, value))
            return {"kept": "stored", "place": [shelf.storage.place, name], **written_as}
        data = _pickled(value) if shelf.serializer is None else dump(shelf.serializer, value)
        values = {"value": value} if shelf.serializer is None else {"data": data, **written_as}
        if is_shared:
            self._results.keep(f"cache/{key}", {**values, "expires_at": expires_at}, made_by)
        if len(data) <= INLINE:
            return {"kept": base64.b64encode(self._results.seal(data)).decode(), **written_as}
        self._results.keep(f"{self._line}/{key}", values, made_by)
        return {"kept": "file", **written_as}

    # finding again

    def get(self, key: str, details: Mapping[str, Any], made_by: str, own: Serializer | None) -> tuple[Any] | None:
        """Return what a task run returned, by what is recorded of it; None if it cannot be had any more.

        Parameters
        ----------
        own : Serializer or None
            The task's own, which may be one that only it has.
        """
        kept = details.get("kept")
        try:
            serializer = reader(details.get("as", PICKLE.type), own)
            if kept is None or serializer is None:
                return None
            if kept == "stored":
                place, name = details["place"]
                stored = Storage(place, self._results).read(name)
                # A name of the person's is used again: what stands there now may be another task run's.
                is_it = stored is not None and stored.head["made_by"] == made_by
                return (serializer.loads(stored.data),) if stored is not None and is_it else None
            if kept == "file":
                found = self._results.load(f"{self._line}/{key}")
                return None if found is None else (_value(found.values, serializer),)
            data = self._results.open(base64.b64decode(kept))
            return None if data is None else (serializer.loads(data),)
        except Exception:  # noqa: BLE001 - made with other versions of the libraries: as good as not there
            return None

    def find(self, shelf: Shelf, key: str) -> Found | None:
        """Return what any run has kept for others under a key."""
        try:
            if shelf.storage is not None:
                stored = shelf.storage.read(shelf.name or key)
                serializer = stored and reader(stored.head["as"], shelf.serializer)
                if not stored or not serializer:
                    return None
                until = stored.head.get("expires_at")
                expires_at = None if until is None else datetime.fromisoformat(until)
                return Found(serializer.loads(stored.data), stored.head["made_by"], expires_at)
            kept = self._results.load(f"cache/{key}")
            if kept is None:
                return None
            serializer = reader(kept.values.get("as", PICKLE.type), shelf.serializer)
            if serializer is None:
                return None
            return Found(_value(kept.values, serializer), kept.made_by, kept.values.get("expires_at"))
        except Exception:  # noqa: BLE001 - as above
            return None


def _value(values: Mapping[str, Any], serializer: Serializer) -> Any:
    return values["value"] if "value" in values else serializer.loads(values["data"])


def _pickled(value: Any) -> bytes:
    if type(value) in (type(None), bool, int, float, str, bytes):
        return pickle.dumps(value, 5)
    return to_bytes(value)
