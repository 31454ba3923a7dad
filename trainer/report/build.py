"""From runs, models and recordings to the page and its pictures."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from streamer.model import Model, load_model
from streamer.native import quiet_native_code
from trainer.datasets import read_dataset
from trainer.datasets.mix import read_mixes
from trainer.networks import NetworkError, build_network
from trainer.recipe import Recipe, RecipeError, read_recipe
from trainer.report import head
from trainer.report.confusion import confusion_matrix
from trainer.report.curves import curves
from trainer.report.false_alarms import Alarms, background_for_tests, count_alarms, false_alarms
from trainer.report.keras_layers import network_of_keras
from trainer.report.layers import Network
from trainer.report.mistaken import mistaken
from trainer.report.network import network_picture
from trainer.report.page import Chapter, Note, Page, Part, Section, html
from trainer.report.pairs import Heard, figures_table, hear_mixes, pairs_picture, pairs_table
from trainer.report.picture import Picture
from trainer.report.precision import precision_recall
from trainer.report.predictions import Missing, Predictions, dataset_of, predict
from trainer.report.recall import recall_picture
from trainer.report.reliability import reliability
from trainer.report.runs import System, read_systems
from trainer.report.sounds import chosen, sounds
from trainer.report.systems import Standing, side_by_side, table_of
from trainer.report.tflite_layers import network_of_tflite
from trainer.words import folds, listed, slug

HOP_S = 0.5
"""Distance between two windows when no model says another one: that of a manifest by default."""


@dataclass(frozen=True)
class Request:
    """What a report is asked for."""

    out: Path
    runs: tuple[Path, ...] = ()
    model: str | None = None
    datasets: Mapping[str, Path] = field(default_factory=dict)
    """Folders of labelled clips, by the name of the dataset."""

    mixes: Path | None = None
    """What ``esc-train mix`` wrote."""

    background: Path | None = None
    folds: tuple[int, ...] = ()
    """For a single model: score these folds."""

    clips: int = 4
    """Example clips that are shown."""


@dataclass(frozen=True)
class Findings:
    """What was computed about one system before anything is drawn."""

    system: System
    key: str
    predictions: Predictions | Missing
    alarms: tuple[Alarms, ...] | str
    heard: Heard | str


def write_report(request: Request, tell: Callable[[str], None] = print) -> list[Path]:
    """Write ``report.html`` and its pictures; give all files that were written.

    Raises:
        ReportError, DatasetError, ModelError: something that was asked for is not there, or damaged.
        OSError: the folder cannot be written to.
    """
    systems = read_systems(request.runs, request.model)
    # What is wrong with a folder is said before the work, not after it.
    if request.mixes is not None:
        read_mixes(request.mixes)
    if request.background is not None:
        background_for_tests(request.background)
    request.out.mkdir(parents=True, exist_ok=True)
    # All that works in several processes comes first: Keras, once loaded, does not bear a fork.
    findings = [
        find(system, key, request, tell) for system, key in zip(systems, keys_of(systems), strict=True)
    ]
    page = page_of(findings, request)
    written = [request.out / "report.html"]
    written[0].write_text(html(page), encoding="utf-8")
    for picture in pictures_of(page):
        written.append(request.out / f"{picture.name}.svg")
        written[-1].write_text(picture.file(), encoding="utf-8")
    return written


def keys_of(systems: Sequence[System]) -> list[str]:
    """What the files of each system begin with; no two are equal."""
    keys: list[str] = []
    for system in systems:
        key, number = slug(system.name), 1
        while key in keys:
            number += 1
            key = f"{slug(system.name)}-{number}"
        keys.append(key)
    return keys


def find(system: System, key: str, request: Request, tell: Callable[[str], None]) -> Findings:
    """Score what can be scored."""
    predictions = predict(system, request.datasets, request.folds, tell)
    models = models_of(system)
    alarms: tuple[Alarms, ...] | str
    if not models:
        alarms = "False alarms need an int8 model, and there is none yet."
    elif request.background is None:
        alarms = "Give --background DIR to see how often it reports something that is not there."
    else:
        quiet = background_for_tests(request.background)
        alarms = tuple(count_alarms(model, quiet) for model in models)
        tell(f"{system.name}: listened to {alarms[0].hours * 60:.0f} minutes of background")
    heard: Heard | str = (
        "Give --data mix=DIR (written by esc-train mix) to see what it makes of two sounds at once."
    )
    if request.mixes is not None:
        heard = hear_mixes(system, request.mixes, request.folds, tell)
    return Findings(system, key, predictions, alarms, heard)


def models_of(system: System) -> list[Model]:
    """The int8 models of a system, one for each fold."""
    if system.model is not None:
        return [system.model]
    return [load_model(run.model) for run in system.runs if run.model is not None]


def page_of(findings: list[Findings], request: Request) -> Page:
    """The whole page."""
    alone = len(findings) == 1
    chapters, standings = [], []
    for item in findings:
        network = network_of(item.system)
        prefix = "" if alone else f"{item.key}-"
        sections = tuple(_sections(item, network, request, prefix))
        figures = tuple(head.figures(item.system, item.predictions))
        title, subtitle = item.system.name, head.subtitle(item.system)
        chapters.append(Chapter(item.key, title, subtitle, figures, sections))
        standings.append(standing(item, network))
    if alone:
        return Page(chapters[0].title, chapters[0].subtitle, tuple(chapters))
    chart = side_by_side(standings)
    together = Section("side-by-side", "Side by side", (table_of(standings), chart))
    names = listed([chapter.title for chapter in chapters])
    return Page("Systems side by side", names, tuple(chapters), (together,))


def _sections(item: Findings, network: Network | str, request: Request, prefix: str) -> list[Section]:
    system, predictions = item.system, item.predictions
    warnings = [Note(text) for text in head.warnings(system, predictions)]
    figures = head.fold_figures(system, predictions)
    overview: list[Part] = [*warnings, *([figures] if figures else []), head.facts(system)]
    clips: list[Part] = []
    if isinstance(predictions, Missing):
        clips.append(predictions.why)
    else:
        clips += [
            confusion_matrix(predictions, prefix),
            recall_picture(predictions, prefix),
            mistaken(predictions, prefix),
        ]
    sure: list[Part] = []
    if isinstance(predictions, Missing):
        sure.append(predictions.why)
    else:
        sure += [reliability(predictions, prefix), *precision_recall(predictions, prefix)]
    if isinstance(item.alarms, str):
        sure.append(item.alarms)
    else:
        rules = [rule.on for model in models_of(system) for rule in model.manifest.classes]
        known = predictions if isinstance(predictions, Predictions) else None
        sure.append(false_alarms(item.alarms, known, rules, prefix))
    hop_s = system.model.manifest.hop_s if system.model is not None else HOP_S
    drawn = network if isinstance(network, str) else network_picture(network, hop_s, prefix)
    sections = (
        ("overview", "Overview", overview),
        ("learning", "Learning", [curves(system, prefix)]),
        ("clips", "Sounds and mistakes", clips),
        ("certainty", "How sure it is", sure),
        ("pairs", "Two sounds at once", _pairs(item.heard, prefix)),
        ("examples", "What it learns from", _examples(system, request, prefix)),
        ("network", "The network", [drawn]),
    )
    return [Section(f"{prefix}section-{key}", title, tuple(parts)) for key, title, parts in sections]


def _pairs(heard: Heard | str, prefix: str) -> list[Part]:
    if isinstance(heard, str):
        return [heard]
    parts: list[Part] = []
    if heard.trained_on:
        text = f"The clips of {folds(heard.trained_on)} were learnt from: these figures flatter."
        parts.append(Note(text))
    drawn, confused = pairs_picture(heard, prefix), pairs_table(heard)
    parts += [figures_table(heard), drawn]
    # Without a picture that has it, the table stands for itself.
    return [*parts, confused] if isinstance(drawn, str) and confused.rows else parts


def _examples(system: System, request: Request, prefix: str) -> list[Part]:
    """Example clips as the recipe changes them, or a sentence."""
    name = dataset_of(system, request.datasets)
    if name is None:
        return [f"Give --data {system.dataset}=DIR to see and compare some of its clips."]
    recipe = recipe_of(system)
    if recipe is None:
        return [
            "The recipe of this model is not among today's recipes, so how it changed its clips is not known."
        ]
    clips = [
        clip
        for clip in read_dataset(name, request.datasets[name])
        if clip.fold in recipe.data.train_folds and clip.label in system.labels
    ]
    picked = chosen(clips, request.clips, recipe.schedule.seed)
    how, drawn = sounds(picked, recipe, request.background, prefix)
    return [how, *drawn] if drawn else ["None of the training clips can be read."]


def recipe_of(system: System) -> Recipe | None:
    """The recipe of a system; that of a lone model as it is today, if it still has the same front end."""
    if system.recipe is not None:
        return system.recipe
    assert system.model is not None
    manifest = system.model.manifest
    try:
        found = read_recipe(manifest.provenance.recipe)
    except RecipeError:
        return None
    same = (found.front_end, found.window_frames) == (manifest.front_end, manifest.window_frames)
    data = dataclasses.replace(found.data, train_folds=manifest.provenance.train_folds)
    return dataclasses.replace(found, data=data) if same else None


def network_of(system: System) -> Network | str:
    """The layers of the recipe's network, or those of the model, or a sentence."""
    if not system.runs:
        assert system.model is not None
        return network_of_tflite(system.model.content, system.model.name)
    recipe = system.runs[0].recipe
    try:
        with quiet_native_code():  # TensorFlow's start-up notes help nobody
            built = build_network(
                recipe.network, recipe.input_shapes, len(system.labels), recipe.outputs, recipe.options
            )
    except NetworkError as error:
        return f"The network cannot be built any more: {error}."
    noted = head.parameters(system)
    if noted is not None and noted != built.count_params():
        return "The network cannot be drawn: its code has changed since it was trained."
    return network_of_keras(built)


def standing(item: Findings, network: Network | str) -> Standing:
    """The line of a system in the comparison."""
    system, crossval = item.system, item.system.crossval
    accuracies: tuple[float, ...] = ()
    if crossval is not None:
        accuracies = tuple(crossval.values("int8_probability"))
    elif isinstance(item.predictions, Predictions):
        parts = [item.predictions.of_fold(fold) for fold in item.predictions.fold_numbers]
        accuracies = tuple(part.accuracy for part in parts)
    known = None if isinstance(network, str) else network
    return Standing(
        name=system.name,
        data=system.dataset,
        accuracies=accuracies,
        float_accuracies=tuple(crossval.values("float_probability")) if crossval else (),
        parameters=head.parameters(system) or (known.parameters if known else None),
        int8_bytes=head.int8_bytes(system),
        macs=known.macs if known else None,
        budget=head.budget(system),
    )


def pictures_of(page: Page) -> list[Picture]:
    """All pictures of a page, in order."""
    sections = [*page.before, *(section for chapter in page.chapters for section in chapter.sections)]
    return [part for section in sections for part in section.parts if isinstance(part, Picture)]
