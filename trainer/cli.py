"""``esc-train``: recipe to network to ``.tflite``."""

from __future__ import annotations

import argparse
import os
import sys

from streamer.errors import EscListenError
from streamer.output import OutputError, checked
from trainer.commands import calibrate, crossval, evaluate, export, fetch, fit, mix, report, scenes
from trainer.datasets import DatasetError
from trainer.download import FetchError
from trainer.errors import ExportError
from trainer.networks import NetworkError
from trainer.recipe import RecipeError


def build_parser() -> argparse.ArgumentParser:
    """All subcommands and their options."""
    parser = argparse.ArgumentParser(
        prog="esc-train", description="Train, quantise and score the models of esc-listen."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for subcommand in (fetch, fit, crossval, export, calibrate, evaluate, mix, scenes, report):
        subcommand.add(commands)
    return parser


@checked("esc-train")
def main(arguments: list[str] | None = None) -> int:
    """Run the command; gives its exit status: 0 done, 1 failed, 2 wrong usage."""
    options = build_parser().parse_args(arguments)
    # TensorFlow's start-up notes help nobody.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    try:
        status: int = options.run(options)
        return status
    except OutputError:
        raise
    except KeyboardInterrupt:
        problem = "stopped; the same command goes on where it was"
    except ModuleNotFoundError as error:
        problem = f"{error}; install what training needs: scripts/setup train"
    except (
        EscListenError,
        DatasetError,
        RecipeError,
        NetworkError,
        ExportError,
        FetchError,
        OSError,
    ) as error:
        if options.debug:
            raise
        problem = str(error)
    except Exception as error:
        if options.debug:
            raise
        problem = f"{type(error).__name__}: {error}; run it again with --debug for the details"
    print(f"esc-train: {problem}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
