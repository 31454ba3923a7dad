"""Score a model on a folder of real recordings: what it reports most, and what it reports wrongly.

The folder's ``expected.csv`` (columns ``file``, ``expected``, ``also``, ``split``) names the sound that a
recording is full of, or ``none``, and further sounds that may really occur in it.

- Reported most is the sound with the longest total duration of its events. Their number would depend on
  how a sound is cut up: an engine that runs for a minute is one event, footsteps are twenty.
- A false alarm is an event that is neither expected nor among the sounds that may occur.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streamer.model import Model
from trainer.datasets import DatasetError
from trainer.datasets.expected import TABLE, expected_rows
from trainer.judging.ear import Ear, HeardEvent

NOTHING = "none"
"""Stands in the column ``expected`` of a recording in which no sound should be reported."""

WORST = 5
"""Labels and recordings that are named as the worst."""


@dataclass(frozen=True)
class Recording:
    """One row of the table."""

    path: Path
    expected: str | None
    """The sound that it is full of; None when nothing should be reported."""

    may_contain: frozenset[str]


@dataclass(frozen=True)
class HeardRecording:
    """A recording and what the listener made of it."""

    recording: Recording
    seconds: float
    events: tuple[HeardEvent, ...]

    @property
    def totals_s(self) -> dict[str, float]:
        """Total duration of the events of each reported label, longest first, equal ones by name."""
        totals = dict.fromkeys(sorted({event.label for event in self.events}), 0.0)
        for event in self.events:
            totals[event.label] += event.duration_s
        return dict(sorted(totals.items(), key=lambda item: -item[1]))

    @property
    def reported_most(self) -> str | None:
        """The label with the longest total; None when nothing was reported."""
        return next(iter(self.totals_s), None)

    @property
    def false_alarms(self) -> tuple[HeardEvent, ...]:
        """Events of sounds that are not in it."""
        there = self.recording.may_contain | {self.recording.expected}
        return tuple(event for event in self.events if event.label not in there)


def report(
    model: Model, folder: Path, split: str, labels: Sequence[str] = ()
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Figures of a model on the recordings of one split: for machines and for people.

    Args:
        labels: only events of these count; all when empty.

    Raises:
        DatasetError: the folder has another layout, or the split is empty.
        SourceError: a recording cannot be read.
    """
    ear = Ear(model)
    heard: list[HeardRecording] = []
    for recording in read_recordings(folder, split):
        samples = ear.read(recording.path)
        events = tuple(event for event in ear.hear(samples) if not labels or event.label in labels)
        heard.append(HeardRecording(recording, len(samples) / ear.rate_hz, events))
    table = {"model": model.name, "data": "recordings", "split": split, **score(heard, model.labels)}
    return table, readable(table)


def read_recordings(folder: Path, split: str) -> list[Recording]:
    """The recordings of one split, in the table's order.

    Raises:
        DatasetError: the folder has another layout, or the split is empty.
    """
    found = [
        Recording(
            folder / row["file"],
            None if row["expected"] == NOTHING else row["expected"],
            frozenset(row["also"].split()),
        )
        for row in expected_rows(folder, "recordings")
        if row["split"] == split
    ]
    if not found:
        raise DatasetError(f"{folder / TABLE} has no recordings of the split {split}")
    return found


def score(heard: Sequence[HeardRecording], labels: Sequence[str]) -> dict[str, Any]:
    """All figures, as the JSON output has them.

    Recordings of a sound that the model does not know are left out of what is right, and counted.
    """
    known = [item for item in heard if item.recording.expected in labels]
    unknown = [item for item in heard if item.recording.expected and item not in known]
    quiet = [item for item in heard if item.recording.expected is None]
    rows = [about(item) for item in heard]
    return {
        "labelled": len(known),
        "right": sum(item.reported_most == item.recording.expected for item in known),
        "left_out": len(unknown),
        "false_alarms": {"none": alarms(quiet), "labelled": alarms(known + unknown)},
        "recordings": rows,
    }


def about(item: HeardRecording) -> dict[str, Any]:
    """One recording, as the JSON output has it."""
    return {
        "file": item.recording.path.name,
        "seconds": round(item.seconds, 2),
        "expected": item.recording.expected or NOTHING,
        "reported_most": item.reported_most,
        "reported_s": {label: round(seconds, 2) for label, seconds in item.totals_s.items()},
        "events": len(item.events),
        "false_alarms": dict(Counter(event.label for event in item.false_alarms).most_common()),
    }


def alarms(heard: Sequence[HeardRecording]) -> dict[str, Any]:
    """False alarms of some recordings together."""
    hours = sum(item.seconds for item in heard) / 3600.0
    counts = Counter(event.label for item in heard for event in item.false_alarms)
    return {
        "recordings": len(heard),
        "hours": round(hours, 4),
        "events": counts.total(),
        "per_hour": round(counts.total() / hours, 3) if hours else 0.0,
        "per_class_per_hour": {label: round(count / hours, 3) for label, count in counts.most_common()},
    }


def readable(table: dict[str, Any]) -> tuple[str, ...]:
    """The same for people."""
    lines = [f"{table['model']} on {len(table['recordings'])} recordings, split {table['split']}:"]
    lines.append(
        f"  reported most is what was expected in {table['right']} of {table['labelled']} recordings"
    )
    for row in table["recordings"]:
        wrong = row["expected"] != NOTHING and row["reported_most"] != row["expected"]
        if wrong:
            seconds = f" ({row['reported_s'][row['reported_most']]:.1f} s)" if row["reported_most"] else ""
            heard = row["reported_most"] or "nothing"
            lines.append(f"    {row['file']}: {heard}{seconds} instead of {row['expected']}")
    if table["left_out"]:
        lines.append(f"  {table['left_out']} recordings of sounds that the model does not know left out")
    for name, where in (("none", "where nothing is expected"), ("labelled", "in the labelled recordings")):
        found = table["false_alarms"][name]
        if not found["recordings"]:
            continue
        lines.append(
            f"  false alarms {where}: {found['per_hour']:.1f} an hour "
            f"({found['events']} in {60 * found['hours']:.1f} minutes)"
        )
        labels = list(found["per_class_per_hour"].items())[:WORST]
        if labels:
            lines.append("    an hour: " + ", ".join(f"{label} {count:.1f}" for label, count in labels))
        lines.extend(worst_recordings(table["recordings"], quiet=name == "none"))
    return tuple(lines)


def worst_recordings(rows: Sequence[dict[str, Any]], quiet: bool) -> list[str]:
    """A line for each of the recordings with most false alarms."""
    of_kind = [row for row in rows if (row["expected"] == NOTHING) == quiet and row["false_alarms"]]
    of_kind.sort(key=lambda row: -sum(row["false_alarms"].values()))
    return [
        f"    {row['file']}: " + ", ".join(f"{label} {count}" for label, count in row["false_alarms"].items())
        for row in of_kind[:WORST]
    ]
