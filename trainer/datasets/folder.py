"""One's own sounds: ``sounds/<label>/`` with sound files, no table needed."""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from trainer.datasets.clip import Clip, DatasetError
from trainer.datasets.copies import same_audio
from trainer.datasets.folder_files import TEST, TRAIN, VALIDATION, SoundFile, sound_files

FOLDS = 5
VALIDATION_FOLD, TEST_FOLD = 4, 5
"""Where files go whose folders say that they are for validation or for the test."""


def read_folder(folder: Path) -> list[Clip]:
    """Clips of a folder in the layout ``sounds/<label>/*.wav`` (or any other sound file), ordered by name.

    Labels are the names of the folders in snake_case. Hidden files are ignored.

    Recordings: the files of a sub-folder ``sounds/<label>/<recording>/`` are parts of one recording,
    also where folders of that name stand under several labels. Any other file is a recording of its
    own. Recordings that share a file, or the same samples in two files, are one.

    Splits: folders ``sounds/<label>/train/``, ``.../validation/`` and ``.../test/`` (`PARTS` has further
    names) are no recordings but parts of a split; a folder inside them is a recording. What is in ``test``
    is never learnt from, whatever its fold.

    Folds: ``sounds/folds.csv`` (columns ``file``, relative to ``sounds/``, and ``fold``) fixes them; it
    must then list every file. Without it recordings are dealt to the folds 1 to 5, see `deal`: the
    same files give the same folds, but adding or removing files may move others to another fold. Where
    there are parts of a split, that for validation is fold 4 and that for the test fold 5, and what is for
    training is dealt to the others.

    Raises:
        DatasetError: the folder has another layout, a class has fewer than two recordings (one is
            learnt from, one is held out), two folders give the same label, or folds.csv does not fit.
    """
    sounds = folder / "sounds"
    sources = list(sound_files(folder))
    recordings = _linked(sources, same_audio([sounds / source.file for source in sources]))
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
        folds = _dealt(sources, recordings)
    return [
        Clip(
            path=sounds / source.file,
            label=source.label,
            fold=folds[source.file],
            recording=recordings[source.group],
            test_only=source.part == TEST,
        )
        for source in sources
    ]


def _dealt(sources: Sequence[SoundFile], recordings: Mapping[str, str]) -> dict[str, int]:
    """The fold of every file, where no table fixes them.

    Args:
        recordings: that of each group.
    """
    kept = {VALIDATION: VALIDATION_FOLD, TEST: TEST_FOLD}
    parts = {source.part for source in sources}
    everywhere = range(1, FOLDS + 1)
    to_learn_from = [fold for fold in everywhere if fold not in {kept.get(part) for part in parts}]
    folds = {source.file: kept[source.part] for source in sources if source.part in kept}
    for part, free in (("", everywhere), (TRAIN, to_learn_from)):
        members = [source for source in sources if source.part == part]
        dealt = deal([(recordings[source.group], source.label) for source in members], len(free))
        folds |= {source.file: free[dealt[recordings[source.group]] - 1] for source in members}
    return folds


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


def _by_label(sources: Iterable[SoundFile]) -> Mapping[str, list[SoundFile]]:
    by_label: dict[str, list[SoundFile]] = defaultdict(list)
    for source in sources:
        by_label[source.label].append(source)
    return by_label


def _linked(sources: Sequence[SoundFile], same: Sequence[Sequence[int]]) -> dict[str, str]:
    """The recording of each group: groups that share a content are one recording.

    Args:
        same: indices of files that hold the same samples.


    A recording is called after the content of its files, so that it has the same name in every folder
    of sounds that holds a copy.
    """
    leader: dict[str, str] = {}

    def find(item: str) -> str:
        while leader.setdefault(item, item) != item:
            item = leader[item]
        return item

    def join(one: str, other: str) -> None:
        # The smallest name leads, whatever the order: that is a content, as c stands before g.
        one, other = find(one), find(other)
        leader[max(one, other)] = min(one, other)

    for source in sources:
        join(f"group:{source.group}", f"content:{source.content}")
    for first, *others in same:
        for other in others:
            join(f"content:{sources[first].content}", f"content:{sources[other].content}")
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
