"""Calibrate a model: probabilities, thresholds and times that its manifest then states.

All is found on sounds that the judged network did not learn from: validation folds, or every training
fold through the network of a cross-validation that was not shown it.
"""

from __future__ import annotations

import dataclasses
import shutil
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from streamer.errors import SourceError
from streamer.manifest import Manifest, replace_manifest
from streamer.model import load_model
from streamer.types import FloatArray
from trainer.calibration.decisions import choose_decisions, hear_mixes
from trainer.calibration.evidence import Evidence, Examiner, gather
from trainer.calibration.probabilities import Fitted, Method, clip_calibration_error, fit_calibration
from trainer.calibration.thresholds import (
    OFF_SHARE,
    Budget,
    Curves,
    choose_thresholds,
    curves,
    detection_delay_s,
)
from trainer.calibration.times import chosen_times, longest_unheard_s
from trainer.caveats import CAVEATS, caveats
from trainer.datasets import DatasetError
from trainer.examples.spectrograms import read_mono
from trainer.words import folds

SAMPLED_CLIPS = 200
"""Clips by which onset and offset times are found."""


@dataclass(frozen=True)
class Choices:
    """How a model is to be calibrated."""

    budget: Budget
    method: Method = "temperature"
    smoothing_s: float | None = None
    """None keeps that of the manifest."""

    mixes: int = 300
    """For each fold; 0 keeps the decision thresholds."""


@dataclass(frozen=True)
class Calibrated:
    """A new manifest, and what was found."""

    manifest: Manifest
    figures: dict[str, Any]
    lines: tuple[str, ...]


