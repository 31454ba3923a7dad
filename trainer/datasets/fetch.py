"""Downloads a published dataset and puts it into its official layout.

What is verified before a dataset counts as there:

- UrbanSound8K: the MD5 checksum that Zenodo publishes for the archive.
- ESC-50: GitHub packs the archive of a commit when it is asked for and promises nothing about its
  bytes, so there is no checksum to compare. The commit is pinned, and the CRC-32 of every file in the
  archive is compared while it is unpacked.
- Both: the table lists as many clips as were published, and each of them is there.

On the way the folder holds the archive, named ``.part`` until it is complete, and ``.unpacking/``; the
archive is removed once everything is in place. An interrupted download goes on where it stopped, if the
server can do that.
"""

from __future__ import annotations

import gzip
import re
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from trainer.datasets import DatasetError, read_dataset
from trainer.download import CHUNK_BYTES, FetchError, address, bytes_bars, download, size_of, verify

if TYPE_CHECKING:
    from rich.progress import Progress


@dataclass(frozen=True)
class Archive:
    """A published dataset as one file."""

    dataset: str
    """Its name for `read_dataset`."""

    title: str
    url: str
    """Where it is published."""

    file: str
    """What it is called on the way, and on a mirror."""

    clips: int
    packed_bytes: int
    unpacked_bytes: int
    """Roughly; so much room is needed in addition until the archive is removed."""

    licence: str
    folders: tuple[str, ...]
    """What stands in the dataset's folder when it is complete."""

    md5: str | None = None


ARCHIVES = {
    archive.dataset: archive
    for archive in (
        Archive(
            dataset="esc50",
            title="ESC-50",
            url="https://github.com/karolpiczak/ESC-50/archive/33c8ce9eb2cf0b1c2f8bcf322eb349b6be34dbb6.zip",
            file="ESC-50.zip",
            clips=2_000,
            packed_bytes=645_832_161,
            unpacked_bytes=890_000_000,
            licence="CC BY-NC 3.0",
            folders=("audio", "meta"),
        ),
        Archive(
            dataset="urbansound8k",
            title="UrbanSound8K",
            url="https://zenodo.org/records/1203745/files/UrbanSound8K.tar.gz",
            file="UrbanSound8K.tar.gz",
            clips=8_732,
            packed_bytes=6_023_741_708,
            unpacked_bytes=7_100_000_000,
            licence="CC BY-NC 3.0",
            folders=("audio", "metadata"),
            md5="9aa69802bbf37fb986f71ec1483a196e",
        ),
    )
}


def fetch(name: str, to: Path, base_url: str | None = None) -> Path:
    """Download a dataset into a folder, unless it is there already.

    An interrupted download (also by Ctrl-C) leaves its part, and the next call continues it.

    Args:
        name: one of `ARCHIVES`.
        to: folder of the dataset; created where needed. `read_dataset` accepts it afterwards.
        base_url: address of a folder with the archive, instead of the published one; by default
            what the environment variable ``ESC_TRAIN_FETCH_URL`` says, if it is set.

    Returns:
        The folder.

    Raises:
        FetchError: unknown name, no network, no such file on the server, no room, a damaged archive, or
            other things in the folder.
    """
    if name not in ARCHIVES:
        raise FetchError(f"there is no dataset {name!r} to fetch; known are {', '.join(ARCHIVES)}")
    return fetch_archive(ARCHIVES[name], to, base_url)


def fetch_archive(archive: Archive, to: Path, base_url: str | None = None) -> Path:
    """As `fetch`, for any archive."""
    if _is_complete(archive, to):
        return to
    url = address(archive.url, archive.file, base_url)
    packed = to / archive.file
    try:
        to.mkdir(parents=True, exist_ok=True)
        for name in archive.folders:
            if (to / name).exists():
                raise FetchError(
                    f"{to / name} belongs to an incomplete {archive.title} or to something else: "
                    "remove it, or choose another folder"
                )
        _check_room(archive, to)
        with bytes_bars() as bars:
            if not packed.exists():
                download(url, packed, archive.packed_bytes, bars)
            if archive.md5:
                verify(packed, "md5", archive.md5, bars)
            _unpack(archive, packed, to, bars)
        packed.unlink()
    except OSError as error:
        raise FetchError(
            f"cannot write to {to}: {error.strerror or error}; mend that, and the same command continues"
        ) from error
    return to


