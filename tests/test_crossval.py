"""Cross-validation: every fold once the test and never learnt from, in any executor, never done twice."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from toys import (
    LABELS,
    SEGMENTS,
    one_line,
    recipe,
    sources,
    training_is_possible,
    write_background,
    write_esc50,
)

from streamer.model import load_model
from streamer.tables import to_table
from trainer.cli import main
from trainer.examples.load import Sources
from trainer.recipe import Recipe, RecipeError, read_recipe
from trainer.training.crossval import CrossValidation, FoldResult, crossval, readable, without_fold

PATIENCE_S = 900.0

pytestmark = [
    pytest.mark.filterwarnings(
        "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
    ),
    # Worker processes are forked; Python 3.12 and later warn about that when any library has threads.
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded, use of fork:DeprecationWarning"),
]


# Which folds are learnt from


@pytest.mark.parametrize("fold", [1, 2, 3, 5])
def test_the_test_fold_is_never_learnt_from(fold: int) -> None:
    made = without_fold(read_recipe("tiny"), fold, (1, 2, 3, 5))
    assert fold not in made.data.train_folds
    assert set(made.data.train_folds) == {1, 2, 3, 5} - {fold}


def test_an_inner_validation_fold_is_neither_test_nor_training() -> None:
    wanted = read_recipe("tiny", {"data.validation_folds": [3, 5]})
    inner = without_fold(wanted, 2, (1, 2, 3, 5)).data
    assert (inner.train_folds, inner.validation_folds) == ((1,), (3, 5))
    # Its turn has come: nothing is chosen by what is the test.
    tested = without_fold(wanted, 5, (1, 2, 3, 5)).data
    assert (tested.train_folds, tested.validation_folds) == ((1, 2), (3,))


def test_nothing_but_the_folds_changes() -> None:
    wanted = read_recipe("piczak")
    assert replace(without_fold(wanted, 2, (1, 2)), data=wanted.data) == wanted


@pytest.mark.parametrize(("folds", "validation"), [((4,), []), ((4, 5), [5])])
def test_something_must_be_left_to_learn_from(folds: tuple[int, ...], validation: list[int]) -> None:
    with pytest.raises(RecipeError, match="with fold 4 as the test nothing is left to learn from"):
        without_fold(read_recipe("tiny", {"data.validation_folds": validation}), 4, folds)


# Figures


def fold_result(fold: int, probability: float, skipped: int = 0) -> FoldResult:
    return FoldResult(
        fold=fold,
        clips=80,
        segment=0.5,
        majority=0.75,
        probability=probability,
        int8_window=0.4,
        int8_majority=0.7,
        int8_probability=probability - 0.01,
        float_probability=probability,
        int8_bytes=923_456,
        parameters=823_666,
        epochs=40,
        examples_per_epoch=1_600,
        train_s=90.0,
        skipped=skipped,
    )


FOUR = CrossValidation(
    "base", "esc10", tuple(fold_result(fold, p) for fold, p in ((1, 0.8), (2, 0.9), (3, 0.7), (5, 0.8)))
)


def test_mean_and_deviation_of_the_sample() -> None:
    assert FOUR.values("probability") == [0.8, 0.9, 0.7, 0.8]
    assert FOUR.mean("probability") == pytest.approx(0.8)
    # Squares of 0, 0.1, -0.1 and 0 over three degrees of freedom.
    assert FOUR.deviation("probability") == pytest.approx((0.02 / 3) ** 0.5)
    assert FOUR.deviation("segment") == 0.0


def test_a_single_fold_has_no_deviation() -> None:
    one = replace(FOUR, folds=FOUR.folds[:1])
    assert (one.mean("probability"), one.deviation("probability")) == (0.8, 0.0)


TABLE = """\
base on esc10, accuracy in %
               float, whole recordings               int8, streamed
    fold      segments    majority probability       windows    majority probability
       1          50.0        75.0        80.0          40.0        70.0        79.0
       2          50.0        75.0        90.0          40.0        70.0        89.0
       3          50.0        75.0        70.0          40.0        70.0        69.0
       5          50.0        75.0        80.0          40.0        70.0        79.0
    mean          50.0        75.0        80.0          40.0        70.0        79.0
      +-           0.0         0.0         8.2           0.0         0.0         8.2
