"""Smoothing means the same for every hop, and favours neither silence nor any class."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.smoothing import Smoother
from streamer.types import FloatArray

probability = st.floats(0.0, 1.0, width=32)


def row(*values: float) -> FloatArray:
    return np.array(values, np.float32)


def step_response(hop_s: float, at_s: float, time_constant_s: float = 0.7) -> float:
    """Smoothed value at a time when 0 becomes 1 just after second 0."""
    smoother = Smoother(time_constant_s)
    smoother.push(row(0.0), 0.0)
    value = 0.0
    for hop in range(1, round(at_s / hop_s) + 1):
        value = float(smoother.push(row(1.0), hop * hop_s)[0])
    return value


def test_the_first_window_is_taken_as_it_is() -> None:
    assert Smoother(2.0).push(row(0.9, 0.2, 0.0), 1_000.0).tolist() == row(0.9, 0.2, 0.0).tolist()


def test_after_a_reset_the_past_is_forgotten() -> None:
    smoother = Smoother(2.0)
    smoother.push(row(1.0, 0.0), 0.0)
    smoother.reset()
    assert smoother.push(row(0.25, 0.5), 0.5).tolist() == [0.25, 0.5]


@pytest.mark.parametrize("at_s", [0.5, 1.0, 2.0])
def test_the_hop_does_not_change_the_meaning(at_s: float) -> None:
    expected = 1 - math.exp(-at_s / 0.7)
    for hop_s in (0.1, 0.25, 0.5):
        assert step_response(hop_s, at_s) == pytest.approx(expected, abs=1e-6)


def test_a_time_constant_of_zero_smooths_nothing() -> None:
    smoother = Smoother(0.0)
    smoother.push(row(1.0), 0.0)
    assert smoother.push(row(0.125), 0.5).tolist() == [0.125]


def test_classes_do_not_touch_each_other() -> None:
    smoother, alone = Smoother(1.0), Smoother(1.0)
    for at, value in enumerate([0.1, 0.9, 0.4]):
        both = smoother.push(row(value, 1 - value), 0.5 * at)
        assert both[0] == alone.push(row(value), 0.5 * at)[0]


def test_what_was_given_does_not_change_later() -> None:
    smoother = Smoother(1.0)
    probabilities = row(0.5)
    first = smoother.push(probabilities, 0.0)
    probabilities[0] = 0.0
    smoother.push(row(1.0), 0.5)
    assert first.tolist() == [0.5]


@given(
    values=st.lists(probability, min_size=1, max_size=50),
    hop_s=st.floats(0.01, 5.0),
    time_constant_s=st.floats(0.0, 20.0),
)
def test_smoothed_values_stay_between_the_smallest_and_the_largest(
    values: list[float], hop_s: float, time_constant_s: float
) -> None:
    smoother = Smoother(time_constant_s)
    rounding = 1e-6
    for at, value in enumerate(values):
        smoothed = smoother.push(row(value), at * hop_s)
        assert smoothed.dtype == np.float32
        assert min(values) - rounding <= smoothed[0] <= max(values) + rounding
