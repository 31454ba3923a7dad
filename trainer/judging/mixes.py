"""Score a ``.tflite`` on sounds heard at once (`trainer.datasets.mix`), through the streaming code.

The unit is the window: one every 0.5 s inside the mix (a shorter mix is padded with zeros to one
window), raw probabilities; windows in which nothing rises above the front end's floor do not count.

    truth       labels of the sources that are active for at least 0.25 s in the window
    prediction  labels whose probability reaches the model's decision threshold of the class

Of these two sets of labels, over all windows and all labels that the model knows:

    exact_match     share of windows where both sets are equal, also where both are empty
    at_least_one    share of windows where they have a label in common; windows without a true sound are
                    left out, as nothing could be right in them
    macro_f1        mean F1 of the labels that are true of some window (of a label that is true of none
                    it could only be 0); wrong predictions of the others count in all other figures
    micro_f1        F1 of all pairs of window and label taken together
    macro_map       mean average precision of the same labels as in macro_f1
    hamming         share of pairs of window and label that are wrong: with many labels it is small for
                    who predicts nothing, so it stands beside the others and never alone
    clip_exact_match  share of mixes where the labels that are true of some window are exactly those
                    whose mean probability over all windows reaches the threshold; a mix without a
                    window that counts is wrong
    all_in_top      by k: share of the mixes with exactly k such labels where these have the k highest
                    mean probabilities; ``both_in_top`` is the share for two

A precision or an F1 without a prediction to judge is 0. Mixes with a source that the model does not
know, and mixes that cannot be read, are left out and counted.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from streamer.classifier import Classifier
from streamer.errors import SourceError
from streamer.model import Model, load_model
from streamer.scorer import Scorer
from streamer.types import Block, BoolArray, FloatArray
from trainer.datasets.clip import DatasetError
from trainer.datasets.mix import Mix, Mixes, read_mixes
from trainer.examples.spectrograms import read_mono
from trainer.judging.clips import HOP_S, to_peak
from trainer.soundscapes.mixtures import ACTIVE_S
from trainer.words import folds


@dataclass(frozen=True)
class Judged:
    """Windows with what is true of them and what a model says."""

    truth: BoolArray
    """Shape (windows, labels)."""

    probabilities: FloatArray
    """Shape (windows, labels)."""


def score_mix(mix: Mix, folder: Path, classifier: Classifier, scaled_to_peak: bool = False) -> Judged | None:
    """Truth and probabilities of the windows of a mix; None when it cannot be read."""
    model = classifier.model
    rate_hz = model.manifest.front_end.sample_rate_hz
    try:
        samples = read_mono(folder / mix.file, rate_hz)
    except SourceError:
        return None
    if scaled_to_peak:
        samples = to_peak(samples)
    scorer = Scorer(classifier, HOP_S)
    scores = scorer.push(Block(0, samples))[1] + scorer.finish()[1]
    heard = [(item.window, item.probabilities) for item in scores if item.probabilities is not None]
    truth = np.zeros((len(heard), len(model.labels)), bool)
    for row, (window, _) in zip(truth, heard, strict=True):
        begin_s, end_s = window.start_sample / rate_hz, window.end_sample / rate_hz
        for label in mix.labels_between(begin_s, end_s, ACTIVE_S):
            row[model.labels.index(label)] = True
    probabilities = np.array([item for _, item in heard], np.float32).reshape(truth.shape)
    return Judged(truth, probabilities)


def _score_mixes(
    mixes: Sequence[Mix], folder: Path, model: Path, scaled_to_peak: bool
) -> list[Judged | None]:
    classifier = Classifier(load_model(model))
    return [score_mix(mix, folder, classifier, scaled_to_peak) for mix in mixes]


def score_mixes(
    mixes: Sequence[Mix], folder: Path, model: Path, scaled_to_peak: bool = False
) -> list[Judged | None]:
    """`score_mix` of many mixes on all cores."""
    size = 32
    chunks = [mixes[at : at + size] for at in range(0, len(mixes), size)]
    with ProcessPoolExecutor(max_workers=os.cpu_count()) as pool:
        parts = pool.map(
            partial(_score_mixes, folder=folder, model=model, scaled_to_peak=scaled_to_peak), chunks
        )
        return [judged for part in parts for judged in part]


def figures(clips: Sequence[Judged], labels: Sequence[str], thresholds: FloatArray) -> dict[str, Any]:
    """All figures of the docstring of this module, as the JSON output has them; None where undefined.

    Args:
        clips: the windows of each mix.
        labels: in the order of the columns.
        thresholds: probability from which on a label is predicted, shape (labels,).
    """
    columns = len(labels)
    truth = np.concatenate([np.empty((0, columns), bool), *(clip.truth for clip in clips)])
    scores = np.concatenate([np.empty((0, columns), np.float32), *(clip.probabilities for clip in clips)])
    predicted = scores >= thresholds
    per_class = {
        label: class_figures(truth[:, at], predicted[:, at], scores[:, at])
        for at, label in enumerate(labels)
        if truth[:, at].any()
    }
    sounds = truth.sum(axis=1)
    return {
        "clips": len(clips),
        "windows": len(truth),
        **set_figures(truth, predicted),
        "macro_f1": _mean([item["f1"] for item in per_class.values()]),
        "macro_map": _mean([item["average_precision"] for item in per_class.values()]),
        **clip_figures(clips, thresholds),
        "by_sounds": {
            str(number): {
                "windows": int((sounds == number).sum()),
                **set_figures(truth[sounds == number], predicted[sounds == number]),
            }
            for number in sorted(set(sounds.tolist()))
        },
        "per_class": per_class,
    }


def set_figures(truth: BoolArray, predicted: BoolArray) -> dict[str, float | None]:
    """`exact_match`, `at_least_one`, `micro_f1` and `hamming` of sets of labels, shape (windows, labels)."""
    from sklearn.metrics import f1_score, hamming_loss

    some, right = (np.asarray(sets.any(axis=1)) for sets in (truth, truth & predicted))
    # Taken cell by cell, so that a model of one label is no special case.
    cells = truth.ravel(), predicted.ravel()
    return {
        "exact_match": _mean((truth == predicted).all(axis=1)),
        "at_least_one": _mean(right[some]),
        "micro_f1": float(f1_score(*cells, zero_division=0)) if some.any() else None,
        "hamming": float(hamming_loss(*cells)) if truth.size else None,
    }


def class_figures(truth: BoolArray, predicted: BoolArray, scores: FloatArray) -> dict[str, float]:
    """Figures of one label that is true of some window, shape (windows,) each."""
    from sklearn.metrics import average_precision_score, precision_recall_fscore_support

    precision, recall, f1, _ = precision_recall_fscore_support(
        truth, predicted, average="binary", zero_division=0
    )
    return {
        "windows": int(truth.sum()),
        "precision": float(precision),
        "recall": float(recall),
        "f1": float(f1),
        "average_precision": float(average_precision_score(truth, scores)),
    }


def clip_figures(clips: Sequence[Judged], thresholds: FloatArray) -> dict[str, Any]:
    """`clip_exact_match` and `all_in_top` of mixes."""
    exact: list[bool] = []
    in_top: dict[int, list[bool]] = {}
    for clip in clips:
        if not len(clip.truth):
            exact.append(False)
            continue
        union = np.asarray(clip.truth.any(axis=0))
        mean = clip.probabilities.mean(axis=0)
        exact.append(bool((union == (mean >= thresholds)).all()))
        if number := int(union.sum()):
            top = np.argsort(-mean, kind="stable")[:number]
            in_top.setdefault(number, []).append(bool(union[top].all()))
    return {
        "clip_exact_match": _mean(exact),
        "both_in_top": _mean(in_top.get(2, [])),
        "all_in_top": {
            str(number): {"clips": len(hits), "share": _mean(hits)} for number, hits in sorted(in_top.items())
        },
    }


def _mean(values: Sequence[float] | np.ndarray) -> float | None:
    return float(np.mean(values)) if len(values) else None


def report(
    model: Model, folder: Path, decision: float | None = None, scaled_to_peak: bool = False
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Judge a model on a folder of mixes: a table for JSON and lines for people.

    Args:
        decision: threshold of all classes; by default each class has that of the manifest.
        scaled_to_peak: see `trainer.judging.clips.to_peak`.

    Raises:
        DatasetError: the folder holds no mixes, the model knows none of them or none can be read, or
            the threshold is no probability.
    """
    if decision is not None and not 0.0 < decision <= 1.0:
        raise DatasetError(f"--decision {decision:g}: write a probability above 0 and up to 1")
    found = read_mixes(folder)
    known = [mix for mix in found.mixes if all(source.label in model.labels for source in mix.sources)]
    if not known:
        strange = sorted({s.label for mix in found.mixes for s in mix.sources} - set(model.labels))
        raise DatasetError(
            f"the model {model.name} knows none of the mixes in {folder}: they hold {', '.join(strange[:4])}"
        )
    judged = [item for item in score_mixes(known, folder, model.path, scaled_to_peak) if item is not None]
    if not judged:
        raise DatasetError(f"none of the {len(known)} mixes in {folder / 'audio'} can be read")
    rules = [rule.decision if decision is None else decision for rule in model.manifest.classes]
    result = figures(judged, model.labels, np.array(rules, np.float32))
    table = {
        "model": model.name,
        "data": "mix",
        "dataset": found.made.dataset,
        "style": found.made.style,
        "seed": found.made.seed,
        "folds": sorted({mix.fold for mix in known}),
        "labels": list(model.labels),
        "decision": decision,
        "left_out": len(found.mixes) - len(judged),
        "unreadable": len(known) - len(judged),
        **_rounded(result),
    }
    return table, tuple(_lines(table, found))


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return round(value, 5) if isinstance(value, float) else value


