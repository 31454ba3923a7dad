"""Score a network on whole clips: segments first, then one decision for each clip by two votes.

Floating point, whole recordings at once, segments cut as the recipe says: the published protocol. The
score that counts for the product is `trainer.judging.clips`, which hears the clip as a stream.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from trainer.datasets import Clip
from trainer.examples.cache import ArrayCache
from trainer.examples.inputs import for_keras
from trainer.examples.load import Examples
from trainer.examples.segments import cut_clips, features_of_clips
from trainer.recipe import Recipe
from trainer.training.votes import ClipScores, count_votes


class Exam:
    """Clips that a network is scored on, with features as its recipe has them. Nothing is augmented."""

    def __init__(self, clips: Sequence[Clip], learnt: Examples, recipe: Recipe, cache: ArrayCache) -> None:
        self._recipe = recipe
        self._normalisation = learnt.normalisation
        loaded = features_of_clips(clips, recipe, cache)
        known = [(c, f) for c, f in zip(clips, loaded, strict=True) if f is not None]
        self.unreadable = tuple(c.path for c, f in zip(clips, loaded, strict=True) if f is None)
        self._truths = [learnt.labels.index(clip.label) for clip, _ in known]
        self._cut = cut_clips([found for _, found in known], self._truths, len(learnt.labels), recipe)

    def score(self, network: Any) -> ClipScores:
        """Accuracy of a network of this recipe."""
        count, batch = len(self._cut.where), 64
        parts = [np.empty((0, self._cut.targets.shape[1]), np.float32)]
        for start in range(0, count, batch):
            chosen = np.arange(start, min(count, start + batch))
            inputs, _ = self._cut.batch(chosen, self._normalisation, self._recipe)
            parts.append(np.asarray(network.predict_on_batch(for_keras(inputs)), np.float32))
        scores = np.concatenate(parts)
        clip_of = self._cut.where[:, 0]
        return count_votes([scores[clip_of == clip] for clip in range(len(self._truths))], self._truths)
