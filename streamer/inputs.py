"""Which sound files the words of the command line stand for."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from pathlib import Path

from streamer.errors import SourceError
from streamer.sources.containers import SOUND_SUFFIXES, is_called_sound


def expanded(words: tuple[str, ...]) -> Iterator[str]:
    """The inputs with folders and globs replaced by the files that they hold, sorted by path.

    A folder stands for its sound files and those of all folders below it, known by the ending of their
    names; what begins with a dot is passed over, and links to folders are not followed. A name that exists
    is never taken for a glob.

    Raises:
        SourceError: a folder or a glob stands for nothing.
    """
    for word in words:
        if word in ("mic", "-"):
            yield word
        elif os.path.isdir(word):  # noqa: PTH112 - Path.is_dir raises where a name is too long
            yield from _sounds_in(word)
        elif glob.has_magic(word) and not os.path.lexists(word):
            yield from _matches(word)
        else:
            yield word


def _matches(pattern: str) -> Iterator[str]:
    # Unlike glob, Path.glob also gives what begins with a dot.
    pattern = str(Path(pattern).expanduser())
    found = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207
    if not found:
        raise SourceError(f"no file matches {pattern}")
    for name in found:
        if Path(name).is_dir():
            yield from _sounds_in(name, must=False)
        else:
            yield name


def _sounds_in(folder: str, must: bool = True) -> list[str]:
    def unreadable(error: OSError) -> None:
        raise SourceError(f"cannot look into the folder {error.filename}: {error.strerror}") from error

    found = []
    for path, folders, files in os.walk(folder, onerror=unreadable):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [str(Path(path) / name) for name in files if is_called_sound(name)]
    if must and not found:
        raise SourceError(f"no sound file in {folder}: none ends in {', '.join(SOUND_SUFFIXES)}")
    return sorted(found)
