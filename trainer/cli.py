"""``esc-train``: recipe to network to ``.tflite``."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from streamer.errors import EscListenError
from trainer.datasets import Clip, DatasetError, read_dataset
from trainer.errors import ExportError
from trainer.recipe import RecipeError, read_recipe


def build_parser() -> argparse.ArgumentParser:
    """All subcommands and their options."""
    parser = argparse.ArgumentParser(
        prog="esc-train", description="Train, quantise and score the models of esc-listen."
    )
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--debug", action="store_true", help="show the full traceback on failure")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    fit = commands.add_parser("fit", help="train the network of a recipe", parents=[common])
    fit.add_argument("recipe", help="name of a recipe, or a .toml file")
    fit.add_argument("--data", required=True, metavar="NAME=DIR", help="esc50=FOLDER")
    fit.add_argument("--background", metavar="DIR", help="recordings without labelled sounds")
    fit.add_argument("--out", required=True, metavar="DIR", help="folder of the run; resumed if it exists")

    export = commands.add_parser("export", help="quantise a trained network to int8 TFLite", parents=[common])
    export.add_argument("run", metavar="DIR", help="folder that fit wrote")
    export.add_argument("--data", required=True, metavar="NAME=DIR")
    export.add_argument("--background", required=True, metavar="DIR")
    export.add_argument("--out", required=True, metavar="FILE.tflite")
    export.add_argument(
        "--wrong-budget",
        type=float,
        default=0.10,
        metavar="SHARE",
        help="validation clips that may give an event of a wrong class (default 0.10)",
    )

    evaluate = commands.add_parser(
        "evaluate", help="score a .tflite through the streaming code", parents=[common]
    )
    evaluate.add_argument("model", help="a shipped model's name, or a .tflite file")
    evaluate.add_argument("--data", required=True, metavar="NAME=DIR")
    evaluate.add_argument("--folds", metavar="N,N", help="only these folds")
    evaluate.add_argument("--labels", metavar="A,B", help="only these labels")
    evaluate.add_argument("--json", action="store_true", help="print JSON")
    return parser


def split_data(text: str) -> tuple[str, Path]:
    """``NAME=DIR`` in its two parts.

    Raises:
        DatasetError: it has another form.
    """
    name, equals, folder = text.partition("=")
    if not equals:
        raise DatasetError(f"--data {text}: write it as NAME=DIR, as in esc50=data/ESC-50")
    return name, Path(folder)


def main(arguments: list[str] | None = None) -> int:
    """Run the command; gives its exit status: 0 done, 1 failed, 2 wrong usage."""
    options = build_parser().parse_args(arguments)
    # TensorFlow's start-up notes help nobody.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    commands = {"fit": run_fit, "export": run_export, "evaluate": run_evaluate}
    try:
        return commands[options.command](options)
    except KeyboardInterrupt:
        problem = "stopped; the same command continues a training where its last checkpoint is"
    except ModuleNotFoundError as error:
        problem = f"{error}; install what training needs: scripts/setup train"
    except (EscListenError, DatasetError, RecipeError, ExportError, OSError) as error:
        if options.debug:
            raise
        problem = str(error)
    except Exception as error:
        if options.debug:
            raise
        problem = f"{type(error).__name__}: {error}; run it again with --debug for the details"
    print(f"esc-train: {problem}", file=sys.stderr)
    return 1


def run_fit(options: argparse.Namespace) -> int:
    """``esc-train fit``."""
    from trainer.fit import fit

    recipe = read_recipe(options.recipe)
    name, folder = split_data(options.data)
    if name != recipe.data.dataset:
        raise DatasetError(f"the recipe {recipe.name} learns from {recipe.data.dataset}, not {name}")
    fit(recipe, folder, Path(options.background) if options.background else None, Path(options.out))
    return 0


def run_export(options: argparse.Namespace) -> int:
    """``esc-train export``."""
    from trainer.export import export

    _, folder = split_data(options.data)
    export(Path(options.run), folder, Path(options.background), Path(options.out), options.wrong_budget)
    return 0


def run_evaluate(options: argparse.Namespace) -> int:
    """``esc-train evaluate``."""
    from streamer.model import load_model
    from trainer.evaluate import evaluate

    model = load_model(options.model)
    name, folder = split_data(options.data)
    clips = read_dataset(name, folder)
    if options.folds:
        try:
            folds = {int(fold) for fold in options.folds.split(",")}
        except ValueError as error:
            raise DatasetError(f"--folds {options.folds}: write numbers, as in 4,5") from error
        there = folds_of(clips)
        clips = [clip for clip in clips if clip.fold in folds]
        if not clips:
            known = ", ".join(map(str, there))
            raise DatasetError(f"there are no clips of folds {options.folds} in {folder}, only of {known}")
    labels = list(dict.fromkeys(options.labels.split(","))) if options.labels else []
    unknown = [label for label in labels if label not in model.labels]
    if unknown:
        raise DatasetError(f"the model {model.name} does not know {unknown[0]!r}")
    result = evaluate(model, clips, labels)
    table = {"model": model.name, "data": name, "folds": folds_of(clips), **result.table()}
    if options.json:
        print(json.dumps(table))
        return 0
    print(f"{model.name} on {name}, folds {', '.join(map(str, table['folds']))}:")
    print(f"  clips    {100 * result.clip_accuracy:5.1f} % of {result.clips} right")
    print(f"  windows  {100 * result.window_accuracy:5.1f} % of {result.windows} right")
    print(f"  calibration error {result.ece:.3f}; {result.left_out} clips left out")
    worst = sorted(result.per_class_recall.items(), key=lambda item: item[1])[:10]
    print("  least recognised: " + ", ".join(f"{label} {100 * r:.0f} %" for label, r in worst))
    return 0


def folds_of(clips: list[Clip]) -> list[int]:
    """The folds that occur among clips."""
    return sorted({clip.fold for clip in clips})


if __name__ == "__main__":
    sys.exit(main())
