"""A real training on synthetic sounds: fit, stop, resume, export, evaluate; and what can go wrong."""

from __future__ import annotations

import csv
import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import training_run
from conftest import skip_or_fail
from signals import chirp, noise, same_bits, tone

from streamer.listen import listen
from streamer.model import load_model
from streamer.settings import EventSettings
from streamer.types import FloatArray
from trainer.cli import main
from trainer.datasets import DatasetError
from trainer.examples import TrainingData, epoch_batches, load_training_data
from trainer.recipe import Recipe, RecipeError, read_recipe

RATE_HZ = 8_000
CLIPS_PER_FOLD = 6
LABELS = ("beep", "hiss", "sweep")
EPOCHS = 8
STOPPED_AFTER = 6

RECIPE = f"""\
name = "toy"
description = "beeps, hisses and sweeps"
network = "residual"
options = {{ size = "tiny", dropout = 0.0 }}
window_frames = 48

[data]
dataset = "esc50"
train_folds = [1, 2]
validation_folds = [3]
licence = "synthetic"

[front_end]
sample_rate_hz = {RATE_HZ}
fft_samples = 256
hop_samples = 160
mel_bands = 24
fmax_hz = 4000.0

[augmentation]
speeds = [1.0]
mix_probability = 0.3
gain_db = [-6.0, 6.0]
equaliser_db = 2.0
negative_share = 0.25
noise_probability = 0.0
masks = 0

[schedule]
epochs = {EPOCHS}
examples_per_epoch = 256
batch = 32
learning_rate = 4e-3
warmup_epochs = 1.0
seed = 3
"""

# Worker processes are forked; Python 3.12 and later warn about that when any library has threads.
pytestmark = pytest.mark.filterwarnings(
    "ignore:This process .* is multi-threaded, use of fork:DeprecationWarning"
)


def hum(seconds: float) -> FloatArray:
    """What a quiet room sounds like."""
    return tone(100.0, seconds, RATE_HZ, 2e-3)


def sound(label: str, seed: int) -> FloatArray:
    """Two seconds of a class, never twice the same, with a moment of quiet before it."""
    random = np.random.default_rng(seed)
    low_hz, seconds = float(random.uniform(300, 900)), 1.7
    body = {
        "beep": lambda: tone(low_hz, seconds, RATE_HZ, 0.4),
        "hiss": lambda: noise(seconds, RATE_HZ, 0.1, seed),
        "sweep": lambda: chirp(low_hz, 4 * low_hz, seconds, RATE_HZ, 0.4),
    }[label]()
    samples = hum(2.0)
    samples[-len(body) :] += body
    return samples


def write_dataset(folder: Path) -> None:
    """ESC-50's layout: three folds, and in the first and the last a clip that cannot be read."""
    (folder / "meta").mkdir(parents=True)
    (folder / "audio").mkdir()
    rows: list[tuple[str, int, str]] = []
    for fold in (1, 2, 3):
        for at in range(CLIPS_PER_FOLD):
            for label in LABELS:
                name = f"{fold}-{at}-{label}.wav"
                samples = sound(label, seed=10_000 * fold + 10 * at + LABELS.index(label) * 1_000)
                soundfile.write(folder / "audio" / name, samples, RATE_HZ)
                rows.append((name, fold, label))
    for fold in (1, 3):
        (folder / "audio" / f"{fold}-broken.wav").write_text("this is no sound")
        rows.append((f"{fold}-broken.wav", fold, "beep"))
    with (folder / "meta" / "esc50.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["filename", "fold", "target", "category", "esc10", "src_file", "take"])
        for name, fold, label in rows:
            writer.writerow([name, fold, LABELS.index(label), label, "False", name, "A"])


def write_background(folder: Path) -> None:
    """Two quiet recordings without any of the sounds, one of them for tests only."""
    folder.mkdir()
    for name in ("room.wav", "kept-for-tests.wav"):
        soundfile.write(folder / name, hum(12.0), RATE_HZ)
    (folder / "expected.csv").write_text(
        "file,expected,also,split\nroom.wav,none,,train\nkept-for-tests.wav,none,,test\n"
    )


@dataclass(frozen=True)
class Bench:
    """What is trained on."""

    data: Path
    background: Path
    recipe: Path

    @property
    def fit(self) -> list[str]:
        """Arguments of a training, all but the folder that it leaves its results in."""
        return ["fit", str(self.recipe), f"--data=esc50={self.data}", f"--background={self.background}"]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    folder = tmp_path_factory.mktemp("bench")
    write_dataset(folder / "data")
    write_background(folder / "background")
    (folder / "toy.toml").write_text(RECIPE)
    return Bench(folder / "data", folder / "background", folder / "toy.toml")


def esc_train(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "trainer.cli", *arguments], capture_output=True, text=True, check=False
    )


