"""Recordings as mel power, computed by the streamer's own front end.

Mixing, gain and noise are additions and products of power, so that training needs the expensive part
of the front end once per recording and speed, not once per epoch.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from streamer.errors import SourceError
from streamer.frontend import FrontEndSpec, MelStream
from streamer.sources.recording import RecordingSource
from streamer.tables import to_table
from streamer.types import FloatArray
from trainer.examples.cache import ArrayCache


def read_mono(path: Path, rate_hz: int) -> FloatArray:
    """Samples of a sound file as the listener hears them: mono, shape (n,), at the given rate.

    Raises:
        SourceError: the file cannot be read.
    """
    source = RecordingSource(str(path), rate_hz)
    try:
        return np.concatenate([block.samples for block in source.blocks()])
    finally:
        source.close()


@dataclass(frozen=True)
class Spectrogram:
    """Mel power of one recording at several playing speeds."""

    by_speed: dict[float, FloatArray]
    """Speed to mel power of shape (frames, mel_bands); speed 1.1 is 10 % faster and higher."""


def spectrogram_of(
    path: Path, spec: FrontEndSpec, speeds: Sequence[float], cache: ArrayCache
) -> Spectrogram | None:
    """Mel power of a file at each speed, or None when the file cannot be read."""

    def compute() -> dict[str, np.ndarray]:
        import soxr

        samples = read_mono(path, spec.sample_rate_hz)
        by_speed: dict[str, np.ndarray] = {}
        for speed in speeds:
            changed = samples if speed == 1.0 else soxr.resample(samples, speed, 1.0)
            padded = np.pad(changed, (0, max(0, spec.fft_samples - len(changed))))
            by_speed[str(speed)] = MelStream(spec).push(padded.astype(np.float32))
        return by_speed

    what = {"mel_power": mel_table(spec), "speeds": list(speeds)}
    try:
        found = cache.get(path, what, compute)
    except (SourceError, OSError):
        return None
    return Spectrogram({speed: found[str(speed)] for speed in speeds})


def mel_table(spec: FrontEndSpec) -> dict[str, Any]:
    """What of a front end mel power depends on."""
    later = {"features", "mfcc", "delta_frames", "floor", "log"}
    return {key: value for key, value in to_table(spec).items() if key not in later}


def spectrograms_of(
    paths: Iterable[Path], spec: FrontEndSpec, speeds: Sequence[float], cache: ArrayCache
) -> list[Spectrogram | None]:
    """Mel power of many files, on all cores; None stands for a file that cannot be read."""
    work = partial(spectrogram_of, spec=spec, speeds=tuple(speeds), cache=cache)
    with ProcessPoolExecutor(max_workers=os.cpu_count()) as pool:
        return list(pool.map(work, paths, chunksize=16))
