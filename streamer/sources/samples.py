"""Samples that are already in memory: a source for programs and tests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from streamer.sources.source import SourceHealth
from streamer.types import Block, FloatArray


class SamplesSource:
    """Plays blocks from memory.

    Args:
        samples: one array of shape (n,), or blocks with indices of their own (a jump is a gap).
        rate_hz: their rate, which must be that of the model.
        start_time: seconds since 1970 of sample 0; makes the source a live one.
        block_samples: length of the blocks that an array is cut into.
    """

    health = SourceHealth()

    def __init__(
        self,
        samples: FloatArray | Sequence[Block],
        rate_hz: int,
        name: str = "memory",
        start_time: float | None = None,
        block_samples: int = 2_048,
    ) -> None:
        if isinstance(samples, np.ndarray):
            starts = range(0, len(samples), block_samples)
            samples = [Block(at, samples[at : at + block_samples]) for at in starts]
        self.name = name
        self.live = start_time is not None
        self._blocks = samples
        self._rate_hz = rate_hz
        self._start_time = start_time or 0.0

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self._blocks[-1].end_sample / self._rate_hz if self._blocks else 0.0

    def blocks(self) -> Iterator[Block]:
        """Yield the blocks."""
        yield from self._blocks

    def unix_time(self, sample: int) -> float:
        """Date of a sample, from `start_time`."""
        return self._start_time + sample / self._rate_hz

    def close(self) -> None:
        """Nothing to release."""
