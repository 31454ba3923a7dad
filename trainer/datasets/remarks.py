"""Oddities of a folder of one's own sounds, reported before hours are spent on it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from trainer.datasets.copies import same_audio
from trainer.datasets.folder_files import TEST, VALIDATION, SoundFile, other_files, sound_files
from trainer.words import count, named


def remarks(folder: Path) -> tuple[str, ...]:
    """Files that are put aside, contradict each other or are passed over, one line for each kind.

    Raises:
        DatasetError: the folder has another layout.
    """
    sounds = folder / "sounds"
    files = list(sound_files(folder))
    return (*_parts(files), *_contradictions(sounds, files), *_passed_over(sounds, other_files(folder)))


def _parts(files: Sequence[SoundFile]) -> Iterable[str]:
    """Which parts of a split there are, and what becomes of them."""
    numbers = {part: sum(file.part == part for file in files) for part in (VALIDATION, TEST)}
    if numbers[TEST]:
        yield f"{count(numbers[TEST], 'file')} in folders called test: fold 5, never learnt from"
    if numbers[VALIDATION]:
        yield f"{count(numbers[VALIDATION], 'file')} in folders called validation: fold 4"


@dataclass(frozen=True)
class _Copies:
    """Files that are one sound."""

    files: tuple[SoundFile, ...]

    @property
    def contradicts(self) -> str:
        """What cannot be about them; empty where all is well."""
        if len(labels := sorted({file.label for file in self.files})) > 1:
            return f"the same sound is {' and '.join(labels)}"
        parts = {file.part or "train" for file in self.files}
        if TEST in parts and len(parts) > 1:
            return "the same sound is learnt from and in the test; it is kept for the test"
        return ""


def _contradictions(sounds: Path, files: Sequence[SoundFile]) -> Iterable[str]:
    by_content: dict[str, list[int]] = defaultdict(list)
    for at, file in enumerate(files):
        by_content[file.content].append(at)
    groups = [members for members in by_content.values() if len(members) > 1]
    # Equal bytes hold equal samples: such a group of samples is the larger one.
    groups += same_audio([sounds / file.file for file in files])
    by_reason: dict[str, dict[frozenset[str], str]] = defaultdict(dict)
    for members in groups:
        copies = _Copies(tuple(files[at] for at in members))
        names = [file.file for file in copies.files]
        if copies.contradicts:
            by_reason[copies.contradicts].setdefault(frozenset(names), " = ".join(names))
    for reason, found in by_reason.items():
        largest = [text for names, text in found.items() if not any(names < other for other in found)]
        yield f"{reason}: {named(largest)}"


def _passed_over(sounds: Path, paths: Sequence[Path]) -> Iterable[str]:
    if paths:
        names = [path.relative_to(sounds).as_posix() for path in paths]
        yield f"passed over, not called as a sound file is: {named(names)}"
