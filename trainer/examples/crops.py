"""Random crops of training clips, mixed and changed anew each time they are drawn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from trainer.datasets import Background, Clip
from trainer.examples.augment import ExampleMaker, active_frames, mask
from trainer.examples.cache import ArrayCache
from trainer.examples.inputs import Batch, Normalisation, features, measure, to_inputs
from trainer.examples.spectrograms import spectrograms_of
from trainer.recipe import Recipe


class Crops:
    """Training examples of a recipe with ``examples = "crops"``; see `trainer.examples.load.Examples`."""

    def __init__(
        self,
        recipe: Recipe,
        clips: Sequence[Clip],
        labels: tuple[str, ...],
        backgrounds: Sequence[Background],
        cache: ArrayCache,
    ) -> None:
        self._recipe = recipe
        self.labels = labels
        spec, how = recipe.front_end, recipe.augmentation
        loaded = spectrograms_of([clip.path for clip in clips], spec, how.speeds, cache)
        self.clips = tuple(clip for clip, sound in zip(clips, loaded, strict=True) if sound is not None)
        sounds = [sound for sound in loaded if sound is not None]
        unreadable = [clip.path for clip, sound in zip(clips, loaded, strict=True) if sound is None]
        heard = spectrograms_of([item.path for item in backgrounds], spec, (1.0,), cache)
        unreadable += [item.path for item, sound in zip(backgrounds, heard, strict=True) if sound is None]
        known = [(item, sound) for item, sound in zip(backgrounds, heard, strict=True) if sound is not None]
        self.backgrounds = tuple(item for item, _ in known)
        self.unreadable = tuple(unreadable)
        self.normalisation: Normalisation = measure(
            (
                features(sound.by_speed[1.0], recipe)[active_frames(sound.by_speed[1.0], spec.floor)]
                for sound in sounds
            ),
            recipe,
        )
        self._maker = ExampleMaker(
            sounds,
            [labels.index(clip.label) for clip in self.clips],
            len(labels),
            [
                (sound, np.array([name in item.may_contain for name in labels], np.float32))
                for item, sound in known
            ],
            how,
            recipe.window_frames,
            spec.floor,
            spec.sample_rate_hz / spec.hop_samples,
        )

    @property
    def examples_per_epoch(self) -> int:
        """Examples that one epoch draws, a whole number of batches."""
        plan = self._recipe.schedule
        count = plan.examples_per_epoch or len(self.clips)
        return max(1, count // plan.batch) * plan.batch

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """Batches of one epoch; the same epoch gives the same batches, also after a resumed run."""
        plan = self._recipe.schedule
        random = np.random.default_rng((plan.seed, epoch))
        count, clips = self.examples_per_epoch, len(self.clips)
        order = np.concatenate([random.permutation(clips) for _ in range(-(-count // clips))])[:count]
        for start in range(0, count, plan.batch):
            drawn, targets = [], []
            for index in order[start : start + plan.batch]:
                power, target = self._maker.example(int(index), random)
                values = (features(power, self._recipe) - self.normalisation.mean) / self.normalisation.std
                mask(values, self._recipe.augmentation, random)
                drawn.append(values)
                targets.append(target)
            goal = np.stack(targets)
            if self._recipe.outputs == "softmax":
                goal = goal / goal.sum(axis=1, keepdims=True)
            yield to_inputs(np.stack(drawn), self._recipe), goal
