"""From segments to clips: both votes on cases worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from streamer.types import FloatArray
from trainer.training.votes import ClipScores, count_votes, majority_vote


def segments(*rows: list[float]) -> FloatArray:
    """Probabilities of a clip's segments, one row each."""
    return np.array(rows, np.float32).reshape(-1, 3)


# Two of three segments say 0, but the third is so sure of 1 that the mean says 1: 0.43, 0.5, 0.07.
DIVIDED = segments([0.6, 0.3, 0.1], [0.6, 0.3, 0.1], [0.1, 0.9, 0.0])
# One segment for 0, one for 2; 2 has the larger mean (0.5 against 0.35).
TIED = segments([0.5, 0.3, 0.2], [0.2, 0.0, 0.8])
CLEAR = segments([0.1, 0.2, 0.7])
SILENT = segments()


@pytest.mark.parametrize(
    ("clip", "winner"),
    [
        (CLEAR, 2),
        (DIVIDED, 0),
        (TIED, 2),
        # All three once: the means are 0.4, 0.33 and 0.27.
        (segments([0.6, 0.3, 0.1], [0.3, 0.4, 0.3], [0.3, 0.3, 0.4]), 0),
        # 1 and 2 twice each, 0 once with the largest mean of all, which does not count.
        (
            segments([1.0, 0.0, 0.0], [0.4, 0.5, 0.1], [0.4, 0.5, 0.1], [0.4, 0.0, 0.6], [0.4, 0.0, 0.6]),
            2,
        ),
    ],
    ids=["one segment", "majority", "two tied", "all tied", "the mean decides among the tied only"],
)
def test_the_majority_decides_and_the_mean_breaks_ties(clip: FloatArray, winner: int) -> None:
    assert majority_vote(clip) == winner


def test_segments_and_clips_are_counted_apart() -> None:
    # Right segments: 2 of 3, 1 of 2, 1 of 1. Majority: all three. Mean: not the divided one.
    assert count_votes([DIVIDED, TIED, CLEAR], [0, 2, 2]) == ClipScores(
        clips=3, segments=6, segment_accuracy=4 / 6, majority=1.0, probability=2 / 3
    )


def test_the_mean_can_be_right_where_the_majority_is_wrong() -> None:
    assert count_votes([DIVIDED], [1]) == ClipScores(1, 3, 1 / 3, majority=0.0, probability=1.0)


def test_a_silent_clip_counts_and_is_never_right() -> None:
    scores = count_votes([SILENT, CLEAR], [0, 2])
    assert scores == ClipScores(clips=2, segments=1, segment_accuracy=1.0, majority=0.5, probability=0.5)


def test_nothing_at_all() -> None:
    assert count_votes([], []) == ClipScores(0, 0, 0.0, 0.0, 0.0)
    assert count_votes([SILENT], [1]) == ClipScores(1, 0, 0.0, 0.0, 0.0)


def test_clips_and_truths_must_be_as_many() -> None:
    with pytest.raises(ValueError, match="shorter"):
        count_votes([CLEAR], [])
