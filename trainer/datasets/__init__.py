"""Labelled recordings: every dataset yields the same `Clip`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from trainer.datasets.background import Background, read_background
from trainer.datasets.clip import Clip, DatasetError
from trainer.datasets.esc50 import read_esc50

READERS: dict[str, Callable[[Path], Iterator[Clip]]] = {"esc50": read_esc50}


def read_dataset(name: str, folder: Path) -> list[Clip]:
    """All clips of a dataset.

    Raises:
        DatasetError: the name is unknown or the folder is not that dataset.
    """
    if name not in READERS:
        raise DatasetError(f"unknown dataset {name!r}; known are {', '.join(sorted(READERS))}")
    clips = list(READERS[name](folder))
    if not clips:
        raise DatasetError(f"{folder} lists no clips")
    return clips


__all__ = ["Background", "Clip", "DatasetError", "read_background", "read_dataset"]
