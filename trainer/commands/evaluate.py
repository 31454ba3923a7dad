"""``esc-train evaluate``: score a ``.tflite`` through the streaming code."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streamer.model import Model
from trainer.commands.common import Subparsers, clips_of_folds, command, folds_of, numbers, split_data
from trainer.datasets import Clip, DatasetError, read_dataset
from trainer.words import folds


@dataclass(frozen=True)
class Report:
    """What an evaluation found: for machines and for people."""

    table: dict[str, Any]
    lines: tuple[str, ...]


def add(commands: Subparsers) -> None:
    """Add the subcommand."""
    parser = command(commands, "evaluate", "score a .tflite through the streaming code")
    parser.add_argument("model", help="a shipped model's name, or a .tflite file")
    parser.add_argument(
        "--data",
        required=True,
        metavar="NAME=DIR",
        help="clips: esc50, esc10, urbansound8k or folder; what esc-train wrote: mix or scenes; "
        "real recordings with an expected.csv: recordings; sounds of many makers with a pool.csv: pool",
    )
    parser.add_argument("--folds", metavar="N,N", help="only clips of these folds")
    parser.add_argument("--labels", metavar="A,B", help="only clips, and events, of these labels")
    parser.add_argument(
        "--decision", type=float, metavar="P", help="for mix: probability at which a sound counts as heard"
    )
    parser.add_argument(
        "--split", default="test", metavar="NAME", help="for recordings and pool: train or test (default)"
    )
    parser.add_argument(
        "--events", action="store_true", help="for clips: which events they give, between real background"
    )
    parser.add_argument(
        "--background",
        metavar="DIR",
        help="for --events: its recordings of the split train; for pool: those of the split that is judged",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Evaluate."""
    from streamer.model import load_model

    model = load_model(options.model)
    name, folder = split_data(options.data)
    judge = JUDGES.get(name, judge_events if options.events else judge_clips)
    report = judge(model, folder, options)
    if options.json:
        print(json.dumps(report.table))
    else:
        print("\n".join(report.lines))
    return 0


def chosen_clips(folder: Path, options: argparse.Namespace) -> list[Clip]:
    """The clips that are asked for."""
    clips = read_dataset(split_data(options.data)[0], folder)
    if options.folds:
        clips = clips_of_folds(clips, numbers(options.folds, "--folds"), folder)
    return clips


def chosen_labels(model: Model, options: argparse.Namespace) -> list[str]:
    """The labels that were asked for; none for all.

    Raises:
        DatasetError: the model does not know one of them.
    """
    labels = list(dict.fromkeys(options.labels.split(","))) if options.labels else []
    unknown = [label for label in labels if label not in model.labels]
    if unknown:
        raise DatasetError(f"the model {model.name} does not know {unknown[0]!r}")
    return labels


def judge_events(model: Model, folder: Path, options: argparse.Namespace) -> Report:
    """Clips between real background: do they give an event of the right class, or of a wrong one?"""
    from trainer.judging.clip_events import report

    if not options.background:
        raise DatasetError("--events needs real background: give --background DIR")
    return Report(*report(model, chosen_clips(folder, options), Path(options.background)))


def judge_clips(model: Model, folder: Path, options: argparse.Namespace) -> Report:
    """Labelled clips: accuracy of windows and of clips."""
    from trainer.judging.clips import evaluate

    name, _ = split_data(options.data)
    clips = chosen_clips(folder, options)
    labels = chosen_labels(model, options)
    result = evaluate(model, clips, labels)
    table = {"model": model.name, "data": name, "folds": folds_of(clips), **result.table()}
    if len(result.labels) == 1:
        only = f"{result.labels[0]} is the only label, so every answer is right: no accuracy; try --events"
        return Report(table, (f"{model.name} on {name}, {folds(table['folds'])}: {only}",))
    worst = sorted(result.per_class_recall.items(), key=lambda item: item[1])[:10]
    return Report(
        table,
        (
            f"{model.name} on {name}, {folds(table['folds'])}:",
            f"  clips    {100 * result.clip_accuracy:5.1f} % of {result.clips} right, by mean probability",
            f"           {100 * result.majority_accuracy:5.1f} % by the majority of their windows",
            f"  windows  {100 * result.window_accuracy:5.1f} % of {result.windows} right",
            f"  calibration error {result.ece:.3f}; {result.left_out} clips left out",
            "  least recognised: " + ", ".join(f"{label} {100 * r:.0f} %" for label, r in worst),
        ),
    )


def judge_mix(model: Model, folder: Path, options: argparse.Namespace) -> Report:
    """What ``esc-train mix`` wrote: several sounds at once, window by window."""
    from trainer.judging.mixes import report

    return Report(*report(model, folder, options.decision))


def judge_scenes(model: Model, folder: Path, options: argparse.Namespace) -> Report:
    """What ``esc-train scenes`` wrote: long streams with known events."""
    from trainer.judging.scenes import report

    return Report(*report(model, folder))


def judge_recordings(model: Model, folder: Path, options: argparse.Namespace) -> Report:
    """Real recordings: what is reported most, and what is reported wrongly."""
    from trainer.judging.recordings import report

    return Report(*report(model, folder, options.split, chosen_labels(model, options)))


def judge_pool(model: Model, folder: Path, options: argparse.Namespace) -> Report:
    """Sounds of other makers over real background."""
    from trainer.judging.pool import report

    if not options.background:
        raise DatasetError("the pool is laid over real background: give --background DIR")
    labels = chosen_labels(model, options)
    return Report(*report(model, folder, Path(options.background), options.split, labels))


JUDGES: dict[str, Callable[[Model, Path, argparse.Namespace], Report]] = {
    "mix": judge_mix,
    "pool": judge_pool,
    "recordings": judge_recordings,
    "scenes": judge_scenes,
}
