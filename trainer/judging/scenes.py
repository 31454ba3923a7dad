"""Score a model on scenes through the listening loop: what it hears, how late, and what was not there.

F1 is `sed_eval`'s (Mesaros, Heittola and Virtanen, 2016, doi:10.3390/app6060162). The rest compares each
true event with the first event of its label that overlaps it:

- latency: from the true onset to the moment when the event was announced; logged latency: to the
  moment when it was over and its line was written;
- onset error: the logged start less the true onset;
- missed: no event of its label overlaps it;
- false alarm: an event that overlaps no true event of its label.

Overlapping means: within the onset collar, so that a short sound that is logged a moment too late is an
onset error and not a miss and a false alarm. Labels that the background of a scene may contain count
neither for nor against the model there.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from streamer.model import Model
from trainer.datasets import DatasetError
from trainer.judging.ear import Ear, HeardEvent
from trainer.soundscapes.scene_folder import read_scenes
from trainer.soundscapes.scenes import KnownEvent
from trainer.words import folds

ONSET_COLLAR_S = 0.5
OFFSET_SHARE = 0.5
"""An offset may be off by this share of the true event's length, and always by the onset collar."""

SEGMENT_S = 1.0


@dataclass(frozen=True)
class HeardScene:
    """What is true of a scene and what the listener made of it; labels that count for nothing are gone."""

    seconds: float
    truth: tuple[KnownEvent, ...]
    heard: tuple[HeardEvent, ...]


@dataclass(frozen=True)
class Detection:
    """A true event that was heard."""

    label: str
    latency_s: float | None
    """None when its event had been announced before it began."""

    logged_latency_s: float
    onset_error_s: float


@dataclass(frozen=True)
class Matching:
    """True and heard events of one scene compared."""

    detections: tuple[Detection, ...]
    merged: tuple[KnownEvent, ...]
    """Heard as a part of an event that was matched to an earlier one: no misses, but without times."""

    missed: tuple[KnownEvent, ...]
    false_alarms: tuple[HeardEvent, ...]


