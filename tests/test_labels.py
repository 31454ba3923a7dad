"""Labels are understood as people write them."""

from __future__ import annotations

import dataclasses

import pytest
from signals import scene

from streamer.errors import SettingsError
from streamer.labels import advice, find_label, nearest_label
from streamer.listen import Listener, wanted_labels
from streamer.model import Model, load_model
from streamer.settings import EventSettings
from streamer.types import Block, Sound

KNOWN = ("dog", "car_horn", "crying_baby", "Glass, breaking")


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("dog", "dog"),
        ("Dog", "dog"),
        ("car horn", "car_horn"),
        ("car-horn", "car_horn"),
        (" Car  Horn ", "car_horn"),
        ("glass, breaking", "Glass, breaking"),
        ("dogs", None),
        ("", None),
    ],
)
def test_a_label_is_found_however_it_is_written(text: str, label: str | None) -> None:
    assert find_label(text, KNOWN) == label


@pytest.mark.parametrize(("text", "label"), [("dogg", "dog"), ("Carhorn", "car_horn"), ("xylophone", None)])
def test_the_nearest_label_is_suggested_where_one_is_near(text: str, label: str | None) -> None:
    assert nearest_label(text, KNOWN) == label


def test_advice_names_the_nearest_label_or_a_few() -> None:
    assert advice("dogg", KNOWN) == "did you mean dog?"
    many = [f"sound_{n}" for n in range(50)]
    assert advice("xylophone", many).endswith("sound_5 and 44 more")


# Groups

SHIPPED = load_model()


def grouped(groups: dict[str, tuple[str, ...]]) -> Model:
    """The shipped model with groups."""
    return dataclasses.replace(SHIPPED, manifest=dataclasses.replace(SHIPPED.manifest, groups=groups))


GROUPS = {"animal": ("dog", "cat", "hen"), "dog": ("cow", "sheep"), "Wild animals": ("crow", "frog")}
"""One is called like a label that is no part of it."""


@pytest.mark.parametrize(
    ("names", "meant"),
    [
        (["cat"], {"cat"}),
        (["animal"], {"dog", "cat", "hen"}),
        (["dog"], {"dog", "cow", "sheep"}),
        (["Dog", "wild-animals"], {"dog", "cow", "sheep", "crow", "frog"}),
        (["animal", "rain", "cat"], {"dog", "cat", "hen", "rain"}),
        ([], set(SHIPPED.labels)),
    ],
)
def test_a_group_means_all_of_its_labels(names: list[str], meant: set[str]) -> None:
    assert wanted_labels(grouped(GROUPS), EventSettings(labels=tuple(names))) == meant


def test_a_misspelt_group_is_suggested() -> None:
    wanted = EventSettings(labels=("animals",))
    with pytest.raises(SettingsError, match=r"esc50 does not know 'animals'; did you mean animal\?"):
        wanted_labels(grouped(GROUPS), wanted)


def test_only_sounds_of_the_group_become_events() -> None:
    signal = scene(SHIPPED.manifest.front_end.sample_rate_hz)

    def heard(model: Model, *labels: str) -> list[Sound]:
        listener = Listener(model, EventSettings(threshold=0.03, labels=labels))
        sounds = listener.push(Block(0, signal)) + listener.finish()
        return sorted(sounds, key=lambda sound: (sound.start_sample, sound.label))

    everything = heard(SHIPPED)
    group = tuple(sorted({sound.label for sound in everything})[1:])
    some = heard(grouped({"noises": group}), "noises")
    assert some == heard(SHIPPED, *group) != []
    assert {sound.label for sound in some} == set(group)
