"""``esc-train fit``: train the network of a recipe."""

from __future__ import annotations

import argparse
from pathlib import Path

from trainer.commands.common import (
    Subparsers,
    add_recipe,
    add_sources,
    add_teacher,
    command,
    recipe_of,
    sources_of,
    teachers_of,
    warn_before,
)


def add(commands: Subparsers) -> None:
    """Add the subcommand."""
    parser = command(commands, "fit", "train the network of a recipe within its fixed budget")
    add_recipe(parser)
    add_sources(parser)
    add_teacher(parser, "a finished run")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder of the run; resumed if it exists")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Train."""
    from trainer.training.fit import fit, refuse_another_recipe

    recipe, sources = recipe_of(options), sources_of(options)
    out = Path(options.out)
    refuse_another_recipe(out, recipe)
    warn_before(recipe, sources)
    fit(recipe, sources, out, teachers_of(options))
    return 0
