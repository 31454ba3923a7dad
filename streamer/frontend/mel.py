"""Samples to mel power, incrementally and exactly.

The result does not depend on how the samples are cut into chunks, to the last bit: every frame is
transformed by itself, and each mel band is summed over its own bins only, in an order that the
number of frames at hand cannot change. (A dense matrix product would be neither: its rounding
depends on the size of the batch.)
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from streamer.frontend.spec import FrontEndSpec
from streamer.mend import mended
from streamer.types import FloatArray

FRAMES_AT_ONCE = 32
"""Frames per batch: large enough to amortise calls, small enough to stay in the cache."""


def hz_to_mel(hz: NDArray[np.float64], scale: str) -> NDArray[np.float64]:
    """Frequency in mel; see `FrontEndSpec.mel_scale` for the formulas."""
    if scale == "htk":
        return 2595.0 * np.log10(1.0 + hz / 700.0)
    if scale == "kaldi":
        return 1127.0 * np.log1p(hz / 700.0)
    linear = hz * 3.0 / 200.0
    return np.where(hz < 1000.0, linear, 15.0 + 27.0 * np.log(np.maximum(hz, 1.0) / 1000.0) / np.log(6.4))


def mel_to_hz(mel: NDArray[np.float64], scale: str) -> NDArray[np.float64]:
    """Inverse of `hz_to_mel`."""
    if scale == "htk":
        return 700.0 * (10.0 ** (mel / 2595.0) - 1.0)
    if scale == "kaldi":
        return 700.0 * np.expm1(mel / 1127.0)
    return np.where(mel < 15.0, mel * 200.0 / 3.0, 1000.0 * np.exp((mel - 15.0) * np.log(6.4) / 27.0))


def band_edges_hz(spec: FrontEndSpec) -> NDArray[np.float64]:
    """Left end, centre and right end of each triangle: shape (mel_bands + 2,), band i from i on."""
    ends = hz_to_mel(np.array([spec.fmin_hz, spec.fmax_hz]), spec.mel_scale)
    return mel_to_hz(np.linspace(ends[0], ends[1], spec.mel_bands + 2), spec.mel_scale)


def band_centres_hz(spec: FrontEndSpec) -> NDArray[np.float64]:
    """Centre frequency of each mel band, shape (mel_bands,)."""
    return band_edges_hz(spec)[1:-1]


def mel_filterbank(spec: FrontEndSpec) -> NDArray[np.float64]:
    """Triangular filters, equally spaced in mel.

    Returns:
        Weights of shape (mel_bands, fft_samples // 2 + 1).

    Source: Davis and Mermelstein, "Comparison of parametric representations", 1980.
    """
    edges = edges_hz = band_edges_hz(spec)
    bins = np.arange(spec.fft_samples // 2 + 1) * spec.sample_rate_hz / spec.fft_samples
    if spec.mel_scale == "kaldi":
        edges, bins = hz_to_mel(edges, "kaldi"), hz_to_mel(bins, "kaldi")
    left, centre, right = (edges[i : i + spec.mel_bands, np.newaxis] for i in range(3))
    rising = (bins - left) / (centre - left)
    falling = (right - bins) / (right - centre)
    weights = np.maximum(0.0, np.minimum(rising, falling))
    if spec.limit_hz:
        weights[
            :, np.arange(spec.fft_samples // 2 + 1) * spec.sample_rate_hz > spec.limit_hz * spec.fft_samples
        ] = 0.0
    if spec.mel_norm == "slaney":
        weights *= 2.0 / (edges_hz[2:] - edges_hz[:-2])[:, np.newaxis]
    return weights


def frame_window(spec: FrontEndSpec) -> FloatArray:
    """What a frame is multiplied by: the Hann window, zeros on both sides; shape (fft_samples,)."""
    length = spec.window_length
    period = length if spec.window == "hann" else length - 1
    hann = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(length) / period)
    before = (spec.fft_samples - length) // 2
    return np.pad(hann, (before, spec.fft_samples - length - before)).astype(np.float32)


@dataclass(frozen=True)
class BandRun:
    """Every second band: they share no bin, so one run over the bins sums all of them.

    Neighbouring bands do share bins; two runs, one for the even and one for the odd bands, need no gathering.
    """

    weights: FloatArray
    """Of each bin, shape (bins,)."""

    starts: NDArray[np.intp]
    """First bin of each band, shape (bands,)."""

    empty: NDArray[np.intp]
    """Bands without a bin, narrower than one: their sum is 0."""


@lru_cache(maxsize=8)
def band_runs(spec: FrontEndSpec) -> tuple[BandRun, BandRun]:
    """The even and the odd bands; kept, since making them costs as much as two seconds of sound."""
    weights = mel_filterbank(spec).astype(np.float32)

    def run(rows: FloatArray) -> BandRun:
        starts, free = [], 0
        for row in rows:
            own = np.flatnonzero(row)
            starts.append(int(own[0]) if len(own) else free)
            free = int(own[-1]) + 1 if len(own) else free
        empty = np.flatnonzero(~rows.any(axis=1))
        return BandRun(rows.sum(axis=0), np.array(starts, np.intp), empty)

    return run(weights[0::2]), run(weights[1::2])


class MelStream:
    """Turns chunks of samples into frames of mel power."""

    def __init__(self, spec: FrontEndSpec) -> None:
        self.spec = spec
        self._window = frame_window(spec)
        self._bands = band_runs(spec)
        self._buffer = np.zeros(spec.fft_samples + (FRAMES_AT_ONCE - 1) * spec.hop_samples, dtype=np.float32)
        # The samples as they are transformed.
        self._emphasised = np.zeros_like(self._buffer) if spec.pre_emphasis else self._buffer
        # Every frame that the buffer can hold, as a view: shape (FRAMES_AT_ONCE, fft_samples).
        self._frames = np.lib.stride_tricks.sliding_window_view(self._emphasised, spec.fft_samples)[
            :: spec.hop_samples
        ]
        # Large results in memory of their own: fresh pages cost more than the arithmetic.
        self._tapered = np.empty((FRAMES_AT_ONCE, spec.fft_samples), np.float64)
        self._exact = np.empty((FRAMES_AT_ONCE, spec.fft_samples // 2 + 1), np.complex128)
        self._spectrum = np.empty((FRAMES_AT_ONCE, spec.fft_samples // 2 + 1), np.complex64)
        self._power = np.empty((2, FRAMES_AT_ONCE, spec.fft_samples // 2 + 1), np.float32)
        self._weighted = np.empty((FRAMES_AT_ONCE, spec.fft_samples // 2 + 1), np.float32)
        self._nothing = np.empty((0, spec.mel_bands), np.float32)
        self._held = self._checked = 0
        self.broken_samples = 0
        """Samples so far that could not be sound and were taken as zero."""

    def reset(self) -> None:
        """Forget the samples held for the next frame, as after a gap."""
        self._held = self._checked = 0

    def push(self, samples: FloatArray, wait: bool = False) -> FloatArray:
        """Take the next samples, shape (n,), n from 0 up; give the frames that they complete.

        Args:
            wait: nobody needs the frames yet: compute only when the buffer is full. Many frames at
                once cost half as much as a few at a time, and are the same to the last bit.

        Returns:
            Mel power, shape (frames, mel_bands).
        """
        end = self._held + len(samples)
        if wait and end < len(self._buffer):
            self._buffer[self._held : end] = samples
            self._held = end
            return self._nothing
        done: list[FloatArray] = []
        while True:
            room = len(self._buffer) - self._held
            part, samples = samples[:room], samples[room:]
            self._buffer[self._held : self._held + len(part)] = part
            self._held += len(part)
            full = self._held == len(self._buffer)
            if full or (not wait and self._held >= self.spec.fft_samples):
                done.append(self._consume())
            if len(samples) == 0:
                break
        if len(done) == 1:
            return done[0]
        return np.concatenate(done) if done else self._nothing

    def _consume(self) -> FloatArray:
        """Compute every complete frame in the buffer and keep the rest of the samples."""
        fresh = self._buffer[self._checked : self._held]
        sound, broken = mended(fresh)
        if broken:
            fresh[:] = sound
            self.broken_samples += broken
        if self.spec.pre_emphasis:
            self._emphasise()
        count = (self._held - self.spec.fft_samples) // self.spec.hop_samples + 1
        power = self._mel_power(self._frames[:count])
        used = count * self.spec.hop_samples
        left = self._held - used
        self._buffer[:left] = self._buffer[used : self._held].copy()
        self._held = self._checked = left
        return power

    def _emphasise(self) -> None:
        """Weaken low tones. The newest sample lacks the one after it: the window is 0 there."""
        now, following = self._buffer[: self._held - 1], self._buffer[1 : self._held]
        emphasised = self._emphasised[: self._held - 1]
        np.multiply(now, np.float32(self.spec.pre_emphasis), out=emphasised)
        np.subtract(following, emphasised, out=emphasised)
        self._emphasised[self._held - 1] = 0.0

    def _mel_power(self, frames: FloatArray) -> FloatArray:
        count = len(frames)
        tapered = np.multiply(frames, self._window, out=self._tapered[:count], dtype=np.float32)
        # In double precision, then rounded. A transform in single precision would be quicker, but its
        # rounding reaches 0.002 dB in a quiet band beside a loud one, and differs on arm64. Given 32-bit
        # frames, NumPy converts by itself, in memory that it takes from the system for every call.
        np.fft.rfft(tapered, out=self._exact[:count])
        spectrum = self._spectrum[:count]
        spectrum[:] = self._exact[:count]
        power = np.square(spectrum.real, out=self._power[0, :count])
        power += np.square(spectrum.imag, out=self._power[1, :count])
        return self._sums(power)

    def _sums(self, power: FloatArray) -> FloatArray:
        """Mel power, shape (frames, mel_bands), of power of shape (frames, bins)."""
        sums = np.empty((len(power), self.spec.mel_bands), np.float32)
        weighted = self._weighted[: len(power)]
        for first, run in enumerate(self._bands):
            if len(run.starts) == 0:
                continue
            np.multiply(power, run.weights, out=weighted)
            every_second = sums[:, first::2]
            np.add.reduceat(weighted, run.starts, axis=1, out=every_second)
            if len(run.empty):
                every_second[:, run.empty] = 0.0
        return sums
