"""Trainings whose figures mean nothing: a single label, no background. They are run whole, and say so."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import soundfile
import toys
from toys import CROPS, QUICK, training_is_possible, write_background

from streamer.classifier import Classifier
from streamer.model import load_model
from trainer.caveats import caveats, remedies
from trainer.cli import main
from trainer.recipe import read_recipe

ONLY_LABEL = "beep is the only label, so every answer is right: accuracy has no meaning"
pytestmark = [
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded, use of fork:DeprecationWarning"),
    # Keras reads variables of TensorFlow, which numpy finds old-fashioned.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

UNKNOWN = "no background to count false alarms in: their number is unknown, not 0"


@pytest.mark.parametrize(
    ("labels", "learnt", "judged", "expected"),
    [
        (("cat", "dog"), True, True, 0),
        (("cat", "dog"), False, True, 0),
        (("cat", "dog"), True, False, 1),
        (("cat", "dog"), False, False, 2),
        (("dog",), True, True, 1),
        (("dog",), False, False, 3),
    ],
)
def test_what_limits_figures(labels: Sequence[str], learnt: bool, judged: bool, expected: int) -> None:
    found = caveats(labels, learnt, judged)
    assert len(found) == expected
    assert any("unknown, not 0" in line for line in found) == (not judged)
    assert any("only label" in line for line in found) == (len(labels) == 1)
    assert len(remedies(labels, judged)) == (not judged) + (len(labels) == 1)


# Whole trainings


@dataclass(frozen=True)
class Trained:
    """What the commands left and printed."""

    folder: Path
    data: list[str]
    fit: str
    fit_errors: str
    export: str
    export_errors: str

    @property
    def model(self) -> Path:
        return self.folder / "toy.tflite"

    @property
    def measured(self) -> dict[str, Any]:
        return load_model(self.model).manifest.measured


def warnings(text: str) -> list[str]:
    return [line.removeprefix("WARNING: ") for line in text.splitlines() if line.startswith("WARNING: ")]


def train(folder: Path, labels: Sequence[str], with_background: bool, more: Sequence[str] = ()) -> Trained:
    """Fit and export sounds in a folder of one's own; ten recordings a label."""
    training_is_possible()
    for label in labels:
        place = folder / "sounds" / label
        place.mkdir(parents=True)
        for at in range(10):
            soundfile.write(place / f"{at}.wav", toys.sound(label, seed=7 * at), toys.RATE_HZ)
    (folder / "toy.toml").write_text(CROPS)
    data = [f"--data=folder={folder}", "--no-cache"]
    if with_background:
        data += [f"--background={write_background(folder / 'background')}"]
    changes = QUICK | {"data.dataset": "folder", "schedule.epochs": 2, "data.train_folds": [1, 2, 3]}
    changes |= {"data.validation_folds": [4], "schedule.examples_per_epoch": 64}
    options = [f"--set={key}={toml(value)}" for key, value in changes.items()]
    fitted = printed(["fit", str(folder / "toy.toml"), *data, *options, f"--out={folder / 'run'}"])
    exported = printed(["export", str(folder / "run"), *data, f"--out={folder / 'toy.tflite'}", *more])
    return Trained(folder, data, *fitted, *exported)


def toml(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {toml(inner)}" for key, inner in value.items()) + "}"
    return json.dumps(value)


def printed(arguments: list[str]) -> tuple[str, str]:
    """Standard output and standard error of a command that succeeds."""
    import contextlib
    import io

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(arguments)
    assert status == 0, err.getvalue()
    return out.getvalue(), err.getvalue()


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """One label, no background."""
    return train(tmp_path_factory.mktemp("alone"), ["beep"], with_background=False)


