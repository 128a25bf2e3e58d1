"""Values on their way to another process and back, as if they had never left.

In: a namespace and the names a body needs.  Out: a :class:`Parcel`; in the other process the same names again; and from
there what the body made of them, as a second parcel.

Three things hold that plain pickling would lose.

*Identity.*  All names of one parcel are pickled together, so names that share an object share it there too.  An object
that came with the first parcel is not copied on its way back: it is told by its number, and whoever sent it puts the
original in its place.  What the body changed in such an object is written into the original, so every other name that
holds it sees the change, as it would have without the journey.

*Late binding.*  A function of the notebook reads its globals when it is called.  It travels without them and is built
over the namespace it is unpacked into, so functions, methods and closures see the versions of the task that calls them.
The names it may read follow it, as far as they can be pickled.

*Memory.*  Arrays that are views of one another stay so.  Large buffers travel beside the pickle and are not copied
into it.

Parcels are unpacked only where they come from a process that we started, over the pipe we gave it: unpickling runs
code.
"""

from __future__ import annotations

import io
import pickle
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from types import CodeType
from typing import Any

from orch_notebook.errors import NotPicklable
from orch_notebook.runtime.originals import (
    Unfit,
    can_take_state,
    check_state,
    class_changes,
    has_state,
    is_array,
    is_atom,
    is_frame,
    is_notebooks,
    put_state,
    state_of,
    unfit,
)
from orch_notebook.runtime.packing import Packer, SharedMemory, built_over, owner_of
from orch_notebook.runtime.parcels import Parcel

__all__ = ["WAY_OUT", "Receiver", "Sender", "Stayed"]


class _Unpacker(pickle.Unpickler):
    """Reads what a packer wrote; numbers stand for originals."""

    def __init__(self, parcel: Parcel, originals: Sequence[Any] = ()) -> None:
        super().__init__(io.BytesIO(parcel.data), buffers=parcel.buffers)
        self._originals = originals

    def persistent_load(self, number: int) -> Any:
        return self._originals[number]

    def objects(self) -> list[Any]:
        """Return every object that was read, in the order of the packer's numbers."""
        found = self.memo.copy()
        return [found.get(number) for number in range(len(found))]


