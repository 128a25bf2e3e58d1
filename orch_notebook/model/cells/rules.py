"""The form of what is known of libraries: rules for calls, and the table that finds them.

The table's contents are in :mod:`orch_notebook.model.cells.knowledge`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

__all__ = ["Knowledge", "Rule"]


@dataclass(frozen=True, slots=True)
class Rule:
    """What one call does.

    Parameters
    ----------
    changes : tuple
        What it changes in place: positions or keywords of arguments, ``"self"`` for the receiver, ``"*"`` for all
        arguments.
    deep : bool
        Whether the receiver changes with all that is inside it.
    gives : str
        What comes back: ``"new"`` an object of its own; ``"plain"`` something nobody can change; ``"self"`` the
        receiver; ``"live"`` the receiver or a part of it; ``"first"`` the first argument; ``"view"`` a part of the
        receiver, or of the arguments where there is none, or the same memory; ``"either"`` a part of the receiver or an
        argument; ``"drawing"`` a part of a figure; ``"path"`` the path that is put together from texts; ``"holder"`` a
        new object that holds receiver and arguments; ``"copy"`` a new container with the same elements as the receiver
        or the arguments.
    kind : tuple of tags
        What is known of what comes back, such as ``("stateful", "iterator")``.
    state : tuple of str
        Hidden state it changes.
    sees : tuple of str
        Hidden state it depends on.
    unless : str
        The keyword that makes it independent of `state`.
    when : str
        The keyword without which it is independent of `state`.
    reads_file, writes_file : int or None
        Position of the argument that names the file.
    exclusive : str
        What no two tasks may use at a time.
    stores : bool
        Whether the receiver holds the arguments afterwards.
    quotes : bool
        Whether its texts speak of the caller's names, as the formulas of ``pandas.eval`` do.
    binds : bool
        Whether it binds the names that its first text lists, as globals of whoever calls it.
    opaque : str
        Why nothing is certain after it.
    """

    changes: tuple[int | str, ...] = ()
    deep: bool = False
    gives: str = "new"
    kind: tuple[tuple[str, str], ...] = ()
    state: tuple[str, ...] = ()
    sees: tuple[str, ...] = ()
    unless: str = ""
    when: str = ""
    reads_file: int | None = None
    writes_file: int | None = None
    exclusive: str = ""
    stores: bool = False
    quotes: bool = False
    binds: bool = False
    opaque: str = ""


class Knowledge:
    """The table, with what users added; equal only to itself.

    Examples
    --------
    >>> known = Knowledge({"numpy.random.*": Rule(state=("state:numpy.random",))}, {}, {})
    >>> known = known.extend(functions={"mylib.tidy": Rule(changes=(0,))})
    >>> known.function("mylib.tidy").changes
    (0,)
    >>> known.function("numpy.random.normal").state
    ('state:numpy.random',)
    """

    def __init__(
        self,
        functions: Mapping[str, Rule],
        methods: Mapping[str, Rule],
        magics: Mapping[str, str],
    ) -> None:
        self.functions = dict(functions)
        self.methods = dict(methods)
        self.magics = dict(magics)
        self._found: dict[str, Rule | None] = {}
        #: Another one whenever something is learned: what was found out before holds no more.
        self.edition = object()

    def learn(
        self,
        functions: Mapping[str, Rule] | None = None,
        methods: Mapping[str, Rule] | None = None,
        magics: Mapping[str, str] | None = None,
    ) -> None:
        """Know more from now on, here and wherever this table is used; what is given goes before what was there.

        Parameters
        ----------
        functions : Mapping
            Rules by dotted path, ``"mylib.*"`` for all that begins so.
        methods : Mapping
            Rules by a method's bare name.
        magics : Mapping
            What a magic does: ``"nothing"``, ``"code"`` (it runs its text as Python), ``"state:…"``.

        Examples
        --------
        >>> known = Knowledge({}, {}, {})
        >>> known.learn(functions={"mylib.tidy": Rule(changes=(0,))})
        >>> known.function("mylib.tidy").changes
        (0,)
        """
        self.functions |= functions or {}
        self.methods |= methods or {}
        self.magics |= magics or {}
        self._found.clear()
        vars(self).pop("roots", None)
        self.edition = object()

    def extend(
        self,
        functions: Mapping[str, Rule] | None = None,
        methods: Mapping[str, Rule] | None = None,
        magics: Mapping[str, str] | None = None,
    ) -> Knowledge:
        """Return a table that knows more; what is given goes before what was there."""
        return Knowledge(
            self.functions | dict(functions or {}), self.methods | dict(methods or {}), self.magics | dict(magics or {})
        )

    def function(self, path: str) -> Rule | None:
        """Return the rule for a dotted path: its own, that of its last name, or the longest match."""
        try:
            return self._found[path]
        except KeyError:
            pass
        rule = self.functions.get(path) or self.functions.get("*." + path.rpartition(".")[2])
        stem = path
        while rule is None and stem:
            stem = stem.rpartition(".")[0]
            rule = self.functions.get(stem + ".*")
        self._found[path] = rule
        return rule

    def method(self, name: str, types: Iterable[str] = ()) -> Rule | None:
        """Return the rule for a method of that name; what is known of the receiver's type goes first and last."""
        kinds = tuple(types)
        for kind in kinds:
            if (rule := self.methods.get(f"{kind}.{name}")) is not None:
                return rule
        rule = self.methods.get(name)
        for kind in kinds if rule is None else ():
            rule = rule or self.methods.get(f"{kind}.*")
        return rule

    @cached_property
    def roots(self) -> frozenset[str]:
        """The top-level packages that the table speaks of."""
        return frozenset(path.partition(".")[0] for path in self.functions)
