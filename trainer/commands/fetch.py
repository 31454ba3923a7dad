"""``esc-train fetch``: download a published dataset."""

from __future__ import annotations

import argparse
from pathlib import Path

from trainer.commands.common import Subparsers, command


def add(commands: Subparsers) -> None:
    """Add the subcommand."""
    parser = command(commands, "fetch", "download a published dataset from its official place")
    parser.add_argument("dataset", choices=("esc50", "urbansound8k"), help="which dataset")
    parser.add_argument("--to", required=True, metavar="DIR", help="folder that it is put into")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Download."""
    from trainer.datasets.fetch import ARCHIVES, fetch

    folder = fetch(options.dataset, Path(options.to))
    archive = ARCHIVES[options.dataset]
    print(f"{archive.clips:,} clips in {folder}; licence {archive.licence}")
    return 0
