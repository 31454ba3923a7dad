"""``esc-train fetch``: download a published dataset or network."""

from __future__ import annotations

import argparse
from pathlib import Path

from trainer.commands.common import Subparsers, command

DATASETS = ("esc50", "urbansound8k")
NETWORKS = ("efficientat-mn04",)


def add(commands: Subparsers) -> None:
    """Add the subcommand."""
    parser = command(commands, "fetch", "download a published dataset or network from its official place")
    parser.add_argument("what", choices=(*DATASETS, *NETWORKS), help="which dataset or network")
    parser.add_argument("--to", required=True, metavar="DIR", help="folder that it is put into")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Download."""
    from trainer.datasets.fetch import ARCHIVES, fetch
    from trainer.networks.published import PUBLISHED, fetch_published

    if options.what in NETWORKS:
        file = fetch_published(options.what, Path(options.to))
        print(f"{file}; licence {PUBLISHED[options.what].licence}")
        return 0
    folder = fetch(options.what, Path(options.to))
    archive = ARCHIVES[options.what]
    print(f"{archive.clips:,} clips in {folder}; licence {archive.licence}")
    return 0
