"""Limits of a model's figures: a single label, or no background.

With a single label every answer is right, and without background there is nothing to raise a false alarm
in. The resulting 100 % and 0 an hour are not measurements, so they are reported as unknown.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

CAVEATS = "caveats"
"""Their key among the measured figures of a manifest."""


def caveats(labels: Sequence[str], learnt_background: bool, judged_by_background: bool) -> tuple[str, ...]:
    """What limits the figures of a model, one sentence each.

    Args:
        labels: of the model.
        learnt_background: whether it was trained with background.
        judged_by_background: whether false alarms were counted, or can be.
    """
    found = []
    if len(labels) == 1:
        found.append(f"{labels[0]} is the only label, so every answer is right: accuracy has no meaning")
    if not judged_by_background:
        found.append("no background to count false alarms in: their number is unknown, not 0")
    if not learnt_background and not judged_by_background:
        found.append(
            "the model has never met background: expect it to report "
            + (f"{labels[0]} whatever it hears" if len(labels) == 1 else "sounds that are not there")
        )
    return tuple(found)


def remedies(labels: Sequence[str], background: bool) -> tuple[str, ...]:
    """What to do about it, one line each.

    Args:
        labels: of the model.
        background: whether any was given.
    """
    found = []
    if not background:
        found.append("record the place while none of the sounds is there, and give it with --background DIR")
    if len(labels) == 1:
        found.append(f"add another label: the sounds most easily taken for {labels[0]}")
    return tuple(found)


def warn(lines: Iterable[str]) -> None:
    """Print warnings; to standard error, because standard output may be JSON."""
    for line in lines:
        print(f"WARNING: {line}", file=sys.stderr, flush=True)
