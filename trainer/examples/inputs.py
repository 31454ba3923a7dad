"""Frames of features to what a network takes: normalised, split into its inputs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from streamer.frontend import FeatureStream
from streamer.types import FloatArray
from trainer.recipe import Recipe

Inputs = tuple[FloatArray, ...]
"""One array for each input of the network, shape (batch, frames, columns, channels)."""

Batch = tuple[Inputs, FloatArray]
"""Inputs and targets; targets have the shape (batch, labels)."""


@dataclass(frozen=True)
class Normalisation:
    """Mean and standard deviation of each feature column, over training clips only."""

    mean: FloatArray
    std: FloatArray


def features(power: FloatArray, recipe: Recipe) -> FloatArray:
    """Features of mel power, shape (frames, bands) -> (frames, columns), by the front end."""
    stream = FeatureStream(recipe.front_end)
    return np.concatenate([stream.push(power), stream.flush()])


def measure(frames: Iterable[FloatArray], recipe: Recipe) -> Normalisation:
    """Mean and deviation of frames of features, each of shape (any, columns)."""
    columns = recipe.front_end.frame_columns
    if recipe.fixed_normalisation:
        mean_of_all, std_of_all = recipe.fixed_normalisation
        return Normalisation(
            np.full(columns, mean_of_all, np.float32), np.full(columns, std_of_all, np.float32)
        )
    count, total, squares = 0, np.zeros(columns), np.zeros(columns)
    for part in frames:
        exact = part.astype(np.float64)
        count += len(exact)
        total += exact.sum(axis=0)
        squares += (exact**2).sum(axis=0)
    mean = total / max(1, count)
    power = squares / max(1, count)
    if recipe.normalise == "feature":
        for name in recipe.front_end.features:
            at = recipe.front_end.columns(name)
            mean[at], power[at] = mean[at].mean(), power[at].mean()
    if recipe.normalise == "all":
        mean[:], power[:] = mean.mean(), power.mean()
    std = np.sqrt(np.maximum(power - mean**2, 0.0)) + 1e-3
    return Normalisation(mean.astype(np.float32), std.astype(np.float32))


def for_keras(inputs: Inputs) -> Any:
    """Inputs as Keras wants them: a single one alone."""
    return inputs if len(inputs) > 1 else inputs[0]


def to_inputs(values: FloatArray, recipe: Recipe) -> Inputs:
    """Split normalised features of shape (batch, frames, columns) into the network's inputs."""
    spec = recipe.front_end
    return tuple(
        np.stack([values[..., spec.columns(name)] for name in names], axis=-1)
        for names in recipe.input_features
    )
