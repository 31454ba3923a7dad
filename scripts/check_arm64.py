"""The Python half of scripts/check-arm64: the same on both machines, then a comparison.

check_arm64.py sounds FOLDER             write the demo scene as sound files
check_arm64.py measure SOUNDS RESULTS    dump features, try chunkings, note the versions
check_arm64.py compare MINE THEIRS       compare two folders of results; status 1 if they differ
"""

from __future__ import annotations

import csv
import platform
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

RATES_HZ = (22_050, 44_100)
SHORT_S = (10, 20)
"""Two short sounds more, for counting instructions."""

PACKAGES = ("ai-edge-litert", "numpy", "scipy", "soundfile", "soxr")


@dataclass(frozen=True)
class Limits:
    """How far apart the two sides may be."""

    features_db: float
    confidence: float
    """Labels and times have to be equal in any case."""


LIMITS = {
    "scene-22050": Limits(1e-4, 0.0),
    "scene-44100": Limits(1e-4, 0.0),
}


def write_sounds(folder: Path) -> int:
    """Write the demo scene at both rates; the second one has to be resampled by whoever reads it."""
    import soundfile

    from streamer.demo import scene

    for rate_hz in RATES_HZ:
        soundfile.write(folder / f"scene-{rate_hz}.wav", scene(rate_hz), rate_hz)
    rate_hz = RATES_HZ[0]
    for seconds in SHORT_S:
        soundfile.write(folder.parent / f"{seconds}.wav", scene(rate_hz)[: seconds * rate_hz], rate_hz)
    return 0


def measure(sounds: Path, results: Path) -> int:
    """Dump the features of every sound and see whether any chunking changes a bit of them."""
    from streamer.frontend import FrontEnd
    from streamer.model import DEFAULT_MODEL, load_model
    from streamer.sources.recording import RecordingSource
    from streamer.types import Block, FloatArray

    spec = load_model(DEFAULT_MODEL).manifest.front_end

    def features(samples: FloatArray, sizes: list[int]) -> FloatArray:
        front_end, parts, at = FrontEnd(spec), [], 0
        for size in sizes:
            parts.append(front_end.push(Block(at, samples[at : at + size])).values)
            at += size
        return np.concatenate([*parts, front_end.flush().values])

    random = np.random.default_rng(3)
    changed = []
    for sound in sorted(sounds.glob("*.wav")):
        source = RecordingSource(str(sound), spec.sample_rate_hz)
        samples = np.concatenate([block.samples for block in source.blocks()])
        source.close()
        whole = features(samples, [len(samples)])
        np.save(results / f"{sound.stem}.npy", whole)
        chunkings = {
            "2205": [2205] * (len(samples) // 2205 + 1),
            "37": [37] * (len(samples) // 37 + 1),
            "random": [int(size) for size in random.integers(1, 5000, len(samples) // 1000)],
        }
        chunkings["random"].append(len(samples))
        changed += [
            f"{sound.stem}: chunks of {name}"
            for name, sizes in chunkings.items()
            if not np.array_equal(features(samples, sizes).view(np.uint32), whole.view(np.uint32))
        ]
    (results / "chunkings.txt").write_text("".join(f"{line}\n" for line in changed))
    lines = [f"python {platform.python_version()}", *(f"{name} {version(name)}" for name in PACKAGES)]
    (results / "versions.txt").write_text("".join(f"{line}\n" for line in lines))
    return 0


def rows_of(log: Path) -> list[dict[str, str]]:
    """The events of a log."""
    with log.open(newline="") as lines:
        return list(csv.DictReader(lines))


def describe(row: dict[str, str]) -> str:
    """An event on one line."""
    return " ".join(row[key] for key in ("start", "end", "label", "confidence", "mean_confidence"))


def same_event(one: dict[str, str], other: dict[str, str], limits: Limits) -> bool:
    """Whether two rows of a log tell of the same event."""
    scores = ("confidence", "mean_confidence")
    return all(
        abs(float(one[key]) - float(other[key])) <= limits.confidence + 1e-9
        if key in scores
        else one[key] == other[key]
        for key in one
    )


def compare(mine: Path, theirs: Path) -> int:
    """Compare the results of this machine with those of the other; 1 if they differ too much."""
    failed = False

    def report(what: str, fine: bool, figure: str) -> None:
        nonlocal failed
        failed = failed or not fine
        print(f"  {what:<24} {figure:<46} {'ok' if fine else 'FAILED'}")

    for stem, limits in LIMITS.items():
        here, there = (np.load(folder / f"{stem}.npy") for folder in (mine, theirs))
        largest = float(np.abs(here - there).max()) if here.shape == there.shape else np.inf
        figure = f"at most {largest:.2g} dB apart (limit {limits.features_db:g})"
        report(f"{stem}, features", largest <= limits.features_db, figure)
        rows, others = (rows_of(folder / f"{stem}.csv") for folder in (mine, theirs))
        equal = sum(one == other for one, other in zip(rows, others, strict=False))
        fine = len(rows) == len(others) > 0
        fine = fine and all(same_event(*pair, limits) for pair in zip(rows, others, strict=True))
        figure = f"{len(rows)} here, {len(others)} there, {equal} equal to the last digit"
        report(f"{stem}, events", fine, figure)
        if rows != others:
            for row in (row for row in rows if row not in others):
                print(f"    here:  {describe(row)}")
            for row in (row for row in others if row not in rows):
                print(f"    there: {describe(row)}")
    for name, folder in (("here", mine), ("there", theirs)):
        changed = (folder / "chunkings.txt").read_text().splitlines()
        report(f"any chunking, {name}", not changed, "; ".join(changed) or "the same bits")
    versions = [(folder / "versions.txt").read_text().splitlines() for folder in (mine, theirs)]
    if versions[0] != versions[1]:
        print(f"  (here: {', '.join(versions[0])})")
    print(f"  ({'there' if versions[0] != versions[1] else 'both'}: {', '.join(versions[1])})")
    return int(failed)


def main(arguments: list[str]) -> int:
    """Run one of the three."""
    match arguments:
        case ["sounds", folder]:
            return write_sounds(Path(folder))
        case ["measure", sounds, results]:
            return measure(Path(sounds), Path(results))
        case ["compare", mine, theirs]:
            return compare(Path(mine), Path(theirs))
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
