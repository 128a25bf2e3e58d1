"""What the completed tasks of a run have left for its next attempt.

In: the values a task made, when it completes.  Out: details for the event of its completion; and in the next attempt
the same values again.  Small results travel inside that event, so keeping them costs no file.  Larger ones lie in a
folder that all attempts at a run share; how large they may be grows with the time that making them took, so keeping
never costs more than a small part of it.  What is not kept is made again.
"""

from __future__ import annotations

import base64
import io
import os
import pickle
import shutil
import struct
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orch_notebook.model.lines import first_line
from orch_notebook.model.runs import FlowRun, short_id
from orch_notebook.model.states import StateType
from orch_notebook.runtime.files import make_private_folder, place_of
from orch_notebook.runtime.packing import Packer, SharedMemory, TooLarge, built_over
from orch_notebook.runtime.redaction import redactor
from orch_notebook.runtime.results import SIGNATURE, Results
from orch_notebook.runtime.settings import Settings
from orch_notebook.runtime.store import Store

__all__ = ["Attempts", "Left", "forget_attempts", "open_attempts", "reason"]

#: Results of up to so many bytes are kept inside the event of their completion.
INLINE = 4096

#: A result may always take so many bytes, and more where making it took long: pickling, signing and writing takes 1 ms
#: for 0.5 MB and 0.1 to 0.3 s for 40 MB, so it costs a tenth of the task's own time.
ALWAYS = 100_000
PER_SECOND = 40_000_000


@dataclass(frozen=True, slots=True)
class Left:
    """What one task has left in an earlier attempt.

    Parameters
    ----------
    run_id : str
        The attempt, as people know it.
    made_by : str
        The task run.
    details : mapping
        Those of its completion: ``kept`` (the sealed result itself, or ``file``), ``files`` (fingerprints of those it
        wrote), ``lost`` (why the result could not be kept).
    """

    run_id: str
    made_by: str
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_kept(self) -> bool:
        """Whether its values are kept."""
        return "kept" in self.details


