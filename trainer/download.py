"""Downloads that go on where they stopped.

A file is called ``FILE.part`` until it is complete. A lost connection is taken up again where it broke, if
the server can do that.
"""

from __future__ import annotations

import hashlib
import http.client
import itertools
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

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
    """Something cannot be fetched; the message says what to do."""


def address(url: str, file: str, base_url: str | None = None) -> str:
    """Where a file is asked for.

    Args:
        url: where it is published.
        file: what it is called in the folder of a mirror.
        base_url: address of such a folder; by default what the environment variable
            ``ESC_TRAIN_FETCH_URL`` says, if it is set.
    """
    mirror = base_url or os.environ.get(URL_VARIABLE)
    return f"{mirror.rstrip('/')}/{file}" if mirror else url


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
    farthest = size_of(part)
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
            reached = size_of(part)
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
    have = size_of(part)
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


def verify(file: Path, kind: str, expected: str, bars: Progress) -> None:
    """Compare a file with its published checksum.

    Args:
        kind: ``md5`` or ``sha256``.
        expected: the checksum in hexadecimal digits.

    Raises:
        FetchError: it is another one.
    """
    digest = hashlib.new(kind, usedforsecurity=False)
    task = bars.add_task(f"checking {file.name}", total=size_of(file))
    with file.open("rb") as stream:
        while block := stream.read(CHUNK_BYTES):
            digest.update(block)
            bars.advance(task, len(block))
    if digest.hexdigest() != expected:
        name = {"md5": "MD5", "sha256": "SHA-256"}[kind]
        raise FetchError(
            f"{file} is not what was published: its {name} is {digest.hexdigest()}, expected {expected}; "
            "remove it to download it again"
        )


def size_of(path: Path) -> int:
    """Bytes of a file, 0 where there is none."""
    return path.stat().st_size if path.exists() else 0


def bytes_bars() -> Progress:
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
