"""Labels are understood as people write them."""

from __future__ import annotations

import pytest

from streamer.labels import advice, find_label, nearest_label

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
