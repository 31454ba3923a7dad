"""A synthetic sound that the shipped model recognises, whichever label it gives it.

The model may be trained again, so no test names a label or a probability: both are asked for here.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import soundfile

from streamer.classifier import Classifier
from streamer.model import Model, load_model
from streamer.scorer import Scorer
from streamer.types import Block, FloatArray

RATE_HZ = 22_050
"""That of the shipped model."""


def siren(seconds: float, rate_hz: int = RATE_HZ) -> FloatArray:
    """A loud wailing between 500 and 1300 Hz."""
    t = np.arange(round(seconds * rate_hz)) / rate_hz
    pitch_hz = 900 + 400 * np.sin(np.pi * t)
    return (0.5 * np.sign(np.sin(2 * np.pi * np.cumsum(pitch_hz) / rate_hz))).astype(np.float32)


def silence(seconds: float, rate_hz: int = RATE_HZ) -> FloatArray:
    """Nothing at all."""
    return np.zeros(round(seconds * rate_hz), np.float32)


def pcm(samples: FloatArray) -> bytes:
    """As raw 16-bit samples."""
    return np.rint(samples * 32_767).astype("<i2").tobytes()


def write_siren(path: Path, seconds: float, rate_hz: int = RATE_HZ, channels: int = 1) -> Path:
    """A sound file of the siren, the same in every channel."""
    soundfile.write(path, np.repeat(siren(seconds, rate_hz)[:, np.newaxis], channels, axis=1), rate_hz)
    return path


@cache
def shipped_model() -> Model:
    """The default model."""
    model = load_model()
    assert model.manifest.front_end.sample_rate_hz == RATE_HZ
    return model


@cache
def siren_probabilities() -> FloatArray:
    """What the model says about the windows of a siren, shape (windows, labels)."""
    _, scores = Scorer(Classifier(shipped_model())).push(Block(0, siren(6.0)))
    return np.array([score.probabilities for score in scores])


def siren_label() -> str:
    """What the model calls the siren."""
    return shipped_model().labels[int(siren_probabilities().mean(axis=0).argmax())]


def other_label() -> str:
    """What the model is surest that the siren is not."""
    return shipped_model().labels[int(siren_probabilities().mean(axis=0).argmin())]


def siren_threshold() -> float:
    """A threshold that the siren passes by far, in every window."""
    surest = float(siren_probabilities().min(axis=0).max())
    assert surest > 0.2, "the model does not recognise the siren any more: choose another sound"
    return round(surest / 2, 3)


def only_siren() -> list[str]:
    """Options with which a siren gives exactly one event, as long as it is."""
    return ["--labels", siren_label(), "--threshold", str(siren_threshold())]
