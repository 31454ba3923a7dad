"""Whether a log holds dates or seconds: it never holds both."""

from __future__ import annotations

import re
from pathlib import Path

from streamer.errors import SinkError

DEFAULT = "esc-events.csv"
OWN_NAMES = {"dates": "esc-events-dates.csv", "seconds": "esc-events-seconds.csv"}
"""The default logs where `DEFAULT` holds the other kind."""

_ROWS = {"dates": re.compile(rb'"?\d{4}-\d\d-\d\dT'), "seconds": re.compile(rb'"?\d+(\.\d+)?"?,')}
_LOOK_BYTES = 65_536


def kinds_in(path: Path) -> set[str]:
    """What the first and the last row hold: ``dates``, ``seconds``, both in an old log, or none."""
    try:
        if not path.is_file():
            return set()
        with path.open("rb") as file:
            head = file.read(_LOOK_BYTES).splitlines()[1:2]
            file.seek(max(0, path.stat().st_size - _LOOK_BYTES))
            tail = file.read().splitlines()[-1:]
    except OSError:
        return set()  # opening it says why
    return {kind for kind, begins in _ROWS.items() for line in head + tail if begins.match(line)}


def fitting_log(name: str, kind: str) -> str:
    """The log for rows of a kind: the same, or for the default one that holds the other kind, another.

    Raises:
        SinkError: the log that was asked for holds the other kind.
    """
    if name == DEFAULT and kinds_in(Path(name)) not in (set(), {kind}, set(OWN_NAMES)):
        name = OWN_NAMES[kind]
    if name and kinds_in(Path(name)) not in (set(), {kind}, set(OWN_NAMES)):
        (other,) = set(OWN_NAMES) - {kind}
        raise SinkError(f"{name} holds {other}, and this would add {kind}; choose another file with --csv")
    return name
