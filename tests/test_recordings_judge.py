"""Real recordings and clips in background as judges: cases counted by hand, then the real listener."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import sounds
from signals import noise, same_bits, silence
from sounds import RATE_HZ, shipped_model

from streamer import listen
from streamer.demo import Wave, church_bells, siren
from streamer.types import FloatArray
from trainer.datasets import Background, Clip, DatasetError, read_dataset
from trainer.judging import clip_events, recordings
from trainer.judging.clip_events import AROUND_S, HeardClip, surrounded
from trainer.judging.clips import score_clips, to_peak
from trainer.judging.ear import HeardEvent
from trainer.judging.recordings import (
    HeardRecording,
    Recording,
    read_recordings,
    readable,
    score,
)

LABELS = ("dog", "wind", "rain", "train")
HUSH = 1e-3


def event(label: str, start_s: float, seconds: float) -> HeardEvent:
    return HeardEvent(label, start_s, start_s + seconds, start_s + 1.0, start_s + seconds + 2.0, 0.9)


def recording(
    name: str, expected: str | None, also: set[str], seconds: float, *events: HeardEvent
) -> HeardRecording:
    return HeardRecording(Recording(Path(name), expected, frozenset(also)), seconds, events)


# Recordings, counted by hand


def test_reported_most_is_told_by_duration_not_by_number() -> None:
    heard = recording("a", "wind", set(), 60, event("dog", 0, 1), event("dog", 5, 1), event("wind", 9, 3))
    assert heard.totals_s == {"wind": 3.0, "dog": 2.0}
    assert heard.reported_most == "wind"
    assert recording("b", "wind", set(), 60).reported_most is None


CASE = [
    recording(
        "wind.wav", "wind", {"rain"}, 600, event("wind", 1, 9), event("rain", 20, 5), event("dog", 40, 1)
    ),
    recording("train.wav", "train", set(), 300, event("wind", 1, 9), event("train", 20, 5)),
    recording("silent.wav", "dog", set(), 300),
    recording("whale.wav", "whale", set(), 600, event("dog", 1, 2)),
    recording(
        "office.wav", None, {"dog"}, 1800, event("dog", 1, 2), event("rain", 5, 1), event("rain", 9, 1)
    ),
    recording("garden.wav", None, set(), 1800, event("dog", 1, 2)),
]


def test_figures_of_a_case_counted_by_hand() -> None:
    found = score(CASE, LABELS)
    assert (found["labelled"], found["right"], found["left_out"]) == (3, 1, 1)
    quiet, labelled = found["false_alarms"]["none"], found["false_alarms"]["labelled"]
    # Half an hour each: two alarms of rain and one of a dog in an hour; the dog in the office may be there.
    assert (quiet["recordings"], quiet["hours"], quiet["events"], quiet["per_hour"]) == (2, 1.0, 3, 3.0)
    assert quiet["per_class_per_hour"] == {"rain": 2.0, "dog": 1.0}
    # 1800 s: a dog in the wind, wind in the train, a dog in the whale.
    assert (labelled["recordings"], labelled["hours"], labelled["events"]) == (4, 0.5, 3)
    assert labelled["per_class_per_hour"] == {"dog": 4.0, "wind": 2.0}
    rows = {row["file"]: row for row in found["recordings"]}
    assert rows["train.wav"]["reported_most"] == "wind"
    assert rows["train.wav"]["reported_s"] == {"wind": 9.0, "train": 5.0}
    assert rows["train.wav"]["false_alarms"] == {"wind": 1}
    assert rows["office.wav"]["expected"] == "none"
    assert rows["silent.wav"]["reported_most"] is None


def test_people_read_the_same_figures_and_the_worst_offenders() -> None:
    lines = readable({"model": "m", "split": "test", **score(CASE, LABELS)})
    text = "\n".join(lines)
    assert "in 1 of 3 recordings" in text
    assert "train.wav: wind (9.0 s) instead of train" in text
    assert "silent.wav: nothing instead of dog" in text
    assert "where nothing is expected: 3.0 an hour (3 in 60.0 minutes)" in text
    assert "in the labelled recordings: 6.0 an hour (3 in 30.0 minutes)" in text
    assert text.index("office.wav: rain 2") < text.index("garden.wav: dog 1")
    assert "1 recordings of sounds that the model does not know left out" in text


def test_no_recordings_of_a_kind_are_no_division_by_zero() -> None:
    found = score(CASE[:1], LABELS)
    assert found["false_alarms"]["none"]["per_hour"] == 0.0
    assert "where nothing is expected" not in "\n".join(readable({"model": "m", "split": "x", **found}))


# The table


HEADER = "file,expected,also,seconds,split\n"


def test_the_table_is_read_split_by_split(tmp_path: Path) -> None:
    rows = "a.wav,wind,,3,test\nb.wav,none,dog cat,3,test\nc.wav,none,,3,train\n"
    (tmp_path / "expected.csv").write_text(HEADER + rows)
    assert read_recordings(tmp_path, "test") == [
        Recording(tmp_path / "a.wav", "wind", frozenset()),
        Recording(tmp_path / "b.wav", None, frozenset({"dog", "cat"})),
    ]
    assert [item.path.name for item in read_recordings(tmp_path, "train")] == ["c.wav"]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (None, r"holds no recordings: expected expected\.csv inside it"),
        ("file,expected,split\n", "lacks the column also"),
        ("", "lacks the column"),
        (HEADER + "a.wav,,,3,test\n", "line 2 lacks its file or what is expected"),
        (HEADER + "a.wav,none,,3,train\n", "has no recordings of the split test"),
    ],
)
def test_a_folder_that_cannot_be_judged(tmp_path: Path, table: str | None, message: str) -> None:
    if table is not None:
        (tmp_path / "expected.csv").write_text(table)
    with pytest.raises(DatasetError, match=message) as caught:
        read_recordings(tmp_path, "test")
    assert "\n" not in str(caught.value)


# Through the listener


def demo_sound(make: Callable[[Wave], Wave], seconds: float) -> FloatArray:
    """A sound of the demo, which the shipped model knows."""
    wave = make(np.arange(round(seconds * RATE_HZ)) / RATE_HZ)
    sound: FloatArray = (0.4 * wave / np.abs(wave).max()).astype(np.float32)
    return sound


def in_hush(sound: FloatArray) -> FloatArray:
    """Three seconds of faint noise before and after a sound."""
    around = noise(3.0, RATE_HZ, HUSH), noise(3.0, RATE_HZ, HUSH, seed=2)
    return np.concatenate([around[0], sound, around[1]])


def test_recordings_are_heard_by_the_listener(tmp_path: Path) -> None:
    for name, samples in (
        ("siren.wav", in_hush(demo_sound(siren, 6.0))),
        ("bells.wav", in_hush(demo_sound(church_bells, 6.0))),
        ("silence.wav", silence(8.0, RATE_HZ)),
    ):
        soundfile.write(tmp_path / name, samples, RATE_HZ)
    rows = (
        "siren.wav,siren,,12,test",
        "bells.wav,none,,12,test",
        "silence.wav,none,,8,test",
        "bells.wav,none,church_bells,12,x",
    )
    (tmp_path / "expected.csv").write_text(HEADER + "\n".join(rows) + "\n")
    table, lines = recordings.report(shipped_model(), tmp_path, "test")
    assert (table["model"], table["data"], table["split"]) == (shipped_model().name, "recordings", "test")
    assert (table["labelled"], table["right"]) == (1, 1)
    alarms = table["false_alarms"]["none"]
    assert "church_bells" in alarms["per_class_per_hour"]
    logged = list(listen(tmp_path / "bells.wav", shipped_model()))
    assert alarms["events"] == len(logged)
    assert alarms["per_hour"] == pytest.approx(len(logged) / (20.0 / 3600.0), rel=1e-3)
    assert table["recordings"][2]["events"] == 0
    assert any("bells.wav: church_bells" in line for line in lines)
    # What may really be there is no false alarm.
    allowed, _ = recordings.report(shipped_model(), tmp_path, "x")
    assert "church_bells" not in allowed["false_alarms"]["none"]["per_class_per_hour"]


# Clips in background


def test_shares_of_clips_counted_by_hand() -> None:
    found = clip_events.score(
        [
            HeardClip("dog", frozenset({"dog"})),
            HeardClip("dog", frozenset({"dog", "wind"})),
            HeardClip("rain", frozenset({"wind"})),
            HeardClip("rain", frozenset()),
        ]
    )
    assert (found["clips"], found["right"], found["wrong"], found["nothing"]) == (4, 0.5, 0.5, 0.25)
    assert found["per_class"] == {
        "dog": {"clips": 2, "right": 1.0, "wrongly_heard": 0},
        "rain": {"clips": 2, "right": 0.0, "wrongly_heard": 0},
    }


def test_a_clip_stands_unchanged_between_real_background() -> None:
    sound, recorded = noise(2.0, RATE_HZ, 0.3), noise(20.0, RATE_HZ, 0.01, seed=4)
    item = Background(Path("room.wav"), frozenset({"dog"}))
    stream, under = surrounded(sound, [(item, recorded)], RATE_HZ, np.random.default_rng(1))
    around = round(AROUND_S * RATE_HZ)
    assert under is item
    assert len(stream) == len(sound) + 2 * around
    assert same_bits([stream[around:-around]], [sound])
    start = int(np.flatnonzero(recorded == stream[0])[0])
    assert same_bits([stream[: around // 2]], [recorded[start : start + around // 2]])
    assert stream[-1] == recorded[start + 2 * around - 1]
    assert np.abs(stream[around - 20 : around]).max() < np.abs(recorded).max() / 5


@pytest.fixture
def room(tmp_path: Path) -> Path:
    """A folder with one background recording."""
    folder = tmp_path / "background"
    folder.mkdir()
    soundfile.write(folder / "room.wav", noise(20.0, RATE_HZ, HUSH), RATE_HZ)
    (folder / "expected.csv").write_text(HEADER + "room.wav,none,,20,train\n")
    return folder


def test_clips_are_heard_by_the_listener(tmp_path: Path, room: Path) -> None:
    clips = []
    for at, label in enumerate(["siren", "dog", "siren", "yodelling"]):
        path = tmp_path / f"{at}.wav"
        sound = silence(5.0, RATE_HZ) if at == 2 else demo_sound(siren, 5.0)
        soundfile.write(path, sound, RATE_HZ)
        clips.append(Clip(path, label, 1, path.name))
    (tmp_path / "broken.wav").write_text("this is no sound")
    clips.append(Clip(tmp_path / "broken.wav", "siren", 2, "broken"))
    table, lines = clip_events.report(shipped_model(), clips, room)
    # A siren, a siren that is called a dog, a siren that is silent; one unknown, one unreadable.
    assert (table["clips"], table["left_out"], table["folds"]) == (3, 2, [1, 2])
    assert table["right"] == pytest.approx(1 / 3, abs=1e-4)
    assert table["wrong"] == pytest.approx(1 / 3, abs=1e-4)
    assert table["nothing"] == pytest.approx(1 / 3, abs=1e-4)
    assert table["per_class"]["siren"]["wrongly_heard"] == 1
    assert "33.3 %" in lines[1]
    again, _ = clip_events.report(shipped_model(), clips, room)
    assert again == table


def test_what_the_background_may_contain_is_not_wrong(tmp_path: Path, room: Path) -> None:
    soundfile.write(room / "room.wav", np.tile(demo_sound(siren, 6.0), 4), RATE_HZ)
    path = tmp_path / "clip.wav"
    soundfile.write(path, demo_sound(siren, 4.0), RATE_HZ)
    clips = [Clip(path, "dog", 1, "clip")]
    every = " ".join(set(shipped_model().labels))
    found = {}
    for also in ("", every):
        (room / "expected.csv").write_text(HEADER + f"room.wav,none,{also},24,train\n")
        found[also], _ = clip_events.report(shipped_model(), clips, room)
    assert found[""]["wrong"] == 1.0
    assert found[every]["wrong"] == 0.0


def test_clips_without_background_or_without_a_known_label(tmp_path: Path, room: Path) -> None:
    clip = Clip(tmp_path / "x.wav", "yodelling", 1, "x")
    with pytest.raises(DatasetError, match="has no background in its split test"):
        clip_events.report(shipped_model(), [clip], room, split="test")
    with pytest.raises(DatasetError, match="no clips of a sound that the model esc50 knows"):
        clip_events.report(shipped_model(), [clip], room)


@pytest.mark.recordings
def test_real_recordings_and_clips(esc_data: Path) -> None:
    recordings = read_recordings(esc_data / "recordings", "test")
    assert sum(item.expected is not None for item in recordings) == 12
    assert all(item.path.is_file() for item in recordings)
    clips = [clip for clip in read_dataset("esc50", esc_data / "esc50") if clip.fold == 5][:20]
    table, _ = clip_events.report(shipped_model(), clips, esc_data / "recordings")
    assert table["clips"] == 20
    assert table["right"] > 0.4
    assert table["wrong"] < 0.4


def test_scaled_to_its_peak_a_clip_says_the_same_however_loud(tmp_path: Path) -> None:
    loud = sounds.siren(3.0)
    clips = []
    for name, gain in (("loud.wav", 1.0), ("soft.wav", 1e-4)):
        soundfile.write(tmp_path / name, gain * loud, RATE_HZ, subtype="FLOAT")
        clips.append(Clip(tmp_path / name, sounds.siren_label(), 1, name))
    first, second = score_clips(clips, shipped_model().path)
    assert first is not None
    assert second is not None
    assert not same_bits(first, second)
    first, second = score_clips(clips, shipped_model().path, scaled_to_peak=True)
    assert first is not None
    assert second is not None
    assert np.abs(first - second).max() < 0.02
    quiet = np.zeros(3, np.float32)
    assert to_peak(quiet) is quiet