@pytest.fixture(scope="module")
def one_label(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return train(tmp_path_factory.mktemp("one-label"), ["beep"], True, ["--licence", "CC0"])


@pytest.fixture(scope="module")
def two_labels(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Two labels, no background."""
    return train(tmp_path_factory.mktemp("two-labels"), ["beep", "hiss"], with_background=False)


def test_one_label_without_background_is_warned_of_before_and_after(alone: Trained) -> None:
    expected = [
        ONLY_LABEL,
        UNKNOWN,
        "the model has never met background: expect it to report beep whatever it hears",
    ]
    said = warnings(alone.fit_errors)
    assert said[:3] == expected
    assert "--background DIR" in said[3]
    assert "add another label" in said[4]
    assert warnings(alone.export_errors) == expected
    assert alone.measured["caveats"] == expected


def test_its_figures_are_unknown_and_not_printed(alone: Trained) -> None:
    output = alone.fit + alone.export
    assert "accuracy" not in output
    assert "validation" not in "".join(line for line in output.splitlines() if line.startswith("epoch"))
    assert "calibration error" not in output
    assert "% of" not in output
    assert "of the right class" not in output
    assert "of a wrong class" not in output
    assert "an hour" not in output
    assert "false alarms unknown (no background)" in output
    found = alone.measured["calibration"]
    for key in ("right", "wrong", "alarms_per_hour", "ece", "ece_before"):
        assert found[key] is None
    assert found["method"] == "none"
    assert list(alone.measured) == ["caveats", "calibration", "folder, fold 4 (validation), float32 to int8"]
    assert "clip_accuracy" not in alone.measured["folder, fold 4 (validation), float32 to int8"]
    # The listener takes the file all the same.
    Classifier(load_model(alone.model))


def test_one_label_with_background_keeps_the_figures_that_mean_something(one_label: Trained) -> None:
    assert warnings(one_label.export_errors) == [ONLY_LABEL]
    assert one_label.measured["caveats"] == [ONLY_LABEL]
    found = one_label.measured["calibration"]
    assert 0.0 <= found["right"] <= 1.0
    assert found["alarms_per_hour"] >= 0.0
    assert (found["wrong"], found["ece"]) == (None, None)
    assert "an event of the right class" in one_label.export
    assert "an hour (budget 6)" in one_label.export
    assert "of a wrong class" not in one_label.export
    assert not any("--background" in line for line in warnings(one_label.fit_errors))


def test_two_labels_without_background_have_accuracy_but_no_false_alarms(two_labels: Trained) -> None:
    expected = [UNKNOWN, "the model has never met background: expect it to report sounds that are not there"]
    assert warnings(two_labels.fit_errors)[:2] == expected
    assert two_labels.measured["caveats"] == warnings(two_labels.export_errors) == expected
    found = two_labels.measured["calibration"]
    assert found["alarms_per_hour"] is None
    assert 0.0 <= found["wrong"] <= 1.0
    assert "validation" in two_labels.fit
    assert "of a wrong class" in two_labels.export
    assert "an hour" not in two_labels.export


def test_calibration_with_background_takes_the_warning_back(two_labels: Trained, tmp_path: Path) -> None:
    background = write_background(tmp_path / "background")
    out = tmp_path / "calm.tflite"
    command = [
        "calibrate",
        str(two_labels.model),
        two_labels.data[0],
        "--folds=5",
        "--mixes=0",
        f"--out={out}",
    ]
    _, errors = printed([*command, f"--background={background}"])
    assert warnings(errors) == []
    assert "caveats" not in load_model(out).manifest.measured
    assert load_model(out).manifest.measured["calibration"]["alarms_per_hour"] is not None
    _, errors = printed(command)
    assert warnings(errors) == load_model(out).manifest.measured["caveats"]


def test_an_evaluation_of_one_label_shows_no_accuracy(alone: Trained) -> None:
    output, _ = printed(["evaluate", str(alone.model), alone.data[0], "--folds=5"])
    assert "beep is the only label" in output
    assert "100" not in output


def test_a_cross_validation_of_one_label_shows_no_accuracy(alone: Trained, tmp_path: Path) -> None:
    changes = QUICK | {"data.dataset": "folder", "schedule.epochs": 1, "data.validation_folds": []}
    changes |= {"schedule.examples_per_epoch": 32}
    command = ["crossval", str(alone.folder / "toy.toml"), *alone.data, "--folds=1,2,3", "--test=1"]
    command += [
        *(f"--set={key}={toml(value)}" for key, value in changes.items()),
        f"--out={tmp_path / 'runs'}",
    ]
    output, errors = printed(command)
    assert output.splitlines()[0] == "toy on folder: no accuracy, beep is the only label"
    assert "100" not in output
    assert warnings(errors)[0] == ONLY_LABEL
    table = json.loads(printed([*command, "--json"])[0])
    assert table["caveats"][0] == ONLY_LABEL
    assert table["labels"] == ["beep"]


def test_thresholds_are_not_chosen_on_a_test(
    alone: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for at in range(3):
        for part in ("train", "test"):
            path = tmp_path / "sounds" / "beep" / part / f"{at}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, toys.sound("beep", seed=50 * at + len(part)), toys.RATE_HZ)
    out = tmp_path / "out.tflite"
    assert (
        main(["calibrate", str(alone.model), f"--data=folder={tmp_path}", "--folds=5", f"--out={out}"]) == 1
    )
    assert "fold 5 was put aside as a test" in capsys.readouterr().err
    assert not out.exists()


def test_silence_is_refused_before_the_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for label, seconds in (("beep", 1.0), ("nothing", 0.0)):
        for at in range(10):
            path = tmp_path / "sounds" / label / f"{at}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            samples = toys.sound("beep", seed=at) * seconds
            soundfile.write(path, samples[: 8_000 + at], toys.RATE_HZ)
    (tmp_path / "toy.toml").write_text(CROPS.replace('"esc50"', '"folder"'))
    arguments = ["fit", str(tmp_path / "toy.toml"), f"--data=folder={tmp_path}", "--no-cache"]
    assert main([*arguments, f"--out={tmp_path / 'run'}"]) == 1
    assert "the class nothing has nothing to learn from in 6 files" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


# Whose licence a model has


def test_a_model_of_ones_own_sounds_does_not_inherit_a_licence(alone: Trained, one_label: Trained) -> None:
    assert load_model(alone.model).manifest.provenance.licence == ""
    assert alone.export.splitlines()[-1] == "licence of the training data: not stated (see --licence)"
    assert load_model(one_label.model).manifest.provenance.licence == "CC0"
    assert one_label.export.splitlines()[-1] == "licence of the training data: CC0"


def test_a_licence_belongs_to_the_dataset_of_its_recipe() -> None:
    recipe = read_recipe("base")
    assert recipe.data.licence
    same = read_recipe("base", {"data.dataset": "esc50", "schedule.epochs": 1})
    assert same.data.licence == recipe.data.licence
    assert read_recipe("base", {"data.dataset": "folder"}).data.licence == ""
    stated = read_recipe("base", {"data.dataset": "folder", "data.licence": "CC0"})
    assert stated.data == dataclasses.replace(recipe.data, dataset="folder", licence="CC0")
