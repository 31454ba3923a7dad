"""AudioSet's labels, their groups, and the names of other data sets' labels among them."""

from __future__ import annotations

import pytest

from trainer.datasets import audioset


def test_every_label_is_its_display_name_in_snake_case_and_unique() -> None:
    assert len(audioset.labels()) == 527
    assert audioset.labels()[113] == "chirp_tweet"
    for label, name in audioset.display_names().items():
        assert label == audioset.snake_case(name)


def test_groups_hold_known_labels_only_and_no_more_than_they_list() -> None:
    written = audioset._table("groups")
    for name, members in written.items():
        assert set(members) <= set(audioset.labels()) | set(written), name
        assert set(audioset.groups()[name]) <= set(audioset.labels()), name
    assert 15 <= len(written) <= 45


def test_a_group_expands_the_groups_inside_it() -> None:
    animal = audioset.groups()["animal"]
    assert {"animal", "dog", "bark", "meow", "chirp_tweet", "mosquito", "moo"} <= set(animal)
    assert len(animal) == 65
    assert "smoke_detector_smoke_alarm" in audioset.groups()["alarm"]
    assert "police_car_siren" in audioset.groups()["alarm"]
    assert "speech" not in animal


def test_a_group_named_as_a_label_holds_that_label() -> None:
    for name in set(audioset.groups()) & set(audioset.labels()):
        assert name in audioset.groups()[name]


@pytest.mark.parametrize(
    ("dataset", "size", "without"),
    [("esc50", 50, {"can_opening", "drinking_sipping"}), ("urbansound8k", 10, set()), ("pool", 2, set())],
)
def test_counterparts_are_labels_of_audioset(dataset: str, size: int, without: set[str]) -> None:
    table = audioset.counterparts(dataset)
    assert len(table) == size
    assert {label for label, known in table.items() if not known} == without
    for known in table.values():
        assert set(known) <= set(audioset.labels())