# Checking and unpacking


def _unpack(archive: Archive, packed: Path, to: Path, bars: Progress) -> None:
    """Unpack beside, look whether everything is there, and only then move it into place."""
    unpacked = to / ".unpacking"
    shutil.rmtree(unpacked, ignore_errors=True)
    task = bars.add_task(f"unpacking {packed.name}", total=size_of(packed))
    with packed.open("rb") as file:
        try:
            for name, stream in _members(file, packed.suffix):
                if place := _place(name, unpacked, packed):
                    place.parent.mkdir(parents=True, exist_ok=True)
                    with place.open("wb") as out:
                        shutil.copyfileobj(stream, out, CHUNK_BYTES)
                bars.update(task, completed=file.tell())
        except (
            zipfile.BadZipFile,
            tarfile.TarError,
            gzip.BadGzipFile,
            zlib.error,
            EOFError,
            RuntimeError,
        ) as error:
            raise FetchError(f"{packed} is damaged: {error}; remove it to download it again") from error
    bars.update(task, completed=size_of(packed))
    if not _is_complete(archive, unpacked):
        raise FetchError(
            f"{packed} does not hold the {archive.clips} clips of {archive.title}; "
            "remove it to download it again"
        )
    for entry in sorted(unpacked.iterdir()):
        entry.replace(to / entry.name)
    unpacked.rmdir()


def _members(file: IO[bytes], suffix: str) -> Iterator[tuple[str, IO[bytes]]]:
    """Names and contents of the plain files in an archive; reading all of it checks the CRC."""
    if suffix == ".zip":
        with zipfile.ZipFile(file) as archive:
            for info in archive.infolist():
                if not info.is_dir():
                    with archive.open(info) as stream:
                        yield info.filename, stream
    else:
        with gzip.GzipFile(fileobj=file) as plain, tarfile.open(fileobj=plain, mode="r:") as tape:
            for member in tape:
                # Links and devices are left out: a dataset needs none, and they may lead outside.
                if member.isfile() and (content := tape.extractfile(member)):
                    yield member.name, content
            # The checksum stands behind the padding.
            while plain.read(CHUNK_BYTES):
                pass


def _place(name: str, folder: Path, packed: Path) -> Path | None:
    """Where a member goes: without the archive's one outer folder. None when it is hidden or outermost.

    Raises:
        FetchError: it would lie outside the folder.
    """
    parts = [part for part in re.split(r"[/\\]", name) if part != "."]
    if ".." in parts or parts[0] == "" or ":" in parts[0]:
        raise FetchError(f"{packed} is not to be trusted: it holds {name!r}, a path outside of its folder")
    inner = parts[1:]
    if not inner or any(part.startswith(".") for part in inner):
        return None
    return folder.joinpath(*inner)


def _is_complete(archive: Archive, folder: Path) -> bool:
    """Whether all clips are in place."""
    try:
        clips = read_dataset(archive.dataset, folder)
    except DatasetError:
        return False
    return len(clips) == archive.clips and all(clip.path.is_file() for clip in clips)


def _check_room(archive: Archive, to: Path) -> None:
    """Refuse at once what would fail after an hour."""
    packed = to / archive.file
    there = size_of(packed) + size_of(packed.with_name(f"{packed.name}.part"))
    needed = max(0, archive.packed_bytes - there) + archive.unpacked_bytes
    free = shutil.disk_usage(to).free
    if free < needed:
        raise FetchError(
            f"{to} has {free / 1e9:.1f} GB free, but {archive.title} needs {needed / 1e9:.1f} GB "
            "until it is unpacked; make room, or choose another folder"
        )
