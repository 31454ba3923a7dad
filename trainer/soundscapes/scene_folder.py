"""Scenes on disk: audio, the truth about it, and how it was made.

    scene-001.flac ...  the streams, mono, 16 bits
    events.csv          one row an event: file,label,onset,offset,snr_db,source
    scenes.json         how they were made; written last, so that a folder without it is unfinished

Times are seconds from the beginning of the file. Equal settings and recordings give equal bytes.
"""

from __future__ import annotations

import csv
import json
import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from streamer import __version__
from streamer.tables import TableError, from_table, to_table
from trainer.datasets import Background, Clip, DatasetError
from trainer.examples.spectrograms import read_mono
from trainer.soundscapes.scenes import (
    EDGE_S,
    Deck,
    KnownEvent,
    SceneNotes,
    SceneSettings,
    longest_activity,
    make_scene,
)

FORMAT = 1
NOTES = "scenes.json"
EVENTS = "events.csv"
COLUMNS = ("file", "label", "onset", "offset", "snr_db", "source")


@dataclass(frozen=True)
class Making:
    """How a folder of scenes was made: its ``scenes.json``."""

    settings: SceneSettings
    dataset: str
    folds: tuple[int, ...]
    background_split: str
    scenes: tuple[SceneNotes, ...]
    left_out: tuple[str, ...] = ()
    """Clips that could not be read or hold no sound."""

    no_place: int = 0
    """Events that found no place among the others."""

    versions: dict[str, str] = field(default_factory=dict)
    format: int = FORMAT


@dataclass(frozen=True)
class KnownScene:
    """One scene of a folder, as it is read again."""

    path: Path
    notes: SceneNotes
    events: tuple[KnownEvent, ...]


def write_scenes(
    out: Path,
    clips: Sequence[Clip],
    backgrounds: Sequence[Background],
    settings: SceneSettings,
    dataset: str,
    background_split: str,
) -> Making:
    """Make scenes and write them into a new or empty folder.

    Args:
        clips: what sounds; only ever of folds that belong together.
        dataset, background_split: where the two come from, for the notes.

    Raises:
        DatasetError: the folder is not empty, there is nothing to make scenes of, or no event could
            be placed.
        SourceError: a background cannot be read.
    """
    import soundfile

    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DatasetError(f"{out} is not empty; name a new folder, or remove what is in it")
    if not clips or not backgrounds:
        raise DatasetError(
            f"scenes need clips and background: there are no {'background' if clips else 'clips'}"
        )
    rate_hz = settings.rate_hz
    longest = round((settings.length_s - 2 * EDGE_S) / 2 * rate_hz)
    deck = Deck(
        clips,
        lambda clip: longest_activity(read_mono(clip.path, rate_hz), rate_hz, longest),
        np.random.default_rng(settings.seed),
    )
    sounds = [(item, read_mono(item.path, rate_hz)) for item in backgrounds]
    out.mkdir(parents=True, exist_ok=True)
    notes: list[SceneNotes] = []
    rows: list[tuple[str, KnownEvent]] = []
    no_place = 0
    for number in range(1, settings.count + 1):
        scene = make_scene(number, deck, sounds, settings)
        pcm = np.rint(scene.samples * 32_767).astype(np.int16)
        soundfile.write(out / scene.notes.file, pcm, rate_hz, subtype="PCM_16")
        notes.append(scene.notes)
        rows.extend((scene.notes.file, event) for event in scene.events)
        no_place += scene.no_place
    if settings.events and not rows:
        raise DatasetError(
            "no event could be placed: the clips are silent, or the background may hold them all"
        )
    _write_events(out / EVENTS, rows)
    making = Making(
        settings,
        dataset,
        tuple(sorted({clip.fold for clip in clips})),
        background_split,
        tuple(notes),
        tuple(deck.left_out),
        no_place,
        versions(),
    )
    beside = out / f"{NOTES}.new"
    beside.write_text(json.dumps(to_table(making), indent=1) + "\n", encoding="utf-8")
    beside.replace(out / NOTES)
    return making


def read_scenes(folder: Path) -> tuple[Making, list[KnownScene]]:
    """Scenes that `write_scenes` has finished.

    Raises:
        DatasetError: the folder holds none, or something else.
    """
    table = folder / NOTES
    if not table.is_file():
        unfinished = (folder / "scene-001.flac").exists()
        raise DatasetError(
            f"{folder} holds {'unfinished' if unfinished else 'no'} scenes: there is no {NOTES}; "
            f"make them {'anew ' * unfinished}with esc-train scenes"
        )
    try:
        making = from_table(Making, json.loads(table.read_text(encoding="utf-8")))
        events: dict[str, list[KnownEvent]] = {notes.file: [] for notes in making.scenes}
        for file, event in _read_events(folder / EVENTS):
            events[file].append(event)
        if making.format != FORMAT:
            raise ValueError(f"its {NOTES} has the format {making.format}, not {FORMAT}")
        for notes in making.scenes:
            if len(events[notes.file]) != notes.events:
                raise ValueError(f"{EVENTS} has {len(events[notes.file])} of {notes.events} of {notes.file}")
    except (TableError, TypeError, ValueError, KeyError, csv.Error) as error:
        raise DatasetError(f"{folder} does not hold what esc-train scenes wrote: {error}") from error
    scenes = [KnownScene(folder / notes.file, notes, tuple(events[notes.file])) for notes in making.scenes]
    return making, scenes


def versions() -> dict[str, str]:
    """What was at work: a resampler or a decoder of another version may give other bytes."""
    import soundfile
    import soxr

    return {
        "esc-listen": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "soxr": soxr.__version__,
        "soundfile": soundfile.__version__,
        "libsndfile": soundfile.__libsndfile_version__,
    }


def _write_events(path: Path, rows: Sequence[tuple[str, KnownEvent]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for name, event in rows:
            times = (f"{event.onset_s:.4f}", f"{event.offset_s:.4f}")
            writer.writerow((name, event.label, *times, f"{event.snr_db:.2f}", event.source))


def _read_events(path: Path) -> Iterator[tuple[str, KnownEvent]]:
    with path.open(newline="", encoding="utf-8") as file:
        row: dict[str, Any]
        for row in csv.DictReader(file):
            times = float(row["onset"]), float(row["offset"])
            yield row["file"], KnownEvent(row["label"], *times, float(row["snr_db"]), row["source"])
