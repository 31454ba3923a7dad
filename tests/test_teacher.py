"""Learning from a teacher: what is taught, who may teach, and that a student learns from it."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toys import CROPS, QUICK, recipe, training_is_possible, write_bench

from streamer.model import load_model
from trainer.cli import main
from trainer.examples.load import Examples, Sources, load_examples, read_material
from trainer.exporting.export import export, read_trained
from trainer.recipe import Recipe, RecipeError
from trainer.training.crossval import without_fold
from trainer.training.fit import fit
from trainer.training.teacher import Teachers

pytestmark = [
    pytest.mark.filterwarnings(
        "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
    ),
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded, use of fork:DeprecationWarning"),
]
SHARE = {"schedule.teacher_share": 0.5}


@pytest.fixture(scope="module", autouse=True)
def _keras() -> None:
    training_is_possible()


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Sources:
    return write_bench(tmp_path_factory.mktemp("bench"))


@pytest.fixture(scope="module")
def teacher(bench: Sources, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run that knows folds 1 and 2."""
    folder = tmp_path_factory.mktemp("teacher")
    fit(recipe(folder, CROPS, QUICK), bench, folder / "run")
    return folder / "run"


def student(folder: Path, changes: Mapping[str, Any] | None = None) -> Recipe:
    return recipe(folder, CROPS, {**QUICK, **SHARE, "name": "student", **(changes or {})})


def examples_of(wanted: Recipe, bench: Sources) -> Examples:
    return load_examples(wanted, read_material(wanted, bench), bench)


def test_half_of_what_is_taught_is_the_answer(tmp_path: Path, bench: Sources, teacher: Path) -> None:
    import keras

    wanted = student(tmp_path)
    examples = examples_of(wanted, bench)
    inputs, targets = next(iter(examples.epoch(0)))
    network = keras.models.load_model(teacher / "network.keras", compile=False)
    answers = network.predict_on_batch(inputs[0])
    targets[0, 1] = -1.0
    taught = Teachers([teacher], wanted, examples).soften(inputs, targets)
    expected = 0.5 * targets + 0.5 * answers
    expected[0, 1] = -1.0
    np.testing.assert_allclose(taught, expected, atol=1e-5)
    # What is there stays on its side of one half, which is what the accuracy shown goes by.
    assert ((taught >= 0.5) == (targets >= 0.5)).all()
    several = Teachers([teacher, teacher], wanted, examples)
    assert several.names == ("toy", "toy")
    np.testing.assert_allclose(several.soften(inputs, targets), taught, atol=1e-5)


def test_a_student_learns_and_its_model_names_the_teacher(
    tmp_path: Path, bench: Sources, teacher: Path
) -> None:
    wanted = student(tmp_path)
    fit(wanted, bench, tmp_path / "run", [teacher])
    curve = (tmp_path / "run" / "curve.csv").read_text().splitlines()
    assert float(curve[-1].split(",")[3]) > 0.9
    export(read_trained(tmp_path / "run"), examples_of(wanted, bench), tmp_path / "student.tflite")
    assert load_model(tmp_path / "student.tflite").manifest.provenance.teachers == ("toy",)


def test_every_fold_has_the_teacher_that_was_kept_from_it(
    tmp_path: Path, bench: Sources, teacher: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    student(tmp_path)  # writes the recipe; what is changed in it is said again
    changes = {**QUICK, **SHARE, "schedule.epochs": 1}
    changes["options"] = "{ filters = 16, dense = 32, dropout = 0.1 }"
    sets = [word for key, value in changes.items() for word in ("--set", f"{key}={value}")]
    (tmp_path / "teachers").mkdir()
    shutil.copytree(teacher, tmp_path / "teachers" / "fold-3")
    crossval = ["crossval", str(next(tmp_path.glob("*.toml"))), "--data", f"esc50={bench.folder('esc50')}"]
    folds = [*sets, "--folds", "1,2,3", "--teacher", str(tmp_path / "teachers"), "--no-cache"]
    status = main([*crossval, *folds, "--test", "3", "--out", str(tmp_path / "own"), "--json"])
    captured = capsys.readouterr()
    assert status == 0, captured.err
    assert json.loads((tmp_path / "own" / "fold-3" / "training.json").read_text())["teachers"] == ["toy"]
    assert main([*crossval, *folds, "--test", "1", "--out", str(tmp_path / "own")]) == 1
    assert "fold-1 holds no finished training" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"window_frames": 40}, "hears other features or windows"),
        ({"front_end.fmin_hz": 100.0}, "hears other features or windows"),
        ({"outputs": "softmax", "augmentation.negative_share": 0.0}, "its labels or outputs are others"),
    ],
)
def test_a_teacher_of_something_else(
    tmp_path: Path, bench: Sources, teacher: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        fit(student(tmp_path, changes), bench, tmp_path / "run", [teacher])


def test_a_teacher_that_knows_the_test_fold(tmp_path: Path, bench: Sources, teacher: Path) -> None:
    held_out = without_fold(dataclasses.replace(student(tmp_path)), 2, (1, 2, 3))
    with pytest.raises(RecipeError, match="learnt from fold 2, which is held out"):
        fit(held_out, bench, tmp_path / "run", [teacher])


def test_a_teacher_and_its_share_belong_together(tmp_path: Path, bench: Sources, teacher: Path) -> None:
    with pytest.raises(RecipeError, match="name a finished run with --teacher"):
        fit(student(tmp_path), bench, tmp_path / "run")
    with pytest.raises(RecipeError, match="teaches nothing"):
        fit(recipe(tmp_path, CROPS, QUICK), bench, tmp_path / "run", [teacher])
    with pytest.raises(RecipeError, match="holds no finished training"):
        fit(student(tmp_path), bench, tmp_path / "run", [tmp_path / "nothing"])
    with pytest.raises(RecipeError, match="teacher_share must lie between"):
        student(tmp_path, {"schedule.teacher_share": 0.7})


def test_a_damaged_teacher(tmp_path: Path, bench: Sources, teacher: Path) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(teacher, damaged)
    (damaged / "training.json").write_text("{}")
    with pytest.raises(RecipeError, match="is damaged"):
        fit(student(tmp_path), bench, tmp_path / "run", [damaged])
