"""Trainings: they learn, give the same twice, go on after any interruption, and say what is wrong."""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import training_run
from disks import fill, small_disk
from signals import same_bits
from toys import (
    CROPS,
    LABELS,
    PAIRS,
    QUICK,
    SEGMENTS,
    recipe,
    sources,
    training_is_possible,
    write_bench,
    write_esc50,
)

import trainer.training.checkpoint
import trainer.training.fit
from streamer.types import FloatArray
from trainer.datasets import DatasetError
from trainer.examples.inputs import Batch
from trainer.examples.load import Examples, Sources, load_examples, read_material
from trainer.networks import NetworkError
from trainer.recipe import Recipe, RecipeError, read_recipe
from trainer.training.fit import Prepared, fit, row_of, write_curve
from trainer.training.losses import known_crossentropy, top_is_there
from trainer.training.optimizers import LOWEST_RATE, rate_after
from trainer.training.progress import EpochResult, Progress
from trainer.training.protocol import Exam
from trainer.training.votes import ClipScores

pytestmark = [
    pytest.mark.filterwarnings(
        "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
    ),
    # Worker processes are forked; Python 3.12 and later warn about that when any library has threads.
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded, use of fork:DeprecationWarning"),
]


@pytest.fixture(scope="module", autouse=True)
def _keras() -> None:
    training_is_possible()


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Sources:
    """Three folds of clips and background."""
    return write_bench(tmp_path_factory.mktemp("bench"))


@dataclass(frozen=True)
class Run:
    """A finished training."""

    recipe: Recipe
    folder: Path
    bench: Sources
    out: str
    """What it printed."""

    @property
    def weights(self) -> list[FloatArray]:
        return weights_in(self.folder)

    def score(self) -> ClipScores:
        """On the validation fold, of which nothing was learnt."""
        import keras

        material = read_material(self.recipe, self.bench)
        exam = Exam(
            material.validation,
            load_examples(self.recipe, material, self.bench),
            self.recipe,
            self.bench.cache,
        )
        return exam.score(keras.models.load_model(self.folder / "network.keras", compile=False))


def weights_in(folder: Path) -> list[FloatArray]:
    import keras

    network = keras.models.load_model(folder / "network.keras", compile=False)
    weights: list[FloatArray] = network.get_weights()
    return weights


def curve_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "curve.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def epochs_of(folder: Path) -> list[int]:
    return [int(row["epoch"]) for row in curve_of(folder)]


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def before_epoch(monkeypatch: pytest.MonkeyPatch, wanted: int, act: Callable[[], object]) -> None:
    """Do something when so many epochs are over."""
    train = trainer.training.fit.train_epoch

    def watched(network: Any, examples: Examples, epoch: int, progress: Progress, *rest: Any) -> EpochResult:
        if epoch == wanted:
            act()
        return train(network, examples, epoch, progress, *rest)

    monkeypatch.setattr(trainer.training.fit, "train_epoch", watched)


def stop() -> None:
    raise KeyboardInterrupt


# Learning


def trained(wanted: Recipe, bench: Sources, folder: Path) -> Run:
    out = io.StringIO()
    with redirect_stdout(out):
        fit(wanted, bench, folder)
    return Run(wanted, folder, bench, out.getvalue())


