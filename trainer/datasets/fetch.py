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
import hashlib
import http.client
import itertools
import os
import re
import shutil
import tarfile
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING
from urllib.parse import urlsplit

from trainer.datasets import DatasetError, read_dataset

if TYPE_CHECKING:
    from rich.progress import Progress

CHUNK_BYTES = 1 << 18
TIMEOUT_S = 30.0
"""How long a server may say nothing."""

PATIENCE = 4
"""After so many lost connections without anything new in between the download gives up."""

PAUSE_S = 1.0
"""After the first fruitless attempt; it is 3, 7, ... times as long after further ones."""

URL_VARIABLE = "ESC_TRAIN_FETCH_URL"
"""Environment variable with the address of a folder that holds the archives, such as a mirror's."""


class FetchError(Exception):
    """A dataset cannot be fetched; the message says what to do."""


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
    mirror = base_url or os.environ.get(URL_VARIABLE)
    url = f"{mirror.rstrip('/')}/{archive.file}" if mirror else archive.url
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
        with _bars() as bars:
            if not packed.exists():
                download(url, packed, archive.packed_bytes, bars)
            _verify(archive, packed, bars)
            _unpack(archive, packed, to, bars)
        packed.unlink()
    except OSError as error:
        raise FetchError(
            f"cannot write to {to}: {error.strerror or error}; mend that, and the same command continues"
        ) from error
    return to


# Downloading


BROKEN = "it broke off"


class _LostError(Exception):
    """The connection broke off or never came about."""


def download(url: str, file: Path, expected_bytes: int, bars: Progress) -> None:
    """Download a file; what an earlier attempt left in ``FILE.part`` is continued.

    A broken connection is taken up again, as long as each attempt gets farther than the ones before;
    after a fruitless one there is a pause.

    Args:
        expected_bytes: what the bar takes for the whole when the server does not say it.

    Raises:
        FetchError: the server cannot be reached, does not have the file, or breaks off again and again.
        OSError: the disk does not want it.
    """
    part = file.with_name(f"{file.name}.part")
    task = bars.add_task(f"downloading {file.name}", total=expected_bytes)
    farthest = _size(part)
    losses = 0
    for attempt in itertools.count():
        try:
            _receive(
                url,
                part,
                lambda done, total: bars.update(task, completed=done, total=total or expected_bytes),
            )
            break
        except _LostError as error:
            reached = _size(part)
            losses = 0 if reached > farthest else losses + 1
            # What never came about is reported at once.
            if losses == PATIENCE or (attempt == 0 and losses):
                after = f" after {farthest / 1e6:.1f} MB" if farthest else ""
                raise FetchError(
                    f"no connection to {urlsplit(url).hostname}{after}: {error}; "
                    "check the network, the same command continues"
                ) from error
            farthest = max(farthest, reached)
            time.sleep(PAUSE_S * (2**losses - 1))
    part.replace(file)


def _receive(url: str, part: Path, show: Callable[[int, int | None], None]) -> None:
    """Complete the part with one request.

    Raises:
        _LostError: the connection broke; what came before is in the part.
        FetchError: the server refuses.
    """
    have = _size(part)
    headers = {"User-Agent": "esc-train"} | ({"Range": f"bytes={have}-"} if have else {})
    try:
        request = urllib.request.Request(url, headers=headers)
        response = urllib.request.urlopen(request, timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        with error:
            if error.code != 416 or not have:
                raise FetchError(_refusal(url, error.code, error.reason)) from error
            whole = re.fullmatch(r"bytes \*/(\d+)", error.headers.get("Content-Range", ""))
        if not whole or int(whole[1]) != have:
            # Longer than the file: this is no part of it.
            part.unlink()
            _receive(url, part, show)
        return
    except ValueError as error:
        raise FetchError(f"{url} is no address of a file: {error}") from error
    except (OSError, http.client.HTTPException) as error:
        raise _LostError(_reason(error)) from error
    with response:
        continues = response.status == 206
        if continues and not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            raise FetchError(f"{url} cannot be continued: the server sends another part; remove {part}")
        have = have if continues else 0
        length = response.headers.get("Content-Length")
        total = have + int(length) if length else None
        with part.open("ab" if continues else "wb") as file:
            while total is None or have < total:
                show(have, total)
                try:
                    # Whatever is there, so that nothing is lost when the connection breaks.
                    block = response.read1(CHUNK_BYTES)
                except (OSError, http.client.HTTPException) as error:
                    raise _LostError(_reason(error)) from error
                if not block:
                    break
                file.write(block)
                have += len(block)
        show(have, total)
    if total is not None and have < total:
        raise _LostError(BROKEN)


def _refusal(url: str, status: int, reason: str) -> str:
    """What a server's answer means for the person who waits."""
    if status in (404, 410):
        return f"{url} is not there any more ({status}); set {URL_VARIABLE} to the address of a mirror"
    return f"{url} cannot be downloaded now: {status} {reason}; try again later, the same command continues"


def _reason(error: Exception) -> str:
    """Why there is no connection, in the system's words."""
    if isinstance(error, http.client.IncompleteRead):
        return BROKEN
    inner = error.reason if isinstance(error, urllib.error.URLError) else error
    return getattr(inner, "strerror", None) or str(inner) or type(inner).__name__


# Checking and unpacking


def _verify(archive: Archive, packed: Path, bars: Progress) -> None:
    """Compare the checksum, where one was published."""
    if archive.md5 is None:
        return
    digest = hashlib.md5(usedforsecurity=False)
    task = bars.add_task(f"checking {packed.name}", total=_size(packed))
    with packed.open("rb") as file:
        while block := file.read(CHUNK_BYTES):
            digest.update(block)
            bars.advance(task, len(block))
    if digest.hexdigest() != archive.md5:
        raise FetchError(
            f"{packed} is not what was published: its MD5 is {digest.hexdigest()}, expected {archive.md5}; "
            "remove it to download it again"
        )


def _unpack(archive: Archive, packed: Path, to: Path, bars: Progress) -> None:
    """Unpack beside, look whether everything is there, and only then move it into place."""
    unpacked = to / ".unpacking"
    shutil.rmtree(unpacked, ignore_errors=True)
    task = bars.add_task(f"unpacking {packed.name}", total=_size(packed))
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
    bars.update(task, completed=_size(packed))
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
    there = _size(packed) + _size(packed.with_name(f"{packed.name}.part"))
    needed = max(0, archive.packed_bytes - there) + archive.unpacked_bytes
    free = shutil.disk_usage(to).free
    if free < needed:
        raise FetchError(
            f"{to} has {free / 1e9:.1f} GB free, but {archive.title} needs {needed / 1e9:.1f} GB "
            "until it is unpacked; make room, or choose another folder"
        )


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _bars() -> Progress:
    """Bars of bytes on stderr."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
