"""Background: recordings in which none of a model's sounds should be reported.

A folder with ``expected.csv`` (columns ``file``, ``expected``, ``also``, ``split``): rows of the split
whose ``expected`` is ``none``. ``also`` names sounds that may occur all the same; nothing is taught
about those.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
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


def read_backgrounds(folders: Iterable[Path], split: str) -> list[Background]:
    """The background recordings of one split, of several folders.

    Raises:
        DatasetError: a folder has another layout.
    """
    return [item for folder in folders for item in read_background(folder, split)]


def background_of_folds(
    recordings: Iterable[Background], folds: Sequence[int], wanted: Sequence[int]
) -> tuple[Background, ...]:
    """The background that belongs to some folds.

    Background belongs to folds as clips do, so that a network can be judged on some that it has not learnt
    from. The recordings are dealt out in turn, the largest files first.

    Args:
        recordings: all of them.
        folds: all folds of the dataset that it is used with.
        wanted: some of these.
    """
    dealt = sorted(recordings, key=lambda item: (-_size(item.path), item.path.name))
    return tuple(item for at, item in enumerate(dealt) if folds[at % len(folds)] in wanted)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0  # that it is missing is told where it is read
