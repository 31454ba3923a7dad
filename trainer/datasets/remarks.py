"""What is odd about a folder of one's own sounds: told before hours are spent on it."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from streamer.errors import SourceError
from trainer.datasets.clip import Clip, DatasetError
from trainer.datasets.copies import same_audio
from trainer.datasets.folder_files import TEST, VALIDATION, SoundFile, other_files, sound_files
from trainer.words import count

FEW = 3
"""So many files are named, the others counted."""

SILENT_BELOW = 2.5 / (1 << 15)
"""Sounds that never reach this are silent: two steps of 16 bits, as some sound cards give with nothing
plugged in."""

SHORTEST_S = 0.05
"""What is shorter is no sound that could be told from another."""


def remarks(folder: Path) -> tuple[str, ...]:
    """What a user should know about the folder, a line each: what is put aside, contradicts, is passed over.

    Raises:
        DatasetError: the folder has another layout.
    """
    sounds = folder / "sounds"
    files = list(sound_files(folder))
    return (*_parts(files), *_contradictions(sounds, files), *_passed_over(sounds, other_files(folder)))


def inaudible(clips: Sequence[Clip], rate_hz: int) -> tuple[str, ...]:
    """Which clips hold nothing that could be learnt, a line for people; none where all are sounds.

    Args:
        clips: those that are learnt from; all are read.
        rate_hz: at which they are heard.

    Raises:
        DatasetError: a class holds nothing else.
    """
    with ProcessPoolExecutor(max_workers=os.cpu_count()) as pool:
        paths = [clip.path for clip in clips]
        reasons = list(pool.map(partial(_why_inaudible, rate_hz=rate_hz), paths, chunksize=16))
    by_label: dict[str, list[tuple[Clip, str]]] = defaultdict(list)
    for clip, reason in zip(clips, reasons, strict=True):
        by_label[clip.label].append((clip, reason))
    for label, members in by_label.items():
        if all(reason for _, reason in members):
            first, reason = members[0]
            raise DatasetError(
                f"the class {label} has nothing to learn from: {first.path} is {reason}"
                f"{_and_more(len(members) - 1, 'like it')}; record it again, or remove the folder"
            )
    found = [f"{clip.path} ({reason})" for clip, reason in zip(clips, reasons, strict=True) if reason]
    return (f"nothing to learn from: {_named(found)}; remove or replace",) if found else ()


def _why_inaudible(path: Path, rate_hz: int) -> str:
    """Why nothing can be learnt from a file; empty where something can, or it cannot be read."""
    from trainer.examples.spectrograms import read_mono

    try:
        samples = read_mono(path, rate_hz)
    except (SourceError, OSError):
        return ""  # told where it is left out
    if len(samples) < SHORTEST_S * rate_hz:
        return f"shorter than {SHORTEST_S:g} s"
    return "silent" if np.abs(samples).max() < SILENT_BELOW else ""


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
        yield f"{reason}: {_named(largest)}"


def _passed_over(sounds: Path, paths: Sequence[Path]) -> Iterable[str]:
    if paths:
        names = [path.relative_to(sounds).as_posix() for path in paths]
        yield f"passed over, not called as a sound file is: {_named(names)}"


def _named(names: Sequence[str]) -> str:
    """The first few, and how many there are beside."""
    return ", ".join(names[:FEW]) + _and_more(len(names) - FEW, "more")


def _and_more(number: int, words: str) -> str:
    return f" and {number:,} {words}" if number > 0 else ""