@pytest.fixture(scope="module")
def crops(bench: Sources, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A training on random crops, in one go."""
    folder = tmp_path_factory.mktemp("crops")
    return trained(recipe(folder, CROPS, QUICK), bench, folder / "run")


@pytest.fixture(scope="module")
def segments(bench: Sources, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A training on segments, in one go."""
    folder = tmp_path_factory.mktemp("segments")
    return trained(recipe(folder, SEGMENTS), bench, folder / "run")


@pytest.mark.parametrize("kind", ["crops", "segments"])
def test_a_small_network_learns_the_sounds(kind: str, request: pytest.FixtureRequest) -> None:
    run: Run = request.getfixturevalue(kind)
    scores = run.score()
    assert scores.clips == 18
    assert scores.segment_accuracy > 0.95
    assert scores.majority > 0.95
    assert scores.probability > 0.95
    # The learning curve has the same figure: the last epoch's weights are the result.
    last = curve_of(run.folder)[-1]
    assert float(last["validation_accuracy"]) == pytest.approx(scores.segment_accuracy, abs=1e-3)


def test_a_finished_run_leaves_what_the_export_needs(segments: Run) -> None:
    assert names_in(segments.folder) == {"network.keras", "training.json", "curve.csv"}
    notes = json.loads((segments.folder / "training.json").read_text())
    assert notes["labels"] == list(LABELS)
    assert (notes["clips"], notes["skipped"]) == (36, 1)
    assert len(notes["mean"]) == len(notes["std"]) == segments.recipe.front_end.frame_columns


def test_the_curve_holds_means_over_the_epoch_and_both_rates(segments: Run) -> None:
    rows = curve_of(segments.folder)
    assert [int(row["epoch"]) for row in rows] == [1, 2, 3, 4, 5]
    losses = [float(row["loss"]) for row in rows]
    assert losses[-1] < losses[0] / 2
    # 240 examples in batches of 16: the first epoch's accuracy is no multiple of a batch's steps only.
    accuracies = [float(row["accuracy"]) for row in rows]
    assert all(value * 240 == pytest.approx(round(value * 240), abs=0.02) for value in accuracies)
    assert any(value * 16 != pytest.approx(round(value * 16), abs=0.02) for value in accuracies)
    assert accuracies[-1] > 0.9
    for row in rows:
        assert float(row["data_rate"]) > 0
        assert float(row["network_rate"]) > 0
        assert float(row["seconds"]) >= 0


def test_a_finished_run_is_left_alone(segments: Run, capsys: pytest.CaptureFixture[str]) -> None:
    before = (segments.folder / "network.keras").stat().st_mtime_ns
    fit(segments.recipe, segments.bench, segments.folder)
    assert "holds the finished training" in capsys.readouterr().out
    assert (segments.folder / "network.keras").stat().st_mtime_ns == before


def test_sixteen_bit_products_keep_weights_in_32_bits(tmp_path: Path, bench: Sources) -> None:
    import keras

    changes = {"schedule.precision": "mixed_bfloat16", "schedule.epochs": 2}
    fit(recipe(tmp_path, SEGMENTS, changes), bench, tmp_path / "run")
    assert {weights.dtype for weights in weights_in(tmp_path / "run")} == {np.dtype(np.float32)}
    assert float(curve_of(tmp_path / "run")[-1]["accuracy"]) > 0.8
    assert keras.config.dtype_policy().name == "float32"


def test_single_sounds_first_and_pairs_then(tmp_path: Path, bench: Sources) -> None:
    fit(recipe(tmp_path, SEGMENTS, PAIRS), bench, tmp_path / "run")
    losses = [float(row["loss"]) for row in curve_of(tmp_path / "run")]
    assert losses[1] < losses[0]
    assert losses[2] > losses[1]  # pairs are new to it
    assert losses[-1] < losses[2]


# Other backends are large and one's own choice; continuous integration installs jax.
OTHER_BACKENDS = [name for name in ("jax", "torch") if find_spec(name)]

if OTHER_BACKENDS:

    @pytest.mark.parametrize("backend", OTHER_BACKENDS)
    def test_other_backends_train_the_same_recipe(tmp_path: Path, segments: Run, backend: str) -> None:
        """In a process of its own; what it leaves is scored here by TensorFlow."""
        environment = {"KERAS_BACKEND": backend, "OMP_NUM_THREADS": "1"}
        with training_run.started(tmp_path, segments.recipe, segments.bench, environment) as process:
            assert process.wait(training_run.PATIENCE_S) == 0, (tmp_path / "output.txt").read_text()
        folder = tmp_path / "run"
        assert names_in(folder) == {"network.keras", "training.json", "curve.csv"}
        assert epochs_of(folder) == [1, 2, 3, 4, 5]
        assert replace(segments, folder=folder).score().segment_accuracy > 0.95


def test_real_recordings_are_learnt_from(tmp_path: Path, esc_data: Path) -> None:
    """A few steps on two folds of ESC-10; chance would be right in one case of ten."""
    changes = {
        "data.dataset": "esc10",
        "data.train_folds": [1],
        "data.validation_folds": [2],
        "augmentation.speeds": [1.0],
        "augmentation.mix_probability": 0.0,
        "augmentation.gain_db": [-6.0, 6.0],
        "augmentation.masks": 0,
        "network": "piczak",
        "options": {"filters": 24, "dense": 64, "dropout": 0.2},
        "schedule.epochs": 8,
        "schedule.examples_per_epoch": 192,
        "schedule.batch": 32,
        "schedule.warmup_epochs": 1.0,
    }
    recordings = Sources({"esc10": esc_data / "esc50"})
    fit(read_recipe("tiny", changes), recordings, tmp_path)
    notes = json.loads((tmp_path / "training.json").read_text())
    assert (len(notes["labels"]), notes["clips"], notes["skipped"]) == (10, 80, 0)
    heard = [float(row["validation_accuracy"]) for row in curve_of(tmp_path)]
    assert max(heard) > 0.2


# Losses


def test_binary_cross_entropy_counts_only_what_is_known() -> None:
    probabilities = np.array([[0.8, 0.1, 0.3], [0.5, 0.5, 0.5]], np.float32)
    targets = np.array([[1.0, 0.0, -1.0], [-1.0, -1.0, -1.0]], np.float32)
    wanted = [-np.log(0.8) - np.log(0.9), 0.0]
    assert np.asarray(known_crossentropy(targets, probabilities)) == pytest.approx(wanted, abs=1e-5)


def test_a_certain_mistake_costs_a_finite_loss() -> None:
    loss = np.asarray(
        known_crossentropy(np.array([[1.0, 0.0]], np.float32), np.array([[0.0, 1.0]], np.float32))
    )
    assert np.isfinite(loss).all()


def test_the_most_probable_sound_is_there_or_not() -> None:
    probabilities = np.array([[0.2, 0.7, 0.1]] * 4, np.float32)
    targets = np.array([[0, 1, 0], [1, 1, 0], [1, 0, 1], [0, -1, 0]], np.float32)
    assert np.asarray(top_is_there(targets, probabilities)).tolist() == [1.0, 1.0, 0.0, 0.0]


# The same again


def test_the_same_seed_gives_the_same_weights(tmp_path: Path, segments: Run) -> None:
    fit(segments.recipe, segments.bench, tmp_path)
    assert same_bits(weights_in(tmp_path), segments.weights)


def test_another_seed_gives_other_weights(tmp_path: Path, segments: Run) -> None:
    fit(recipe(tmp_path, SEGMENTS, {"schedule.seed": 4}), segments.bench, tmp_path / "run")
    assert not same_bits(weights_in(tmp_path / "run"), segments.weights)


# Interruptions


def test_a_stopped_training_ends_with_the_weights_of_one_in_one_go(
    tmp_path: Path, segments: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(trainer.training.checkpoint, "EVERY_S", 0.0)
        before_epoch(patch, 2, lambda: patch.setattr(trainer.training.checkpoint, "EVERY_S", 1e9))
        before_epoch(patch, 4, stop)
        with pytest.raises(KeyboardInterrupt):
            fit(segments.recipe, segments.bench, tmp_path)
    assert names_in(tmp_path) == {"checkpoint-00002.keras", "training.json", "curve.csv"}
    assert epochs_of(tmp_path) == [1, 2, 3, 4]
    capsys.readouterr()
    fit(segments.recipe, segments.bench, tmp_path)
    out = capsys.readouterr().out
    assert "continued after epoch 2\n" in out
    assert [line.split(":")[0] for line in out.splitlines() if line.startswith("epoch ")] == [
        "epoch 3/5",
        "epoch 4/5",
        "epoch 5/5",
    ]
    assert epochs_of(tmp_path) == [1, 2, 3, 4, 5]
    # To the last bit: batches, momentum and dropout go on where they were.
    assert same_bits(weights_in(tmp_path), segments.weights)


def test_a_training_that_was_killed_goes_on(tmp_path: Path, crops: Run) -> None:
    """Killed in a process of its own, continued in this one: the end is that of a run in one go."""
    folder = tmp_path / "run"
    with training_run.started(tmp_path, crops.recipe, crops.bench) as process:
        training_run.wait_for_checkpoint(folder)
        process.kill()
        process.wait(training_run.PATIENCE_S)
    assert "network.keras" not in names_in(folder)
    had = int(sorted(folder.glob("checkpoint-*.keras"))[-1].stem[-5:])
    assert 0 < had < crops.recipe.schedule.epochs
    (folder / "new-checkpoint-00099.keras").write_bytes(b"half a checkp")
    fit(crops.recipe, crops.bench, folder)
    assert names_in(folder) == {"network.keras", "training.json", "curve.csv"}
    assert epochs_of(folder) == list(range(1, crops.recipe.schedule.epochs + 1))
    assert same_bits(weights_in(folder), crops.weights)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of 1 MB."""
    with small_disk(tmp_path) as folder:
        subprocess.run(["mount", "-o", "remount,size=1m", str(folder)], check=True)
        yield folder


def test_a_full_disk_stops_no_training_and_costs_no_checkpoint(
    disk: Path, segments: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = disk / "run"
    with monkeypatch.context() as patch:
        patch.setattr(trainer.training.checkpoint, "EVERY_S", 0.0)
        before_epoch(patch, 2, lambda: fill(disk))
        with pytest.raises(OSError, match=r"network\.keras cannot be written .*make room and start again"):
            fit(segments.recipe, segments.bench, folder)
    out = capsys.readouterr().out
    assert "epoch 5/5" in out
    for epoch in (3, 4, 5):
        assert (
            f"no checkpoint after epoch {epoch}: No space left on device; the one after epoch 2 is kept\n"
        ) in out
    assert "the learning curve is not written: No space left on device\n" in out
    assert names_in(folder) == {"checkpoint-00002.keras", "training.json", "curve.csv"}
    (disk / "filler").unlink()
    fit(segments.recipe, segments.bench, folder)
    assert "continued after epoch 2\n" in capsys.readouterr().out
    assert names_in(folder) == {"network.keras", "training.json", "curve.csv"}
    assert epochs_of(folder) == [1, 2, 3, 4, 5]
    assert same_bits(weights_in(folder), segments.weights)


def test_the_curve_survives_a_full_disk_and_is_complete_when_there_is_room_again(disk: Path) -> None:
    rows = [row_of(EpochResult(epoch, 0.5, 0.9, None, 1e-3, 1.0, 100.0, 10.0)) for epoch in (1, 2, 3)]
    assert write_curve(disk / "curve.csv", rows[:1]) == ""
    filler = fill(disk)
    assert write_curve(disk / "curve.csv", rows[:2]).endswith("No space left on device")
    assert epochs_of(disk) == [1]
    filler.unlink()
    assert write_curve(disk / "curve.csv", rows) == ""
    assert epochs_of(disk) == [1, 2, 3]
    assert names_in(disk) == {"curve.csv"}


# Learning rates


def test_a_plateau_halves_the_rate_on_the_validation_fold(tmp_path: Path, bench: Sources) -> None:
    # Steps so small that nothing is learnt: the validation fold is never heard better.
    changes = {"schedule.rate": "plateau", "schedule.learning_rate": 4e-6, "schedule.epochs": 7}
    fit(recipe(tmp_path, SEGMENTS, changes), bench, tmp_path / "run")
    rows = curve_of(tmp_path / "run")
    assert len({row["validation_accuracy"] for row in rows}) == 1
    assert [float(row["rate"]) for row in rows] == [4e-6] * 6 + [2e-6]


@pytest.mark.parametrize(
    ("scores", "rate"),
    [
        ([], 0.1),
        ([0.5], 0.1),
        ([0.5, 0.5, 0.5, 0.5, 0.5], 0.1),
        ([0.5, 0.4, 0.5, 0.5, 0.5, 0.5], 0.05),
        ([0.5, 0.4, 0.5, 0.5, 0.5, 0.5, 0.5], 0.1),
        ([0.5, 0.4, 0.5, 0.5, 0.6, 0.5], 0.1),
        ([0.1, 0.6, 0.5, 0.5, 0.5, 0.5, 0.5], 0.05),
    ],
)
def test_the_rate_is_halved_five_epochs_after_the_best(scores: list[float], rate: float) -> None:
    assert rate_after(0.1, scores) == rate


def test_the_rate_has_a_lower_end() -> None:
    assert rate_after(1.5 * LOWEST_RATE, [0.5] * 6) == LOWEST_RATE


# What can go wrong


@pytest.mark.parametrize("kind", ["crops", "segments"])
def test_unreadable_files_are_named_and_counted(kind: str, request: pytest.FixtureRequest) -> None:
    run: Run = request.getfixturevalue(kind)
    for name in ("1-broken.wav", "3-broken.wav"):
        assert f"skipped, unreadable: {run.bench.datasets['esc50']}/audio/{name}\n" in run.out
    assert "36 clips, 3 labels; 2 skipped, 0 left out because their recording is held out\n" in run.out


@pytest.mark.parametrize("text", [CROPS, SEGMENTS], ids=["crops", "segments"])
def test_a_class_of_which_nothing_can_be_read(tmp_path: Path, text: str) -> None:
    data = write_esc50(tmp_path / "data", folds=(1, 2, 3), clips_per_fold=2)
    for path in (data / "audio").glob("[12]-*-hiss.wav"):
        path.write_text("this is no sound")
    with pytest.raises(DatasetError, match=r"^no clip of 'hiss' to learn from can be read$"):
        fit(recipe(tmp_path, text), sources(data), tmp_path / "run")


def test_a_class_that_is_only_in_the_held_out_folds(tmp_path: Path, bench: Sources) -> None:
    wanted = recipe(tmp_path, SEGMENTS, {"data.train_folds": [4]})
    with pytest.raises(RecipeError, match="folds 4 of esc50 hold no clip of 'beep'"):
        fit(wanted, bench, tmp_path / "run")


def test_a_folder_with_a_run_of_another_recipe(tmp_path: Path, segments: Run) -> None:
    before = (segments.folder / "network.keras").read_bytes()
    other = recipe(tmp_path, SEGMENTS, {"schedule.epochs": 9})
    with pytest.raises(RecipeError, match="holds a run of another recipe; choose another --out or"):
        fit(other, segments.bench, segments.folder)
    assert (segments.folder / "network.keras").read_bytes() == before


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'{"recipe": {',
        b"[]",
        b"{}",
        b'{"recipe": 3}',
        b'{"recipe": {"depth": 3}}',
        b"\xff\xfe\x00",
    ],
)
def test_a_run_whose_notes_are_damaged(tmp_path: Path, bench: Sources, content: bytes) -> None:
    (tmp_path / "training.json").write_bytes(content)
    with pytest.raises(RecipeError, match=r"training\.json is damaged \(.*; choose another --out or"):
        fit(recipe(tmp_path, SEGMENTS), bench, tmp_path)


@pytest.mark.parametrize("content", [b"", b"half a checkp", b"PK\x05\x06" + bytes(18)])
def test_a_damaged_checkpoint(tmp_path: Path, segments: Run, content: bytes) -> None:
    shutil.copy(segments.folder / "training.json", tmp_path)
    (tmp_path / "checkpoint-00003.keras").write_bytes(content)
    with pytest.raises(OSError, match=r"checkpoint-00003\.keras is damaged; remove it to begin anew$"):
        fit(segments.recipe, segments.bench, tmp_path)


def test_a_network_that_cannot_be_built(tmp_path: Path, bench: Sources) -> None:
    wanted = recipe(tmp_path, SEGMENTS, {"options.filters": -1})
    with pytest.raises(NetworkError, match="piczak cannot be built"):
        fit(wanted, bench, tmp_path / "run")


def test_what_fails_while_batches_are_made_is_raised_in_the_training() -> None:
    def batches() -> Iterator[Batch]:
        yield (np.zeros((1, 2), np.float32),), np.zeros((1, 3), np.float32)
        raise OSError("the disk is gone")

    prepared = iter(Prepared(batches()))
    next(prepared)
    with pytest.raises(OSError, match="the disk is gone"):
        next(prepared)


def test_what_is_not_there_is_said_before_anything_is_loaded(tmp_path: Path) -> None:
    """In a process of its own, in which TensorFlow is never needed."""
    code = (
        "import sys; from trainer.cli import main; status = main(sys.argv[1:]);"
        "print(status, 'tensorflow' in sys.modules or 'keras' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "fit", "tiny", f"--data=esc50={tmp_path}", f"--out={tmp_path / 'run'}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "1 False\n"
    assert "is not ESC-50: expected meta/esc50.csv and audio/ inside it" in done.stderr
