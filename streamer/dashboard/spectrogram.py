"""The scrolling mel spectrogram.

A column of pixels stands for a fixed number of frames, counted from the very first frame, so that a
column keeps its content while it scrolls to the left.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from rich.segment import Segment

from streamer.dashboard.cells import Line, blank
from streamer.dashboard.figures import hertz
from streamer.dashboard.theme import HEAT_LEVELS, SHADES, Theme
from streamer.status import Status
from streamer.types import FloatArray

SHOWN_S = 9.0
"""About how much time the pane covers."""

SMALLEST_SPAN_DB = 30.0
"""A quiet room is not stretched over the whole scale."""

RISE_S = 0.5
FALL_S = 4.0
"""Time constants of the scale: a loud sound is followed fast, its end slowly."""

DEAD_BAND_DB = 1.5
"""The scale stays where it is for smaller changes, so that old columns do not shimmer."""

SAMPLED_VALUES = 6_000
TICK_HZ = (1_000, 4_000, 250, 8_000, 2_000, 500, 125, 16_000)
"""Frequencies worth a label, the most helpful ones first."""


@dataclass(frozen=True)
class Scale:
    """The range of decibels that the colours stand for, adapting to what is heard."""

    low_db: float
    high_db: float
    target_low_db: float
    target_high_db: float
    frames_total: int
    fitted: bool
    """False until something was heard."""

    @classmethod
    def first(cls, status: Status) -> Scale:
        """The range that fits the frames at hand."""
        fitting = _fitting_range(status)
        low, high = fitting or (status.floor_db, status.floor_db + SMALLEST_SPAN_DB)
        return cls(low, high, low, high, status.frames_total, fitting is not None)

    def follow(self, status: Status) -> Scale:
        """The range some frames later."""
        if not self.fitted:
            return Scale.first(status)
        new_frames = status.frames_total - self.frames_total
        if new_frames < 0:  # another source: its frames are counted from zero
            new_frames = status.frames_total
        fitting = _fitting_range(status)
        if fitting is None or new_frames == 0:
            return replace(self, frames_total=status.frames_total)
        new_s = new_frames / max(1.0, status.frames_per_s)
        low, high = (
            _approach(now, wanted, new_s)
            for now, wanted in zip((self.target_low_db, self.target_high_db), fitting, strict=True)
        )
        moved = max(abs(low - self.low_db), abs(high - self.high_db)) > DEAD_BAND_DB
        shown = (low, high) if moved else (self.low_db, self.high_db)
        return Scale(*shown, low, high, status.frames_total, fitted=True)


def _approach(now: float, wanted: float, elapsed_s: float) -> float:
    time_constant_s = RISE_S if wanted > now else FALL_S
    return wanted + (now - wanted) * math.exp(-elapsed_s / time_constant_s)


def _fitting_range(status: Status) -> tuple[float, float] | None:
    """From the background to the loud, robust against single values; None if all is silent."""
    values = status.spectrogram
    values = values[:: max(1, values.size // SAMPLED_VALUES)]
    heard = values[values > status.floor_db + 0.1]
    heard = heard[np.isfinite(heard)]
    if heard.size < max(1, values.size // 100):
        return None
    low, high = (float(value) for value in np.percentile(heard, (35.0, 99.7)))
    return low, max(high, low + SMALLEST_SPAN_DB)


def frames_per_column(columns: int, frames_per_s: float) -> int:
    """Whole number of frames that a column of pixels stands for."""
    return max(1, round(SHOWN_S * frames_per_s / max(1, columns)))


def pool_columns(frames: FloatArray, frames_total: int, per_column: int, columns: int) -> FloatArray:
    """Highest value of each band in each column.

    Columns start at multiples of `per_column` frames since the start. A column whose first frames
    are not at hand any more is left out, the newest one may be incomplete.

    Args:
        frames: shape (frames, mel_bands), the last of all `frames_total` frames.

    Returns:
        Shape (at most `columns`, mel_bands), oldest first.
    """
    first = frames_total - len(frames)
    starts = np.arange(-(-first // per_column) * per_column, frames_total, per_column)[-columns:] - first
    if len(starts) == 0:
        return frames[:0]
    pooled: FloatArray = np.maximum.reduceat(frames, starts, axis=0)
    return pooled


def pool_bands(columns: FloatArray, pixels: int) -> FloatArray:
    """Bands to pixels, highest value of each; shape (columns, pixels), low frequencies first."""
    starts = np.arange(pixels) * columns.shape[1] // pixels
    if pixels > columns.shape[1]:
        return columns[:, starts]
    pooled: FloatArray = np.maximum.reduceat(columns, starts, axis=1)
    return pooled


def _levels(values: FloatArray, scale: Scale, steps: int) -> NDArray[np.int64]:
    span = max(1.0, scale.high_db - scale.low_db)
    share = np.nan_to_num((values - scale.low_db) / span, nan=0.0, posinf=1.0, neginf=0.0)
    levels: NDArray[np.int64] = np.clip(share * steps, 0, steps - 1).astype(np.int64)
    return levels


def paint(status: Status, scale: Scale, columns: int, rows: int, theme: Theme) -> list[Line]:
    """The picture in so many cells, low frequencies at the bottom, the newest column at the right."""
    frames = status.spectrogram
    if frames.ndim != 2 or frames.shape[1] == 0 or columns <= 0:
        return [[blank(columns)] for _ in range(rows)]
    per_column = frames_per_column(columns, status.frames_per_s)
    pooled = pool_columns(frames, status.frames_total, per_column, columns)
    unheard = columns - len(pooled)
    if theme.pixels:
        levels = _levels(pool_bands(pooled, 2 * rows), scale, HEAT_LEVELS)
        return [_pixel_row(upper, lower, unheard, theme) for upper, lower in _row_pairs(levels)]
    levels = _levels(pool_bands(pooled, rows), scale, len(SHADES))
    return [
        [blank(unheard), Segment("".join(SHADES[level] for level in row), theme.text)]
        for row in levels.T[::-1].tolist()
    ]


def _row_pairs(levels: NDArray[np.int64]) -> list[tuple[list[int], list[int]]]:
    from_top = levels.T[::-1].tolist()
    return list(zip(from_top[0::2], from_top[1::2], strict=True))


def _pixel_row(upper: list[int], lower: list[int], unheard: int, theme: Theme) -> Line:
    line = [blank(unheard)]
    start = 0
    pairs = list(zip(upper, lower, strict=True))
    for at, pair in enumerate(pairs):
        if at + 1 == len(pairs) or pairs[at + 1] != pair:
            line.append(theme.heat_pair(*pair, at + 1 - start))
            start = at + 1
    return line


def frequency_labels(band_hz: tuple[float, ...], rows: int) -> list[str]:
    """A label for each row from the top, empty where none belongs."""
    labels = [""] * rows
    for tick in TICK_HZ if band_hz else ():
        if band_hz[0] <= tick <= band_hz[-1]:
            band = min(range(len(band_hz)), key=lambda b: abs(band_hz[b] - tick))
            row = rows - 1 - band * rows // len(band_hz)
            nearby = labels[max(0, row - 1) : row + 2]
            if not any(nearby):
                labels[row] = hertz(tick)
    return labels


def time_axis(columns: int, gutter: int, frames_per_s: float) -> str:
    """Lower border with ticks of seconds, for a picture of so many columns after a gutter."""
    column_s = frames_per_column(columns, frames_per_s) / max(1.0, frames_per_s)
    axis = ["─"] * (gutter + columns)
    step_s = next((step for step in (1, 2, 5, 10) if step / column_s >= 12), 20)
    marks = [(0, "now")]
    marks += [(n * step_s, f"-{n * step_s} s") for n in range(1, int(columns * column_s / step_s) + 1)]
    for ago_s, text in marks:
        text = f" {text} "
        at = (
            gutter + columns - round(ago_s / column_s) - len(text) // 2 - (len(text) // 2 if not ago_s else 0)
        )
        at = min(at, len(axis) - len(text))
        if at >= gutter and axis[at : at + len(text)] == ["─"] * len(text):
            axis[at : at + len(text)] = text
    return "".join(axis)
