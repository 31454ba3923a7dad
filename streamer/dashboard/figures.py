"""Numbers as short text."""

from __future__ import annotations

import math


def clock(seconds: float) -> str:
    """Position or uptime: 1:05, 2:03:09, 12d 03:00."""
    if not math.isfinite(seconds):
        return "--:--"
    whole = max(0, int(seconds))
    days, hours, minutes = whole // 86_400, whole // 3_600 % 24, whole // 60 % 60
    if days:
        return f"{days}d {hours:02}:{minutes:02}"
    if hours:
        return f"{hours}:{minutes:02}:{whole % 60:02}"
    return f"{minutes}:{whole % 60:02}"


def span(seconds: float) -> str:
    """Length of something: 0.42 s, 8.2 s, 95 s, 12 min, 3.5 h."""
    if not math.isfinite(seconds):
        return "-- s"
    if seconds < 0.995:
        return f"{max(0.0, seconds):.2f} s"
    if seconds < 99.95:
        return f"{seconds:.1f} s"
    if seconds < 600:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6_000 else f"{seconds / 3_600:.1f} h"


def seconds_ago(seconds: float) -> str:
    """How long something has lasted, for a sentence: 12 s, 4 min 05 s, 3 h 10 min."""
    if not math.isfinite(seconds):
        return "some time"
    whole = max(0, int(seconds))
    if whole < 120:
        return f"{whole} s"
    if whole < 7_200:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3_600} h {whole // 60 % 60:02} min"


def decibels(value: float) -> str:
    """Level with one decimal, -inf for digital silence."""
    return "--" if math.isnan(value) else f"{value:.1f}"


def share(value: float) -> str:
    """Probability with two decimals."""
    return f"{value:.2f}" if math.isfinite(value) else "--"


def count(value: int) -> str:
    """Whole number of at most five characters: 950, 12.3k, 4.1M."""
    for size, suffix in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if value >= size:
            scaled = value / (1e3 if suffix == "k" else size)
            return f"{scaled:.1f}{suffix}" if scaled < 100 else f"{scaled:.0f}{suffix}"
    return str(value)


def compact(value: float) -> str:
    """Number of two or three digits: 0.04, 3.2, 118."""
    if not math.isfinite(value):
        return "--"
    if value < 0.9995:
        return f"{value:.2f}" if value >= 0.00995 or value <= 0 else f"{value:.3f}"
    return f"{value:.1f}" if value < 9.95 else f"{value:.0f}"


def hertz(value: float) -> str:
    """Frequency: 250, 1k, 2.5k."""
    if value < 1_000:
        return f"{value:.0f}"
    thousands = f"{value / 1_000:.1f}".removesuffix(".0")
    return f"{thousands}k"
