"""Recipes: those that are shipped, changes from the command line, and what is refused with one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from toys import CROPS, SEGMENTS, one_line

from streamer.tables import from_table, to_table
from trainer.cli import main
from trainer.lineage.networks import EXPERIMENTS
from trainer.networks import NETWORKS
from trainer.recipe import RECIPES, Recipe, RecipeError, read_recipe

SHIPPED = sorted(path.stem for path in RECIPES.glob("*.toml"))

Refusal = Callable[..., str]


@pytest.fixture
def refusal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Refusal:
    """Start a training that must end at once with status 1 and one line; give the line."""

    def refused(recipe: str | Path, *more: str) -> str:
        run = tmp_path / "run"
        arguments = ["fit", str(recipe), f"--data=esc50={tmp_path}", "--no-cache", f"--out={run}"]
        assert main([*arguments, *more]) == 1
        assert not run.exists()
        return one_line(capsys.readouterr().err)

    return refused


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_recipes_are_what_they_are_called(name: str) -> None:
    recipe = read_recipe(name)
    assert recipe.name == name
    assert recipe.description
    assert recipe.data.licence
    assert not set(recipe.data.train_folds) & set(recipe.data.validation_folds)
    # What training.json and a manifest hold is the whole recipe.
    assert from_table(Recipe, to_table(recipe)) == recipe


def test_every_network_has_a_recipe() -> None:
    assert {read_recipe(name).network for name in SHIPPED} == set(NETWORKS)


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda experiment: experiment.name)
def test_the_experiments_of_the_comparison_can_be_read(experiment: object) -> None:
    from trainer.lineage.networks import Experiment

    assert isinstance(experiment, Experiment)
    recipe = read_recipe(experiment.recipe, experiment.all_changes)
    assert recipe.data.dataset == experiment.dataset
    assert recipe.schedule.epochs == experiment.epochs
    assert set(experiment.test) <= set(experiment.folds)


def test_values_are_replaced_by_dotted_key() -> None:
    recipe = read_recipe("tiny", {"schedule.epochs": 3, "data.train_folds": [1, 2], "options.dropout": 0.1})
    assert recipe.schedule.epochs == 3
    assert recipe.data.train_folds == (1, 2)
    assert recipe.options == {"size": "tiny", "dropout": 0.1}
    assert recipe.schedule.batch == read_recipe("tiny").schedule.batch


def test_a_table_that_the_file_lacks_can_be_given() -> None:
    assert read_recipe("tiny", {"segments.hop_frames": 9}).segments.hop_frames == 9
    assert read_recipe("piczak", {"copies": []}).copies == ()


# A recipe that makes no sense


@pytest.mark.parametrize(
    ("text", "old", "new", "message"),
    [
        (CROPS, "window_frames = 48", "window_frame = 48", "window_frame: unknown key; known are"),
        (CROPS, "seed = 3", "sead = 3", "schedule.sead: unknown key"),
        (CROPS, "speeds = [1.0]", "pitch = 2", "augmentation.pitch: unknown key"),
        (SEGMENTS, "roll_s = [0.1, 0.4]", "role_s = [0, 1]", "copies[0].role_s: unknown key"),
        (SEGMENTS, "roll_s = [0.1, 0.4]", "roll_s = [0.4, 0.1]", "copies: roll_s: expected [lowest"),
        (CROPS, "epochs = 8", "epochs = 'many'", 'schedule.epochs: expected a whole number, found "many"'),
        (CROPS, "epochs = 8", "", "schedule.epochs: missing"),
        (CROPS, "epochs = 8", "epochs = 0", "epochs must be at least 1"),
        (CROPS, "batch = 32", "batch = 257", "batch must lie between 1 and examples_per_epoch"),
        (CROPS, "learning_rate = 4e-3", "learning_rate = 0", "learning_rate must be above 0"),
        (CROPS, "learning_rate = 4e-3", "learning_rate = nan", "expected a finite number"),
        (CROPS, "warmup_epochs = 1.0", "single_epochs = 9", "single_epochs must lie between 0 and epochs"),
        (CROPS, "warmup_epochs = 1.0", 'rate = "linear"', "expected one of 'cosine', 'constant', 'plateau'"),
        (
            CROPS.replace("validation_folds = [3]\n", ""),
            "warmup_epochs = 1.0",
            'rate = "plateau"',
            "a plateau is seen on validation_folds, and data names none",
        ),
        (CROPS, "mel_bands = 24", "mel_bands = 0", "mel_bands is 0"),
        (CROPS, "window_frames = 48", "window_frames = 0", "window_frames must be at least 1"),
        (CROPS, 'network = "residual"', 'network = "perceptron"', "network: unknown 'perceptron'; known are"),
        (CROPS, 'size = "tiny"', 'sise = "tiny"', "options.sise: the network residual knows only"),
        (CROPS, "[data]", 'outputs = "softmax"\n[data]', "negative_share must be 0 with softmax"),
        (SEGMENTS, "[schedule]", "[mixes]\n[schedule]", "two sounds are there at once"),
        (SEGMENTS, "hop_frames = 8", "hop_frames = 0", "hop_frames must be at least 1"),
        (SEGMENTS, "[data]", 'inputs = [["mfcc"]]\n[data]', "'mfcc' is not among its features"),
        (SEGMENTS, "[data]", "inputs = [[]]\n[data]", "an input names no feature"),
        (CROPS, "[data]", "[data", "toy.toml"),
    ],
)  # fmt: skip
def test_a_recipe_that_makes_no_sense(
    tmp_path: Path, refusal: Refusal, text: str, old: str, new: str, message: str
) -> None:
    path = tmp_path / "toy.toml"
    assert old in text
    path.write_text(text.replace(old, new))
    line = refusal(path)
    assert line.startswith(f"esc-train: {path}: ")
    assert message in line


def test_a_recipe_that_is_no_text(tmp_path: Path, refusal: Refusal) -> None:
    path = tmp_path / "toy.toml"
    path.write_bytes(b"\xff\xfe\x00name")
    assert str(path) in refusal(path)


def test_an_unknown_recipe(refusal: Refusal) -> None:
    assert f"no recipe 'nope'; known are {', '.join(SHIPPED)}, or give a .toml file" in refusal("nope")


def test_a_recipe_file_that_is_not_there(tmp_path: Path, refusal: Refusal) -> None:
    assert "gone.toml" in refusal(tmp_path / "gone.toml")


@pytest.mark.parametrize(
    ("recipe", "change", "message"),
    [
        ("tiny", "schedule.epochs", "write it as KEY=VALUE, as in schedule.epochs=40"),
        ("tiny", "schedule.epoch=4", "schedule.epoch: unknown key"),
        ("tiny", "epochs=4", "epochs: unknown key"),
        ("tiny", "schedule.epochs=many", 'schedule.epochs: expected a whole number, found "many"'),
        ("tiny", "schedule.epochs=4.5", "schedule.epochs: expected a whole number, found 4.5"),
        ("tiny", "schedule=4", "schedule: expected a table, found 4"),
        ("tiny", "name.first=x", "name.first: name is not a table"),
        ("tiny", "data.train_folds=1", "data.train_folds: expected a list, found 1"),
        ("tiny", "network=perceptron", "unknown 'perceptron'"),
        ("tiny", "network=piczak", "options.size: the network piczak knows only"),
        ("tiny", "outputs=softmax", "negative_share must be 0 with softmax"),
        ("piczak", "copies.speed=[1.0, 1.1]", "copies is not a table"),
        ("piczak", "mixes.per_pair=3", "two sounds are there at once"),
        ("multilabel", "mixes.per_pair=0", "per_pair must be at least 1"),
        ("multilabel", "mixes.level_db=[0.0, -20.0]", "level_db must be [lowest, highest]"),
    ],
)
def test_a_change_that_makes_no_sense(refusal: Refusal, recipe: str, change: str, message: str) -> None:
    assert message in refusal(recipe, "--set", change)


def test_every_problem_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "toy.toml"
    path.write_text(CROPS)
    with pytest.raises(RecipeError, match=rf"^{path}: schedule\.sead: unknown key"):
        read_recipe(str(path), {"schedule.sead": 1})


def test_a_dataset_that_was_not_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = f"--out={tmp_path / 'run'}"
    assert main(["fit", "tiny", f"--data=birds={tmp_path}", "--no-cache", out]) == 1
    line = one_line(capsys.readouterr().err)
    assert "the recipe learns from esc50: give --data esc50=DIR" in line


def test_data_without_a_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "tiny", f"--data={tmp_path}", "--no-cache", f"--out={tmp_path / 'run'}"]) == 1
    assert "write it as NAME=DIR" in one_line(capsys.readouterr().err)
