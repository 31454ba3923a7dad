"""What every dataset yields."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Clip:
    """One labelled recording."""

    path: Path
    label: str
    """snake_case, in the one vocabulary of the project."""

    fold: int
    recording: str
    """Identifies the source recording: clips of one recording never straddle a split."""

    test_only: bool = False
    """Put aside as a test by whoever laid out the dataset: never learnt from, whatever its fold."""


class DatasetError(Exception):
    """A dataset folder is not what it should be."""
