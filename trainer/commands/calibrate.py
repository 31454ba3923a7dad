"""``esc-train calibrate``: probabilities, thresholds and times of a finished model."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from trainer.commands.common import Subparsers, clips_of_folds, command, folds_of, numbers, split_data
from trainer.datasets import (
    Background,
    Clip,
    DatasetError,
    background_of_folds,
    read_backgrounds,
    read_dataset,
)

if TYPE_CHECKING:
    from streamer.manifest import Manifest
    from trainer.calibration.calibrate import Choices
    from trainer.calibration.evidence import Examiner


def add(commands: Subparsers) -> None:
    """Add the subcommand."""
    parser = command(
        commands,
        "calibrate",
        "choose probabilities, thresholds and times of a model on sounds that it did not learn from, and "
        "write them into its manifest",
    )
    parser.add_argument("model", help="a shipped model's name, or a .tflite file")
    parser.add_argument(
        "--data", required=True, metavar="NAME=DIR", help="esc50, esc10, urbansound8k or folder"
    )
    parser.add_argument("--folds", metavar="N,N", help="folds that the model did not learn from")
    parser.add_argument(
        "--crossval",
        metavar="DIR",
        help="what crossval wrote for the same recipe: each fold is judged by the network that did not "
        "learn from it, so that all training clips can be used",
    )
    parser.add_argument(
        "--background",
        action="append",
        default=[],
        metavar="DIR",
        help="real background, its recordings of the split train: of a model that learnt from background, "
        "those of the folds that it did not learn from; give it again for a further folder",
    )
    add_choices(parser)
    parser.add_argument("--out", metavar="FILE.tflite", help="where to write; by default the model itself")
    parser.set_defaults(run=run)


def add_choices(parser: argparse.ArgumentParser) -> None:
    """Options that say how a model is calibrated."""
    parser.add_argument(
        "--false-alarms",
        type=float,
        default=6.0,
        metavar="PER_HOUR",
        help="events in an hour of background that are allowed, all classes together (default 6)",
    )
    parser.add_argument(
        "--wrong-budget",
        type=float,
        default=0.10,
        metavar="SHARE",
        help="clips that may give an event of a wrong class (default 0.10)",
    )
    parser.add_argument(
        "--method",
        choices=("temperature", "offset", "per-class", "none"),
        default="temperature",
        help="how probabilities are corrected: one temperature (default), one offset, a temperature and an "
        "offset of each class, none",
    )
    parser.add_argument(
        "--smoothing",
        type=float,
        metavar="SECONDS",
        help="time constant of the smoothing; shorter is quicker and less calm (default: as it is)",
    )
    parser.add_argument(
        "--mixes",
        type=int,
        default=300,
        metavar="N",
        help="mixes of sounds for each fold that decision thresholds are chosen on, 0 for none (default 300)",
    )


def choices_of(options: argparse.Namespace) -> Choices:
    """The choices, from the options.

    Raises:
        DatasetError: a number makes no sense.
    """
    from trainer.calibration.calibrate import Choices
    from trainer.calibration.thresholds import Budget

    if not options.false_alarms > 0:
        raise DatasetError(f"--false-alarms {options.false_alarms:g}: give a number above 0, as in 3")
    if not 0 < options.wrong_budget < 1:
        raise DatasetError(
            f"--wrong-budget {options.wrong_budget:g}: give a share between 0 and 1, as in 0.1"
        )
    if options.smoothing is not None and not 0 <= options.smoothing <= 10:
        raise DatasetError(f"--smoothing {options.smoothing:g}: give seconds between 0 and 10")
    if options.mixes < 0:
        raise DatasetError(f"--mixes {options.mixes}: give a number from 0 on")
    budget = Budget(options.false_alarms, options.wrong_budget)
    return Choices(budget, options.method, options.smoothing, options.mixes)


def run(options: argparse.Namespace) -> int:
    """Calibrate."""
    from streamer.manifest import add_manifest
    from streamer.model import load_model, shipped_models
    from trainer.calibration.calibrate import calibrate
    from trainer.caveats import CAVEATS, warn
    from trainer.exporting.export import refuse_unwritable, write_whole

    choices = choices_of(options)
    model = load_model(options.model)
    if not options.out and model.path in shipped_models():
        raise DatasetError(f"{model.name} is a shipped model: give --out FILE.tflite, it stays as it is")
    out = Path(options.out) if options.out else model.path
    refuse_unwritable(out)
    name, folder = split_data(options.data)
    clips = [clip for clip in read_dataset(name, folder) if clip.label in model.labels]
    clips = _to_choose_by(clips, options.folds)
    background = read_backgrounds(map(Path, options.background), "train")
    if options.crossval:
        examiners = _networks(Path(options.crossval), clips, background, model.manifest)
    else:
        examiners = [_itself(model.path, clips, background, model.manifest, options.folds, folder)]
    found = calibrate(model.path, examiners, (name, folder), choices)
    write_whole(out, add_manifest(model.content, found.manifest))
    print("\n".join(found.lines))
    warn(found.manifest.measured.get(CAVEATS, ()))
    print(f"written to {out}")
    return 0


def _to_choose_by(clips: list[Clip], folds: str | None) -> list[Clip]:
    """Clips without those that were put aside as a test: choosing thresholds is learning.

    Raises:
        DatasetError: a fold that was asked for holds nothing else.
    """
    left = [clip for clip in clips if not clip.test_only]
    for fold in numbers(folds, "--folds") if folds else ():
        if fold not in folds_of(left) and fold in folds_of(clips):
            raise DatasetError(
                f"fold {fold} was put aside as a test (folders called test), and thresholds are not chosen "
                "on a test; give other --folds"
            )
    return left


def _itself(
    path: Path,
    clips: Sequence[Clip],
    background: Sequence[Background],
    manifest: Manifest,
    folds: str | None,
    folder: Path,
) -> Examiner:
    """The model as the judge of folds that it did not learn from."""
    from trainer.calibration.evidence import Examiner

    if not folds:
        raise DatasetError("say which clips the model did not learn from: give --folds, or --crossval")
    asked = numbers(folds, "--folds")
    for fold in asked:
        if fold in manifest.provenance.train_folds:
            raise DatasetError(
                f"the model learnt from fold {fold}, about which it is far too sure; give other --folds, "
                "or --crossval"
            )
    return Examiner(
        path, tuple(clips_of_folds(list(clips), asked, folder)), _unheard(background, clips, manifest)
    )


def _unheard(
    background: Sequence[Background], clips: Sequence[Clip], manifest: Manifest
) -> tuple[Background, ...]:
    """The background that a model did not learn from; all of it if there is none such."""
    if not manifest.provenance.background:
        return tuple(background)
    folds = sorted({clip.fold for clip in clips})
    held_out = [fold for fold in folds if fold not in manifest.provenance.train_folds]
    found = background_of_folds(background, folds, held_out)
    if background and not found:
        print("all background was learnt from: expect more false alarms elsewhere than are told here")
    return found or tuple(background)


def _networks(
    runs: Path, clips: Sequence[Clip], background: Sequence[Background], manifest: Manifest
) -> list[Examiner]:
    """The networks of a cross-validation, each as the judge of its own fold."""
    from streamer.model import load_model
    from trainer.calibration.evidence import Examiner
    from trainer.recipe import SHIPPED_KINDS

    examiners = []
    for path in sorted(path for kind in SHIPPED_KINDS for path in runs.glob(f"fold-[0-9]*/{kind}.tflite")):
        fold = int(path.parent.name.removeprefix("fold-"))
        own = load_model(path).manifest
        same = own.front_end == manifest.front_end and own.labels == manifest.labels
        if not same or own.window_frames != manifest.window_frames:
            raise DatasetError(f"{path} is no network of the same recipe: labels or features differ")
        if fold in own.provenance.train_folds:
            raise DatasetError(f"{path} learnt from fold {fold} itself")
        own_clips = tuple(clip for clip in clips if clip.fold == fold)
        if own_clips:
            examiners.append(Examiner(path, own_clips, _unheard(background, clips, own)))
    if not examiners:
        raise DatasetError(
            f"{runs} holds no cross-validation: expected fold-*/int8.tflite (or dynamic.tflite) inside it"
        )
    return examiners
