"""Background: recordings in which none of a model's sounds should be reported.

A folder with ``expected.csv`` (columns ``file``, ``expected``, ``also``, ``split``): rows of the split
whose ``expected`` is ``none``. ``also`` names sounds that may occur all the same; nothing is taught
about those.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from trainer.datasets.clip import DatasetError


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
    table = folder / "expected.csv"
    if not table.is_file():
        raise DatasetError(f"{folder} holds no background: expected expected.csv inside it")
    with table.open(newline="", encoding="utf-8") as rows:
        reader = csv.DictReader(rows)
        missing = {"file", "expected", "also", "split"} - set(reader.fieldnames or ())
        if missing:
            raise DatasetError(f"{table} lacks the column {sorted(missing)[0]}")
        for row in reader:
            if row["expected"] == "none" and row["split"] == split:
                yield Background(folder / row["file"], frozenset((row["also"] or "").split()))
