"""Mel power to the features that a model asks for: log-mel, MFCC and their deltas."""

from __future__ import annotations

import math

import numpy as np

from streamer.frontend.spec import FrontEndSpec
from streamer.types import FloatArray

DB_PER_LN = 10.0 / math.log(10.0)
"""Decibels of a power whose natural logarithm is 1."""


def log_mel(power: FloatArray, spec: FrontEndSpec) -> FloatArray:
    """Mel power as its logarithm; see `FrontEndSpec.log` for the two formulas."""
    if spec.log == "ln_offset":
        logarithm: FloatArray = np.log(power + np.float32(spec.floor))
        return logarithm
    decibels: FloatArray = np.log10(np.maximum(power, np.float32(spec.floor)))
    decibels *= np.float32(10.0)
    return decibels


def decibels_of(values: FloatArray, spec: FrontEndSpec) -> FloatArray:
    """Values of log-mel in decibels, whichever logarithm the front end takes."""
    return values * np.float32(DB_PER_LN) if spec.log == "ln_offset" else values


def mfcc(log_mel_frames: FloatArray, coefficients: int) -> FloatArray:
    """Mel-frequency cepstral coefficients: the first values of the orthonormal DCT-II.

    Args:
        log_mel_frames: shape (frames, mel_bands).
        coefficients: how many to keep; the first is the mean level.

    Source: Davis and Mermelstein, 1980.
    """
    from scipy.fft import dct  # only models with MFCC pay for loading it

    cepstrum: FloatArray = dct(log_mel_frames, type=2, norm="ortho", axis=1)
    return np.ascontiguousarray(cepstrum[:, :coefficients])


class DeltaStream:
    """Slope of each column, fitted by least squares over frames on both sides.

    ``delta[t] = sum(n * (x[t + n] - x[t - n])) / (2 * sum(n * n))`` for ``n`` from 1 to
    ``delta_frames // 2`` (Young et al., The HTK Book). Before the first and after the last frame,
    that frame is repeated. A frame comes out as soon as the last frame that it needs has come in.
    """

    def __init__(self, delta_frames: int, columns: int) -> None:
        self.reach = delta_frames // 2
        self._columns = columns
        self._scale = np.float32(1.0 / (2 * sum(n * n for n in range(1, self.reach + 1))))
        self.reset()

    def reset(self) -> None:
        """Forget everything, as after a gap."""
        self._context = np.empty((0, self._columns), np.float32)

    def push(self, frames: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Take frames of shape (n, columns); give the complete ones and their deltas."""
        if len(frames) == 0:
            return frames, frames
        if len(self._context) == 0:
            self._context = np.repeat(frames[:1], self.reach, axis=0)
        return self._advance(frames)

    def flush(self) -> tuple[FloatArray, FloatArray]:
        """Give the frames still waiting for neighbours, the last one repeated in their place."""
        last = self._context[-1:]
        if len(last) == 0:
            return last, last
        complete = self._advance(np.repeat(last, self.reach, axis=0))
        self.reset()
        return complete

    def _advance(self, frames: FloatArray) -> tuple[FloatArray, FloatArray]:
        frames = np.concatenate([self._context, frames])
        reach = self.reach
        count = max(0, len(frames) - 2 * reach)
        if count:
            delta = np.zeros((count, self._columns), np.float32)
            for n in range(1, reach + 1):
                ahead = frames[reach + n : reach + n + count]
                behind = frames[reach - n : reach - n + count]
                delta += np.float32(n) * (ahead - behind)
            delta *= self._scale
        else:
            delta = np.empty((0, self._columns), np.float32)
        complete = frames[reach : reach + count]
        self._context = frames[count:].copy()
        return complete, delta


class FeatureStream:
    """Turns frames of mel power into frames of features."""

    def __init__(self, spec: FrontEndSpec) -> None:
        self.spec = spec
        wanted = spec.features
        self._wants_mfcc = any(name.startswith("mfcc") for name in wanted)
        self._delta = (
            DeltaStream(spec.delta_frames, spec.mel_bands + (spec.mfcc if self._wants_mfcc else 0))
            if spec.lookahead_frames
            else None
        )

    def reset(self) -> None:
        """Forget everything, as after a gap."""
        if self._delta:
            self._delta.reset()

    def push(self, power: FloatArray) -> FloatArray:
        """Take mel power of shape (frames, mel_bands); give features, shape (frames, columns).

        With deltas in the specification, the last `lookahead_frames` frames wait for more.
        """
        static = self._static(power)
        if self._delta is None:
            return self._pick(static, static)
        return self._pick(*self._delta.push(static))

    def flush(self) -> FloatArray:
        """Give the frames that still wait for their neighbours, at the end of the samples."""
        if self._delta is None:
            return np.empty((0, self.spec.frame_columns), np.float32)
        return self._pick(*self._delta.flush())

    def _static(self, power: FloatArray) -> FloatArray:
        level = log_mel(power, self.spec)
        if not self._wants_mfcc:
            return level
        return np.concatenate([level, mfcc(level, self.spec.mfcc)], axis=1)

    def _pick(self, static: FloatArray, delta: FloatArray) -> FloatArray:
        if self.spec.features == ("log_mel",):
            return static
        bands = self.spec.mel_bands
        parts = {
            "log_mel": static[:, :bands],
            "log_mel_delta": delta[:, :bands],
            "mfcc": static[:, bands:],
            "mfcc_delta": delta[:, bands:],
        }
        return np.concatenate([parts[name] for name in self.spec.features], axis=1)
