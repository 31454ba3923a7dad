"""The beginning of a report: what was trained on what, within which budget, and what came of it."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass

from trainer.recipe import Recipe
from trainer.report.picture import Table
from trainer.report.predictions import Missing, Predictions
from trainer.report.runs import Run, System
from trainer.training.crossval import FoldResult
from trainer.words import count, folds, percent, plain, spread


@dataclass(frozen=True)
class Figure:
    """A figure that is shown large."""

    value: str
    meaning: str


FLOAT_AND_INT8: tuple[tuple[str, Callable[[FoldResult], float]], ...] = (
    ("segments, float", lambda fold: fold.segment),
    ("clips by majority, float", lambda fold: fold.majority),
    ("clips by probability, float", lambda fold: fold.probability),
    ("windows, int8", lambda fold: fold.int8_window),
    ("clips by majority, int8", lambda fold: fold.int8_majority),
    ("clips by probability, int8", lambda fold: fold.int8_probability),
    ("clips by probability, float streamed", lambda fold: fold.float_probability),
)
"""Figures of a fold, in the order of the table: the recipe's own protocol, then through the stream."""


def subtitle(system: System) -> str:
    """What it is, in one line."""
    if system.recipe is not None:
        return system.recipe.description
    assert system.model is not None
    return system.model.manifest.description


def figures(system: System, predictions: Predictions | Missing) -> list[Figure]:
    """Three to five figures that matter most."""
    found = []
    crossval = system.crossval
    if isinstance(predictions, Predictions):
        shares = [predictions.of_fold(fold).accuracy for fold in predictions.fold_numbers]
        found.append(Figure(spread(shares), f"of the clips right, int8, {_where(predictions)}"))
        windows = [predictions.of_fold(fold).window_accuracy for fold in predictions.fold_numbers]
        found.append(Figure(spread(windows), "of the windows right"))
        found.append(Figure(f"{predictions.ece:.3f}", "calibration error (ECE), clips"))
    elif crossval is not None:
        found.append(
            Figure(
                spread(crossval.values("int8_probability")),
                f"of the clips right, int8, {folds([fold.fold for fold in crossval.folds])}",
            )
        )
        found.append(Figure(spread(crossval.values("int8_window")), "of the windows right"))
    if (size := int8_bytes(system)) is not None:
        found.append(Figure(f"{size / 1000:,.0f} kB", "int8 file"))
    if (number := parameters(system)) is not None:
        found.append(Figure(f"{number:,}", "parameters"))
    return found


def _where(predictions: Predictions) -> str:
    text = folds(predictions.fold_numbers)
    kinds = set((predictions.seen or {}).values())
    return f"{text} ({' and '.join(sorted(kinds))})" if kinds else text


def int8_bytes(system: System) -> int | None:
    """Size of the int8 file, where there is one."""
    if system.model is not None:
        return len(system.model.content)
    sizes = [run.model.stat().st_size for run in system.runs if run.model is not None]
    return max(sizes) if sizes else None


def parameters(system: System) -> int | None:
    """Parameters of the network, where somebody has noted them."""
    if system.model is not None:
        return system.model.manifest.provenance.parameters or None
    crossval = system.crossval
    return crossval.folds[0].parameters if crossval is not None else None


def facts(system: System) -> Table:
    """What was trained on what: a row for each thing worth knowing."""
    rows: list[tuple[str, str]] = []
    if system.runs:
        rows += _facts_of_runs(system.runs)
    if system.model is not None:
        manifest = system.model.manifest
        origin = manifest.provenance
        rows.append(("model", f"{manifest.name}: {system.model.path.name}, {len(system.labels)} classes"))
        if not system.runs:
            trained = (
                f"{origin.dataset}, {folds(origin.train_folds)}" if origin.train_folds else origin.dataset
            )
            rows.append(("learnt from", trained))
            if origin.validation_folds:
                rows.append(("validation", folds(origin.validation_folds)))
            if origin.background:
                rows.append(("background", origin.background))
            rows.append(("budget", count(origin.epochs, "epoch")))
            rows.append(("licence of the data", origin.licence or "not stated"))
        window_s = manifest.front_end.duration_s(manifest.window_frames)
        rows.append(("listens", f"to windows of {window_s:.2f} s, every {manifest.hop_s:g} s"))
        for title, measured in manifest.measured.items():
            if isinstance(measured, dict):
                numbers = [(key, value) for key, value in measured.items() if isinstance(value, (int, float))]
                told = "; ".join(f"{plain(key)} {value:g}" for key, value in numbers)
                rows.append((f"measured on {title}", told))
    return Table("What was trained on what", ("", ""), tuple(rows), folded=False)


def _facts_of_runs(runs: tuple[Run, ...]) -> list[tuple[str, str]]:
    recipe = runs[0].recipe
    data, plan, spec = recipe.data, recipe.schedule, recipe.front_end
    window_s = spec.duration_s(recipe.window_frames)
    options = ", ".join(f"{key} {value}" for key, value in recipe.options.items())
    rows = [
        ("recipe", recipe.name),
        ("network", f"{recipe.network}{f' ({options})' if options else ''}, {recipe.outputs} outputs"),
        ("data", " and ".join((data.dataset, *data.also)) + f": {len(runs[0].labels)} classes"),
    ]
    tested = [run.fold for run in runs if run.fold is not None]
    clips = listed_range([run.clips for run in runs])
    if tested:
        others = (
            "each network learnt from the others"
            if len(runs) > 1
            else f"learnt from {folds(data.train_folds)}"
        )
        rows.append(("test folds", f"{folds(tested)}; {others}: {clips} clips"))
    else:
        rows.append(("learnt from", f"{folds(data.train_folds)}: {clips} clips"))
    if data.validation_folds:
        rows.append(("validation", f"{folds(data.validation_folds)}, watched but never learnt from"))
    rows += [
        ("licence of the data", data.licence or "not stated"),
        (
            "front end",
            f"{spec.sample_rate_hz:,} Hz, frames of {spec.fft_samples} samples every {spec.hop_samples}, "
            f"{spec.mel_bands} mel bands; {', '.join(map(plain, spec.features))}",
        ),
        ("window", f"{recipe.window_frames} frames, {window_s:.2f} s"),
        ("examples", _examples(recipe)),
        ("budget", _budget(runs)),
        (
            "training",
            f"{plan.optimizer}, learning rate {plan.learning_rate:g} ({plan.rate}), "
            f"batches of {plan.batch}, {plan.precision}, seed {plan.seed}",
        ),
    ]
    return rows


