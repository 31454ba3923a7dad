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
    parser.add_argument(
        "--licence",
        metavar="TEXT",
        help="terms of the training data, for the manifest, as in CC0 or CC BY 4.0 (default: the recipe's)",
    )
    add_choices(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Export."""
    # Only TensorFlow converts, whatever the network was trained with.
    os.environ["KERAS_BACKEND"] = "tensorflow"
    from streamer.model import load_model
    from trainer.exporting.export import finish, read_trained

    trained = read_trained(Path(options.folder))
    out, choices = Path(options.out), choices_of(options)
    finish(trained, sources_of(options), out, options.kind, choices, options.licence)
    licence = load_model(out).manifest.provenance.licence
    print(f"licence of the training data: {licence or 'not stated (see --licence)'}")
    return 0
