"""One's own sounds: ``sounds/<label>/`` with sound files, no table needed."""

from __future__ import annotations

import csv
import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from trainer.datasets.clip import Clip, DatasetError
from trainer.datasets.files import entries_of, is_hidden, is_sound

FOLDS = 5


def read_folder(folder: Path) -> list[Clip]:
    """Clips of a folder in the layout ``sounds/<label>/*.wav`` (or any other sound file), ordered by name.

    Labels are the names of the folders in snake_case. Hidden files are ignored.

    Recordings: the files of a sub-folder ``sounds/<label>/<recording>/`` are parts of one recording,
    also where folders of that name stand under several labels. Any other file is a recording of its
    own. Recordings that share a file with identical content are one.

    Folds: ``sounds/folds.csv`` (columns ``file``, relative to ``sounds/``, and ``fold``) fixes them; it
    must then list every file. Without it recordings are dealt to the folds 1 to 5, see `deal`: the
    same files give the same folds, but adding or removing files may move others to another fold.

    Raises:
        DatasetError: the folder has another layout, a class has fewer than two recordings (one is
            learnt from, one is held out), two folders give the same label, or folds.csv does not fit.
    """
    sounds = folder / "sounds"
    sources = list(_sources(folder, sounds))
    recordings = _linked(sources)
    for label, members in _by_label(sources).items():
        if len({recordings[source.group] for source in members}) < 2:
            raise DatasetError(
                f"the class {label} has only one recording ({members[0].file}): add another one, so that "
                "one can be held out (files of one sub-folder and identical files are one recording)"
            )
    table = sounds / "folds.csv"
    if table.is_file():
        folds = _read_folds(table, [source.file for source in sources])
    else:
        dealt = deal([(recordings[source.group], source.label) for source in sources])
        folds = {source.file: dealt[recordings[source.group]] for source in sources}
    return [
        Clip(sounds / source.file, source.label, folds[source.file], recordings[source.group])
        for source in sources
    ]


def deal(clips: Iterable[tuple[str, str]], folds: int = FOLDS) -> dict[str, int]:
    """Assign recordings to the folds 1 to `folds`, each class spread as evenly as possible.

    Greedy: recordings of many clips first, those of equal size by name. Each goes to the fold that
    fewest of its classes are confined to so far, of those to the one where its classes then are
    spread most evenly (least sum of squares of clips per class and fold), of those to the one with
    fewest clips, of those to the first.

    Args:
        clips: recording and label of each clip.
        folds: how many folds there are.

    Returns:
        The fold of each recording.
    """
    contents: dict[str, Counter[str]] = defaultdict(Counter)
    for recording, label in clips:
        contents[recording][label] += 1
    filled: list[Counter[str]] = [Counter() for _ in range(folds)]
    dealt: dict[str, int] = {}

    def cost(fold: int, labels: Counter[str]) -> tuple[int, int, int, int]:
        here = filled[fold]
        confined = sum(0 < here[label] == sum(other[label] for other in filled) for label in labels)
        squares = sum((here[label] + count) ** 2 - here[label] ** 2 for label, count in labels.items())
        return confined, squares, here.total(), fold

    for recording, labels in sorted(contents.items(), key=lambda item: (-item[1].total(), item[0])):
        best = min(range(folds), key=lambda fold: cost(fold, labels))
        filled[best].update(labels)
        dealt[recording] = best + 1
    return dealt


def snake_case(name: str) -> str:
    """A label from a folder's name: ``Crying Baby`` and ``CryingBaby`` give ``crying_baby``."""
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
    return re.sub(r"[\W_]+", "_", parted).strip("_").lower()


@dataclass(frozen=True)
class _Source:
    """One sound file."""

    file: str
    """Its path below ``sounds/``, with forward slashes."""

    label: str
    group: str
    """What it is a part of: the name of its sub-folder, or itself."""

    content: str
    """SHA-256 of its bytes."""


def _sources(folder: Path, sounds: Path) -> Iterator[_Source]:
    """All sound files below the label folders, ordered by name."""
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
        files = sorted(path for path in place.rglob("*") if path.is_file() and not _is_hidden_in(path, place))
        paths = [path for path in files if is_sound(path)]
        if not paths:
            raise DatasetError(
                f"the class {label} is empty: {place} holds no sound file (.wav, .flac, .ogg, .mp3, ...); "
                "put at least two recordings into it, or remove the folder"
            )
        for path in paths:
            inside = path.relative_to(place)
            yield _Source(
                file=path.relative_to(sounds).as_posix(),
                label=label,
                group=f"{inside.parts[0]}/" if len(inside.parts) > 1 else f"{place.name}/{inside}",
                content=hashlib.sha256(path.read_bytes()).hexdigest(),
            )


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
    if not places:
        raise DatasetError(
            f"{sounds} holds no classes: expected a folder a label, found {entries_of(sounds)}"
        )
    return places


def _is_hidden_in(path: Path, place: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(place).parts)


def _by_label(sources: Iterable[_Source]) -> Mapping[str, list[_Source]]:
    by_label: dict[str, list[_Source]] = defaultdict(list)
    for source in sources:
        by_label[source.label].append(source)
    return by_label


def _linked(sources: Sequence[_Source]) -> dict[str, str]:
    """The recording of each group: groups that share a content are one recording.

    A recording is called after the content of its files, so that it has the same name in every folder
    of sounds that holds a copy.
    """
    leader: dict[str, str] = {}

    def find(item: str) -> str:
        while leader.setdefault(item, item) != item:
            item = leader[item]
        return item

    for source in sources:
        one, other = find(f"group:{source.group}"), find(f"content:{source.content}")
        # The smallest name leads, whatever the order: that is a content, as c stands before g.
        leader[max(one, other)] = min(one, other)
    return {
        source.group: "sha256:" + find(f"group:{source.group}").removeprefix("content:")[:16]
        for source in sources
    }


def _read_folds(table: Path, files: Sequence[str]) -> dict[str, int]:
    """The fold of every file.

    Raises:
        DatasetError: the table lacks a column or a file, or says what cannot be.
    """
    folds: dict[str, int] = {}
    try:
        with table.open(newline="", encoding="utf-8-sig") as lines:
            reader = csv.DictReader(lines)
            for column in ("file", "fold"):
                if column not in (reader.fieldnames or ()):
                    raise ValueError(f"lacks the column {column}")
            for row in reader:
                file, fold = row["file"] or "", row["fold"] or ""
                if not fold.isdecimal() or int(fold) < 1:
                    raise ValueError(f"line {reader.line_num}: fold is {fold!r}, not a number from 1 on")
                if folds.setdefault(file, int(fold)) != int(fold):
                    raise ValueError(f"line {reader.line_num}: {file} was in another fold before")
    except (csv.Error, ValueError) as error:
        raise DatasetError(f"{table}: {error}") from error
    missing = [file for file in files if file not in folds]
    if missing:
        raise DatasetError(
            f"{table} does not list {missing[0]}; add it, or remove the table to have folds dealt"
        )
    unknown = sorted(set(folds) - set(files))
    if unknown:
        raise DatasetError(f"{table} lists {unknown[0]}, which is not there; correct it or remove the line")
    return folds