def _examples(recipe: Recipe) -> str:
    if recipe.mixes is not None:
        low, high = recipe.mixes.level_db
        level = f"{low:g} dB" if low == high else f"{low:g} to {high:g} dB"
        return (
            f"mixes of two clips, {recipe.mixes.per_pair} for every pair of classes in each fold, "
            f"the second one at {level} relative to the first"
        )
    if recipe.examples == "crops":
        return "random windows, mixed and changed anew each time they are drawn"
    if not recipe.copies:
        return "segments of each clip, not changed"
    number = max(
        sum(copy.repeat for copy in recipe.copies if not copy.labels or label in copy.labels)
        for label in {label for copy in recipe.copies for label in copy.labels} or {""}
    )
    return f"segments of each clip and of up to {count(number, 'changed copy', 'changed copies')} of it"


def budget(system: System) -> str:
    """Epochs and examples, for a table of systems."""
    if system.runs:
        return _budget(system.runs)
    assert system.model is not None
    return count(system.model.manifest.provenance.epochs, "epoch")


def _budget(runs: tuple[Run, ...]) -> str:
    results = [run.result for run in runs if run.result is not None]
    plan = runs[0].recipe.schedule
    if results:
        minutes = statistics.fmean(result.train_s for result in results) / 60
        each = " a fold" if len(runs) > 1 else ""
        return (
            f"{count(results[0].epochs, 'epoch')} of {results[0].examples_per_epoch:,} examples, "
            f"{minutes:.1f} minutes{each}"
        )
    number = f" of {plan.examples_per_epoch:,} examples" if plan.examples_per_epoch else ""
    return f"{count(plan.epochs, 'epoch')}{number}"


def listed_range(numbers: list[int]) -> str:
    """``240``, or ``240 to 280``."""
    low, high = min(numbers), max(numbers)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def fold_figures(system: System, predictions: Predictions | Missing) -> Table | None:
    """Every fold, then mean and deviation; None where nothing is scored."""
    crossval = system.crossval
    if crossval is not None:
        names = tuple(name for name, _ in FLOAT_AND_INT8)
        rows = [
            (f"fold {fold.fold}", *(percent(value(fold)) for _, value in FLOAT_AND_INT8))
            for fold in crossval.folds
        ]
        if len(crossval.folds) > 1:
            rows.append(
                ("mean", *(spread([value(fold) for fold in crossval.folds]) for _, value in FLOAT_AND_INT8))
            )
        title = "Accuracy: float by the recipe's own segments, int8 through the streaming code"
        return Table(title, ("test", *names), tuple(rows), folded=False)
    if isinstance(predictions, Missing):
        return None
    parts = [(f"fold {fold}", predictions.of_fold(fold)) for fold in predictions.fold_numbers]
    if len(parts) > 1:
        parts.append(("together", predictions))
    rows = [
        (
            name,
            str(len(part.truths)),
            percent(part.accuracy),
            percent(part.window_accuracy),
            f"{part.ece:.3f}",
        )
        for name, part in parts
    ]
    title = "Accuracy of the int8 model through the streaming code"
    return Table(title, ("test", "clips", "clips right", "windows right", "ECE"), tuple(rows), folded=False)


def warnings(system: System, predictions: Predictions | Missing) -> list[str]:
    """What must be said about the figures before anybody believes them."""
    found = []
    unfinished = [run for run in system.runs if not run.finished]
    if unfinished:
        are = "is" if len(unfinished) == 1 else "are"
        found.append(f"{count(len(unfinished), 'training')} of {len(system.runs)} {are} not finished.")
    if isinstance(predictions, Missing):
        found.append(f"There are no predictions of single clips. {predictions.why}")
        return found
    for role, said in (
        (
            "training",
            "the network learnt from it: the figures flatter and say nothing about new recordings",
        ),
        (
            "validation",
            "it was watched in training and thresholds were chosen on it: the figures may flatter a little",
        ),
    ):
        those = [fold for fold, what in sorted((predictions.seen or {}).items()) if what == role]
        if those:
            found.append(f"{folds(those).capitalize()} was no test fold: {said}.")
    if predictions.left_out:
        found.append(
            f"{count(predictions.left_out, 'clip')} left out: unreadable, or of a class it does not know."
        )
    found += _differences(system, predictions)
    return found


def _differences(system: System, predictions: Predictions) -> list[str]:
    """Where the predictions do not come to what was noted when the fold was scored."""
    noted = {run.result.fold: run.result.int8_probability for run in system.runs if run.result is not None}
    if system.model is not None:
        return []
    return [
        f"Fold {fold}: {percent(noted[fold])} was noted when it was scored, {percent(now)} is what the model "
        "gives now; the data or the program has changed since."
        for fold in predictions.fold_numbers
        if fold in noted and abs(noted[fold] - (now := predictions.of_fold(fold).accuracy)) > 1e-4
    ]
