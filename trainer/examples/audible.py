"""Clips in which there is nothing to learn: silent ones, and those too short to be a sound."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from streamer.errors import SourceError
from trainer.datasets import Clip, DatasetError
from trainer.examples.cache import ArrayCache
from trainer.examples.spectrograms import read_mono
from trainer.words import count, named

SILENT_BELOW = 2.5 / (1 << 15)
"""A clip whose peak is below this is silent: some sound cards return one or two steps of 16 bits with nothing
plugged in."""

SHORTEST_S = 0.05
"""A shorter clip is a click, whatever its label."""


def inaudible(clips: Sequence[Clip], rate_hz: int, cache: ArrayCache) -> tuple[str, ...]:
    """One line that names the clips without anything to learn from; no line if there are none.

    Args:
        clips: all that are learnt from; each is decoded, or its peak taken from the cache.
        rate_hz: sample rate of the front end.

    Raises:
        DatasetError: a class has no other clips.
    """
    work = partial(_reason, rate_hz=rate_hz, cache=cache)
    with ProcessPoolExecutor(max_workers=os.cpu_count()) as pool:
        reasons = list(pool.map(work, [clip.path for clip in clips], chunksize=16))
    by_label: dict[str, list[tuple[Path, str]]] = defaultdict(list)
    for clip, reason in zip(clips, reasons, strict=True):
        by_label[clip.label].append((clip.path, reason))
    for label, members in by_label.items():
        if all(reason for _, reason in members):
            path, reason = members[0]
            raise DatasetError(
                f"the class {label} has nothing to learn from in {count(len(members), 'file')} ({path} is "
                f"{reason}); record it again, or remove the folder"
            )
    found = [f"{clip.path} ({reason})" for clip, reason in zip(clips, reasons, strict=True) if reason]
    return (f"nothing to learn from in {named(found)}; replace or remove",) if found else ()


def _reason(path: Path, rate_hz: int, cache: ArrayCache) -> str:
    """Why nothing can be learnt from a file; empty if something can, or if it cannot be read."""

    def compute() -> dict[str, np.ndarray]:
        samples = read_mono(path, rate_hz)
        return {"extent": np.array([np.abs(samples).max(initial=0.0), len(samples) / rate_hz], np.float64)}

    try:
        peak, seconds = cache.get(path, {"extent_at_hz": rate_hz}, compute)["extent"]
    except (SourceError, OSError):
        return ""  # unreadable files are reported where they are skipped
    if seconds < SHORTEST_S:
        return f"shorter than {SHORTEST_S:g} s"
    return "silent" if peak < SILENT_BELOW else ""
