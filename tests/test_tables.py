"""Tables become dataclasses strictly: every mistake is reported with the path of its key."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from streamer.settings import EventSettings, LogSettings, Settings, SourceSettings
from streamer.tables import TableError, from_table, to_table


@dataclass(frozen=True)
class Leg:
    length_m: float
    toes: int = 5


@dataclass(frozen=True)
class Animal:
    name: str
    legs: tuple[Leg, ...]
    tame: bool = False
    diet: Literal["plants", "meat"] = "plants"
    size_m: tuple[float, float] = (1.0, 2.0)
    nickname: str | None = None
    speeds: dict[str, float] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)


HORSE = {
    "name": "horse",
    "legs": [{"length_m": 1, "toes": 1}, {"length_m": 1.2}],
    "tame": True,
    "diet": "plants",
    "size_m": [1, 2.5],
    "nickname": "Blitz",
    "speeds": {"trot": 4, "gallop": 15.5},
    "notes": {"colour": ["brown", 7, None], "deep": {"er": True}},
}


def changed(**changes: object) -> dict[str, object]:
    return {**HORSE, **changes}


def test_a_table_becomes_a_dataclass() -> None:
    horse = from_table(Animal, HORSE)
    assert horse.legs == (Leg(1.0, 1), Leg(1.2, 5))
    assert horse.size_m == (1.0, 2.5)
    assert horse.speeds == {"trot": 4.0, "gallop": 15.5}
    assert horse.notes == HORSE["notes"]


def test_whole_numbers_become_floats_where_floats_are_wanted() -> None:
    assert isinstance(from_table(Leg, {"length_m": 2}).length_m, float)


def test_what_is_left_out_gets_its_default() -> None:
    assert from_table(Animal, {"name": "snake", "legs": []}) == Animal("snake", ())


def test_round_trip() -> None:
    horse = from_table(Animal, HORSE)
    table = to_table(horse)
    assert table["legs"] == [{"length_m": 1.0, "toes": 1}, {"length_m": 1.2, "toes": 5}]
    assert from_table(Animal, table) == horse


def test_round_trip_of_all_settings() -> None:
    settings = Settings(
        source=SourceSettings(input=("a.wav", "b.wav"), realtime=True),
        events=EventSettings(hop_s=0.25, labels=("dog", "cat")),
        log=LogSettings(csv=""),
    )
    assert from_table(Settings, to_table(settings)) == settings


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (7, "the file: expected a table, found 7"),
        ({"legs": []}, "name: missing"),
        (changed(wings=2), "wings: unknown key; known are diet, legs, name,"),
        (changed(name=3), "name: expected text, found 3"),
        (changed(name=None), "name: expected text, found nothing"),
        (changed(tame=1), "tame: expected true or false, found 1"),
        (changed(tame="yes"), 'tame: expected true or false, found "yes"'),
        (changed(diet="fish"), "diet: expected one of 'plants', 'meat', found \"fish\""),
        (changed(diet=[]), "diet: expected one of 'plants', 'meat', found a list"),
        (changed(legs={}), "legs: expected a list, found a table"),
        (changed(legs="four"), 'legs: expected a list, found "four"'),
        (changed(legs=[{}]), "legs[0].length_m: missing"),
        (changed(legs=[{"length_m": 1}, 3]), "legs[1]: expected a table, found 3"),
        (changed(legs=[{"length_m": "1"}]), 'legs[0].length_m: expected a number, found "1"'),
        (changed(legs=[{"length_m": True}]), "legs[0].length_m: expected a number, found true"),
        (
            changed(legs=[{"length_m": 1, "toes": 1.0}]),
            "legs[0].toes: expected a whole number, found 1.0",
        ),
        (
            changed(legs=[{"length_m": 1, "toes": False}]),
            "legs[0].toes: expected a whole number, found false",
        ),
        (changed(legs=[{"length_m": 1, "nails": 2}]), "legs[0].nails: unknown key"),
        (changed(size_m=[1, float("inf")]), "size_m[1]: expected a finite number, found inf"),
        (changed(speeds={"trot": float("nan")}), "speeds.trot: expected a finite number, found nan"),
        (changed(size_m=[1]), "size_m: expected 2 values, found 1"),
        (changed(size_m=[1, "x"]), 'size_m[1]: expected a number, found "x"'),
        (changed(nickname=3), "nickname: expected text, found 3"),
        (changed(speeds=[1]), "speeds: expected a table, found a list"),
        (changed(speeds={"trot": "4"}), 'speeds.trot: expected a number, found "4"'),
    ],
)
def test_a_mistake_is_named_with_its_path(table: object, message: str) -> None:
    with pytest.raises(TableError) as caught:
        from_table(Animal, table)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_a_table_inside_another_says_where_it_is() -> None:
    with pytest.raises(TableError, match=r"^events\.hop_s: expected a number, found a list$"):
        from_table(Settings, {"events": {"hop_s": []}})