class Sender:
    """One exchange, as it is seen where the originals are.

    Parameters
    ----------
    namespace : Mapping
        The names as the body would see them here.
    globals : dict
        What functions that come back are built over.
    """

    def __init__(self, namespace: Mapping[str, Any], globals: dict[str, Any]) -> None:
        self._namespace = namespace
        self._globals = globals
        self._packer = Packer()
        #: Names that functions may read and that could not be pickled, with the reason.
        self.left_out: dict[str, str] = {}

    @property
    def files(self) -> set[str]:
        """Files that the functions in the parcel say they come from."""
        return self._packer.files

    def pack(self, names: Collection[str], changed: Collection[str]) -> Parcel:
        """Return the values of names, with what the functions among them read.

        Parameters
        ----------
        names : collection of str
            What the body needs; names that are not bound are passed over.
        changed : collection of str
            Those of them whose objects the body may change in place.

        Raises
        ------
        NotPicklable
            One of them cannot be pickled.
        Unfit
            One that may be changed is of a kind whose original cannot be changed from afar.
        """
        whole: set[int] = set()
        while True:
            try:
                return self._pack(names, changed, whole)
            except SharedMemory as error:
                whole.add(error.args[0])

    def _pack(self, names: Collection[str], changed: Collection[str], whole: set[int]) -> Parcel:
        packer = self._packer = Packer(whole)
        self.left_out = {}
        namespace = self._namespace
        sent = [name for name in sorted(changed) if name in namespace]
        packer.dump(sent)
        packer.must_fit = True
        for name in sent:
            if isinstance(namespace[name], type) and not is_notebooks(namespace[name]):
                raise Unfit(f"it changes the class {name!r} in place")
            self._put(name, namespace[name])
        packer.must_fit = False
        if sent:
            self._check(packer)
        rest = [name for name in sorted(names) if name in namespace and name not in changed]
        for name in rest:
            self._put(name, namespace[name])
        sent += rest
        known = {*sent, "__builtins__", "__name__"}
        while todo := packer.wanted.keys() - known:
            for name in sorted(todo):
                known.add(name)
                globals_ = namespace if name in namespace else packer.wanted[name]
                if name in globals_ and self._put_if_possible(name, globals_[name]):
                    sent.append(name)
        packer.dump(None)
        return Parcel(*packer.parts())

    def _put(self, name: str, value: Any) -> None:
        try:
            self._packer.dump((name, value))
        except (SharedMemory, Unfit):
            raise
        except Exception as error:  # noqa: BLE001 - pickling runs the value's own code
            raise NotPicklable(
                f"It reads {name!r} ({type(value).__name__}), which cannot be sent to another process: "
                f"{first_line(error)} {WAY_OUT}",
                name=name,
                retriable=False,
            ) from None

    def _put_if_possible(self, name: str, value: Any) -> bool:
        """Put in what a function may read; who knows whether it ever does."""
        if not is_atom(value) or isinstance(value, tuple | frozenset):
            try:
                Packer().dump(value)
            except SharedMemory:
                pass
            except Exception as error:  # noqa: BLE001 - as above
                self.left_out[name] = first_line(error)
                return False
        self._put(name, value)
        return True

    def _check(self, packer: Packer) -> None:
        for _, value in packer.memo.copy().values():
            if not is_frame(value) and (kind := unfit(value)):
                raise Unfit(f"it changes {kind} in place")

    def unpack(self, parcel: Parcel) -> dict[str, Any]:
        """Put changes into the originals, and return the names that came back with their values.

        Raises
        ------
        Unfit
            An original cannot be changed as its copy was.
        """
        numbered = dict(self._packer.memo.copy().values())
        unpacker = _Unpacker(parcel, [numbered.get(number) for number in range(len(numbered))])
        token = built_over.set(self._globals)
        try:
            made = dict(iter(unpacker.load, None))
            states = list(iter(unpacker.load, None))
        finally:
            built_over.reset(token)
        states = [(number, state) for number, state in states if can_take_state(numbered[number])]
        for number, state in states:
            check_state(numbered[number], state)
        for number, state in states:
            put_state(numbered[number], state)
        return made


#: What is copied on its way back, because only its parts can be somebody's originals.
UNNUMBERED = (tuple, frozenset, CodeType)


class _AnswerPacker(Packer):
    """Pickles values; what came with the first parcel is told by its number, and its content follows."""

    def __init__(self, numbers: Mapping[int, int], objects: Sequence[Any]) -> None:
        self._numbers = numbers
        self._objects = objects
        self._content_of: dict[int, None] = {}
        #: By the owner of their memory: arrays that came, of those that are views of one another the whole one.
        self._roots: dict[int, Any] = {}
        for value in objects:
            if is_array(value):
                self._roots.setdefault(id(owner_of(value)), value)
        super().__init__({id(root) for root in self._roots.values()})

    def _root_of(self, array: Any) -> Any:
        # What was unpacked over a buffer owns no memory itself.
        root = self._roots.get(id(owner_of(array)))
        return super()._root_of(array) if root is None else root

    def persistent_id(self, obj: Any) -> int | None:
        number = self._numbers.get(id(obj))
        if number is None:
            return None
        if has_state(obj):
            self._content_of[number] = None
        return number

    def add_contents(self, changed: Iterable[int], classes: Mapping[int, dict[str, Any]]) -> None:
        """Add the contents of these, of what was told by number, and of what those contents tell by number."""
        self._content_of |= dict.fromkeys(changed)
        for number, before in classes.items():
            if any(members := class_changes(self._objects[number], before)):
                self.dump((number, members))
        done: set[int] = set()
        while todo := [number for number in self._content_of if number not in done]:
            for number in todo:
                done.add(number)
                value = self._objects[number]
                root = self._came_within(value)
                if root is not None and root is not value:
                    self._content_of[self._numbers[id(root)]] = None
                else:
                    self.dump((number, state_of(value)))

    def can_take(self, value: Any) -> bool:
        """Whether a value can be pickled; arrays and frames, which are large, always can."""
        if is_array(value) or is_frame(value) or id(value) in self._numbers:
            return True
        try:
            _AnswerPacker(self._numbers, self._objects).dump(value)
        except Exception:  # noqa: BLE001 - pickling runs the value's own code
            return False
        return True

    def _came_within(self, value: Any) -> Any:
        """Return the array that came and in whose memory another one lies, if it is one."""
        return self._roots.get(id(owner_of(value))) if is_array(value) else None