budget: 40 epochs of 1,600 examples, 1.5 minutes a fold; 823,666 parameters, int8 file 923 kB"""


def test_the_table_has_every_fold_and_the_budget() -> None:
    lines = [line.rstrip() for line in readable(FOUR).splitlines()]
    assert lines == TABLE.splitlines()


def test_the_table_counts_what_could_not_be_read() -> None:
    some = replace(FOUR, folds=(fold_result(1, 0.8, skipped=2), fold_result(2, 0.8, skipped=1)))
    assert readable(some).splitlines()[-1] == "3 test clips could not be read and are left out"


# A whole cross-validation


@dataclass(frozen=True)
class Bench:
    """Toy sounds in three folds, and where the runs go."""

    folder: Path
    data: Path
    recipe: Recipe

    @property
    def sources(self) -> Sources:
        return sources(self.data)

    @property
    def out(self) -> Path:
        return self.folder / "runs"

    def arguments(self, *more: str, out: Path | None = None) -> list[str]:
        toy = self.folder / "toy.toml"
        data = [f"--data=esc50={self.data}", "--no-cache"]
        return ["crossval", str(toy), *data, "--folds=1,2,3", f"--out={out or self.out}", *more]


def quickly(text: str) -> str:
    """A recipe without an inner validation fold and with fewer epochs."""
    return text.replace("validation_folds = [3]\n", "").replace("epochs = 5", "epochs = 3")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    folder = tmp_path_factory.mktemp("crossval")
    data = write_esc50(folder / "data")
    return Bench(folder, data, recipe(folder, quickly(SEGMENTS)))


@dataclass(frozen=True)
class First:
    """What the command printed that tested on fold 3 only, in a process of its own."""

    result: dict[str, Any]
    err: str


@pytest.fixture(scope="module")
def first(bench: Bench) -> First:
    training_is_possible()
    done = subprocess.run(
        [sys.executable, "-m", "trainer.cli", *bench.arguments("--test=3", "--json")],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return First(json.loads(done.stdout), done.stderr)


@pytest.fixture(scope="module")
def second(bench: Bench, first: First) -> CrossValidation:
    """Folds 1 and 3 in a thread of this process; the result of fold 3 was damaged in between."""
    (bench.out / "fold-3" / "result.json").write_text('{"fold": 3')
    with ThreadPoolExecutor(1) as executor:
        return crossval(bench.recipe, (1, 2, 3), bench.sources, bench.out, executor, test=(1, 3))


def test_the_command_prints_only_json_on_standard_output(bench: Bench, first: First) -> None:
    assert {key: first.result[key] for key in ("recipe", "dataset")} == {
        "recipe": "toy-segments",
        "dataset": "esc50",
    }
    (fold,) = first.result["folds"]
    assert set(fold) == set(to_table(fold_result(3, 0.5)))
    assert (fold["fold"], fold["clips"], fold["skipped"]) == (3, 18, 1)
    assert (fold["epochs"], fold["examples_per_epoch"]) == (3, 240)
    assert "epoch 3/3: loss" in first.err
    assert f"skipped, unreadable: {bench.data}/audio/3-broken.wav" in first.err


def test_the_toy_network_has_learnt_the_sounds(first: First) -> None:
    (fold,) = first.result["folds"]
    for figure in ("segment", "majority", "probability", "int8_window", "int8_probability"):
        assert fold[figure] > 0.9, figure
    assert abs(fold["int8_probability"] - fold["float_probability"]) <= 0.06


def test_a_fold_leaves_its_network_and_both_exports(bench: Bench, second: CrossValidation) -> None:
    assert len(second.folds) == 2
    for fold, learnt_from in ((1, (2, 3)), (3, (1, 2))):
        folder = bench.out / f"fold-{fold}"
        notes = json.loads((folder / "training.json").read_text())
        assert notes["recipe"]["data"]["train_folds"] == list(learnt_from)
        assert notes["recipe"]["data"]["validation_folds"] == []
        for kind in ("int8", "float32"):
            manifest = load_model(folder / f"{kind}.tflite").manifest
            assert manifest.labels == LABELS
            assert manifest.provenance.train_folds == learnt_from
    assert not (bench.out / "fold-2").exists()


def test_a_damaged_result_is_scored_again_and_comes_to_the_same(
    bench: Bench, first: First, second: CrossValidation
) -> None:
    """In another process and another executor."""
    assert [fold.fold for fold in second.folds] == [1, 3]
    once, again = first.result["folds"][0], to_table(second.folds[1])
    # Names of tensors, which the file holds, count the layers that a process has made.
    assert once.pop("int8_bytes") == pytest.approx(again.pop("int8_bytes"), abs=500)
    assert again == once
    written = json.loads((bench.out / "crossval.json").read_text())
    assert written == to_table(second)


def test_what_is_finished_is_not_done_again(
    bench: Bench, second: CrossValidation, capfd: pytest.CaptureFixture[str]
) -> None:
    def state() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in sorted(bench.out.glob("fold-*/*"))}

    before = state()
    assert main(bench.arguments("--test=1,3")) == 0
    printed = capfd.readouterr()
    assert state() == before
    assert printed.out == readable(second) + "\n"
    # Nothing but that there is no background.
    assert all(line.startswith("WARNING: ") for line in printed.err.splitlines())


# What can go wrong


def test_the_networks_of_all_folds_calibrate_a_model(
    bench: Bench, second: CrossValidation, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model, out = bench.out / "fold-1" / "int8.tflite", tmp_path / "calm.tflite"
    arguments = [f"--data=esc50={bench.data}", f"--background={write_background(tmp_path / 'room')}"]
    arguments += [f"--crossval={bench.out}", "--mixes=10", "--smoothing=0.25", f"--out={out}"]
    assert main(["calibrate", str(model), *arguments]) == 0
    said = capfd.readouterr().out
    assert "clips of folds 1 and 3 that the network did not learn from" in said
    assert "every fold judged by the others" in said
    before, after = load_model(model).manifest, load_model(out).manifest
    assert after.smoothing_s == 0.25
    assert (after.inputs, after.provenance) == (before.inputs, before.provenance)
    assert {(rule.on, rule.off) for rule in before.classes} == {(0.5, 0.3)}
    assert all(rule.off < rule.on != 0.5 for rule in after.classes)
    figures = after.measured["calibration"]
    assert figures["clips"] == 36
    assert figures["right"] > 0.8
    # A network that was shown a fold is no judge of it.
    shutil.copytree(bench.out / "fold-1", tmp_path / "runs" / "fold-2")
    cheating = [argument.replace(str(bench.out), str(tmp_path / "runs")) for argument in arguments]
    assert main(["calibrate", str(model), *cheating]) == 1
    assert "learnt from fold 2 itself" in one_line(capfd.readouterr().err)


@pytest.fixture
def refusal(bench: Bench, capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run the command, which must fail with one line; give the line."""

    def refused(*more: str, out: Path | None = None) -> str:
        assert main(bench.arguments(*more, out=out)) == 1
        return one_line(capfd.readouterr().err)

    return refused


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("--folds=one", "--folds one: write numbers, as in 4,5"),
        ("--folds=1,1", "--folds 1,1: a number occurs twice"),
        ("--folds=2", "with fold 2 as the test nothing is left to learn from: give more --folds"),
        ("--folds=1,7", "there are no clips of fold 7 in"),
        ("--test=7", "there are no clips of fold 7 in"),
        ("--jobs=0", "--jobs 0: at least one fold runs at a time"),
    ],
)
def test_folds_that_make_no_sense(
    tmp_path: Path, refusal: Callable[..., str], more: str, message: str
) -> None:
    assert message in refusal(more, out=tmp_path / "out")


@pytest.mark.usefixtures("second")
def test_runs_of_another_recipe_are_not_mixed_in(refusal: Callable[..., str]) -> None:
    line = refusal("--test=3", "--set=schedule.epochs=9")
    assert "fold-3 holds a run of another recipe; choose another --out or remove it" in line


def test_ctrl_c_ends_all_folds_at_once(tmp_path: Path, bench: Bench) -> None:
    training_is_possible()
    arguments = bench.arguments("--set=schedule.epochs=100000", out=tmp_path)
    # What is started in the background of a shell would ignore the signal.
    code = (
        "import signal, sys; from trainer.cli import main;"
        "signal.signal(signal.SIGINT, signal.default_int_handler); sys.exit(main(sys.argv[1:]))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        deadline_s = time.monotonic() + PATIENCE_S
        while not (tmp_path / "fold-1" / "curve.csv").exists():
            assert process.poll() is None
            assert time.monotonic() < deadline_s
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
        process.wait(PATIENCE_S)
    assert process.returncode == 1
    assert out == ""
    assert "Traceback" not in err
    assert err.splitlines()[-1] == "esc-train: stopped; the same command goes on where it was"
    assert not (tmp_path / "fold-2").exists()