def report(model: Model, folder: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Figures of a model on the scenes of a folder: for machines and for people.

    Raises:
        DatasetError: the folder holds no finished scenes, or none with sounds that the model knows.
        SourceError: a scene cannot be read.
    """
    making, scenes = read_scenes(folder)
    ear = Ear(model)
    heard_scenes: list[HeardScene] = []
    left_out = 0
    for scene in scenes:
        heard = ear.hear(ear.read(scene.path))
        known = [event for event in scene.events if event.label in model.labels]
        left_out += len(scene.events) - len(known)
        counted = tuple(event for event in heard if event.label not in scene.notes.may_contain)
        heard_scenes.append(HeardScene(scene.notes.seconds, tuple(known), counted))
    if not any(scene.truth for scene in heard_scenes):
        raise DatasetError(f"{folder} holds no sound that the model {model.name} knows")
    table = {
        "model": model.name,
        "data": "scenes",
        "dataset": making.dataset,
        "folds": list(making.folds),
        "left_out": left_out,
        **score(heard_scenes, model.labels),
    }
    return table, readable(table)


def score(scenes: Sequence[HeardScene], labels: Sequence[str]) -> dict[str, Any]:
    """All figures, as the JSON output has them.

    Macro averages are over the classes that occur in the truth; a class of which nothing was heard
    counts as zero there.
    """
    matchings = [match(scene) for scene in scenes]
    hours = sum(scene.seconds for scene in scenes) / 3600.0
    detections = [found for matching in matchings for found in matching.detections]
    false_alarms = [event for matching in matchings for event in matching.false_alarms]
    event_based, event_f1 = event_scores(scenes, labels)
    segment_based, segment_f1 = segment_scores(scenes, labels)
    truth = [event.label for scene in scenes for event in scene.truth]
    missed = [event.label for matching in matchings for event in matching.missed]
    per_class: dict[str, dict[str, Any]] = {}
    for label in labels:
        alarms = sum(event.label == label for event in false_alarms)
        found = [item for item in detections if item.label == label]
        if label in truth or alarms:
            per_class[label] = {
                "events": truth.count(label),
                "missed": missed.count(label),
                "event_f1": event_f1.get(label),
                "segment_f1": segment_f1.get(label),
                "latency_s": spread([d.latency_s for d in found if d.latency_s is not None]),
                "onset_error_s": spread([d.onset_error_s for d in found]),
                "false_alarms": alarms,
                "false_alarms_per_hour": round(alarms / hours, 3),
            }
    return {
        "scenes": len(scenes),
        "hours": round(hours, 4),
        "events": len(truth),
        "missed": len(missed),
        "merged": sum(len(matching.merged) for matching in matchings),
        "event_based": event_based,
        "segment_based": segment_based,
        "latency_s": spread([d.latency_s for d in detections if d.latency_s is not None]),
        "logged_latency_s": spread([d.logged_latency_s for d in detections]),
        "onset_error_s": spread([d.onset_error_s for d in detections]),
        "false_alarms": len(false_alarms),
        "false_alarms_per_hour": round(len(false_alarms) / hours, 3),
        "per_class": per_class,
    }


def match(scene: HeardScene) -> Matching:
    """Compare each true event, in the order of their onsets, with the first event that overlaps it."""
    detections: list[Detection] = []
    merged: list[KnownEvent] = []
    missed: list[KnownEvent] = []
    used: set[int] = set()
    for event in sorted(scene.truth, key=lambda event: event.onset_s):
        there = [at for at, heard in enumerate(scene.heard) if overlap(event, heard)]
        new = [at for at in there if at not in used]
        if not new:
            (merged if there else missed).append(event)
            continue
        first = min(new, key=lambda at: scene.heard[at].announced_s)
        used.add(first)
        heard = scene.heard[first]
        latency_s = heard.announced_s - event.onset_s
        detections.append(
            Detection(
                event.label,
                latency_s if latency_s >= 0 else None,
                heard.logged_s - event.onset_s,
                heard.start_s - event.onset_s,
            )
        )
    false_alarms = [heard for heard in scene.heard if not any(overlap(event, heard) for event in scene.truth)]
    return Matching(tuple(detections), tuple(merged), tuple(missed), tuple(false_alarms))


def overlap(event: KnownEvent, heard: HeardEvent) -> bool:
    """Whether both have the same label and share a moment, give or take the onset collar."""
    return (
        event.label == heard.label
        and heard.start_s <= event.offset_s + ONSET_COLLAR_S
        and event.onset_s - ONSET_COLLAR_S <= heard.end_s
    )


def event_scores(
    scenes: Sequence[HeardScene], labels: Sequence[str]
) -> tuple[dict[str, float], dict[str, float]]:
    """Event-based scores over all classes, and the F1 of each class that occurs.

    An event is right when its onset lies within `ONSET_COLLAR_S` and its offset within `OFFSET_SHARE`
    of the length, or the same collar.
    """
    metrics = sed_eval().sound_event.EventBasedMetrics(
        event_label_list=list(labels), t_collar=ONSET_COLLAR_S, percentage_of_length=OFFSET_SHARE
    )
    for scene in scenes:
        metrics.evaluate(event_list(scene.truth), event_list(scene.heard))
    return _scores(metrics, {"onset_collar_s": ONSET_COLLAR_S, "offset_share": OFFSET_SHARE})


def segment_scores(
    scenes: Sequence[HeardScene], labels: Sequence[str]
) -> tuple[dict[str, float], dict[str, float]]:
    """Segment-based scores over all classes, and the F1 of each class that occurs."""
    metrics = sed_eval().sound_event.SegmentBasedMetrics(
        event_label_list=list(labels), time_resolution=SEGMENT_S
    )
    for scene in scenes:
        metrics.evaluate(event_list(scene.truth), event_list(scene.heard), scene.seconds)
    return _scores(metrics, {"segment_s": SEGMENT_S})


def _scores(metrics: Any, about: dict[str, float]) -> tuple[dict[str, float], dict[str, float]]:
    overall = metrics.overall_f_measure()
    # The library's own mean leaves out a class of which nothing was reported, which would reward
    # silence: here it counts as zero.
    per_class = {
        label: float(np.nan_to_num(found["f_measure"]["f_measure"]))
        for label, found in metrics.results_class_wise_metrics().items()
        if found["count"]["Nref"] > 0
    }
    scores = {
        **about,
        "macro_f1": figure(float(np.mean(list(per_class.values()))) if per_class else 0.0),
        "micro_f1": figure(overall["f_measure"]),
        "micro_precision": figure(overall["precision"]),
        "micro_recall": figure(overall["recall"]),
    }
    return scores, {label: figure(f1) for label, f1 in per_class.items()}


def event_list(events: Sequence[KnownEvent] | Sequence[HeardEvent]) -> list[dict[str, Any]]:
    """Events as `sed_eval` takes them."""
    return [
        {"event_label": event.label, "onset": event.onset_s, "offset": event.offset_s}
        if isinstance(event, KnownEvent)
        else {"event_label": event.label, "onset": event.start_s, "offset": event.end_s}
        for event in events
    ]


def sed_eval() -> Any:
    """The library; it imports parts of setuptools that warn that they will go."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import sed_eval as library
    return library


def figure(value: float) -> float:
    """Rounded; 0 where there is nothing to divide by."""
    return 0.0 if np.isnan(value) else round(float(value), 4)


def spread(values: Sequence[float]) -> dict[str, float] | None:
    """Median and how far the values lie apart; None when there are none."""
    if not values:
        return None
    quantiles = {"p10": 10, "median": 50, "p90": 90, "p95": 95}
    numbers = {name: round(float(np.percentile(values, at)), 3) for name, at in quantiles.items()}
    return {"events": len(values), **numbers}


def readable(table: dict[str, Any]) -> tuple[str, ...]:
    """The same for people."""
    events, segments = table["event_based"], table["segment_based"]
    latency, onset = table["latency_s"], table["onset_error_s"]
    alarms = sorted(table["per_class"].items(), key=lambda item: -item[1]["false_alarms"])
    worst = [f"{label} {found['false_alarms']}" for label, found in alarms[:5] if found["false_alarms"]]
    lines = [
        f"{table['model']} on {table['scenes']} scenes, {60 * table['hours']:.0f} minutes, {table['events']} "
        f"events of {table['dataset']}, {folds(table['folds'])}:",
        f"  events    macro-F1 {events['macro_f1']:.3f}, micro-F1 {events['micro_f1']:.3f} "
        f"(onset within {ONSET_COLLAR_S:g} s, offset within {100 * OFFSET_SHARE:.0f} % of the length)",
        f"  segments  macro-F1 {segments['macro_f1']:.3f}, micro-F1 {segments['micro_f1']:.3f} "
        f"({SEGMENT_S:g} s)",
        f"  missed    {table['missed']} of {table['events']}"
        + (f"; {table['merged']} heard as one with the event before" if table["merged"] else ""),
    ]
    if latency:
        lines.append(
            f"  latency   median {latency['median']:.2f} s, 95 % within {latency['p95']:.2f} s "
            f"(true onset to announcement, {latency['events']} events)"
        )
    if onset:
        lines.append(
            f"  onset     median error {onset['median']:+.2f} s, 80 % between {onset['p10']:+.2f} and "
            f"{onset['p90']:+.2f} s"
        )
    lines.append(
        f"  false alarms {table['false_alarms_per_hour']:.1f} an hour"
        + (f"; most: {', '.join(worst)}" if worst else "")
    )
    if table["left_out"]:
        lines.append(f"  {table['left_out']} events of other sounds than the model knows left out")
    return tuple(lines)
