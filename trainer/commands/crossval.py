"""``esc-train crossval``: train and score a recipe on every fold."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

from streamer.tables import to_table
from trainer.commands.common import (
    Subparsers,
    add_recipe,
    add_sources,
    add_teacher,
    clips_of_folds,
    command,
    numbers,
    recipe_of,
    sources_of,
    teachers_of,
    warn_before,
)


def add(commands: Subparsers) -> None:
    """Add the subcommand."""
    parser = command(
        commands, "crossval", "train and score a recipe on every fold; the test fold is never learnt from"
    )
    add_recipe(parser)
    add_sources(parser)
    add_teacher(parser, "another cross-validation over the same folds")
    parser.add_argument("--folds", required=True, metavar="N,N", help="folds, each of them the test once")
    parser.add_argument("--test", metavar="N,N", help="test on these folds only")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="folds at the same time (default 1)")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder of the runs; resumed if there")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Cross-validate."""
    from trainer.datasets import DatasetError, read_dataset
    from trainer.training.crossval import crossval, local_processes, readable, without_fold
    from trainer.training.fit import refuse_another_recipe

    recipe = recipe_of(options)
    sources = sources_of(options)
    folds = numbers(options.folds, "--folds")
    test = numbers(options.test, "--test") if options.test else folds
    if options.jobs < 1:
        raise DatasetError(f"--jobs {options.jobs}: at least one fold runs at a time")
    folder = sources.folder(recipe.data.dataset)
    clips_of_folds(read_dataset(recipe.data.dataset, folder), tuple(set(folds) | set(test)), folder)
    out = Path(options.out)
    for fold in test:
        refuse_another_recipe(out / f"fold-{fold}", without_fold(recipe, fold, folds))
    # Every fold is learnt from, in one of the networks or another.
    every = dataclasses.replace(recipe.data, train_folds=folds)
    warn_before(dataclasses.replace(recipe, data=every), sources)
    out.mkdir(parents=True, exist_ok=True)
    with local_processes(options.jobs) as executor:
        result = crossval(recipe, folds, sources, out, executor, test, teachers_of(options))
    print(json.dumps(to_table(result)) if options.json else readable(result))
    return 0
