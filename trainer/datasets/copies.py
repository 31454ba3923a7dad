"""Files that hold the same samples in other bytes: another container, other tags."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Hashable, Sequence
from functools import cache
from pathlib import Path

BLOCK_SAMPLES = 1 << 16


def same_audio(paths: Sequence[Path]) -> list[list[int]]:
    """Groups of files that decode to the same samples at the same rate.

    Only files of one length are decoded: the others cannot be the same. Files that libsndfile does not
    read, or that hold nothing but zeros, are in no group.

    Returns:
        Indices into `paths`, two or more in each group, in order.
    """
    lengths: dict[Hashable, list[int]] = defaultdict(list)
    for at, path in enumerate(paths):
        if (shape := _shape(*_identity(path))) is not None:
            lengths[shape].append(at)
    samples: dict[Hashable, list[int]] = defaultdict(list)
    for members in lengths.values():
        for at in members if len(members) > 1 else ():
            if (found := _samples(*_identity(paths[at]))) is not None:
                samples[found].append(at)
    return [members for members in samples.values() if len(members) > 1]


def _identity(path: Path) -> tuple[Path, int, int]:
    """What tells whether a file is still the one that was looked at before."""
    status = path.stat()
    return path, status.st_mtime_ns, status.st_size


@cache
def _shape(path: Path, _changed_ns: int, _size: int) -> tuple[int, int, int] | None:
    """Samples, channels and rate of a file; None where it cannot be read, or holds nothing."""
    import soundfile

    try:
        about = soundfile.info(path)
    except (soundfile.SoundFileError, OSError):
        return None
    return (about.frames, about.channels, about.samplerate) if about.frames else None


@cache
def _samples(path: Path, _changed_ns: int, _size: int) -> str | None:
    """SHA-256 of the samples of a file; None where it cannot be read, or holds only zeros."""
    import soundfile

    found, anything = hashlib.sha256(), False
    try:
        with soundfile.SoundFile(path) as file:
            found.update(f"{file.samplerate} {file.channels} ".encode())
            for block in file.blocks(BLOCK_SAMPLES, dtype="float32"):
                found.update(block.tobytes())
                anything = anything or bool(block.any())
    except (soundfile.SoundFileError, OSError):
        return None
    return found.hexdigest() if anything else None
