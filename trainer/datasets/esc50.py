"""ESC-50: 2,000 clips of five seconds, 50 classes, five official folds (Piczak, 2015)."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from trainer.datasets.clip import Clip, DatasetError


def read_esc50(folder: Path) -> Iterator[Clip]:
    """Read the official layout: ``meta/esc50.csv`` and ``audio/`` (wav, ogg or flac).

    Raises:
        DatasetError: the folder has another layout.
    """
    table = folder / "meta" / "esc50.csv"
    if not table.is_file():
        raise DatasetError(
            f"{folder} is not ESC-50: expected meta/esc50.csv and audio/ inside it; "
            "give the folder that contains both"
        )
    with table.open(newline="", encoding="utf-8") as rows:
        for row in csv.DictReader(rows):
            try:
                clip = Clip(
                    path=folder / "audio" / row["filename"],
                    label=row["category"],
                    fold=int(row["fold"]),
                    recording=f"freesound:{row['src_file']}",
                )
            except (KeyError, TypeError, ValueError) as error:
                raise DatasetError(f"{table} is not ESC-50's list of clips: {error!r}") from error
            yield clip
