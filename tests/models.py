"""Model files made from the shipped one."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from streamer.manifest import MEMBER, manifest_table, strip_manifest
from streamer.model import load_model


def with_archive(network: bytes, members: dict[str, bytes]) -> bytes:
    """A network with a zip archive of the given members appended."""
    out = io.BytesIO()
    out.write(network)
    with zipfile.ZipFile(out, "a") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


def changed_model(path: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """The shipped model at `path`, with another manifest: `change` works on its table."""
    shipped = load_model()
    table = manifest_table(shipped.manifest)
    change(table)
    text = json.dumps(table).encode()
    path.write_bytes(with_archive(strip_manifest(shipped.content), {MEMBER: text}))
    return path
