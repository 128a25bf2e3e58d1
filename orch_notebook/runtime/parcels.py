"""What travels between a runner and the process that does its work: values as bytes, and what came of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Answer", "Parcel"]


@dataclass(frozen=True, slots=True)
class Parcel:
    """Values as bytes: pickles one after the other, and the buffers that belong to them."""

    data: bytes
    buffers: Sequence[Any] = ()

    @property
    def size(self) -> int:
        """Bytes in all."""
        return len(self.data) + sum(memoryview(buffer).nbytes for buffer in self.buffers)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a body made, and hidden state that it changed."""

    parcel: Parcel
    states: Mapping[str, Any] = field(default_factory=dict)
