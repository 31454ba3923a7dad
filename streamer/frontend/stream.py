"""The front end as a whole: samples in, `Frames` out."""

from __future__ import annotations

import numpy as np

from streamer.frontend.features import FeatureStream
from streamer.frontend.mel import MelStream
from streamer.frontend.spec import FrontEndSpec
from streamer.types import Block, BoolArray, FloatArray, Frames


class FrontEnd:
    """Turns blocks of samples into feature frames, the same bits for any cutting into blocks."""

    def __init__(self, spec: FrontEndSpec) -> None:
        self.spec = spec
        self._mel = MelStream(spec)
        self._features = FeatureStream(spec)
        self._no_values = np.empty((0, spec.frame_columns), np.float32)
        self._silent = self._no_flags = np.empty(0, np.bool_)
        self._next_frame_sample = 0
        self._next_sample: int | None = None

    @property
    def broken_samples(self) -> int:
        """Samples so far that could not be sound and were taken as zero."""
        return self._mel.broken_samples

    def push(self, block: Block, wait: bool = False) -> Frames:
        """Take the next block; give the frames that it completes.

        A block that does not follow the one before starts afresh: no frame spans a gap.

        Args:
            wait: nobody needs the frames yet; see `MelStream.push`.
        """
        if self._next_sample != block.start_sample:
            self.reset()
            self._next_frame_sample = block.start_sample
        self._next_sample = block.end_sample
        return self._advance(self._mel.push(block.samples, wait))

    def _advance(self, power: FloatArray) -> Frames:
        if len(power) == 0:
            return Frames(self._next_frame_sample, self._no_values, self._no_flags)
        silent: BoolArray = np.logical_and.reduce(power <= self.spec.floor, axis=1)
        self._silent = np.concatenate([self._silent, silent]) if len(self._silent) else silent
        return self._give(self._features.push(power))

    def reset(self) -> None:
        """Begin afresh with the next block, as after a gap."""
        self._mel.reset()
        self._features.reset()
        self._silent = self._silent[:0]
        self._next_sample = None

    def flush(self) -> Frames:
        """Give all frames that still wait, also for neighbours that will not come."""
        waiting = self._advance(self._mel.push(np.empty(0, np.float32)))
        rest = self._give(self._features.flush())
        return Frames(
            waiting.start_sample,
            np.concatenate([waiting.values, rest.values]),
            np.concatenate([waiting.silent, rest.silent]),
        )

    def _give(self, values: FloatArray) -> Frames:
        frames = Frames(self._next_frame_sample, values, self._silent[: len(values)])
        self._silent = self._silent[len(values) :]
        self._next_frame_sample += len(values) * self.spec.hop_samples
        return frames


def features_of(samples: FloatArray, spec: FrontEndSpec) -> Frames:
    """Frames of a whole recording, shape (n,), through the streaming front end."""
    front_end = FrontEnd(spec)
    head = front_end.push(Block(0, samples))
    tail = front_end.flush()
    return Frames(0, np.concatenate([head.values, tail.values]), np.concatenate([head.silent, tail.silent]))