class Receiver:
    """One exchange, as it is seen where the copies are."""

    def __init__(self, namespace: dict[str, Any]) -> None:
        self._namespace = namespace
        self._objects: list[Any] = []
        #: Classes of the notebook that came, by their number, with their members.
        self._classes: dict[int, dict[str, Any]] = {}
        #: The numbers of what the body may change, even where nothing leads there afterwards.
        self._changed: list[int] = []

    def unpack(self, parcel: Parcel) -> None:
        """Put what was sent into the namespace."""
        unpacker = _Unpacker(parcel)
        token = built_over.set(self._namespace)
        try:
            changed = unpacker.load()
            self._namespace.update(unpacker.load() for _ in changed)
            count = len(unpacker.memo.copy()) if changed else 0
            self._namespace.update(iter(unpacker.load, None))
        finally:
            built_over.reset(token)
        # Tuples go: nobody can change one, and some only held what an object was made from.
        self._objects = [None if isinstance(value, UNNUMBERED) else value for value in unpacker.objects()]
        del unpacker
        self._classes = {number: dict(vars(value)) for number, value in enumerate(self._objects) if is_notebooks(value)}
        for number in range(count):
            value = self._objects[number]
            # What nothing but our list, the name here and the call that counts refers to was only needed on the way.
            if has_state(value) and sys.getrefcount(value) > 3:
                self._changed.append(number)

    def pack(self, made: Mapping[str, Any], wanted: Collection[str] | None = None) -> Parcel:
        """Return these values for the way back, with what the body changed in what it was sent.

        Parameters
        ----------
        made : mapping
            The values by name.
        wanted : collection of str, optional
            Those that somebody reads, by default all; of the others a :class:`Stayed` goes if they cannot be pickled.

        Raises
        ------
        NotPicklable
            One that is wanted cannot be pickled.
        """
        numbers = {id(value): number for number, value in enumerate(self._objects) if value is not None}
        packer = _AnswerPacker(numbers, self._objects)
        for name, value in made.items():
            is_wanted = wanted is None or name in wanted
            if not is_wanted and not is_atom(value) and not packer.can_take(value):
                value = Stayed(name, type(value).__name__)
            try:
                packer.dump((name, value))
            except Exception as error:  # noqa: BLE001 - pickling runs the value's own code
                raise NotPicklable(
                    f"It makes {name!r} ({type(value).__name__}), which cannot be sent back from its process: "
                    f"{first_line(error)} {WAY_OUT}",
                    name=name,
                    retriable=False,
                ) from None
        packer.dump(None)
        packer.add_contents(self._changed, self._classes)
        packer.dump(None)
        return Parcel(*packer.parts())


class Stayed:
    """Stands for what a body made, could not send back, and no other task reads.

    Parameters
    ----------
    name : str
        The name it is bound to.
    kind : str
        What it is there.
    """

    def __init__(self, name: str, kind: str) -> None:
        self.__dict__.update(name=name, kind=kind)

    def __repr__(self) -> str:
        return f"<{self.__dict__['name']}: a {self.__dict__['kind']} that stayed in its process>"

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        raise AttributeError(f"{self!r} could not be sent back. {WAY_OUT}")


WAY_OUT = "Run it where the others are: --runner threads."


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says, as a sentence."""
    said = str(error).strip().splitlines()
    line = said[0] if said else type(error).__name__
    return line if line.endswith((".", "!", "?")) else f"{line}."
