"""``esc-train scenes``: long streams over real background with known events."""

from __future__ import annotations

import argparse
from pathlib import Path

from trainer.commands.common import Subparsers, clips_of_folds, command, folds_of, numbers, split_data
from trainer.datasets import DatasetError, read_background, read_dataset


def add(commands: Subparsers) -> None:
    """Add the subcommand."""
    parser = command(commands, "scenes", "make long streams over real background with known events")
    parser.add_argument(
        "--data", required=True, metavar="NAME=DIR", help="what sounds: esc50, esc10, urbansound8k or folder"
    )
    parser.add_argument("--folds", required=True, metavar="N,N", help="folds whose clips sound")
    parser.add_argument(
        "--background", required=True, metavar="DIR", help="recordings without labelled sounds (expected.csv)"
    )
    parser.add_argument(
        "--split", default="train", metavar="NAME", help="which of them: train (default) or test"
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="a new or empty folder")
    parser.add_argument("--count", type=int, default=20, metavar="N", help="scenes (default 20)")
    parser.add_argument(
        "--length", type=float, default=60.0, metavar="S", help="seconds of each (default 60)"
    )
    parser.add_argument(
        "--snr",
        default="0,20",
        metavar="LOW,HIGH",
        help="level of an event over the background under it, in dB (default 0,20; write --snr=-6,6)",
    )
    parser.add_argument("--density", type=float, default=6.0, metavar="N", help="events a minute (default 6)")
    parser.add_argument(
        "--overlap", type=int, default=2, metavar="N", help="most events at once (default 2; 1: none overlap)"
    )
    parser.add_argument("--rate", type=int, default=22_050, metavar="HZ", help="sample rate (default 22050)")
    parser.add_argument(
        "--seed", type=int, default=1, metavar="N", help="equal seeds, equal scenes (default 1)"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Make scenes."""
    from trainer.soundscapes.scene_folder import write_scenes
    from trainer.soundscapes.scenes import SceneSettings
    from trainer.words import folds

    settings = SceneSettings(
        count=options.count,
        length_s=options.length,
        snr_db=decibels(options.snr),
        events_per_minute=options.density,
        overlap=options.overlap,
        rate_hz=options.rate,
        seed=options.seed,
    )
    name, folder = split_data(options.data)
    clips = clips_of_folds(read_dataset(name, folder), numbers(options.folds, "--folds"), folder)
    place = Path(options.background)
    backgrounds = list(read_background(place, options.split))
    if not backgrounds:
        raise DatasetError(f"{place} has no background in its split {options.split}")
    out = Path(options.out)
    making = write_scenes(out, clips, backgrounds, settings, name, options.split)
    events = sum(scene.events for scene in making.scenes)
    print(
        f"{out}: {len(making.scenes)} scenes of {settings.length_s:g} s, {events} events of "
        f"{folds(folds_of(clips))}"
    )
    if making.no_place:
        print(f"{making.no_place} events found no place: lower --density or allow more --overlap")
    if making.left_out:
        print(f"{len(making.left_out)} clips left out, unreadable or silent: {', '.join(making.left_out)}")
    return 0


def decibels(text: str) -> tuple[float, float]:
    """A range of decibels as people write it: ``0,20``, or ``10`` for a single value.

    Raises:
        DatasetError: it is none.
    """
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if len(values) not in (1, 2):
        raise DatasetError(f"--snr {text}: write the lowest and the highest value, as in 0,20")
    return values[0], values[-1]