def calibrate(
    model: Path,
    examiners: Sequence[Examiner],
    dataset: tuple[str, Path],
    choices: Choices,
) -> Calibrated:
    """Find probabilities, thresholds and times for a model; nothing is written.

    Args:
        model: the file.
        examiners: which network hears what: the model itself, or those of a cross-validation. Without
            background, false alarms in it are unknown, and times stay as they are.
        dataset: name and folder of the clips.
    """
    before = load_model(model).manifest
    plain = _uncalibrated(before)
    smoothing_s = before.smoothing_s if choices.smoothing_s is None else choices.smoothing_s
    if len(before.classes) == 1:
        # Clips of one label are all right, whatever the probability: nothing to correct it by.
        choices = dataclasses.replace(choices, method="none")
    with tempfile.TemporaryDirectory() as folder:
        copies = _copies(examiners, plain, Path(folder) / "plain")
        evidence = gather(copies)
        fitted = fit_calibration(evidence.clips, len(evidence.labels), choices.method)
        found = curves(evidence, smoothing_s, fitted.calibration)
        places = choose_thresholds(found, choices.budget)
        manifest = _tuned(plain, fitted, found.chosen(places).tolist(), smoothing_s)
        decisions = tuple(rule.decision for rule in before.classes)
        tuned = _copies(examiners, manifest, Path(folder) / "tuned")
        notes = []
        if choices.mixes:
            try:
                decisions = choose_decisions(hear_mixes(tuned, *dataset, choices.mixes))
            except DatasetError as error:
                notes.append(f"  decisions stay as they are: {error}")
        manifest = _with_decisions(manifest, decisions)
        quiet = _quiet(examiners, manifest.front_end.sample_rate_hz)
        if quiet is not None:
            clips = [clip for clip in tuned[0].clips if clip.label in manifest.labels]
            sampled = clips[:: max(1, -(-len(clips) // SAMPLED_CLIPS))]
            manifest = chosen_times(manifest, tuned[0].model, sampled, quiet)
    figures = _figures(evidence, fitted, found, places, choices, smoothing_s)
    limits = caveats(before.labels, bool(before.provenance.background), evidence.hours > 0)
    measured = {key: value for key, value in manifest.measured.items() if key != CAVEATS}
    measured = ({CAVEATS: list(limits)} if limits else {}) | measured | {"calibration": figures}
    manifest = dataclasses.replace(manifest, measured=measured)
    return Calibrated(manifest, figures, (*_readable(before, manifest, figures), *notes))


def _figures(
    evidence: Evidence,
    fitted: Fitted,
    found: Curves,
    places: np.ndarray,
    choices: Choices,
    smoothing_s: float,
) -> dict[str, Any]:
    """What was chosen by which rule, and what it does to the evidence."""
    right, wrong, alarms = found.outcome(places)
    delay_s = detection_delay_s(evidence, found.chosen(places), smoothing_s, fitted.calibration)
    figures: dict[str, Any] = {
        "clips": len(evidence.clips),
        "folds": sorted({clip.fold for clip in evidence.clips}),
        "background_hours": round(evidence.hours, 3),
        "budget": dataclasses.asdict(choices.budget),
        "method": choices.method,
        "ece_before": round(fitted.error_before, 4),
        "ece": round(fitted.error_after, 4),
        "right": round(right, 4),
        "wrong": round(wrong, 4),
        "alarms_per_hour": round(alarms, 2),
        "delay_s": round(delay_s, 2),
    }
    if len(figures["folds"]) > 1:
        figures["left_out"] = _left_out(evidence, smoothing_s, choices)
    return _without_meaningless(figures, len(evidence.labels) == 1)


def _without_meaningless(figures: dict[str, Any], one_label: bool) -> dict[str, Any]:
    """The same figures, None where the evidence cannot give one (see `trainer.caveats`)."""
    unknown = set[str]()
    if not figures["background_hours"]:
        unknown |= {"alarms_per_hour"}
    if one_label:
        unknown |= {"ece_before", "ece", "wrong", "left_out"}
        # With nothing that could be reported wrongly, any threshold will do.
        unknown |= set() if figures["background_hours"] else {"right"}
    return {key: None if key in unknown else value for key, value in figures.items()}


def _left_out(evidence: Evidence, smoothing_s: float, choices: Choices) -> dict[str, float]:
    """The honest figures: every fold judged by what was chosen on the other folds."""
    rows = []
    every = sorted({clip.fold for clip in evidence.clips})
    for fold in every:
        others = evidence.of_folds([other for other in every if other != fold])
        own = evidence.of_folds([fold])
        fitted = fit_calibration(others.clips, len(evidence.labels), choices.method)
        places = choose_thresholds(curves(others, smoothing_s, fitted.calibration), choices.budget)
        right, wrong, _ = curves(own, smoothing_s, fitted.calibration).outcome(places)
        rows.append((clip_calibration_error(own.clips, fitted.calibration), right, wrong))
    ece, right, wrong = (statistics.fmean(column) for column in zip(*rows, strict=True))
    return {"ece": round(ece, 4), "right": round(right, 4), "wrong": round(wrong, 4)}


def _readable(before: Manifest, manifest: Manifest, figures: dict[str, Any]) -> tuple[str, ...]:
    on = sorted((rule.on, rule.label) for rule in manifest.classes)
    old = sorted(rule.on for rule in before.classes)
    decisions = [rule.decision for rule in manifest.classes]
    budget = figures["budget"]
    lines = [
        f"{manifest.name}: {figures['clips']} clips of {folds(figures['folds'])} that "
        f"the network did not learn from, {60 * figures['background_hours']:.0f} minutes of background",
        *_calibration_error(manifest, figures),
        f"  thresholds {on[0][0]:.2f} to {on[-1][0]:.2f}, median {statistics.median(v for v, _ in on):.2f} "
        f"(before: {old[0]:.2f} to {old[-1]:.2f}); lowest {', '.join(name for _, name in on[:3])}; "
        f"highest {', '.join(name for _, name in on[-3:])}",
        f"  decisions {min(decisions):.2f} to {max(decisions):.2f}",
        f"  on these sounds: {', '.join(_outcome(figures))}",
        f"  a sound is told {figures['delay_s']:.1f} s after its clip begins, in the median",
    ]
    if left_out := figures.get("left_out"):
        lines.append(
            f"  every fold judged by the others: calibration error {left_out['ece']:.3f}, right "
            f"{100 * left_out['right']:.1f} %, wrong {100 * left_out['wrong']:.1f} %"
        )
    alarms_per_hour = figures["alarms_per_hour"] or 0.0
    if (figures["wrong"] or 0.0) > budget["wrong"] or alarms_per_hour > budget["alarms_per_hour"]:
        events = round(alarms_per_hour * figures["background_hours"])
        lines.append(
            "  the budget cannot be kept, even with the highest thresholds; those were taken "
            f"({events} events in the background)"
        )
    return tuple(lines)


def _calibration_error(manifest: Manifest, figures: dict[str, Any]) -> tuple[str, ...]:
    if figures["ece"] is None:
        return ()
    no_better = figures["method"] != "none" and figures["ece"] >= figures["ece_before"]
    return (
        f"  calibration error {figures['ece_before']:.3f} -> {figures['ece']:.3f}, "
        f"temperature {manifest.temperature:g}"
        + ("; no better: --method none leaves probabilities alone" if no_better else ""),
    )


def _outcome(figures: dict[str, Any]) -> list[str]:
    """What is known about events on the evidence, and what is not."""
    budget, known = figures["budget"], []
    if figures["right"] is not None:
        known.append(f"an event of the right class {100 * figures['right']:.1f} %")
    if figures["wrong"] is not None:
        known.append(f"of a wrong class {100 * figures['wrong']:.1f} % (budget {100 * budget['wrong']:g} %)")
    if figures["alarms_per_hour"] is None:
        return [*known, "false alarms unknown (no background)"]
    allowed = f"(budget {budget['alarms_per_hour']:g})"
    return [*known, f"false alarms {figures['alarms_per_hour']:.1f} an hour {allowed}"]


def _uncalibrated(manifest: Manifest) -> Manifest:
    rules = tuple(dataclasses.replace(rule, offset=0.0, on=0.5, off=0.3) for rule in manifest.classes)
    return dataclasses.replace(manifest, temperature=1.0, classes=rules)


def _tuned(manifest: Manifest, fitted: Fitted, thresholds: Sequence[float], smoothing_s: float) -> Manifest:
    unheard_s = longest_unheard_s(manifest.front_end, manifest.window_frames)
    rules = tuple(
        dataclasses.replace(
            rule, offset=offset, on=round(on, 4), off=round(OFF_SHARE * on, 4), hangover_s=unheard_s
        )
        for rule, offset, on in zip(manifest.classes, fitted.offsets, thresholds, strict=True)
    )
    return dataclasses.replace(
        manifest, temperature=fitted.temperature, classes=rules, smoothing_s=smoothing_s
    )


def _with_decisions(manifest: Manifest, decisions: Sequence[float]) -> Manifest:
    rules = tuple(
        dataclasses.replace(rule, decision=value)
        for rule, value in zip(manifest.classes, decisions, strict=True)
    )
    return dataclasses.replace(manifest, classes=rules)


def _copies(examiners: Sequence[Examiner], manifest: Manifest, folder: Path) -> list[Examiner]:
    """The networks with another manifest; their own inputs and normalisation stay."""
    folder.mkdir()
    copies = []
    for at, examiner in enumerate(examiners):
        path = folder / f"{at}.tflite"
        shutil.copy(examiner.model, path)
        own = load_model(path).manifest
        changed = dataclasses.replace(
            manifest,
            front_end=own.front_end,
            window_frames=own.window_frames,
            inputs=own.inputs,
            provenance=own.provenance,
        )
        replace_manifest(path, changed)
        copies.append(dataclasses.replace(examiner, model=path))
    return copies


def _quiet(examiners: Sequence[Examiner], rate_hz: int) -> FloatArray | None:
    recordings = []
    for item in dict.fromkeys(item for examiner in examiners for item in examiner.backgrounds):
        try:
            recordings.append(read_mono(item.path, rate_hz))
        except SourceError:
            continue
    return np.concatenate(recordings) if recordings else None
