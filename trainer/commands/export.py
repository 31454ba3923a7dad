"""``esc-train export``: a trained network to TFLite."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from trainer.commands.calibrate import add_choices, choices_of
from trainer.commands.common import Subparsers, add_sources, command, sources_of


def add(commands: Subparsers) -> None:
    """Add the subcommand."""
    parser = command(commands, "export", "write a trained network as a .tflite, int8 unless asked otherwise")
    parser.add_argument("folder", metavar="DIR", help="folder that fit wrote")
    add_sources(parser)
    parser.add_argument("--out", required=True, metavar="FILE.tflite")
    parser.add_argument(
        "--kind",
        choices=("int8", "dynamic", "float32"),
        default="int8",
        help="int8 in and out (default); dynamic: int8 weights, float computation; float32",
    )
    add_choices(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Export."""
    # Only TensorFlow converts, whatever the network was trained with.
    os.environ["KERAS_BACKEND"] = "tensorflow"
    from trainer.exporting.export import finish, read_trained

    trained = read_trained(Path(options.folder))
    finish(trained, sources_of(options), Path(options.out), options.kind, choices_of(options))
    return 0
