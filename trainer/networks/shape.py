"""What a network is told about its inputs."""

from __future__ import annotations

from dataclasses import dataclass

SCORES = "scores"
"""Name of the layer that gives a score to each label, where an optimizer must know it."""

EMBEDDING = "embedding"
"""Name of the layer whose output becomes a second one of the exported file, in networks that have it."""


@dataclass(frozen=True)
class InputShape:
    """Shape of one input: features of one window."""

    frames: int
    columns: int
    """Mel bands, or cepstral coefficients."""

    channels: int = 1
    """Several features of the same width, as log-mel and its delta."""

    @property
    def dimensions(self) -> tuple[int, int, int]:
        """As Keras wants it, without the batch."""
        return self.frames, self.columns, self.channels


class NetworkError(Exception):
    """A network cannot be built from what a recipe asks for."""


def one_input(shapes: tuple[InputShape, ...], network: str) -> InputShape:
    """The only input of a network that has one.

    Raises:
        NetworkError: the recipe gives it several.
    """
    if len(shapes) != 1:
        raise NetworkError(f"the network {network} has one input, and the recipe gives it {len(shapes)}")
    return shapes[0]
