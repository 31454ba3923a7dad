"""``expected.csv``: what can be heard in each recording of a folder, and which split it belongs to."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from trainer.datasets.clip import DatasetError

TABLE = "expected.csv"
COLUMNS = ("file", "expected", "also", "split")


def expected_rows(folder: Path, holds: str) -> Iterator[dict[str, str]]:
    """Rows of the table.

    Args:
        holds: what the folder should hold, for the error.

    Raises:
        DatasetError: the folder has another layout, or a row lacks its file or what is expected.
    """
    table = folder / TABLE
    if not table.is_file():
        raise DatasetError(f"{folder} holds no {holds}: expected {TABLE} inside it")
    # A table saved by a spreadsheet may begin with a byte order mark.
    with table.open(newline="", encoding="utf-8-sig") as lines:
        rows = csv.DictReader(lines)
        missing = set(COLUMNS) - set(rows.fieldnames or ())
        if missing:
            raise DatasetError(f"{table} lacks the column {sorted(missing)[0]}")
        for row in rows:
            if not row["file"] or not row["expected"]:
                raise DatasetError(f"{table}: line {rows.line_num} lacks its file or what is expected")
            yield {column: row[column] or "" for column in COLUMNS}
