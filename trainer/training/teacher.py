"""Learning from networks that have learnt before: their answers soften the labels.

What a larger network says about a mixed, changed example tells more than its labels do: how well each
sound can be heard in it, and which others it resembles. Teacher and student get the very same example.

Hinton, Vinyals and Dean, "Distilling the knowledge in a neural network", 2015; Beyer et al., "Knowledge
distillation: a good teacher is patient and consistent", 2022 (identical crops, long schedules).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from streamer.errors import ModelError
from streamer.tables import TableError, from_table
from streamer.types import FloatArray
from trainer.examples.inputs import Inputs, for_keras
from trainer.examples.load import Examples
from trainer.recipe import Recipe, RecipeError


class Teachers:
    """Finished runs whose mean answer is taught.

    Raises:
        RecipeError: a run is not finished, has other labels or features, or knows clips that the student
            must not learn from.
    """

    def __init__(self, runs: Sequence[Path], recipe: Recipe, examples: Examples) -> None:
        self._share = np.float32(recipe.schedule.teacher_share)
        found = [_taught_alike(run, recipe, examples) for run in runs]
        self._networks = [network for _, network in found]
        self.names = tuple(name for name, _ in found)
        """Recipes of the teachers."""

    def soften(self, inputs: Inputs, targets: FloatArray) -> FloatArray:
        """Labels and answers joined, shape (batch, labels); where nothing is known (-1) nothing is taught."""
        answers = np.mean(
            [np.asarray(network.predict_on_batch(for_keras(inputs))) for network in self._networks], axis=0
        )
        softened: FloatArray = np.where(
            targets < 0, targets, (1 - self._share) * targets + self._share * answers.astype(np.float32)
        )
        return softened


def _taught_alike(run: Path, recipe: Recipe, examples: Examples) -> tuple[str, Any]:
    """Recipe's name and network of a run, if it can teach this recipe."""
    import keras

    if not (run / "network.keras").is_file():
        raise RecipeError(f"{run} holds no finished training to learn from")
    try:
        table = json.loads((run / "training.json").read_text(encoding="utf-8"))
        own = from_table(Recipe, table["recipe"])
        labels, mean, std = tuple(table["labels"]), np.array(table["mean"]), np.array(table["std"])
    except (OSError, ValueError, KeyError, TypeError, TableError, ModelError) as error:
        raise RecipeError(f"{run / 'training.json'} is damaged ({error}); train the teacher again") from error
    if labels != examples.labels or own.outputs != recipe.outputs:
        raise RecipeError(f"{run} cannot teach: its labels or outputs are others")
    if own.front_end != recipe.front_end or own.input_shapes != recipe.input_shapes:
        raise RecipeError(f"{run} cannot teach: it hears other features or windows")
    known = set(own.data.train_folds) - set(recipe.data.train_folds)
    if known:
        raise RecipeError(f"{run} cannot teach: it learnt from fold {min(known)}, which is held out here")
    normalisation = examples.normalisation
    if not (
        np.allclose(mean, normalisation.mean, atol=0.01) and np.allclose(std, normalisation.std, atol=0.01)
    ):
        raise RecipeError(f"{run} cannot teach: it learnt from other clips")
    return own.name, keras.models.load_model(run / "network.keras", compile=False)
