"""A recipe: everything that a model is made from, in one TOML file."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from streamer.errors import ModelError
from streamer.frontend import Feature, FrontEndSpec
from streamer.tables import TableError, from_table
from trainer.examples.augment import Augmentation
from trainer.examples.waveforms import Copy
from trainer.networks import NETWORKS, InputShape, NetworkError, check_options

SHIPPED_KINDS = ("int8", "dynamic")
"""How a network may be shipped."""

RECIPES = Path(__file__).parent / "recipes"


class RecipeError(Exception):
    """A recipe cannot be used; the message names the file and the key."""


@dataclass(frozen=True)
class Data:
    """Which clips the network learns from and which ones it is judged by."""

    dataset: str
    train_folds: tuple[int, ...]
    validation_folds: tuple[int, ...] = ()
    """Watched while training, never learnt from; thresholds are chosen on them."""

    licence: str = ""
    """Terms of the training data, as the manifest states them. They belong to `dataset`: a change of it drops
    them. Empty: not stated."""

    also: tuple[str, ...] = ()
    """Further datasets that add clips of the same labels, but for recordings that are held out."""

    only_licences: tuple[str, ...] = ()
    """Learn only from clips of the dataset that are under these (see `trainer.datasets.licences`); all
    clips when empty."""


@dataclass(frozen=True)
class Segments:
    """How a clip is cut into the windows that are learnt from, or scored."""

    hop_frames: int = 25
    """Distance between two segments of a clip."""

    peak_normalise: bool = False
    """Scale each clip to a peak of 1 first. A stream has no such peak: only published protocols do so."""

    silent_below_db: float = -1000.0
    """Segments whose mean log-mel is not above this are left out."""


@dataclass(frozen=True)
class Mixes:
    """Pairs of sounds heard at once, made from training clips of one fold."""

    per_pair: int = 11
    """Mixes for every pair of different classes, in each fold."""

    level_db: tuple[float, float] = (0.0, 0.0)
    """Level of the second sound above the first: 0 for equally loud ("50-50"), -30 to -20 for a faint
    one ("90-10")."""

    truth: Literal["both", "first"] = "both"
    """``both`` sounds where they are active, or the ``first`` one, whatever lies under it."""

    with_singles: bool = False
    """Learn from single sounds and mixes in the same epoch, not from mixes alone."""

    def __post_init__(self) -> None:
        if self.per_pair < 1:
            raise ModelError("mixes: per_pair must be at least 1")
        if self.level_db[0] > self.level_db[1]:
            raise ModelError("mixes: level_db must be [lowest, highest]")


@dataclass(frozen=True)
class Schedule:
    """The training budget. It is fixed: the last weights are the result, not the best ones."""

    epochs: int
    examples_per_epoch: int = 0
    """0 for all of them, once."""

    batch: int = 64
    optimizer: Literal["muon", "adamw", "adam", "sgd"] = "adamw"
    """``muon`` is for networks of convolutions (see `trainer.training.muon`) and learns the same in fewer
    epochs; ``sgd`` comes with Nesterov's momentum."""

    learning_rate: float = 2e-3
    rate: Literal["cosine", "constant", "plateau"] = "cosine"
    """``cosine`` falls to nothing at the end of the budget; ``plateau`` halves the rate whenever the
    validation folds (never a test fold) have not been heard better for five epochs."""

    momentum: float = 0.9
    weight_decay: float = 0.02
    warmup_epochs: float = 3.0
    """For ``cosine`` only."""

    single_epochs: int = 0
    """With mixes: so many of the epochs, the first ones, learn from single sounds."""

    teacher_share: float = 0.0
    """Share of a teacher's answers in what is learnt, the rest are the labels (see
    `trainer.training.teacher`); above 0 a teacher must be named."""

    precision: Literal["float32", "mixed_bfloat16"] = "float32"
    """``mixed_bfloat16`` multiplies in 16 bits and keeps weights in 32."""

    seed: int = 1

    def __post_init__(self) -> None:
        if self.batch < 1 or (self.examples_per_epoch and self.batch > self.examples_per_epoch):
            raise ModelError("schedule: batch must lie between 1 and examples_per_epoch")
        if self.epochs < 1:
            raise ModelError("schedule: epochs must be at least 1")
        if not self.learning_rate > 0:
            raise ModelError("schedule: learning_rate must be above 0")
        if not 0 <= self.teacher_share <= 0.5:
            raise ModelError("schedule: teacher_share must lie between 0 and 0.5")
        if not 0 <= self.single_epochs <= self.epochs:
            raise ModelError("schedule: single_epochs must lie between 0 and epochs")


