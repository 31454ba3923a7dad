"""Numbers and lists as people read them."""

from __future__ import annotations

import re
import statistics
from collections.abc import Sequence

TIMES = "\N{MULTIPLICATION SIGN}"
"""Between the sides of a shape."""


def percent(share: float, digits: int = 1) -> str:
    """A share as ``84.0 %``."""
    return f"{100 * share:.{digits}f} %"


def spread(shares: Sequence[float]) -> str:
    """Mean and, of several, the standard deviation of the sample, as ``84.0 ± 1.2 %``."""
    if len(shares) < 2:
        return percent(shares[0])
    return f"{100 * statistics.fmean(shares):.1f} ± {100 * statistics.stdev(shares):.1f} %"


def count(number: int, noun: str, plural: str = "") -> str:
    """``1 clip``, ``2 clips``, ``1,200 clips``."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def listed(items: Sequence[object]) -> str:
    """``1``, ``1 and 2``, ``1, 2 and 3``."""
    texts = [str(item) for item in items]
    if len(texts) < 2:
        return "".join(texts)
    return f"{', '.join(texts[:-1])} and {texts[-1]}"


def named(names: Sequence[str], few: int = 3) -> str:
    """The first few names, and the number of the others: ``a, b, c and 2 more``."""
    more = f" and {len(names) - few:,} more" if len(names) > few else ""
    return ", ".join(names[:few]) + more


def folds(numbers: Sequence[int]) -> str:
    """``fold 5``, ``folds 1 and 2``."""
    return f"fold{'s' * (len(numbers) != 1)} {listed(numbers)}"


def plain(label: str) -> str:
    """A label as people write it."""
    return label.replace("_", " ")


def big(number: float) -> str:
    """``823,666`` as ``824 thousand``, ``29,134,090`` as ``29.1 million``."""
    for size, name in ((1e9, "billion"), (1e6, "million"), (1e3, "thousand")):
        if number >= size:
            short = number / size
            return f"{short:.0f} {name}" if short >= 100 else f"{short:.3g} {name}"
    return f"{number:.0f}"


def slug(name: str) -> str:
    """A name as part of a file's name."""
    return re.sub("[^a-z0-9]+", "-", name.lower()).strip("-") or "system"
