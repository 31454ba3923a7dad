"""A recipe: everything that a model is made from, in one TOML file."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from streamer.errors import ModelError
from streamer.frontend import FrontEndSpec
from streamer.tables import TableError, from_table
from trainer.augment import Augmentation
from trainer.networks import NETWORKS

RECIPES = Path(__file__).parent / "recipes"


class RecipeError(Exception):
    """A recipe cannot be used; the message names the file and the key."""


@dataclass(frozen=True)
class Data:
    """Which clips the network learns from and which ones it is judged by."""

    dataset: str
    train_folds: tuple[int, ...]
    validation_folds: tuple[int, ...] = ()
    licence: str = ""


@dataclass(frozen=True)
class Schedule:
    """The training budget. It is fixed: the last weights are the result, not the best ones."""

    epochs: int
    examples_per_epoch: int
    batch: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    warmup_epochs: float = 3.0
    seed: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.batch <= self.examples_per_epoch:
            raise ModelError("schedule: batch must lie between 1 and examples_per_epoch")
        if self.epochs < 1:
            raise ModelError("schedule: epochs must be at least 1")


@dataclass(frozen=True)
class Recipe:
    """One model."""

    name: str
    description: str
    network: str
    data: Data
    schedule: Schedule
    options: dict[str, Any] = field(default_factory=dict)
    """Arguments of the network."""

    front_end: FrontEndSpec = field(default_factory=FrontEndSpec)
    window_frames: int = 96
    augmentation: Augmentation = field(default_factory=Augmentation)


def read_recipe(name_or_path: str) -> Recipe:
    """Read a recipe by its name (one of `trainer/recipes`) or from a file.

    Raises:
        RecipeError: it does not exist, is not TOML, or has an unknown key or a wrong value.
    """
    path = Path(name_or_path)
    if path.suffix != ".toml":
        path = RECIPES / f"{name_or_path}.toml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in RECIPES.glob("*.toml")))
        raise RecipeError(f"no recipe {name_or_path!r}; known are {known}, or give a .toml file")
    try:
        recipe = from_table(Recipe, tomllib.loads(path.read_text(encoding="utf-8")))
    except (TableError, ModelError, tomllib.TOMLDecodeError) as error:
        raise RecipeError(f"{path}: {error}") from error
    if recipe.network not in NETWORKS:
        raise RecipeError(f"{path}: network: unknown {recipe.network!r}; known are {', '.join(NETWORKS)}")
    return recipe
