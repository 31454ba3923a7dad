"""What a network is made of: layers with shapes, parameters and multiply-accumulates."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

from trainer.words import TIMES

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Layer:
    """One step of a network."""

    kind: str
    """What it does, in a word or two."""

    detail: str
    """Kernel, stride and so on."""

    inputs: tuple[int, ...]
    """Places of the layers that it takes from, in the list of all layers."""

    shape: Shape
    """Of its output, without the batch."""

    parameters: int
    """Numbers that were learnt and are stored."""

    macs: int
    """Multiplications with an addition, for one window."""


@dataclass(frozen=True)
class Network:
    """Layers in the order of computation."""

    name: str
    source: str
    """Where the layers were read from, for the caption."""

    layers: tuple[Layer, ...]

    @property
    def parameters(self) -> int:
        """Of all layers."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def macs(self) -> int:
        """Of one window."""
        return sum(layer.macs for layer in self.layers)


def dimensions(shape: Shape) -> str:
    """Its sides, as 48 by 32 by 64, with the sign for times in between."""
    return f" {TIMES} ".join(map(str, shape)) or "1"


def size(shape: Shape) -> int:
    """Number of values."""
    return prod(shape)


def in_order(network: Network) -> Network:
    """The same network with each branch in one piece, as far as the order of computation allows."""
    layers = network.layers
    order: list[int] = []
    taken = {source for layer in layers for source in layer.inputs}
    waiting = [at for at in reversed(range(len(layers))) if at not in taken]
    while waiting:
        at = waiting[-1]
        before = [source for source in layers[at].inputs if source not in order]
        if before:
            waiting += reversed(before)
            continue
        waiting.pop()
        if at not in order:
            order.append(at)
    place = {old: new for new, old in enumerate(order)}
    moved = (layers[old] for old in order)
    return replace(
        network,
        layers=tuple(
            replace(layer, inputs=tuple(sorted(place[source] for source in layer.inputs))) for layer in moved
        ),
    )
