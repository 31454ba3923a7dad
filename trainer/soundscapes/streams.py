"""Clips laid over real background at a known place: streams whose truth is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from streamer.errors import SourceError
from streamer.frontend import FrontEndSpec, MelStream
from streamer.types import FloatArray
from trainer.datasets import Clip
from trainer.examples.augment import active_frames
from trainer.examples.spectrograms import read_mono

LEAD_S = 3.0
"""Background before and after the clip, at least."""


@dataclass(frozen=True)
class KnownStream:
    """Sound in which one clip begins and ends at known times."""

    samples: FloatArray
    begin_s: float
    end_s: float


def lay_over_background(
    clip: Clip,
    background: FloatArray,
    spec: FrontEndSpec,
    below_db: float,
    random: np.random.Generator,
) -> KnownStream | None:
    """Put a clip at a random place into background, between three and four seconds after its begin.

    Args:
        background: samples of shape (n,) at the rate of the front end, repeated when too short.
        below_db: level of the background under the mean level of the clip while it sounds.

    Returns:
        The stream, or None when the clip cannot be read or holds no sound.
    """
    rate_hz, hop, fft = spec.sample_rate_hz, spec.hop_samples, spec.fft_samples
    try:
        samples = read_mono(clip.path, rate_hz)
    except SourceError:
        return None
    power = MelStream(spec).push(samples)
    active = np.flatnonzero(active_frames(power, spec.floor)) if len(power) else np.empty(0, int)
    if len(active) < 2:
        return None
    sounding = samples[active[0] * hop : active[-1] * hop + fft]
    lead = round(random.uniform(LEAD_S, LEAD_S + 1.0) * rate_hz)
    length = lead + len(samples) + round(LEAD_S * rate_hz)
    at = int(random.integers(max(1, len(background) - length)))
    stream = np.resize(background[at:], length).astype(np.float32)
    ratio = np.sqrt(np.mean(sounding**2) / max(1e-12, float(np.mean(stream**2))))
    stream *= np.float32(ratio * 10 ** (-below_db / 20))
    stream[lead : lead + len(samples)] += samples
    begin, end = (lead + int(frame) * hop + fft // 2 for frame in (active[0], active[-1]))
    return KnownStream(stream, begin / rate_hz, end / rate_hz)
