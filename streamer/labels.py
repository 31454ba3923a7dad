"""Labels as people write them, and what they probably meant by one that nobody knows."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable


def normal_label(text: str) -> str:
    """``"Car horn"`` and ``car-horn`` as labels are written: ``car_horn``."""
    return re.sub(r"[\s_-]+", "_", text.strip().lower())


def find_label(text: str, known: Iterable[str]) -> str | None:
    """The known label that the text means, however it is written; None where none fits."""
    known = list(known)
    if text in known:
        return text
    return next((label for label in known if normal_label(label) == normal_label(text)), None)


def nearest_label(text: str, known: Iterable[str]) -> str | None:
    """The known label that is written most like the text; None where none is like it."""
    by_name = {normal_label(label): label for label in known}
    close = difflib.get_close_matches(normal_label(text), by_name, n=1)
    return by_name[close[0]] if close else None


def advice(text: str, known: Iterable[str]) -> str:
    """What to do about a label that nobody knows, for the end of a message."""
    known = list(known)
    near = nearest_label(text, known)
    if near:
        return f"did you mean {near}?"
    return f"it knows {', '.join(known[:FEW])}" + (
        f" and {len(known) - FEW} more" if len(known) > FEW else ""
    )


FEW = 6
"""Labels that a message names where none is near."""
