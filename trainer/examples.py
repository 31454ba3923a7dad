"""Training data of a recipe: clips to spectrograms to batches of examples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from streamer.frontend import FeatureStream
from streamer.types import FloatArray
from trainer.augment import ExampleMaker, active_frames, mask
from trainer.datasets import Clip, read_background, read_dataset
from trainer.recipe import Recipe
from trainer.spectrograms import spectrograms_of


@dataclass(frozen=True)
class Normalisation:
    """Mean and standard deviation of each feature column, over training clips only."""

    mean: FloatArray
    std: FloatArray


@dataclass(frozen=True)
class TrainingData:
    """What `fit` needs."""

    labels: tuple[str, ...]
    normalisation: Normalisation
    maker: ExampleMaker
    clips: tuple[Clip, ...]
    unreadable: tuple[Path, ...]


def features(power: FloatArray, recipe: Recipe) -> FloatArray:
    """Features of mel power, shape (frames, bands) -> (frames, columns), by the front end."""
    stream = FeatureStream(recipe.front_end)
    return np.concatenate([stream.push(power), stream.flush()])


def load_training_data(recipe: Recipe, data: Path, background: Path | None) -> TrainingData:
    """Read the training folds of a recipe.

    Args:
        data: folder of the recipe's dataset.
        background: folder with ``expected.csv``, of which the split ``train`` is used, or None.
    """
    everything = read_dataset(recipe.data.dataset, data)
    labels = tuple(sorted({clip.label for clip in everything}))
    wanted = [clip for clip in everything if clip.fold in recipe.data.train_folds]
    spec, how = recipe.front_end, recipe.augmentation
    loaded = spectrograms_of([clip.path for clip in wanted], spec, how.speeds)
    clips = [clip for clip, sound in zip(wanted, loaded, strict=True) if sound is not None]
    sounds = [sound for sound in loaded if sound is not None]
    unreadable = [clip.path for clip, sound in zip(wanted, loaded, strict=True) if sound is None]

    backgrounds = []
    if background is not None:
        quiet = list(read_background(background, "train"))
        for item, sound in zip(quiet, spectrograms_of([q.path for q in quiet], spec, (1.0,)), strict=True):
            if sound is None:
                unreadable.append(item.path)
                continue
            unknown = np.array([label in item.may_contain for label in labels], np.float32)
            backgrounds.append((sound, unknown))

    heard = np.concatenate(
        [
            features(sound.by_speed[1.0], recipe)[active_frames(sound.by_speed[1.0], spec.floor)]
            for sound in sounds
        ]
    ).astype(np.float64)
    normalisation = Normalisation(
        heard.mean(axis=0).astype(np.float32), (heard.std(axis=0) + 1e-3).astype(np.float32)
    )
    maker = ExampleMaker(
        sounds,
        [labels.index(clip.label) for clip in clips],
        len(labels),
        backgrounds,
        how,
        recipe.window_frames,
        spec.floor,
        spec.sample_rate_hz / spec.hop_samples,
    )
    return TrainingData(labels, normalisation, maker, tuple(clips), tuple(unreadable))


def epoch_batches(data: TrainingData, recipe: Recipe, epoch: int) -> Iterator[tuple[FloatArray, FloatArray]]:
    """Batches of one epoch: inputs (batch, frames, columns, 1) and targets (batch, labels).

    The same recipe and epoch give the same batches, also after a resumed run.
    """
    random = np.random.default_rng((recipe.schedule.seed, epoch))
    count, clips = recipe.schedule.examples_per_epoch, len(data.clips)
    order = np.concatenate([random.permutation(clips) for _ in range(-(-count // clips))])[:count]
    for start in range(0, count - recipe.schedule.batch + 1, recipe.schedule.batch):
        inputs, targets = [], []
        for index in order[start : start + recipe.schedule.batch]:
            power, target = data.maker.example(int(index), random)
            values = (features(power, recipe) - data.normalisation.mean) / data.normalisation.std
            mask(values, recipe.augmentation, random)
            inputs.append(values)
            targets.append(target)
        yield np.stack(inputs)[..., np.newaxis], np.stack(targets)
