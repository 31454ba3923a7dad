"""Sounds that a tiny network learns in seconds: datasets of beeps, hisses and sweeps, and recipes."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from conftest import skip_or_fail
from signals import chirp, noise, tone

from streamer.types import FloatArray
from trainer.examples.cache import ArrayCache
from trainer.examples.load import Sources
from trainer.recipe import Recipe, read_recipe

RATE_HZ = 8_000
LABELS = ("beep", "hiss", "sweep")
CLIPS_PER_FOLD = 6
"""Of each class."""

FOLDS = (1, 2, 3)
BROKEN_FOLDS = (1, 3)
"""Folds that hold one more clip of beep, a file that cannot be read."""

CROPS = f"""\
name = "toy"
description = "beeps, hisses and sweeps"
network = "residual"
options = {{ size = "tiny", dropout = 0.0 }}
window_frames = 48

[data]
dataset = "esc50"
train_folds = [1, 2]
validation_folds = [3]
licence = "synthetic"

[front_end]
sample_rate_hz = {RATE_HZ}
fft_samples = 256
hop_samples = 160
mel_bands = 24
fmax_hz = 4000.0

[augmentation]
speeds = [1.0]
mix_probability = 0.3
gain_db = [-6.0, 6.0]
equaliser_db = 2.0
negative_share = 0.25
noise_probability = 0.0
masks = 0

[schedule]
epochs = 8
examples_per_epoch = 256
batch = 32
learning_rate = 4e-3
warmup_epochs = 1.0
seed = 3
"""
"""Random crops, several sounds at once."""

SEGMENTS = f"""\
name = "toy-segments"
description = "beeps, hisses and sweeps"
network = "piczak"
options = {{ filters = 8, dense = 32, dropout = 0.2 }}
window_frames = 32
outputs = "softmax"
examples = "segments"
normalise = "feature"

[data]
dataset = "esc50"
train_folds = [1, 2]
validation_folds = [3]
licence = "synthetic"

[front_end]
sample_rate_hz = {RATE_HZ}
fft_samples = 256
hop_samples = 256
mel_bands = 24
fmax_hz = 4000.0
features = ["log_mel", "log_mel_delta"]

[segments]
hop_frames = 8
peak_normalise = true
silent_below_db = -70.0

[[copies]]
labels = ["beep", "sweep"]
roll_s = [0.1, 0.4]

[schedule]
epochs = 5
batch = 16
optimizer = "sgd"
rate = "constant"
learning_rate = 0.02
seed = 3
"""
"""Segments of clips and of copies of them, one sound at a time."""

QUICK = {
    "network": "piczak",
    "options": {"filters": 16, "dense": 32, "dropout": 0.1},
    "schedule.epochs": 12,
    "schedule.learning_rate": 8e-3,
    "schedule.optimizer": "muon",
}
"""Changes of `CROPS` that give it a network that is compiled in a second."""

PAIRS = {
    "network": "multilabel",
    "outputs": "sigmoid",
    "copies": [],
    "mixes": {"per_pair": 4},
    "schedule.single_epochs": 2,
}
"""Changes of `SEGMENTS` that make it learn from single sounds first and from pairs of them then."""


def hum(seconds: float) -> FloatArray:
    """What a quiet room sounds like."""
    return tone(100.0, seconds, RATE_HZ, 2e-3)


def sound(label: str, seed: int) -> FloatArray:
    """Two seconds of a class, never twice the same, with a moment of quiet before it."""
    random = np.random.default_rng(seed)
    low_hz, seconds = float(random.uniform(400, 700)), 1.7
    body = {
        "beep": lambda: tone(low_hz, seconds, RATE_HZ, 0.4),
        "hiss": lambda: noise(seconds, RATE_HZ, 0.1, seed),
        "sweep": lambda: chirp(low_hz, 4 * low_hz, seconds, RATE_HZ, 0.4),
    }[label]()
    samples = hum(2.0)
    samples[-len(body) :] += body
    return samples


def write_esc50(folder: Path, folds: Sequence[int] = FOLDS, clips_per_fold: int = CLIPS_PER_FOLD) -> Path:
    """ESC-50's layout, with a broken file in some folds. Every clip is a recording of its own."""
    (folder / "meta").mkdir(parents=True)
    (folder / "audio").mkdir()
    rows: list[tuple[str, int, str]] = []
    for fold in folds:
        for at in range(clips_per_fold):
            for label in LABELS:
                name = f"{fold}-{at}-{label}.wav"
                samples = sound(label, seed=10_000 * fold + 10 * at + LABELS.index(label) * 1_000)
                soundfile.write(folder / "audio" / name, samples, RATE_HZ)
                rows.append((name, fold, label))
    for fold in (fold for fold in folds if fold in BROKEN_FOLDS):
        (folder / "audio" / f"{fold}-broken.wav").write_text("this is no sound")
        rows.append((f"{fold}-broken.wav", fold, "beep"))
    with (folder / "meta" / "esc50.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["filename", "fold", "target", "category", "esc10", "src_file", "take"])
        for name, fold, label in rows:
            writer.writerow([name, fold, LABELS.index(label), label, "False", name, "A"])
    return folder


def write_background(folder: Path) -> Path:
    """Two quiet recordings without any of the sounds, one of them for tests only."""
    folder.mkdir(parents=True)
    for name in ("room.wav", "kept-for-tests.wav"):
        soundfile.write(folder / name, hum(12.0), RATE_HZ)
    (folder / "expected.csv").write_text(
        "file,expected,also,split\nroom.wav,none,,train\nkept-for-tests.wav,none,,test\n"
    )
    return folder


def sources(data: Path, background: Path | None = None, **more: Path) -> Sources:
    """Recordings without a cache."""
    return Sources({"esc50": data, **more}, background, ArrayCache(None))


def recipe(folder: Path, text: str, changes: Mapping[str, Any] | None = None) -> Recipe:
    """A recipe from its text, with some values changed by dotted key."""
    path = folder / "toy.toml"
    path.write_text(text, encoding="utf-8")
    return read_recipe(str(path), changes)


def training_is_possible() -> None:
    """Skip the test, or fail it, where Keras or TensorFlow is missing."""
    from importlib.util import find_spec

    # TensorFlow's start-up notes help nobody.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    if not (find_spec("tensorflow") and find_spec("keras")):
        skip_or_fail("training needs TensorFlow: pip install 'esc-listen[train]'")


def one_line(text: str) -> str:
    """The only line of a failed command's standard error."""
    (line,) = text.splitlines()
    assert line.startswith("esc-train: ")
    return line


def write_bench(folder: Path) -> Sources:
    """Three folds of clips and background."""
    return sources(write_esc50(folder / "data"), write_background(folder / "background"))
