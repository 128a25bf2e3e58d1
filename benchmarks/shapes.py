"""The graphs that are measured: names of tasks and who waits for whom."""

from __future__ import annotations

from itertools import pairwise

Shape = tuple[list[str], list[tuple[str, str]]]


def chain(count: int) -> Shape:
    """One after the other."""
    names = [f"t{i}" for i in range(count)]
    return names, list(pairwise(names))


def fan_out(count: int) -> Shape:
    """One, then all but two at once, then one."""
    names = [f"t{i}" for i in range(count)]
    first, *middle, last = names
    return names, [(first, name) for name in middle] + [(name, last) for name in middle]


def layered(layers: int, width: int) -> Shape:
    """Layers whose tasks wait for three of the layer before."""
    names = [f"t{layer}_{i}" for layer in range(layers) for i in range(width)]
    edges = [
        (f"t{layer - 1}_{(i + shift) % width}", f"t{layer}_{i}")
        for layer in range(1, layers)
        for i in range(width)
        for shift in range(3)
    ]
    return names, edges


def loose(count: int) -> Shape:
    """Nobody waits for anybody."""
    return [f"t{i}" for i in range(count)], []


SHAPES = {
    "chain-1000": lambda: chain(1000),
    "fan-out-1000": lambda: fan_out(1000),
    "layered 100×10": lambda: layered(100, 10),
    "fan-out-10000": lambda: fan_out(10_000),
}
