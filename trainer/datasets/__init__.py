"""Labelled recordings: every dataset yields the same `Clip`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from trainer.datasets.background import Background, background_of_folds, read_background, read_backgrounds
from trainer.datasets.clip import Clip, DatasetError
from trainer.datasets.esc50 import ESC10, ESC50
from trainer.datasets.folder import read_folder
from trainer.datasets.pool import read_pool
from trainer.datasets.split import Split, split
from trainer.datasets.urbansound8k import URBANSOUND8K

READERS: dict[str, Callable[[Path], Iterable[Clip]]] = {
    "esc50": ESC50.read,
    "esc10": ESC10.read,
    "urbansound8k": URBANSOUND8K.read,
    "folder": read_folder,
    "pool": read_pool,
}


def read_dataset(name: str, folder: Path) -> list[Clip]:
    """All clips of a dataset.

    Raises:
        DatasetError: the name is unknown or the folder is not that dataset.
    """
    if name not in READERS:
        raise DatasetError(f"unknown dataset {name!r}; known are {', '.join(READERS)}")
    clips = list(READERS[name](folder))
    if not clips:
        raise DatasetError(f"{folder} lists no clips")
    return clips


__all__ = [
    "Background",
    "Clip",
    "DatasetError",
    "Split",
    "background_of_folds",
    "read_background",
    "read_backgrounds",
    "read_dataset",
    "split",
]
