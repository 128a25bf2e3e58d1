"""The random generators that libraries keep to themselves: where they stand, and how to put them there again.

In: the name that the analysis gives such hidden state.  Out: a snapshot, or a generator that goes on from one.  Only
what is imported already is looked at.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

__all__ = ["GENERATORS", "put_generator", "take_generator"]


def _numpy(module: Any) -> Any:
    return module.random.get_state()


def _put_numpy(module: Any, state: Any) -> None:
    module.random.set_state(state)


def _torch(module: Any) -> Any:
    return module.get_rng_state(), module.cuda.get_rng_state_all() if module.cuda.is_available() else []


def _put_torch(module: Any, state: Any) -> None:
    module.set_rng_state(state[0])
    if state[1]:
        module.cuda.set_rng_state_all(state[1])


#: Hidden state → its module, how to take it and how to put it back.
GENERATORS: Mapping[str, tuple[str, Callable[[Any], Any], Callable[[Any, Any], None]]] = MappingProxyType(
    {
        "state:random": ("random", lambda module: random.getstate(), lambda module, state: random.setstate(state)),
        "state:numpy.random": ("numpy", _numpy, _put_numpy),
        "state:torch": ("torch", _torch, _put_torch),
    }
)


def take_generator(name: str) -> Any:
    """Return where a generator stands; ``None`` where its library has not been imported.

    Examples
    --------
    >>> there = take_generator("state:random")
    >>> first = random.random()
    >>> put_generator("state:random", there)
    >>> random.random() == first
    True
    """
    library, take, _ = GENERATORS[name]
    module = sys.modules.get(library)
    return take(module) if module is not None else None


def put_generator(name: str, state: Any) -> None:
    """Let a generator go on from where it stood."""
    library, _, put = GENERATORS[name]
    module = sys.modules.get(library)
    if module is not None and state is not None:
        put(module, state)
