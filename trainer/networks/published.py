"""Networks that others have published, and where: downloaded, checked, kept as they are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from trainer.download import FetchError, address, bytes_bars, download, verify


@dataclass(frozen=True)
class Published:
    """A published network as one file."""

    name: str
    """What the command line calls it."""

    title: str
    url: str
    """Where it is published."""

    file: str
    """What it is called, also on a mirror."""

    size_bytes: int
    sha256: str
    licence: str
    """Of the weights."""


PUBLISHED = {
    network.name: network
    for network in (
        Published(
            name="efficientat-mn04",
            title="EfficientAT mn04_as (Schmid, Koutini and Widmer, ICASSP 2023)",
            url="https://github.com/fschmid56/EfficientAT/releases/download/v0.0.1/mn04_as_mAP_432.pt",
            file="mn04_as_mAP_432.pt",
            size_bytes=4_066_513,
            sha256="899a8c6217063f6941793102a2780b3dd788ab11fce468d9cf5f0577c453321c",
            licence="MIT",
        ),
    )
}


def fetch_published(name: str, to: Path, base_url: str | None = None) -> Path:
    """Download a published network into a folder, unless it is there already.

    An interrupted download (also by Ctrl-C) leaves its part, and the next call continues it. The SHA-256
    of the file is compared every time.

    Args:
        name: one of `PUBLISHED`.
        to: folder; created where needed.
        base_url: address of a folder with the file, as for `trainer.download.address`.

    Returns:
        The file.

    Raises:
        FetchError: unknown name, no network, no such file on the server, or another file.
    """
    if name not in PUBLISHED:
        raise FetchError(f"there is no network {name!r} to fetch; known are {', '.join(PUBLISHED)}")
    network = PUBLISHED[name]
    file = to / network.file
    try:
        to.mkdir(parents=True, exist_ok=True)
        with bytes_bars() as bars:
            if not file.exists():
                download(address(network.url, network.file, base_url), file, network.size_bytes, bars)
            verify(file, "sha256", network.sha256, bars)
    except OSError as error:
        raise FetchError(
            f"cannot write to {to}: {error.strerror or error}; mend that, and the same command continues"
        ) from error
    return file