class Attempts:
    """What the attempts at one run have left, and what this one leaves.

    Parameters
    ----------
    folder : Path
        Where results lie that are too large for an event.
    results : Results
        Signs them: unpickling runs code.
    left : mapping
        What earlier attempts have left, by key.
    again : collection of str
        Tasks that are to run once more, and with them what comes from them.
    """

    def __init__(
        self, folder: Path, results: Results, left: Mapping[str, Left] | None = None, again: Collection[str] = ()
    ) -> None:
        self._folder = folder
        self._results = results
        self.left = dict(left or {})
        self.again = frozenset(again)

    def has(self, key: str) -> bool:
        """Whether a result is kept under a key."""
        left = self.left.get(key)
        return left is not None and left.is_kept and (left.details["kept"] != "file" or self._path(key).exists())

    def load(self, key: str, namespace: dict[str, Any]) -> dict[str, Any] | None:
        """Return the values kept under a key, functions of the notebook built over `namespace`; None if that fails."""
        left = self.left.get(key)
        if left is None or not left.is_kept:
            return None
        try:
            inline = left.details["kept"]
            with self._path(key).open("rb") if inline == "file" else io.BytesIO(base64.b64decode(inline)) as file:
                signature, (head, *parts) = file.read(SIGNATURE), _read(file)
            if not self._results.has_signed(signature, head, *parts):
                return None
            return _unpack(parts, namespace)
        except Exception:  # noqa: BLE001 - gone, or made with other versions of the libraries: as good as not there
            return None

    def keep(
        self, key: str, values: Mapping[str, Any], seconds: float, files: Mapping[str, str], *, whatever: bool = False
    ) -> dict[str, Any]:
        """Keep what a task has made; return what is to be recorded of that.

        Parameters
        ----------
        key : str
            What the values depend on.
        values : mapping
            By name; what they share among themselves they share when they are loaded.
        seconds : float
            How long making them took.
        files : mapping
            The files that the task wrote, with their fingerprints.
        whatever : bool
            Keep it however large it is: made again it would not be the same.
        """
        try:
            parts = _pack(values, None if whatever else ALWAYS + int(PER_SECOND * seconds))
            redactor.check(*parts)
            parts.insert(0, self._results.mark(*parts))
            if len(parts) == 3 and len(parts[-1]) <= INLINE:
                kept = base64.b64encode(b"".join(parts)).decode()
            else:
                self._write(self._path(key), parts)
                kept = "file"
        except TooLarge:
            return {"key": key, "lost": "making it again is quicker than keeping it"}
        except Exception as error:  # noqa: BLE001 - what cannot be kept is no failure: the task runs again
            return {"key": key, "lost": first_line(error)}
        return {"key": key, "kept": kept, **({"files": dict(files)} if files else {})}

    def _path(self, key: str) -> Path:
        return place_of(self._folder, key)

    def _write(self, path: Path, parts: list[Any]) -> None:
        # Moved into place, so that it is there whole or not at all.  It need not survive a power cut: what the
        # signature does not vouch for is made again.
        make_private_folder(self._folder)
        beside = path.with_suffix(".part")
        with os.fdopen(os.open(beside, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "wb") as file:
            for part in parts:
                file.write(part)
        beside.replace(path)


def open_attempts(
    store: Store, results: Results, settings: Settings, run_id: str, *, is_over: bool = False
) -> Attempts | None:
    """Return what the attempts at a run have left so far; None if nobody could repeat it.

    Parameters
    ----------
    run_id : str
        The run that executes a notebook.
    is_over : bool
        It has ended, and what it has left itself counts, too.
    """
    run, plan = store.run(run_id), store.plan(run_id)
    if run is None or plan is None:
        return None
    left: dict[str, Left] = {}
    line = list(line_of(store, run))
    for earlier in line if is_over else line[1:]:
        for key, found in left_by(store, earlier).items():
            left.setdefault(key, found)
    return Attempts(_folder_of(settings, line[-1]), results, left, plan.again)


def _folder_of(settings: Settings, first: FlowRun) -> Path:
    return settings.home / "attempts" / first.run_id


def line_of(store: Store, run: FlowRun) -> Iterator[FlowRun]:
    """Yield a run and those that it repeats, the first attempt last."""
    seen: FlowRun | None = run
    while seen is not None:
        yield seen
        seen = store.run(seen.retry_of) if seen.retry_of else None


def left_by(store: Store, run: FlowRun) -> dict[str, Left]:
    """Return by key what the tasks of one attempt have left; those that used what an earlier one left have no key."""
    children = (store.run(child.run_id) for child in store.runs(parent_run_id=run.run_id, limit=1000))
    return {
        str(task.details["key"]): Left(run.run_id, task.task_run_id, task.details)
        for part in (run, *(child for child in children if child is not None))
        for task in part.tasks
        if task.state.type is StateType.COMPLETED and "key" in task.details
    }


def forget_attempts(store: Store, settings: Settings, run: FlowRun) -> None:
    """Remove what attempts have left beside the store, because a run has completed: all but what it rests on itself.

    Of a deployment, or of a notebook that none stands for, the newest run that has completed can be repeated from any
    of its tasks; and those that have failed since the one before it.
    """
    if not (settings.home / "attempts").is_dir():
        return
    *_, mine = line_of(store, run)
    for older in store.runs(deployment=run.deployment, flow=run.flow, state=StateType.COMPLETED.value, limit=100):
        *_, first = line_of(store, older)
        if older.run_id != run.run_id and first.run_id != mine.run_id and older.deployment == run.deployment:
            shutil.rmtree(_folder_of(settings, first), ignore_errors=True)


def reason(left: Left) -> str:
    """Say where a result comes from that takes the place of a performance."""
    return f"It completed in run {short_id(left.run_id)}; nothing it depends on has changed since."


# As bytes: a head that tells the sizes, the pickle, and the large buffers beside it, which are not copied on their way.


def _pack(values: Mapping[str, Any], most: int | None) -> list[Any]:
    whole: set[int] = set()
    while True:
        packer = Packer(whole, most=most)
        try:
            packer.dump(dict(values))
        except SharedMemory as error:
            whole.add(error.args[0])
            continue
        stream, buffers = packer.parts()
        sizes = [len(stream), *(buffer.nbytes for buffer in buffers)]
        return [struct.pack(f"<I{len(sizes)}Q", len(sizes), *sizes), stream, *buffers]


def _read(file: Any) -> list[Any]:
    start = file.read(4)
    sizes = file.read(8 * struct.unpack("<I", start)[0])
    parts: list[Any] = [start + sizes]
    for (size,) in struct.iter_unpack("<Q", sizes):
        # Arrays get memory of their own, which they may write to.
        parts.append(bytearray(size))
        if file.readinto(parts[-1]) != size:
            raise EOFError
    return parts


def _unpack(parts: list[Any], namespace: dict[str, Any]) -> dict[str, Any]:
    token = built_over.set(namespace)
    try:
        found: dict[str, Any] = pickle.Unpickler(io.BytesIO(parts[0]), buffers=parts[1:]).load()
        return found
    finally:
        built_over.reset(token)
