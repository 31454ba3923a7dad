"""Synthetic sounds, and ways to cut them into blocks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import cycle

import numpy as np

from streamer.types import Block, FloatArray


def silence(seconds: float, rate_hz: int) -> FloatArray:
    """Digital zeros."""
    return np.zeros(round(seconds * rate_hz), np.float32)


def tone(hz: float, seconds: float, rate_hz: int, amplitude: float = 0.5) -> FloatArray:
    """A steady sine."""
    time_s = np.arange(round(seconds * rate_hz)) / rate_hz
    return (amplitude * np.sin(2 * np.pi * hz * time_s)).astype(np.float32)


def chirp(from_hz: float, to_hz: float, seconds: float, rate_hz: int, amplitude: float = 0.5) -> FloatArray:
    """A sine that glides from one frequency to another."""
    time_s = np.arange(round(seconds * rate_hz)) / rate_hz
    cycles = from_hz * time_s + (to_hz - from_hz) * time_s**2 / (2 * seconds)
    return (amplitude * np.sin(2 * np.pi * cycles)).astype(np.float32)


def noise(seconds: float, rate_hz: int, amplitude: float = 0.1, seed: int = 1) -> FloatArray:
    """White noise with a standard deviation of `amplitude`."""
    random = np.random.default_rng(seed)
    return (amplitude * random.standard_normal(round(seconds * rate_hz))).astype(np.float32)


def scene(rate_hz: int) -> FloatArray:
    """12 seconds of tones, noise bursts, a chirp and digital silence."""
    return np.concatenate(
        [
            silence(1.0, rate_hz),
            noise(1.5, rate_hz, 0.2, seed=2),
            tone(440.0, 1.5, rate_hz),
            silence(2.5, rate_hz),
            chirp(300.0, 6000.0, 2.0, rate_hz),
            tone(2500.0, 0.4, rate_hz, 0.8),
            noise(2.1, rate_hz, 0.02, seed=3),
            silence(1.0, rate_hz),
        ]
    )


def blocks_of(samples: FloatArray, sizes: Iterable[int], start_sample: int = 0) -> list[Block]:
    """Cut samples into blocks of the given sizes, over and over again; 0 gives an empty block."""
    blocks: list[Block] = []
    at = 0
    for size in cycle(sizes):
        if at >= len(samples):
            break
        blocks.append(Block(start_sample + at, samples[at : at + size]))
        at += size
    return blocks


def same_bits(one: Sequence[FloatArray], other: Sequence[FloatArray]) -> bool:
    """True when both hold the same arrays to the last bit."""
    return len(one) == len(other) and all(
        a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
        for a, b in zip(one, other, strict=True)
    )
