"""What a network learns from: the clips of a recipe as batches of examples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from trainer.datasets import Background, Clip, background_of_folds, read_backgrounds, read_dataset
from trainer.datasets.licences import under_licences
from trainer.datasets.split import split
from trainer.examples.cache import ArrayCache
from trainer.examples.crops import Crops
from trainer.examples.inputs import Batch, Normalisation
from trainer.examples.segments import Segments
from trainer.recipe import Recipe, RecipeError


class Examples(Protocol):
    """Training examples of a recipe, drawn or cut from its clips."""

    labels: tuple[str, ...]
    normalisation: Normalisation
    clips: tuple[Clip, ...]
    """Clips that are learnt from."""

    backgrounds: tuple[Background, ...]
    """Background that is learnt from."""

    unreadable: tuple[Path, ...]
    """Files that were left out because they cannot be read."""

    @property
    def examples_per_epoch(self) -> int: ...

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """Batches of one epoch; the same epoch gives the same batches, also after a resumed run."""
        ...


@dataclass(frozen=True)
class Sources:
    """Where the recordings of a training are."""

    datasets: Mapping[str, Path]
    """Folder of each dataset, by name."""

    background: Path | None = None
    cache: ArrayCache = field(default_factory=lambda: ArrayCache(None))
    more_backgrounds: tuple[Path, ...] = ()
    published: Path | None = None
    """Published weights that a recipe with `transfer` begins with."""

    @property
    def backgrounds(self) -> tuple[Path, ...]:
        """All folders of background."""
        return ((self.background,) if self.background else ()) + self.more_backgrounds

    def folder(self, dataset: str) -> Path:
        """Folder of a dataset.

        Raises:
            RecipeError: it was not given.
        """
        if dataset not in self.datasets:
            raise RecipeError(f"the recipe learns from {dataset}: give --data {dataset}=DIR")
        return self.datasets[dataset]


@dataclass(frozen=True)
class Material:
    """The clips of a recipe, parted into what is learnt from and what is not."""

    labels: tuple[str, ...]
    train: tuple[Clip, ...]
    validation: tuple[Clip, ...]
    dropped: int
    """Clips left out because their recording is also held out."""

    background: tuple[Background, ...] = ()
    """Background of the training folds."""

    background_held_out: tuple[Background, ...] = ()
    """That of the other folds."""


def read_material(recipe: Recipe, sources: Sources) -> Material:
    """Read the lists of clips of a recipe; labels are those of its own dataset.

    Raises:
        DatasetError: a folder is not the dataset.
        RecipeError: a dataset of the recipe was not given, or its training folds hold nothing.
    """
    own = read_dataset(recipe.data.dataset, sources.folder(recipe.data.dataset))
    labels = tuple(sorted({clip.label for clip in own}))
    extra = [
        clip
        for name in recipe.data.also
        for clip in read_dataset(name, sources.folder(name))
        if clip.label in labels
    ]
    parted = split(own, recipe.data.train_folds, extra)
    train = parted.train
    if recipe.data.only_licences:
        folder = sources.folder(recipe.data.dataset)
        others = set(extra)
        free = set(under_licences([c for c in train if c not in others], folder, recipe.data.only_licences))
        train = tuple(clip for clip in train if clip in free or clip in others)
    missing = sorted(set(labels) - {clip.label for clip in train})
    if missing:
        folds = ", ".join(map(str, recipe.data.train_folds))
        raise RecipeError(f"folds {folds} of {recipe.data.dataset} hold no clip of {missing[0]!r}")
    # Thresholds are chosen on them, which is learning, too.
    validation = tuple(
        clip for clip in own if clip.fold in recipe.data.validation_folds and not clip.test_only
    )
    folds = sorted({clip.fold for clip in own})
    held_out = [fold for fold in folds if fold not in recipe.data.train_folds]
    recordings = read_backgrounds(sources.backgrounds, "train")
    return Material(
        labels,
        train,
        validation,
        len(parted.dropped),
        background_of_folds(recordings, folds, recipe.data.train_folds),
        background_of_folds(recordings, folds, held_out),
    )


def load_examples(recipe: Recipe, material: Material, sources: Sources) -> Examples:
    """Compute the features of the training clips, or take them from the cache."""
    if recipe.examples == "segments":
        _tell_of_uneven_copies(recipe, material.labels)
        return Segments(recipe, material.train, material.labels, material.background, sources.cache)
    return Crops(recipe, material.train, material.labels, material.background, sources.cache)


def _tell_of_uneven_copies(recipe: Recipe, labels: tuple[str, ...]) -> None:
    """Copies that only some classes get make the others rare: worth a line."""
    counts = {
        label: sum(c.repeat for c in recipe.copies if not c.labels or label in c.labels) for label in labels
    }
    if len(set(counts.values())) > 1:
        fewest, most = (choice(counts, key=counts.__getitem__) for choice in (min, max))
        print(
            f"uneven copies: {counts[most]} of a clip of {most}, {counts[fewest]} of {fewest}; "
            "change copies in the recipe if that is not wanted"
        )
