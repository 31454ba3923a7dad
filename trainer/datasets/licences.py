"""Licences of single clips: a dataset as a whole may be bound by a few of them.

``meta/credits.csv`` in the dataset's folder names them (columns ``filename`` and ``licence``, one row a
clip). ESC-50's own ``LICENSE`` file holds the same in words.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from trainer.datasets.clip import Clip, DatasetError

TABLE = "meta/credits.csv"


def under_licences(clips: Sequence[Clip], folder: Path, licences: Sequence[str]) -> list[Clip]:
    """The clips that are under one of some licences; a clip without a row is under none.

    Raises:
        DatasetError: the folder has no table of licences, or knows none of those that are asked for.
    """
    table = folder / TABLE
    if not table.is_file():
        raise DatasetError(
            f"{folder} does not say under which licence each clip is: expected {TABLE} inside it, with the "
            "columns filename and licence"
        )
    with table.open(newline="", encoding="utf-8-sig") as rows:
        reader = csv.DictReader(rows)
        if missing := {"filename", "licence"} - set(reader.fieldnames or ()):
            raise DatasetError(f"{table} lacks the column {sorted(missing)[0]}")
        of_clip = {Path(row["filename"] or "").stem: row["licence"] for row in reader}
    unknown = [licence for licence in licences if licence not in of_clip.values()]
    if unknown:
        known = ", ".join(sorted(filter(None, set(of_clip.values()))))
        raise DatasetError(f"{table} has no clip under {unknown[0]!r}; it knows {known}")
    return [clip for clip in clips if of_clip.get(clip.path.stem) in licences]
