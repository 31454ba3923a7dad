"""What is learnt from and what is held out: recordings never stand on both sides."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from trainer.datasets.clip import Clip


@dataclass(frozen=True)
class Split:
    """Clips on the two sides of a split, in the order in which they were given."""

    train: tuple[Clip, ...]
    held_out: tuple[Clip, ...]
    dropped: tuple[Clip, ...]
    """Clips that would have been trained on, had their recording not occurred among the held-out ones."""


def split(main: Sequence[Clip], train_folds: Collection[int], extra: Sequence[Clip] = ()) -> Split:
    """Divide the main dataset by folds and add clips of other datasets to its training side.

    ESC-50 and UrbanSound8K both come from Freesound and share recordings, so that training on all of
    the one would show the network parts of the other one's held-out folds. The held-out side stays
    whole; what shares a recording with it is dropped from the training side. So are clips of the main
    dataset itself: a user's own folds may divide a recording, and ESC-50's divide two (Freesound's
    131943 and 134049, each with one clip in fold 2 and one in fold 3).

    Clips that were put aside as a test are held out whatever their fold.

    Args:
        main: clips of the dataset that is split; those outside `train_folds` are held out.
        train_folds: folds to learn from.
        extra: clips of other datasets, learnt from whatever their fold.
    """
    held_out = tuple(clip for clip in main if clip.test_only or clip.fold not in train_folds)
    tests = {clip.recording for clip in extra if clip.test_only}
    kept_apart = {clip.recording for clip in held_out} | tests
    wanted = [clip for clip in main if clip.fold in train_folds] + list(extra)
    wanted = [clip for clip in wanted if not clip.test_only]
    return Split(
        train=tuple(clip for clip in wanted if clip.recording not in kept_apart),
        held_out=held_out,
        dropped=tuple(clip for clip in wanted if clip.recording in kept_apart),
    )