def succeeded(done: subprocess.CompletedProcess[str]) -> str:
    """Standard output of a command that must not have failed."""
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def refusal(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command that must fail with one line on standard error; give the line."""

    def refused(*arguments: str) -> str:
        assert main(list(arguments)) == 1
        return one_line(capsys.readouterr().err)

    return refused


def one_line(text: str) -> str:
    (line,) = text.splitlines()
    assert line.startswith("esc-train: ")
    return line


# A whole training


@dataclass(frozen=True)
class Trained:
    """A training that was stopped on its way, started again and exported."""

    run: Path
    first_output: str
    second_output: str
    export_output: str
    model: Path


@pytest.fixture(scope="module")
def trained(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    if not (importlib.util.find_spec("tensorflow") and importlib.util.find_spec("keras")):
        skip_or_fail("training needs TensorFlow: pip install 'esc-listen[train]'")
    folder = tmp_path_factory.mktemp("trained")
    run, model = folder / "run", folder / "toy.tflite"
    done = subprocess.run(
        [
            sys.executable,
            str(Path(training_run.__file__)),
            str(STOPPED_AFTER),
            *map(str, (bench.recipe, bench.data, bench.background, run, model)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    output = succeeded(done)
    first, rest = output.split(f"{training_run.STOPPED}\n")
    second, exported = rest.split(f"{training_run.RESUMED}\n")
    return Trained(run, first, second, exported, model)


def test_unreadable_clips_are_skipped_and_counted(bench: Bench, trained: Trained) -> None:
    readable = 2 * CLIPS_PER_FOLD * len(LABELS)
    assert f"skipped, unreadable: {bench.data}/audio/1-broken.wav" in trained.first_output
    assert f"{readable} clips, 3 labels; 1 skipped" in trained.first_output
    notes = json.loads((trained.run / "training.json").read_text())
    assert (notes["clips"], notes["skipped"]) == (readable, 1)


def test_a_stopped_training_goes_on_after_its_last_saved_epoch(trained: Trained) -> None:
    assert "continued after epoch 5\n" in trained.second_output
    epochs = [line.split(":")[0] for line in trained.second_output.splitlines() if line.startswith("epoch ")]
    assert epochs == [f"epoch {epoch}/{EPOCHS}" for epoch in range(6, EPOCHS + 1)]
    assert json.loads((trained.run / "progress.json").read_text()) == {"epochs": EPOCHS}
    assert (trained.run / "network.keras").is_file()


def test_every_epoch_stands_once_in_the_learning_curve(trained: Trained) -> None:
    with (trained.run / "curve.csv").open(newline="", encoding="utf-8") as file:
        epochs = [int(row["epoch"]) for row in csv.DictReader(file)]
    assert epochs == list(range(1, EPOCHS + 1))


def evaluated(bench: Bench, trained: Trained, *more: str) -> dict[str, Any]:
    done = esc_train("evaluate", str(trained.model), f"--data=esc50={bench.data}", "--json", *more)
    result: dict[str, Any] = json.loads(succeeded(done))
    return result


def test_the_exported_model_has_learnt_the_sounds(bench: Bench, trained: Trained) -> None:
    result = evaluated(bench, trained, "--folds=3")
    assert result["clip_accuracy"] > 0.95
    assert result["window_accuracy"] > 0.9
    assert result["model"] == "toy"
    assert result["data"] == "esc50"
    assert result["folds"] == [3]
    assert result["labels"] == list(LABELS)
    assert result["clips"] == CLIPS_PER_FOLD * len(LABELS)
    assert result["left_out"] == 1
    # Two seconds hold windows of one second at 0, 0.5 and 1 s.
    assert result["windows"] == 3 * result["clips"]
    assert set(result["per_class_recall"]) == set(LABELS)
    assert 0.0 <= result["ece"] <= 1.0


def test_evaluation_can_be_restricted_to_labels(bench: Bench, trained: Trained) -> None:
    result = evaluated(bench, trained, "--folds=1,3", "--labels=beep,hiss")
    assert result["labels"] == ["beep", "hiss"]
    assert result["folds"] == [1, 3]
    assert result["clips"] == 2 * 2 * CLIPS_PER_FOLD


def test_the_export_computes_in_whole_numbers_only(trained: Trained) -> None:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=trained.model.read_bytes(), num_threads=1)
    interpreter.allocate_tensors()
    kinds = {tensor["name"]: tensor["dtype"] for tensor in interpreter.get_tensor_details()}
    assert kinds
    assert [name for name, kind in kinds.items() if not np.issubdtype(kind, np.integer)] == []
    assert interpreter.get_input_details()[0]["dtype"] is np.int8
    assert interpreter.get_output_details()[0]["dtype"] is np.int8


def test_the_manifest_says_everything(bench: Bench, trained: Trained) -> None:
    recipe = read_recipe(str(bench.recipe))
    manifest = load_model(trained.model).manifest
    assert manifest.name == "toy"
    assert manifest.description == "beeps, hisses and sweeps"
    assert manifest.labels == LABELS
    assert manifest.front_end == recipe.front_end
    assert manifest.window_frames == 48
    (item,) = manifest.inputs
    assert len(item.mean) == len(item.std) == 24
    assert all(0.0 < rule.off < rule.on < 1.0 for rule in manifest.classes)
    assert 0.0 <= manifest.visible_onset_s < 1.0
    assert 0.0 <= manifest.visible_offset_s < 1.0
    provenance = manifest.provenance
    assert (provenance.recipe, provenance.dataset) == ("toy", "esc50")
    assert (provenance.licence, provenance.seed) == ("synthetic", 3)
    assert (provenance.train_folds, provenance.validation_folds) == ((1, 2), (3,))
    assert provenance.epochs == EPOCHS
    assert provenance.parameters > 1_000
    (figures,) = manifest.measured.values()
    assert figures["clips"] == CLIPS_PER_FOLD * len(LABELS)
    (title,) = manifest.measured
    assert "fold 3" in title
    assert "validation" in title
    assert json.loads(trained.export_output.splitlines()[0]) == manifest.measured


def test_the_measured_figures_are_those_of_the_evaluation(bench: Bench, trained: Trained) -> None:
    result = evaluated(bench, trained, "--folds=3")
    (figures,) = load_model(trained.model).manifest.measured.values()
    assert figures["clip_accuracy"] == pytest.approx(result["clip_accuracy"], abs=1e-4)
    assert figures["window_accuracy"] == pytest.approx(result["window_accuracy"], abs=1e-4)


@pytest.mark.parametrize("label", LABELS)
def test_the_listener_hears_with_the_exported_model(tmp_path: Path, trained: Trained, label: str) -> None:
    lead_s = 3.0
    samples = np.concatenate([hum(lead_s), sound(label, seed=99), hum(3.0)])
    soundfile.write(tmp_path / "scene.wav", samples, RATE_HZ)
    events = list(listen(tmp_path / "scene.wav", trained.model, EventSettings(threshold=0.6)))
    assert [event.label for event in events] == [label]
    assert events[0].start_s == pytest.approx(lead_s + 0.3, abs=0.5)
    assert events[0].end_s == pytest.approx(lead_s + 2.0, abs=0.7)


# Training data


def batches(data: TrainingData, recipe: Recipe, epoch: int) -> list[FloatArray]:
    return [array for batch in epoch_batches(data, recipe, epoch) for array in batch]


def test_the_same_seed_gives_the_same_batches(bench: Bench) -> None:
    recipe = read_recipe(str(bench.recipe))
    once, again = (load_training_data(recipe, bench.data, bench.background) for _ in range(2))
    first = batches(once, recipe, epoch=0)
    assert same_bits(first, batches(again, recipe, epoch=0))
    assert not same_bits(first, batches(once, recipe, epoch=1))
    # After a resume an epoch is drawn without the ones before it.
    assert same_bits(batches(again, recipe, epoch=4), batches(once, recipe, epoch=4))


def test_batches_have_the_shape_and_the_targets_of_the_recipe(bench: Bench) -> None:
    recipe = read_recipe(str(bench.recipe))
    data = load_training_data(recipe, bench.data, bench.background)
    drawn = list(epoch_batches(data, recipe, 0))
    assert len(drawn) == 8
    for inputs, targets in drawn:
        assert inputs.shape == (32, 48, 24, 1)
        assert targets.shape == (32, 3)
        assert inputs.dtype == targets.dtype == np.float32
        assert np.isfinite(inputs).all()
        assert set(np.unique(targets)) <= {0.0, 1.0}
    of_each_class = np.concatenate([targets for _, targets in drawn]).sum(axis=0)
    assert (of_each_class > 20).all()


def test_only_training_folds_are_learnt_from(bench: Bench) -> None:
    recipe = read_recipe(str(bench.recipe))
    data = load_training_data(recipe, bench.data, bench.background)
    assert {clip.fold for clip in data.clips} == {1, 2}
    assert [path.name for path in data.unreadable] == ["1-broken.wav"]


# What can go wrong

Refusal = Callable[..., str]


def test_a_folder_with_another_layout(bench: Bench, tmp_path: Path) -> None:
    # In a process of its own: whether TensorFlow chatters before the line counts as well.
    done = esc_train("fit", str(bench.recipe), f"--data=esc50={tmp_path}", f"--out={tmp_path / 'run'}")
    assert done.returncode == 1
    assert "is not ESC-50: expected meta/esc50.csv and audio/" in one_line(done.stderr)


@pytest.mark.parametrize(
    "table",
    ["", "file,class\na.wav,dog\n", "filename,fold,category,src_file\na.wav,x,dog,1\n"],
    ids=["empty", "other columns", "a fold that is no number"],
)
def test_a_list_of_clips_that_is_none(tmp_path: Path, refusal: Refusal, table: str) -> None:
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta" / "esc50.csv").write_text(table)
    assert str(tmp_path) in refusal("evaluate", "esc50", f"--data=esc50={tmp_path}")


def test_an_unknown_dataset(bench: Bench, refusal: Refusal) -> None:
    line = refusal("evaluate", "esc50", f"--data=birds={bench.data}")
    assert "unknown dataset 'birds'; known are esc50" in line


def test_data_without_a_name(bench: Bench, refusal: Refusal) -> None:
    assert "write it as NAME=DIR" in refusal("evaluate", "esc50", f"--data={bench.data}")


def test_folds_that_are_no_numbers(bench: Bench, refusal: Refusal) -> None:
    line = refusal("evaluate", "esc50", f"--data=esc50={bench.data}", "--folds=one")
    assert "folds" in line


def test_an_unknown_label(bench: Bench, refusal: Refusal) -> None:
    line = refusal("evaluate", "esc50", f"--data=esc50={bench.data}", "--labels=beep")
    assert "the model esc50 does not know 'beep'" in line


def test_an_unknown_recipe(bench: Bench, tmp_path: Path, refusal: Refusal) -> None:
    line = refusal("fit", "nope", f"--data=esc50={bench.data}", f"--out={tmp_path}")
    assert "no recipe 'nope'; known are esc50" in line


def test_a_recipe_with_an_unknown_key(bench: Bench, tmp_path: Path, refusal: Refusal) -> None:
    path = tmp_path / "toy.toml"
    path.write_text(RECIPE.replace("seed = 3", "sead = 3"))
    line = refusal("fit", str(path), f"--data=esc50={bench.data}", f"--out={tmp_path / 'run'}")
    assert f"{path}: schedule.sead: unknown key" in line


def test_an_export_of_what_was_never_trained(bench: Bench, tmp_path: Path, refusal: Refusal) -> None:
    line = refusal(
        "export",
        str(tmp_path),
        f"--data=esc50={bench.data}",
        f"--background={bench.background}",
        f"--out={tmp_path / 'm.tflite'}",
    )
    assert "holds no finished training; run esc-train fit first" in line


def test_a_folder_without_background(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"holds no background: expected expected\.csv inside it$"):
        load_training_data(read_recipe(str(bench.recipe)), bench.data, tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("window_frames = 48", "window_frame = 48", "window_frame: unknown key"),
        ("epochs = 8", "epochs = 'many'", 'schedule.epochs: expected a whole number, found "many"'),
        ("epochs = 8", "", "schedule.epochs: missing"),
        ("mel_bands = 24", "mel_bands = 0", "mel_bands is 0"),
        ("[data]", "[data", "toy.toml"),
        ('network = "residual"', 'network = "perceptron"', "perceptron"),
    ],
)
def test_a_recipe_that_makes_no_sense(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "toy.toml"
    assert old in RECIPE
    path.write_text(RECIPE.replace(old, new))
    with pytest.raises(RecipeError) as caught:
        read_recipe(str(path))
    assert message in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_dataset_that_is_not_the_recipes(bench: Bench, tmp_path: Path) -> None:
    done = esc_train("fit", str(bench.recipe), f"--data=birds={bench.data}", f"--out={tmp_path}")
    assert done.returncode == 1
    assert "the recipe toy learns from esc50, not birds" in one_line(done.stderr)