@dataclass(frozen=True)
class Transfer:
    """A network that begins with published weights and learns only its head.

    What the rest gives for an example never changes, so it is computed once for each of a number of draws,
    and the head learns from these in turn.
    """

    published: str
    """Name of the weights, as `esc-train fetch` has it."""

    layer: str = "head_input"
    """The network learns behind this layer."""

    counterparts: str = ""
    """Data set whose labels are given published scores of the same sounds (see
    `trainer.datasets.audioset`), where the network lets these have a share."""

    draws: int = 2
    """Epochs whose examples differ; later ones learn from the same again."""

    def __post_init__(self) -> None:
        if self.draws < 1:
            raise ModelError("transfer: draws must be at least 1")


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
    inputs: tuple[tuple[Feature, ...], ...] = ()
    """Features of each input of the network; those of one input, of equal width, are its channels.
    By default one input with all the features of the front end."""

    outputs: Literal["sigmoid", "softmax"] = "sigmoid"
    """``sigmoid``: every sound for itself, several at once; ``softmax``: exactly one sound."""

    examples: Literal["crops", "segments"] = "crops"
    """``crops``: random windows, mixed and changed anew each time they are drawn (`Augmentation`).
    ``segments``: each clip and its changed copies (`Copy`), cut at fixed places."""

    normalise: Literal["column", "feature", "all"] = "column"
    """Mean and deviation over training clips: of each column, one pair for each feature, or a single one
    for all."""

    fixed_normalisation: tuple[float, float] | None = None
    """Mean and deviation that published weights expect, instead of those of training clips."""

    kind: Literal["int8", "dynamic"] = "int8"
    """How the model is shipped: all in 8 bits, or weights in 8 bits and arithmetic in floating point."""

    transfer: Transfer | None = None
    augmentation: Augmentation = field(default_factory=Augmentation)
    segments: Segments = field(default_factory=Segments)
    copies: tuple[Copy, ...] = ()
    mixes: Mixes | None = None

    @property
    def input_features(self) -> tuple[tuple[Feature, ...], ...]:
        """Features of each input of the network."""
        return self.inputs or (self.front_end.features,)

    @property
    def input_shapes(self) -> tuple[InputShape, ...]:
        """Shape of each input of the network."""
        return tuple(
            InputShape(self.window_frames, self.front_end.width(names[0]), len(names))
            for names in self.input_features
        )

    def __post_init__(self) -> None:
        for names in self.input_features:
            if not names:
                raise ModelError("inputs: an input names no feature")
            for name in names:
                self.front_end.columns(name)
            if len({self.front_end.width(name) for name in names}) != 1:
                raise ModelError(f"inputs: {', '.join(names)} have different widths")
        if self.network not in NETWORKS:
            raise ModelError(f"network: unknown {self.network!r}; known are {', '.join(sorted(NETWORKS))}")
        try:
            check_options(self.network, self.options)
        except NetworkError as error:
            raise ModelError(str(error)) from error
        if self.outputs == "softmax" and self.examples == "crops" and self.augmentation.negative_share:
            raise ModelError("augmentation.negative_share must be 0 with softmax: it has no word for nothing")
        if self.outputs == "softmax" and self.mixes and self.mixes.truth == "both":
            raise ModelError('mixes of truth "both" need outputs = "sigmoid": two sounds are there at once')
        if self.window_frames < 1:
            raise ModelError("window_frames must be at least 1")
        if self.segments.hop_frames < 1:
            raise ModelError("segments: hop_frames must be at least 1")
        if self.schedule.rate == "plateau" and not self.data.validation_folds:
            raise ModelError("schedule: a plateau is seen on validation_folds, and data names none")


def read_recipe(name_or_path: str, changes: Mapping[str, Any] | None = None) -> Recipe:
    """Read a recipe by its name (one of `trainer/recipes`) or from a file.

    Args:
        changes: values that replace those of the file, by dotted key, as ``schedule.epochs``.

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
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        own = _dataset_of(table)
        for key, value in (changes or {}).items():
            *parents, last = key.split(".")
            inner = table
            for name in parents:
                inner = inner.setdefault(name, {})
                if not isinstance(inner, dict):
                    raise TableError(f"{key}: {name} is not a table")
            inner[last] = value
        if _dataset_of(table) != own and "data.licence" not in (changes or {}):
            table["data"].pop("licence", None)
        return from_table(Recipe, table)
    except (TableError, ModelError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: {error}") from error


def _dataset_of(table: Mapping[str, Any]) -> Any:
    data = table.get("data")
    return data.get("dataset") if isinstance(data, dict) else None