def _lines(table: dict[str, Any], found: Mixes) -> list[str]:
    """The table for people."""

    def percent(value: float | None) -> str:
        return "    -" if value is None else f"{100 * value:5.1f}"

    made = found.made
    threshold = "the model's thresholds" if table["decision"] is None else f"threshold {table['decision']:g}"
    tops = [
        f"{k} of {k} in {percent(item['share']).strip()} % of {item['clips']}"
        for k, item in table["all_in_top"].items()
    ]
    worst = sorted(table["per_class"].items(), key=lambda item: float(item[1]["f1"]))[:10]
    return [
        f"{table['model']} on {made.style} mixes of {made.dataset}, {folds(table['folds'])}, {threshold}:",
        f"  windows  {percent(table['exact_match'])} % of {table['windows']} exactly right, "
        f"at least one sound right in {percent(table['at_least_one']).strip()} %",
        f"           macro-F1 {table['macro_f1'] or 0:.3f}, micro-F1 {table['micro_f1'] or 0:.3f}, "
        f"mean average precision {table['macro_map'] or 0:.3f}, Hamming loss {table['hamming'] or 0:.4f}",
        f"  mixes    {percent(table['clip_exact_match'])} % of {table['clips']} exactly right, "
        "by mean probability",
        f"           the true sounds are the most probable: {', '.join(tops) or '-'}",
        "  sounds at once  windows  exact %  one right %  micro-F1",
        *(
            f"  {number:>14}  {item['windows']:>7}    {percent(item['exact_match'])}        "
            f"{percent(item['at_least_one'])}     "
            + ("    -" if item["micro_f1"] is None else f"{item['micro_f1']:.3f}")
            for number, item in table["by_sounds"].items()
        ),
        f"  left out: {table['left_out']} mixes, {table['unreadable']} of them unreadable, "
        "the others with a sound that the model does not know",
        "  lowest F1: " + ", ".join(f"{label} {item['f1']:.2f}" for label, item in worst),
    ]
