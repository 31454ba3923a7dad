"""Which files of a folder of one's own sounds are which sound, and which were put aside for a test."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from trainer.datasets.clip import DatasetError
from trainer.datasets.files import entries_of, is_hidden, is_sound

TRAIN, VALIDATION, TEST = "train", "validation", "test"

PARTS = {
    **dict.fromkeys(("train", "training"), TRAIN),
    **dict.fromkeys(("val", "valid", "validation"), VALIDATION),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), TEST),
}
"""How folders inside a label's folder are called, in any case, whose files are one part of a split."""


def snake_case(name: str) -> str:
    """A label from a folder's name: ``Crying Baby`` and ``CryingBaby`` give ``crying_baby``."""
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
    return re.sub(r"[\W_]+", "_", parted).strip("_").lower()


@dataclass(frozen=True)
class SoundFile:
    """One sound file."""

    file: str
    """Its path below ``sounds/``, with forward slashes."""

    label: str
    group: str
    """What it is a piece of: the name of its sub-folder, or itself."""

    content: str
    """SHA-256 of its bytes."""

    part: str = ""
    """`TRAIN`, `VALIDATION` or `TEST` if its folder says so."""


def sound_files(folder: Path) -> Iterator[SoundFile]:
    """All sound files below the label folders of ``sounds/``, ordered by name.

    Raises:
        DatasetError: the folder has another layout, a class holds no sound file, or two folders give the
            same label.
    """
    sounds = folder / "sounds"
    labels: dict[str, str] = {}
    for place in _label_folders(folder, sounds):
        label = snake_case(place.name)
        if not label:
            raise DatasetError(f"{place}: a label needs letters or digits; rename the folder")
        if label in labels:
            raise DatasetError(
                f"{sounds}: the folders {labels[label]} and {place.name} both give the label {label}; "
                "rename or merge them"
            )
        labels[label] = place.name
        paths = [path for path in _visible_files(place) if is_sound(path)]
        if not paths:
            raise DatasetError(
                f"the class {label} is empty: {place} holds no sound file (.wav, .flac, .ogg, .mp3, ...); "
                "put at least two recordings into it, or remove the folder"
            )
        for path in paths:
            *places, name = path.relative_to(place).parts
            part = PARTS.get(places[0].lower(), "") if places else ""
            piece_of = "/".join(places[: 2 if part else 1])
            yield SoundFile(
                file=path.relative_to(sounds).as_posix(),
                label=label,
                group=f"{piece_of}/" if len(places) > bool(part) else f"{place.name}/{piece_of}/{name}",
                content=hashlib.sha256(path.read_bytes()).hexdigest(),
                part=part,
            )


def other_files(folder: Path) -> list[Path]:
    """Visible files below the label folders that are not called as sound files are, ordered by name."""
    return [
        path
        for place in _label_folders(folder, folder / "sounds")
        for path in _visible_files(place)
        if not is_sound(path)
    ]


def _label_folders(folder: Path, sounds: Path) -> list[Path]:
    """The folders below ``sounds/``, one a class."""
    if not sounds.is_dir():
        wanted = f"{folder} is no folder of sounds: expected sounds/<label>/*.wav inside it"
        if not folder.is_dir():
            raise DatasetError(f"{wanted}; there is no such folder")
        places = sorted(path for path in folder.glob("*/") if (path / "sounds").is_dir())
        if folder.resolve().name == "sounds":
            places.append(folder.resolve().parent)
        hint = f"; did you mean {places[0]}?" if places else f", found {entries_of(folder)}"
        raise DatasetError(wanted + hint)
    stray = sorted(path.name for path in sounds.iterdir() if path.is_file() and is_sound(path))
    if stray:
        raise DatasetError(f"{sounds / stray[0]} has no label: move it into a folder, {sounds}/<label>/")
    places = sorted(path for path in sounds.iterdir() if path.is_dir() and not is_hidden(path))
    # A single folder called train may hold trains.
    if len(places) > 1 and all(place.name.lower() in PARTS for place in places):
        raise DatasetError(
            f"{sounds} is parted into {' and '.join(place.name for place in places)} first: put the label "
            f"first, as in {sounds}/dog/{places[0].name}/"
        )
    if not places:
        raise DatasetError(
            f"{sounds} holds no classes: expected a folder a label, found {entries_of(sounds)}"
        )
    return places


def _visible_files(place: Path) -> list[Path]:
    """Files at any depth whose way there has no hidden part, ordered by name."""
    return sorted(
        path
        for path in place.rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(place).parts)
    )
