"""What several subcommands ask for: where the recordings are, which folds, which recipe."""

from __future__ import annotations

import argparse
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer.datasets import Clip, DatasetError

if TYPE_CHECKING:
    from trainer.examples.load import Sources
    from trainer.recipe import Recipe

Subparsers = Any
"""What `argparse.ArgumentParser.add_subparsers` gives."""


def command(commands: Subparsers, name: str, help_text: str) -> argparse.ArgumentParser:
    """Add a subcommand."""
    parser: argparse.ArgumentParser = commands.add_parser(name, help=help_text, description=help_text)
    parser.add_argument("--debug", action="store_true", help="show the full traceback on failure")
    return parser


def add_sources(parser: argparse.ArgumentParser) -> None:
    """Options that say where recordings are."""
    parser.add_argument(
        "--data",
        required=True,
        action="append",
        metavar="NAME=DIR",
        help="esc50, esc10, urbansound8k, pool or folder, and where it is; give it again for a further "
        "dataset",
    )
    parser.add_argument(
        "--background",
        action="append",
        default=[],
        metavar="DIR",
        help="recordings without labelled sounds; give it again for a further folder",
    )
    parser.add_argument(
        "--published",
        metavar="FILE.pt",
        help="published weights that a recipe with transfer begins with (esc-train fetch efficientat-mn04)",
    )
    parser.add_argument(
        "--cache",
        metavar="DIR",
        help="where computed features are kept (default: esc-train in the user's cache folder)",
    )
    parser.add_argument("--no-cache", action="store_true", help="compute features anew")


def add_recipe(parser: argparse.ArgumentParser) -> None:
    """The recipe and changes to it."""
    parser.add_argument("recipe", help="name of a recipe, or a .toml file")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change the recipe, as in schedule.epochs=40; may be given again",
    )


def split_data(text: str) -> tuple[str, Path]:
    """``NAME=DIR`` in its two parts.

    Raises:
        DatasetError: it has another form.
    """
    name, equals, folder = text.partition("=")
    if not equals:
        raise DatasetError(f"--data {text}: write it as NAME=DIR, as in esc50=data/ESC-50")
    return name, Path(folder)


def sources_of(options: argparse.Namespace) -> Sources:
    """Where the recordings are, from the options."""
    from trainer.examples.cache import ArrayCache, default_folder
    from trainer.examples.load import Sources

    cache = None if options.no_cache else Path(options.cache) if options.cache else default_folder()
    return Sources(
        datasets=dict(split_data(text) for text in options.data),
        background=Path(options.background[0]) if options.background else None,
        more_backgrounds=tuple(map(Path, options.background[1:])),
        published=Path(options.published) if options.published else None,
        cache=ArrayCache(cache),
    )


def warn_before(recipe: Recipe, sources: Sources) -> None:
    """Warn of what will make a training, or its figures, worthless, before time is spent on it.

    Raises:
        DatasetError, RecipeError: a dataset is not there, or a class holds nothing but silence.
    """
    from trainer.caveats import caveats, remedies, warn
    from trainer.datasets.remarks import remarks
    from trainer.examples.audible import inaudible
    from trainer.examples.load import read_material

    material = read_material(recipe, sources)
    background = bool(material.background or material.background_held_out)
    if "folder" in (recipe.data.dataset, *recipe.data.also):
        warn(remarks(sources.folder("folder")))
        clips = (*material.train, *material.validation)
        warn(inaudible(clips, recipe.front_end.sample_rate_hz, sources.cache))
    warn(caveats(material.labels, background, background))
    warn(remedies(material.labels, background))


def add_teacher(parser: argparse.ArgumentParser, what: str) -> None:
    """Add the option that names teachers."""
    parser.add_argument(
        "--teacher",
        action="append",
        default=[],
        metavar="DIR",
        help=f"{what}, whose answers are learnt as well as the recipe's schedule.teacher_share says; "
        "give it again for several",
    )


def teachers_of(options: argparse.Namespace) -> tuple[Path, ...]:
    """Folders of the teachers that were named."""
    return tuple(Path(folder) for folder in options.teacher)


def recipe_of(options: argparse.Namespace) -> Recipe:
    """The recipe with the changes that were asked for.

    Raises:
        RecipeError: the recipe or a change does not fit.
    """
    from trainer.recipe import RecipeError, read_recipe

    changes: dict[str, Any] = {}
    for text in options.set:
        key, equals, value = text.partition("=")
        if not equals:
            raise RecipeError(f"--set {text}: write it as KEY=VALUE, as in schedule.epochs=40")
        changes[key.strip()] = toml_value(value.strip())
    return read_recipe(options.recipe, changes)


def toml_value(text: str) -> Any:
    """A value as TOML has it; a bare word is text."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def numbers(text: str, option: str) -> tuple[int, ...]:
    """Fold numbers as people write them: ``1,2,5``.

    Raises:
        DatasetError: they are no numbers, or one occurs twice.
    """
    try:
        folds = tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise DatasetError(f"{option} {text}: write numbers, as in 4,5") from error
    if len(set(folds)) != len(folds):
        raise DatasetError(f"{option} {text}: a number occurs twice")
    return folds


def folds_of(clips: list[Clip]) -> list[int]:
    """The folds that occur among clips."""
    return sorted({clip.fold for clip in clips})


def clips_of_folds(clips: list[Clip], folds: tuple[int, ...], folder: Path) -> list[Clip]:
    """Clips of some folds.

    Raises:
        DatasetError: a fold holds none.
    """
    there = folds_of(clips)
    for fold in folds:
        if fold not in there:
            known = ", ".join(map(str, there))
            raise DatasetError(f"there are no clips of fold {fold} in {folder}, only of {known}")
    return [clip for clip in clips if clip.fold in folds]
