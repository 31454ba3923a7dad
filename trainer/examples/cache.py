"""A cache of computed arrays on disk that never goes stale.

Layout: ``FOLDER/ab/abcd....arrays``, one file an entry, not compressed. The name is the SHA-256 of all
that the arrays depend on: the content of the sound file (not its name or date), what was asked for, the
source code that computes it, and the versions of the libraries that it leans on. An entry is therefore
right or not there; nothing has to be thrown away when a recipe, a file or the code changes. Entries are
written beside and renamed, so that any number of processes may share a folder.
"""

from __future__ import annotations

import ast
import hashlib
import io
import json
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

Arrays = dict[str, np.ndarray[Any, Any]]

FORMAT = 1
"""Of the entries; to be raised when their layout changes."""

CODE = (
    "streamer/frontend",
    "streamer/sources",
    "trainer/examples/augment.py",
    "trainer/examples/inputs.py",
    "trainer/examples/segments.py",
    "trainer/examples/spectrograms.py",
    "trainer/examples/waveforms.py",
)
"""What turns a sound file into arrays: a change in this code makes other entries (comments apart)."""

LIBRARIES = ("librosa", "numpy", "scipy", "soundfile", "soxr")
"""What decodes, resamples and transforms."""

KEPT_FREE_BYTES = 10**9
"""The cache leaves at least so much room on the disk: a training must be able to save its weights."""


class ArrayCache:
    """Remembers arrays by what they were computed from. It may be pickled to other processes.

    A folder that cannot be written to or a disk that gets full never stops the work: one line on stderr
    says that nothing is stored any more (one in each process that runs into it).
    """

    def __init__(self, folder: Path | None) -> None:
        """Use a folder, created where needed; None turns caching off."""
        self.folder = folder
        self._stores = folder is not None
        self._code = "" if folder is None else code_fingerprint()
        if folder is not None:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                probe = folder / f".{uuid4().hex}.part"
                probe.touch(exist_ok=False)
                probe.unlink()
            except OSError as error:
                self._stop_storing(error)

    def get(self, path: Path, what: object, compute: Callable[[], Arrays]) -> Arrays:
        """Arrays computed from a file: those in the cache, or else those that `compute` gives.

        Args:
            path: the file that they are computed from. When it cannot be read, `compute` is called, so
                that the error is the one that there would be without a cache.
            what: everything else that the outcome depends on, such as the front end's parameters,
                speeds, augmentation and seed; something that JSON can express.
            compute: gives named arrays without Python objects in them. What it raises is passed on, and
                nothing is stored then.

        Raises:
            TypeError: `what` cannot be expressed in JSON.
        """
        if self.folder is None:
            return compute()
        try:
            entry = self._entry(path, what)
        except OSError:
            return compute()
        # A missing entry, or a damaged one, which raises whatever its first wrong byte leads to.
        with suppress(Exception):
            return _read(entry)
        arrays = compute()
        if self._stores:
            try:
                # The file may have been replaced while it was worked on.
                if self._entry(path, what) == entry:
                    self._store(entry, arrays)
            except OSError as error:
                self._stop_storing(error)
        return arrays

    def size(self) -> int:
        """Bytes that all entries take together."""
        return sum(path.stat().st_size for path in self._files())

    def clear(self) -> None:
        """Remove all entries, and nothing else that may lie in the folder."""
        for path in list(self._files()):
            path.unlink(missing_ok=True)
            with suppress(OSError):
                path.parent.rmdir()

    def _entry(self, path: Path, what: object) -> Path:
        """The file of an entry."""
        assert self.folder is not None
        depends_on = {
            "file": hashlib.sha256(path.read_bytes()).hexdigest(),
            "what": what,
            "code": self._code,
        }
        key = hashlib.sha256(json.dumps(depends_on, sort_keys=True).encode()).hexdigest()
        return self.folder / key[:2] / f"{key}.arrays"

    def _files(self) -> Iterator[Path]:
        """Entries, and what interrupted processes left of some."""
        if self.folder is not None:
            yield from self.folder.glob("[0-9a-f][0-9a-f]/*.arrays")
            yield from self.folder.glob("[0-9a-f][0-9a-f]/*.part")

    def _store(self, entry: Path, arrays: Arrays) -> None:
        assert self.folder is not None
        if shutil.disk_usage(self.folder).free < KEPT_FREE_BYTES:
            raise OSError(f"less than {KEPT_FREE_BYTES / 1e9:.0f} GB are free on its disk")
        entry.parent.mkdir(exist_ok=True)
        part = entry.with_name(f"{entry.stem}.{uuid4().hex}.part")
        try:
            _write(part, arrays)
            part.replace(entry)
        finally:
            part.unlink(missing_ok=True)

    def _stop_storing(self, error: OSError) -> None:
        self._stores = False
        # Workers are handed a new copy with every piece of work.
        if str(self.folder) not in _reported:
            _reported.add(str(self.folder))
            print(f"the cache {self.folder} is not written to: {error.strerror or error}", file=sys.stderr)


_reported: set[str] = set()
"""Folders about which this process has complained."""


def default_folder() -> Path | None:
    """``$ESC_TRAIN_CACHE``, or else ``esc-train`` in the user's cache folder (XDG), if there is one."""
    if chosen := os.environ.get("ESC_TRAIN_CACHE"):
        return Path(chosen).expanduser()
    caches = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not caches.is_absolute():
        try:
            caches = Path.home() / ".cache"
        except RuntimeError:
            return None
    return caches / "esc-train"


def code_fingerprint() -> str:
    """SHA-256 of everything apart from file and request that arrays depend on: code and libraries."""
    root = Path(__file__).parents[2]
    sources = [source for name in CODE for source in sorted([root / name, *(root / name).rglob("*.py")])]
    parts = [f"format {FORMAT}", f"python {platform.python_version()}", platform.machine()]
    for name in LIBRARIES:
        try:
            parts.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            parts.append(f"{name} missing")
    # The syntax tree knows no comments and no layout.
    parts += [ast.dump(ast.parse(source.read_bytes())) for source in sources if source.is_file()]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _write(path: Path, arrays: Arrays) -> None:
    """SHA-256 of all that follows, then the names and each array in numpy's own format.

    The checksum of a zip file, as `numpy.savez` writes it, misses some damage to its directory.
    """
    content = io.BytesIO()
    for array in (np.array(list(arrays), np.str_), *arrays.values()):
        np.lib.format.write_array(content, np.asanyarray(array), allow_pickle=False)
    with path.open("xb") as file:
        file.write(hashlib.sha256(content.getbuffer()).digest())
        file.write(content.getbuffer())


def _read(path: Path) -> Arrays:
    """All arrays of an entry.

    Raises:
        Exception: it is missing or damaged.
    """
    whole = memoryview(path.read_bytes())
    if hashlib.sha256(whole[32:]).digest() != whole[:32]:
        raise ValueError(f"{path} is damaged")
    content = io.BytesIO(whole[32:])
    names = np.lib.format.read_array(content, allow_pickle=False)
    return {str(name): np.lib.format.read_array(content, allow_pickle=False) for name in names}
