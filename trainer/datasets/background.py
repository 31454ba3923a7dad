"""Background: recordings in which none of a model's sounds should be reported.

A folder with ``expected.csv`` (columns ``file``, ``expected``, ``also``, ``split``): rows of the split
whose ``expected`` is ``none``. ``also`` names sounds that may occur all the same; nothing is taught
about those.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from trainer.datasets.expected import expected_rows


@dataclass(frozen=True)
class Background:
    """One recording without a label."""

    path: Path
    may_contain: frozenset[str]


def read_background(folder: Path, split: str) -> Iterator[Background]:
    """Read the background recordings of one split.

    Raises:
        DatasetError: the folder has another layout.
    """
    for row in expected_rows(folder, "background"):
        if row["expected"] == "none" and row["split"] == split:
            yield Background(folder / row["file"], frozenset(row["also"].split()))
