"""The pool: labelled sounds of many makers, each row with its own licence.

``pool.csv`` (columns ``file``, ``label``, ``split``, ``group``, ``licence``) in the folder. Rows of one
group come from one source and never stand on both sides of a split.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from trainer.datasets.clip import Clip, DatasetError

TABLE = "pool.csv"
COLUMNS = ("file", "label", "split", "group", "licence")

NO_FOLD = 0
"""The pool has no folds: its clips are extra training material, or a test of their own."""

PERMISSIVE = re.compile(
    r"(CC[ -]?0|CC[ -]BY\b|Creative Commons|Attribution|MIT|BSD|Apache|public domain)", re.IGNORECASE
)
BINDING = re.compile(r"(\bSA\b|Share|GPL|ODbL|\bNC\b|NonCommercial|\bND\b|Artistic|see )", re.IGNORECASE)
"""What a licence's name may not hold if a model that learnt from the row shall be free to use: terms that are
passed on, that forbid commerce, or that only refer to another text."""


@dataclass(frozen=True)
class PoolClip:
    """One row of the table."""

    clip: Clip
    split: str
    licence: str

    @property
    def permissive(self) -> bool:
        """Whether its licence asks for no more than a credit."""
        return bool(PERMISSIVE.match(self.licence)) and not BINDING.search(self.licence)


def pool_rows(folder: Path) -> Iterator[PoolClip]:
    """All rows of the table.

    Raises:
        DatasetError: the folder has another layout.
    """
    table = folder / TABLE
    if not table.is_file():
        raise DatasetError(f"{folder} holds no pool of sounds: expected {TABLE} inside it")
    with table.open(newline="", encoding="utf-8-sig") as lines:
        rows = csv.DictReader(lines)
        if missing := set(COLUMNS) - set(rows.fieldnames or ()):
            raise DatasetError(f"{table} lacks the column {sorted(missing)[0]}")
        for row in rows:
            clip = Clip(folder / row["file"], row["label"], NO_FOLD, row["group"])
            yield PoolClip(clip, row["split"], row["licence"])


def read_pool(folder: Path) -> Iterator[Clip]:
    """Clips to learn from: the split ``train``, under licences that ask for no more than a credit.

    Raises:
        DatasetError: the folder has another layout.
    """
    return (row.clip for row in pool_rows(folder) if row.split == "train" and row.permissive)
