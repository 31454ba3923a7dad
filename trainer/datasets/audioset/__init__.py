"""AudioSet's 527 labels, their groups, and what other data sets' labels are called among them.

The labels (labels.csv) are those of AudioSet (Gemmeke et al., 2017; Google, CC BY 4.0), in snake_case.
The groups follow the AudioSet ontology (Google, CC BY-SA 4.0).
"""

from __future__ import annotations

import csv
import re
import tomllib
from functools import cache
from importlib.resources import files


def snake_case(display_name: str) -> str:
    """`Chirp, tweet` -> `chirp_tweet`: lower case, every run of other characters one underscore."""
    return re.sub(r"[^a-z0-9]+", "_", display_name.lower()).strip("_")


@cache
def display_names() -> dict[str, str]:
    """Label -> AudioSet's own name, in the order of AudioSet's indices."""
    with (files(__name__) / "labels.csv").open(encoding="utf-8", newline="") as table:
        return {row["label"]: row["display_name"] for row in csv.DictReader(table)}


def labels() -> tuple[str, ...]:
    """The 527 labels; a label's position is its index in AudioSet."""
    return tuple(display_names())


@cache
def groups() -> dict[str, tuple[str, ...]]:
    """Group -> its labels, those of the groups inside it as well, in the order of `labels()`."""
    members = _table("groups")

    def under(group: str) -> set[str]:
        found = set()
        for member in members[group]:
            found |= under(member) if member in members and member != group else {member}
        return found

    return {group: tuple(x for x in labels() if x in under(group)) for group in members}


def counterparts(dataset: str) -> dict[str, tuple[str, ...]]:
    """Label of `esc50`, `pool` (only what ESC-50 lacks) or `urbansound8k` -> AudioSet labels, maybe none."""
    return {label: tuple(known) for label, known in _table(dataset).items()}


def _table(name: str) -> dict[str, list[str]]:
    return tomllib.loads((files(__name__) / f"{name}.toml").read_text(encoding="utf-8"))
