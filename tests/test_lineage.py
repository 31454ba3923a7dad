"""The older systems beside ours: what is compared, and how the tables come about."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import sounds

from trainer.datasets import Clip
from trainer.judging.mixes import Judged
from trainer.lineage.networks import EXPERIMENTS
from trainer.lineage.overlaps import ENTRANTS, Line, joined, judged_singles, readable
from trainer.recipe import read_recipe


def test_every_experiment_is_a_recipe_and_has_a_name_of_its_own() -> None:
    assert len({item.name for item in EXPERIMENTS}) == len(EXPERIMENTS)
    for item in EXPERIMENTS:
        recipe = read_recipe(item.recipe, item.all_changes)
        assert recipe.schedule.epochs == item.epochs
        assert set(item.test) <= set(item.folds)


def test_on_urbansound8k_no_class_gets_more_copies_than_another() -> None:
    for item in EXPERIMENTS:
        if item.dataset == "urbansound8k":
            copies = read_recipe(item.recipe, item.all_changes).copies
            assert not any(copy.labels for copy in copies), item.name


def test_those_that_are_asked_for_pairs_have_sigmoid_outputs() -> None:
    recipes = {item.name: read_recipe(item.recipe, item.all_changes) for item in EXPERIMENTS}
    for entrant in ENTRANTS:
        assert entrant.several_at_once == (recipes[entrant.experiment].outputs == "sigmoid")


def test_single_sounds_as_sets(tmp_path: Path) -> None:
    model = sounds.shipped_model()
    soundfile.write(tmp_path / "siren.wav", 0.01 * sounds.siren(4.0), sounds.RATE_HZ)
    (tmp_path / "broken.wav").write_bytes(b"no sound")
    label = sounds.siren_label()
    clips = [
        Clip(tmp_path / "siren.wav", label, 1, "a"),
        Clip(tmp_path / "broken.wav", label, 1, "b"),
        Clip(tmp_path / "siren.wav", "unheard of", 1, "c"),
    ]
    (found,) = judged_singles(model, clips)
    assert found.truth.sum(axis=1).tolist() == [1] * len(found.truth)
    assert found.truth[:, model.labels.index(label)].all()
    assert found.probabilities.shape == found.truth.shape
    both = joined([found, found])
    assert both.truth.shape == (2 * len(found.truth), len(model.labels))


def test_windows_are_joined_in_order() -> None:
    first, second = (
        Judged(np.full((n, 2), bool(n % 2)), np.full((n, 2), n / 10, np.float32)) for n in (1, 2)
    )
    heard = joined([first, second])
    assert heard.truth[:, 0].tolist() == [True, False, False]
    assert heard.probabilities[:, 1] == pytest.approx([0.1, 0.2, 0.2])


def test_the_table_has_means_spreads_and_gaps() -> None:
    lines = [
        Line("old", {"pairs: exact_match": [0.1, 0.2, 0.3]}),
        Line("new", {"pairs: exact_match": [0.5], "pairs: macro_f1": [0.25, 0.75]}),
    ]
    assert readable(lines).splitlines() == [
        "| | old | new |",
        "|---|---|---|",
        "| pairs: exact_match | 20.0 +- 10.0 | 50.0 +- 0.0 |",
        "| pairs: macro_f1 | - | 0.500 +- 0.354 |",
    ]
