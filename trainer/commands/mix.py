"""``esc-train mix``: write sounds heard at once, with the truth about them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from trainer.commands.common import Subparsers, clips_of_folds, command, numbers, split_data

STYLES = ("50-50", "90-10", "free")

BELONGS_TO = {
    "per_pair": ("50-50", "90-10"),
    "quieter_db": ("90-10",),
    "count": ("free",),
    "sources": ("free",),
    "seconds": ("free",),
}
"""Styles that an option belongs to."""


def add(commands: Subparsers) -> None:
    """Add the subcommand."""
    parser = command(
        commands, "mix", "mix clips of one fold: several sounds at once, with the truth about them"
    )
    parser.add_argument(
        "--data", required=True, metavar="NAME=DIR", help="esc50, esc10, urbansound8k or folder"
    )
    parser.add_argument(
        "--folds", metavar="N,N", help="mix clips of these folds, each for itself (default: all)"
    )
    parser.add_argument(
        "--style",
        required=True,
        choices=STYLES,
        help="50-50: every two classes, equally loud; 90-10: the second one softer; "
        "free: any number of sounds, at random places",
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="a new or an empty folder")
    parser.add_argument(
        "--per-pair", type=int, metavar="N", help="50-50 and 90-10: mixes for every two classes (default 11)"
    )
    parser.add_argument(
        "--quieter-db",
        metavar="DB",
        help="90-10: how much softer the second sound is; a number, or a range as in 20-30 (default 20)",
    )
    parser.add_argument("--count", type=int, metavar="N", help="free: mixes of each fold (default 500)")
    parser.add_argument(
        "--sources", metavar="N", help="free: sounds in a mix; a number, or a range (default 1-3)"
    )
    parser.add_argument("--seconds", type=float, metavar="S", help="free: length of a mix (default 5)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of all that is random (default 1)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Mix."""
    from trainer.datasets import DatasetError, read_dataset
    from trainer.soundscapes.overlaps import Order, write_mixes

    wanted: dict[str, Any] = {
        name: getattr(options, name) for name in BELONGS_TO if getattr(options, name) is not None
    }
    for name in wanted:
        if options.style not in BELONGS_TO[name]:
            option, styles = f"--{name.replace('_', '-')}", " and ".join(BELONGS_TO[name])
            raise DatasetError(f"{option} is an option of {styles}, not of {options.style}; leave it away")
    if "sources" in wanted:
        low, high = limits(wanted["sources"], "--sources")
        if low != int(low) or high != int(high):
            raise DatasetError(f"--sources {wanted['sources']}: write whole numbers")
        wanted["sources"] = (int(low), int(high))
    if "quieter_db" in wanted:
        wanted["quieter_db"] = limits(wanted["quieter_db"], "--quieter-db")
    order = Order(style=options.style, seed=options.seed, **wanted)

    name, folder = split_data(options.data)
    clips = read_dataset(name, folder)
    if options.folds:
        clips = clips_of_folds(clips, numbers(options.folds, "--folds"), folder)
    out = Path(options.out)
    written = write_mixes(order, name, folder, clips, out)
    for reason, paths in written.not_used.items():
        for path in paths:
            print(f"skipped, {reason}: {path}")
    made = written.made
    folds = f"fold{'s' * (len(made.folds) > 1)} {', '.join(map(str, made.folds))}"
    print(f"{out}: {made.mixes} mixes of {name}, {folds}; {written.seconds / 60:.1f} minutes of sound")
    return 0


def limits(text: str, option: str) -> tuple[float, float]:
    """A number, or two as in ``20-30``.

    Raises:
        DatasetError: it is neither.
    """
    from trainer.datasets import DatasetError

    low, dash, high = text.partition("-")
    try:
        return float(low), float(high if dash else low)
    except ValueError as error:
        raise DatasetError(f"{option} {text}: write a number, or a range as in 1-3") from error
