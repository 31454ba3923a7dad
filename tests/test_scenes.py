"""Scenes: what is written is true of the audio; their score against cases counted by hand."""

from __future__ import annotations

import argparse
import csv
import importlib.util
import itertools
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from conftest import skip_or_fail
from hypothesis import given
from hypothesis import strategies as st
from models import changed_model
from signals import chirp, noise, same_bits, silence, tone
from sounds import RATE_HZ as MODEL_RATE_HZ
from sounds import shipped_model, siren, siren_label

from streamer import Block, Listener, listen
from streamer.demo import church_bells, clock_alarm
from streamer.demo import siren as demo_siren
from streamer.model import load_model
from streamer.types import FloatArray
from trainer.commands import scenes as scenes_command
from trainer.datasets import Background, Clip, DatasetError, read_background, read_dataset
from trainer.judging.ear import BLOCK_S, Ear, HeardEvent
from trainer.judging.scenes import HeardScene, match, report, score, sed_eval
from trainer.soundscapes.scene_folder import NOTES, read_scenes, write_scenes
from trainer.soundscapes.scenes import (
    APART_S,
    EDGE_S,
    SEAM_S,
    KnownEvent,
    SceneSettings,
    continued,
    free_place,
    longest_activity,
)

RATE_HZ = 16_000
FRAME = 320
HUSH = 1e-3
"""Standard deviation of the noise that stands for background."""

needs_sed_eval = pytest.mark.usefixtures("sed_eval_is_there")


@pytest.fixture(scope="session")
def sed_eval_is_there() -> None:
    if not importlib.util.find_spec("sed_eval"):
        skip_or_fail("event scores need sed_eval: pip install 'esc-listen[train]'")


SOUNDS: dict[str, Callable[[float], FloatArray]] = {
    "beep": lambda seconds: tone(700.0, seconds, RATE_HZ, 0.4),
    "hiss": lambda seconds: noise(seconds, RATE_HZ, 0.1, seed=3),
    "sweep": lambda seconds: chirp(400.0, 3000.0, seconds, RATE_HZ, 0.02),
}


def write_clip(path: Path, label: str, seconds: float, fold: int = 1) -> Clip:
    """A sound that begins half a second after its file and ends a second before it."""
    around = silence(0.5, RATE_HZ), SOUNDS[label](seconds), silence(1.0, RATE_HZ)
    soundfile.write(path, np.concatenate(around), RATE_HZ)
    return Clip(path, label, fold, path.name)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Clip]:
    folder = tmp_path_factory.mktemp("clips")
    return [
        write_clip(folder / f"{label}-{at}.wav", label, 0.6 + 0.5 * at) for label in SOUNDS for at in range(3)
    ]


@pytest.fixture(scope="module")
def backgrounds(tmp_path_factory: pytest.TempPathFactory) -> list[Background]:
    """A long one in which a beep may occur, and one that is shorter than a scene."""
    folder = tmp_path_factory.mktemp("background")
    for name, seconds in (("long.wav", 40.0), ("short.wav", 7.0)):
        soundfile.write(folder / name, noise(seconds, RATE_HZ, HUSH, seed=5), RATE_HZ)
    return [
        Background(folder / "long.wav", frozenset({"beep", "bell"})),
        Background(folder / "short.wav", frozenset()),
    ]


def settings(**changes: Any) -> SceneSettings:
    return SceneSettings(
        **{"count": 3, "length_s": 20.0, "rate_hz": RATE_HZ, "events_per_minute": 15.0, "seed": 2} | changes
    )


def written(out: Path, clips: list[Clip], backgrounds: list[Background], **changes: Any) -> Path:
    write_scenes(out, clips, backgrounds, settings(**changes), "folder", "train")
    return out


# Making


def test_a_clip_is_cut_to_where_it_sounds() -> None:
    sound = noise(1.2, RATE_HZ, 0.1)
    hiss = noise(4.0, RATE_HZ, 1e-4, seed=9)
    hiss[RATE_HZ : RATE_HZ + len(sound)] += sound
    cut = longest_activity(hiss, RATE_HZ, len(hiss))
    assert len(cut) == pytest.approx(len(sound), abs=FRAME)
    middle = len(cut) // 2
    # It is a piece of the clip, and nothing was shifted.
    where = np.flatnonzero(hiss == cut[middle])[0] - middle
    assert where == pytest.approx(RATE_HZ, abs=FRAME)
    assert abs(cut[0]) < abs(hiss[where]) / 50
    assert len(longest_activity(hiss, RATE_HZ, 5_000)) == 5_000


@pytest.mark.parametrize(("pause_s", "seconds"), [(1.3, 2.5), (1.7, 0.7)])
def test_what_follows_a_long_pause_is_another_event(pause_s: float, seconds: float) -> None:
    short, long = noise(0.5, RATE_HZ), noise(0.7, RATE_HZ, seed=2)
    cut = longest_activity(np.concatenate([short, silence(pause_s, RATE_HZ), long]), RATE_HZ, 10 * RATE_HZ)
    assert len(cut) == pytest.approx(seconds * RATE_HZ, abs=FRAME)


def test_silence_gives_no_event() -> None:
    assert len(longest_activity(silence(1.0, RATE_HZ), RATE_HZ, RATE_HZ)) == 0
    assert len(longest_activity(silence(0.0, RATE_HZ), RATE_HZ, RATE_HZ)) == 0


@pytest.mark.parametrize("start_s", [0.0, 1.7, 2.95])
def test_a_short_background_goes_on_without_a_seam(start_s: float) -> None:
    # Its end does not fit its beginning: simply repeated, it would click.
    recorded = tone(100.3, 3.0, RATE_HZ, 0.5)
    start = round(start_s * RATE_HZ)
    long = continued(recorded, start, 10 * RATE_HZ, RATE_HZ)
    assert len(long) == 10 * RATE_HZ
    unmixed = max(0, round((3.0 - SEAM_S) * RATE_HZ) - start) if start_s else 0
    assert same_bits([long[:unmixed]], [recorded[start : start + unmixed]])
    click = np.abs(np.diff(np.tile(recorded, 2), 2)).max()
    assert np.abs(np.diff(long, 2)).max() < click / 20
    hiss = continued(noise(3.0, RATE_HZ), start, 10 * RATE_HZ, RATE_HZ)
    levels = np.std(hiss.reshape(-1, RATE_HZ // 10), axis=1)
    assert levels.min() > 0.8 * levels.max()


def test_a_long_background_is_taken_as_it_is() -> None:
    recorded = noise(3.0, RATE_HZ)
    part = continued(recorded, 500, RATE_HZ, RATE_HZ)
    assert same_bits([part], [recorded[500 : 500 + RATE_HZ]])
    part[:] = 0.0
    assert recorded.all()


def frames_db(samples: FloatArray) -> np.ndarray:
    """Level of each 20 ms."""
    frames = samples[: len(samples) // FRAME * FRAME].reshape(-1, FRAME)
    level: np.ndarray = 10 * np.log10(np.mean(frames.astype(float) ** 2, axis=1) + 1e-12)
    return level


def test_truth_is_where_the_audio_is_active(
    tmp_path: Path, clips: list[Clip], backgrounds: list[Background]
) -> None:
    folder = written(tmp_path / "scenes", clips, backgrounds, snr_db=(20.0, 30.0), overlap=1)
    _, scenes = read_scenes(folder)
    assert len(scenes) == 3
    for scene in scenes:
        samples, rate_hz = soundfile.read(scene.path, dtype="float32")
        assert (rate_hz, len(samples)) == (RATE_HZ, 20 * RATE_HZ)
        assert len(scene.events) >= 4
        level = frames_db(samples)
        loud = level > np.median(level[:50]) + 10.0
        truth = np.zeros(len(level), bool)
        for event in scene.events:
            truth[round(event.onset_s * RATE_HZ / FRAME) : round(event.offset_s * RATE_HZ / FRAME)] = True
        edges = np.abs(np.diff(truth.astype(int))).astype(bool)
        near_edge = np.convolve(np.pad(edges, (0, 1)), np.ones(5), "same") > 0
        assert truth.any()
        assert (loud == truth)[~near_edge].all()


def test_events_have_the_level_over_the_background_that_is_written(
    tmp_path: Path, clips: list[Clip], backgrounds: list[Background]
) -> None:
    folder = written(tmp_path / "scenes", clips, backgrounds, snr_db=(3.0, 25.0), overlap=1)
    _, scenes = read_scenes(folder)
    drawn = []
    for scene in scenes:
        samples, _ = soundfile.read(scene.path, dtype="float32")
        quiet = np.mean(np.square(samples[: round(EDGE_S * RATE_HZ)], dtype=float))
        for event in scene.events:
            inside = samples[round(event.onset_s * RATE_HZ) : round(event.offset_s * RATE_HZ)]
            power = np.mean(np.square(inside, dtype=float)) - quiet
            assert 10 * np.log10(power / quiet) == pytest.approx(event.snr_db, abs=0.7)
            drawn.append(event.snr_db)
    assert 3.0 <= min(drawn) < 10.0
    assert 18.0 < max(drawn) <= 25.0


def test_loud_events_do_not_clip_and_keep_their_level(
    tmp_path: Path, clips: list[Clip], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path / "loud.wav"
    soundfile.write(path, noise(25.0, RATE_HZ, 0.2), RATE_HZ)
    folder = written(tmp_path / "scenes", clips, [Background(path, frozenset())], snr_db=(15.0, 15.0))
    _, scenes = read_scenes(folder)
    for scene in scenes:
        samples, _ = soundfile.read(scene.path, dtype="float32")
        assert np.abs(samples).max() == pytest.approx(1.0, abs=1e-3)
        assert np.sum(np.abs(samples) > 0.999) <= 2


@given(
    limit=st.integers(1, 3),
    lengths=st.lists(st.integers(1, 40_000), min_size=1, max_size=12),
    seed=st.integers(0, 999),
)
def test_no_more_sounds_at_once_than_allowed(limit: int, lengths: list[int], seed: int) -> None:
    how, random = settings(overlap=limit, length_s=12.0), np.random.default_rng(seed)
    stream = 12 * RATE_HZ
    crowd = np.zeros(stream, int)
    taken: list[tuple[int, int, bool]] = []
    for length in lengths:
        at = free_place(length, stream, taken, how, random)
        if at is not None:
            taken.append((at, at + length, False))
            crowd[at : at + length] += 1
    assert crowd.max() <= limit
    assert not crowd[: round(EDGE_S * RATE_HZ)].any()
    assert not crowd[-round(EDGE_S * RATE_HZ) :].any()


def test_sounds_overlap_where_they_may() -> None:
    how, random = settings(overlap=2), np.random.default_rng(1)
    taken = [(2 * RATE_HZ, 18 * RATE_HZ, False)]
    assert free_place(10 * RATE_HZ, 20 * RATE_HZ, taken, how, random) is not None
    assert free_place(10 * RATE_HZ, 20 * RATE_HZ, taken, settings(overlap=1), random) is None
    assert free_place(17 * RATE_HZ, 20 * RATE_HZ, [], how, random) is None


def test_events_of_one_class_stay_apart(
    tmp_path: Path, clips: list[Clip], backgrounds: list[Background]
) -> None:
    folder = written(tmp_path / "scenes", clips, backgrounds, length_s=40.0, overlap=3)
    _, scenes = read_scenes(folder)
    for scene in scenes:
        for label in SOUNDS:
            events = [event for event in scene.events if event.label == label]
            assert all(
                later.onset_s - earlier.offset_s >= APART_S - 1e-3
                for earlier, later in itertools.pairwise(events)
            )


def test_a_class_that_the_background_may_contain_is_never_put_over_it(
    tmp_path: Path, clips: list[Clip], backgrounds: list[Background]
) -> None:
    folder = written(tmp_path / "scenes", clips, backgrounds, count=12, length_s=10.0)
    _, scenes = read_scenes(folder)
    used = {scene.notes.background for scene in scenes}
    assert used == {"long.wav", "short.wav"}
    for scene in scenes:
        labels = {event.label for event in scene.events}
        assert not labels & set(scene.notes.may_contain)
        assert set(scene.notes.may_contain) == (
            {"beep", "bell"} if "long" in scene.notes.background else set()
        )


def test_classes_and_clips_come_equally_often(tmp_path: Path, clips: list[Clip]) -> None:
    path = tmp_path / "quiet.wav"
    soundfile.write(path, noise(60.0, RATE_HZ, HUSH), RATE_HZ)
    folder = written(tmp_path / "scenes", clips, [Background(path, frozenset())], count=9, length_s=30.0)
    making, scenes = read_scenes(folder)
    assert making.no_place == 0
    labels = Counter(event.label for scene in scenes for event in scene.events)
    sources = Counter(event.source for scene in scenes for event in scene.events)
    assert labels.total() == 9 * 8
    assert max(labels.values()) - min(labels.values()) <= 1
    assert len(sources) == len(clips)
    assert max(sources.values()) - min(sources.values()) <= 1


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_equal_seeds_give_equal_bytes(
    tmp_path: Path, clips: list[Clip], backgrounds: list[Background]
) -> None:
    first, again, more, other = (
        contents(written(tmp_path / name, clips, backgrounds, **changes))
        for name, changes in (("a", {}), ("b", {}), ("c", {"count": 4}), ("d", {"seed": 3}))
    )
    assert first == again
    assert set(first) == {"scene-001.flac", "scene-002.flac", "scene-003.flac", "events.csv", "scenes.json"}
    # Asking for more leaves the first ones as they are.
    assert all(more[name] == first[name] for name in first if name.endswith(".flac"))
    assert all(other[name] != first[name] for name in first)


def test_the_notes_say_how_the_scenes_were_made(
    tmp_path: Path, clips: list[Clip], backgrounds: list[Background]
) -> None:
    making, scenes = read_scenes(written(tmp_path / "scenes", clips, backgrounds))
    assert making.settings == settings()
    assert (making.dataset, making.folds, making.background_split) == ("folder", (1,), "train")
    assert {"esc-listen", "numpy", "libsndfile"} <= set(making.versions)
    assert str(tmp_path) not in (tmp_path / "scenes" / NOTES).read_text()
    with (tmp_path / "scenes" / "events.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["file", "label", "onset", "offset", "snr_db", "source"]
    assert {row["source"] for row in rows} <= {clip.path.name for clip in clips}
    assert [event.label for scene in scenes for event in scene.events] == [row["label"] for row in rows]


def test_clips_that_give_nothing_are_left_out_and_named(
    tmp_path: Path, clips: list[Clip], backgrounds: list[Background]
) -> None:
    (tmp_path / "broken.wav").write_text("this is no sound")
    soundfile.write(tmp_path / "silent.wav", silence(1.0, RATE_HZ), RATE_HZ)
    useless = [
        Clip(tmp_path / name, label, 1, name)
        for name, label in (("broken.wav", "hiss"), ("silent.wav", "owl"))
    ]
    making, scenes = read_scenes(written(tmp_path / "scenes", clips + useless, backgrounds, count=9))
    assert sorted(making.left_out) == ["broken.wav", "silent.wav"]
    assert {event.label for scene in scenes for event in scene.events} == set(SOUNDS)
    with pytest.raises(DatasetError, match="no event could be placed"):
        written(tmp_path / "nothing", useless, backgrounds)


def test_a_folder_that_holds_something_is_left_alone(
    tmp_path: Path, clips: list[Clip], backgrounds: list[Background]
) -> None:
    (tmp_path / "diary.txt").write_text("dear diary")
    with pytest.raises(DatasetError, match="is not empty; name a new folder"):
        written(tmp_path, clips, backgrounds)
    assert [path.name for path in tmp_path.iterdir()] == ["diary.txt"]


def test_a_killed_run_does_not_look_finished(
    tmp_path: Path, clips: list[Clip], backgrounds: list[Background], monkeypatch: pytest.MonkeyPatch
) -> None:
    write = soundfile.write

    def killed_at_the_third(path: Path, *arguments: Any, **more: Any) -> None:
        if path.name == "scene-003.flac":
            raise KeyboardInterrupt
        write(path, *arguments, **more)

    monkeypatch.setattr(soundfile, "write", killed_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        written(tmp_path / "scenes", clips, backgrounds)
    assert (tmp_path / "scenes" / "scene-002.flac").exists()
    with pytest.raises(
        DatasetError, match=r"holds unfinished scenes: .*make them anew with esc-train scenes"
    ):
        read_scenes(tmp_path / "scenes")


def test_folders_that_are_no_scenes(tmp_path: Path, clips: list[Clip], backgrounds: list[Background]) -> None:
    with pytest.raises(DatasetError, match="holds no scenes"):
        read_scenes(tmp_path)
    folder = written(tmp_path / "scenes", clips, backgrounds)
    events = (folder / "events.csv").read_text()
    for spoilt in (events.rsplit("\n", 2)[0] + "\n", events.replace("onset", "begin"), "", events + "x,y\n"):
        (folder / "events.csv").write_text(spoilt)
        with pytest.raises(DatasetError, match="does not hold what esc-train scenes wrote") as caught:
            read_scenes(folder)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"count": 0}, "count"),
        ({"length_s": 4.0}, "length: 4 s is too short"),
        ({"length_s": float("nan")}, "length"),
        ({"snr_db": (20.0, 0.0)}, "lower value first"),
        ({"snr_db": (0.0, 90.0)}, "between -60 and 60 dB"),
        ({"events_per_minute": -1.0}, "density"),
        ({"overlap": 0}, "overlap"),
        ({"rate_hz": 0}, "rate"),
        ({"seed": -1}, "seed"),
    ],
)
def test_settings_that_make_no_sense(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        settings(**changes)


# The command


def esc_train(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    scenes_command.add(parser.add_subparsers())
    options = parser.parse_args(["scenes", *arguments])
    status: int = options.run(options)
    return status


@pytest.fixture
def places(tmp_path: Path) -> list[str]:
    """Options with a dataset of one's own and a background."""
    for label in SOUNDS:
        folder = tmp_path / "data" / "sounds" / label
        folder.mkdir(parents=True)
        for at in range(2):
            write_clip(folder / f"{at}.wav", label, 0.8 + at)
    (tmp_path / "background").mkdir()
    soundfile.write(tmp_path / "background" / "room.wav", noise(15.0, RATE_HZ, HUSH), RATE_HZ)
    (tmp_path / "background" / "expected.csv").write_text(
        "file,expected,also,split\nroom.wav,none,hiss,train\n"
    )
    return [
        f"--data=folder={tmp_path / 'data'}",
        f"--background={tmp_path / 'background'}",
        f"--out={tmp_path / 'out'}",
    ]


def test_the_command_makes_what_was_asked_for(
    tmp_path: Path, places: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    folds = sorted({clip.fold for clip in read_dataset("folder", tmp_path / "data")})
    more = [
        "--count=2",
        "--length=12",
        "--snr=-6,6",
        "--density=10",
        "--overlap=1",
        "--rate=8000",
        "--seed=7",
    ]
    assert esc_train(*places, f"--folds={folds[0]}", *more) == 0
    making, scenes = read_scenes(tmp_path / "out")
    assert making.settings == SceneSettings(2, 12.0, (-6.0, 6.0), 10.0, 1, 8_000, 7)
    assert making.folds == (folds[0],)
    output = capsys.readouterr().out
    assert (
        f"2 scenes of 12 s, {sum(len(scene.events) for scene in scenes)} events of fold {folds[0]}" in output
    )
    assert f"{making.no_place} events found no place" in output
    used = {event.label for scene in scenes for event in scene.events}
    assert used
    assert "hiss" not in used


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("--folds=99", "no clips of fold 99"),
        ("--split=test", "no background in its split test"),
        ("--snr=loud", "--snr loud: write the lowest and the highest value"),
        ("--snr=1,2,3", "--snr 1,2,3"),
    ],
)
def test_what_the_command_refuses(tmp_path: Path, places: list[str], change: str, message: str) -> None:
    folds = ",".join(str(clip.fold) for clip in read_dataset("folder", tmp_path / "data")[:1])
    with pytest.raises(DatasetError, match=message):
        esc_train(*places, f"--folds={folds}", change)
    assert not (tmp_path / "out").exists()


# Events and when they were announced


@pytest.fixture(scope="module")
def ear() -> Ear:
    return Ear(shipped_model())


def with_siren(before_s: float, seconds: float, after_s: float) -> FloatArray:
    """A siren in a faint hiss."""
    hush = noise(before_s + seconds + after_s, MODEL_RATE_HZ, HUSH / 2)
    start = round(before_s * MODEL_RATE_HZ)
    sound = demo_siren(np.arange(round(seconds * MODEL_RATE_HZ)) / MODEL_RATE_HZ)
    hush[start : start + len(sound)] += (0.4 * sound / np.abs(sound).max()).astype(np.float32)
    return hush


def test_events_are_those_of_the_listener(tmp_path: Path, ear: Ear) -> None:
    soundfile.write(tmp_path / "siren.wav", with_siren(3.0, 6.0, 4.0), MODEL_RATE_HZ, subtype="FLOAT")
    heard = ear.hear(ear.read(tmp_path / "siren.wav"))
    logged = list(listen(tmp_path / "siren.wav", ear.model))
    assert logged
    assert [(e.label, e.start_s, e.end_s, e.confidence) for e in heard] == [
        (e.label, e.start_s, e.end_s, e.confidence) for e in logged
    ]
    # The next recording begins afresh.
    assert ear.hear(ear.read(tmp_path / "siren.wav")) == heard


def first_seen(ear: Ear, samples: FloatArray) -> dict[str, float]:
    """When each label was first among the open sounds of a listener that gets a block at a time."""
    listener, size = Listener(ear.model), round(BLOCK_S * ear.rate_hz)
    seen: dict[str, float] = {}
    for at in range(0, len(samples), size):
        listener.push(Block(at, samples[at : at + size]))
        for sound in listener.open_sounds:
            seen.setdefault(sound.label, min(at + size, len(samples)) / ear.rate_hz)
    return seen


def test_an_event_is_announced_when_the_listener_first_shows_it(ear: Ear) -> None:
    samples = with_siren(3.0, 6.0, 4.0)
    heard = ear.hear(samples)
    assert heard
    assert {event.label: event.announced_s for event in heard} == first_seen(ear, samples)
    for event in heard:
        assert event.start_s < event.announced_s < event.logged_s
        assert event.end_s < event.logged_s


def test_a_minimum_duration_delays_the_announcement(tmp_path: Path, ear: Ear) -> None:
    def patient(manifest: dict[str, Any]) -> None:
        for rule in manifest["classes"]:
            rule["min_duration_s"] = 1.0

    slow = Ear(load_model(changed_model(tmp_path / "slow.tflite", patient)))
    samples = with_siren(3.0, 6.0, 4.0)
    quick = {event.label: event for event in ear.hear(samples)}
    late = {event.label: event for event in slow.hear(samples)}
    assert late
    for label, event in late.items():
        assert event.announced_s - quick[label].announced_s == pytest.approx(1.0, abs=BLOCK_S)
        assert event.start_s == quick[label].start_s


def test_pieces_of_an_endless_sound_are_announced_one_after_the_other(ear: Ear) -> None:
    pieces = [event for event in ear.hear(with_siren(2.0, 65.0, 3.0)) if event.duration_s > 1.0]
    first, second = (event for event in pieces if event.label == pieces[0].label)
    assert first.duration_s == pytest.approx(60.0)
    assert first.announced_s < 10.0
    assert second.announced_s == first.logged_s
    assert second.start_s == first.end_s


def test_a_sound_that_lasts_to_the_end_is_logged_there(ear: Ear) -> None:
    samples = with_siren(2.0, 5.0, 0.0)
    (event,) = ear.hear(samples)
    assert event.logged_s == len(samples) / ear.rate_hz
    assert event.announced_s < event.logged_s


# Scores


def known(label: str, onset_s: float, offset_s: float) -> KnownEvent:
    return KnownEvent(label, onset_s, offset_s, 10.0, "x.wav")


def heard(label: str, start_s: float, end_s: float, announced_s: float | None = None) -> HeardEvent:
    announced = start_s + 1.0 if announced_s is None else announced_s
    return HeardEvent(label, start_s, end_s, announced, end_s + 2.0, 0.9)


def scene(truth: list[KnownEvent], events: list[HeardEvent], seconds: float = 60.0) -> HeardScene:
    return HeardScene(seconds, tuple(truth), tuple(events))


def test_latency_and_onset_error_are_from_the_true_onset() -> None:
    matching = match(
        scene(
            [known("dog", 10.0, 12.0), known("cat", 11.0, 15.0)],
            [heard("dog", 10.3, 12.5, announced_s=11.5), heard("cat", 10.8, 14.0, announced_s=13.0)],
        )
    )
    dog, cat = matching.detections
    assert [dog.latency_s, cat.latency_s] == pytest.approx([1.5, 2.0])
    assert [dog.logged_latency_s, cat.logged_latency_s] == pytest.approx([4.5, 5.0])
    assert [dog.onset_error_s, cat.onset_error_s] == pytest.approx([0.3, -0.2])
    assert not matching.missed + matching.merged
    assert not matching.false_alarms


@pytest.mark.parametrize(
    ("label", "start_s", "end_s"), [("cat", 10.0, 12.0), ("dog", 13.0, 14.0), ("dog", 7, 9)]
)
def test_what_overlaps_no_event_of_its_label_is_a_false_alarm(
    label: str, start_s: float, end_s: float
) -> None:
    matching = match(scene([known("dog", 10.0, 12.0)], [heard(label, start_s, end_s)]))
    assert [event.label for event in matching.false_alarms] == [label]
    assert [event.label for event in matching.missed] == ["dog"]
    assert not matching.detections


def test_a_short_sound_that_is_logged_a_moment_late_was_heard() -> None:
    matching = match(scene([known("dog", 10.0, 10.2)], [heard("dog", 10.5, 10.9)]))
    assert not matching.false_alarms
    assert not matching.missed
    assert matching.detections[0].onset_error_s == pytest.approx(0.5)


def test_one_event_over_two_true_ones_is_timed_once() -> None:
    matching = match(scene([known("dog", 10.0, 11.0), known("dog", 14.0, 15.0)], [heard("dog", 10.0, 15.0)]))
    assert len(matching.detections) == len(matching.merged) == 1
    assert not matching.missed
    assert not matching.false_alarms


def test_the_first_of_several_announcements_counts() -> None:
    events = [heard("dog", 12.0, 13.0, 14.0), heard("dog", 10.1, 11.0, 11.2)]
    (found,) = match(scene([known("dog", 10.0, 14.0)], events)).detections
    assert found.latency_s == pytest.approx(1.2)


def test_what_was_announced_before_it_began_has_no_latency() -> None:
    (found,) = match(scene([known("dog", 10.0, 14.0)], [heard("dog", 8.0, 12.0, 9.0)])).detections
    assert found.latency_s is None
    assert found.onset_error_s == pytest.approx(-2.0)


LABELS = ("dog", "cat", "cow", "owl")
CASE = [
    scene(
        [
            known("dog", 10.0, 14.0),
            known("dog", 30.0, 31.0),
            known("cat", 20.0, 22.0),
            known("cow", 40.0, 44.0),
        ],
        [
            heard("dog", 10.4, 12.1, 11.0),  # right: 1.9 s early at its end, of 4 s
            heard("dog", 30.6, 31.0, 32.0),  # heard, but 0.6 s late
            heard("cat", 20.2, 23.4, 21.5),  # heard, but its end is 1.4 s late, of 2 s
            heard("owl", 50.0, 51.0),  # nothing there
        ],
    ),
    scene([known("cat", 5.0, 6.0)], [heard("cat", 4.9, 5.6, 6.5), heard("owl", 5.0, 6.0)]),
]
"""5 events: dog 1 right of 2 of 2, cat 1 of 2 of 2, cow 0 of 1 of 0, owl reported twice."""


@needs_sed_eval
def test_event_scores_of_a_case_counted_by_hand() -> None:
    found = score(CASE, LABELS)
    # Micro: 2 right of 5 true and 6 reported ones. Macro: dog 1/2, cat 1/2, cow 0; owl is in no truth.
    assert found["event_based"]["micro_f1"] == pytest.approx(2 * 2 / (5 + 6), abs=1e-4)
    assert found["event_based"]["micro_precision"] == pytest.approx(2 / 6, abs=1e-4)
    assert found["event_based"]["micro_recall"] == pytest.approx(2 / 5, abs=1e-4)
    assert found["event_based"]["macro_f1"] == pytest.approx((0.5 + 0.5 + 0.0) / 3, abs=1e-4)
    assert {label: row["event_f1"] for label, row in found["per_class"].items()} == {
        "dog": 0.5,
        "cat": 0.5,
        "cow": 0.0,
        "owl": None,
    }


@needs_sed_eval
def test_segment_scores_of_a_case_counted_by_hand() -> None:
    found = score(CASE, LABELS)
    # Seconds with a true sound, with a reported one, and with both:
    # dog 4+1, 3+1 (10.4 to 12.1 touches 10, 11, 12), 3+1; cat 2+1, 4+2 (20.2 to 23.4; 4.9 to 5.6), 2+1;
    # cow 4, 0, 0; owl 0, 1+1, 0.
    dog, cat = 2 * 4 / (5 + 4), 2 * 3 / (3 + 6)
    assert found["per_class"]["dog"]["segment_f1"] == pytest.approx(dog, abs=1e-4)
    assert found["per_class"]["cat"]["segment_f1"] == pytest.approx(cat, abs=1e-4)
    assert found["segment_based"]["macro_f1"] == pytest.approx((dog + cat) / 3, abs=1e-4)
    assert found["segment_based"]["micro_f1"] == pytest.approx(2 * 7 / (12 + 12), abs=1e-4)


@needs_sed_eval
def test_times_misses_and_alarms_of_a_case_counted_by_hand() -> None:
    found = score(CASE, LABELS)
    assert (found["scenes"], found["events"], found["missed"], found["merged"]) == (2, 5, 1, 0)
    assert found["latency_s"]["events"] == 4
    assert found["latency_s"]["median"] == pytest.approx(1.5)  # 1.0, 2.0, 1.5, 1.5
    assert found["onset_error_s"]["median"] == pytest.approx(0.3)  # 0.4, 0.6, 0.2, -0.1
    assert found["false_alarms"] == 2
    assert found["false_alarms_per_hour"] == pytest.approx(60.0)
    owl, cow = found["per_class"]["owl"], found["per_class"]["cow"]
    assert (owl["events"], owl["false_alarms"], owl["false_alarms_per_hour"]) == (0, 2, 60.0)
    assert (cow["events"], cow["missed"], cow["latency_s"]) == (1, 1, None)


@needs_sed_eval
def test_silence_is_not_rewarded() -> None:
    """The library leaves a class of which nothing was reported out of its mean; here it counts."""
    found = score([scene([known("dog", 1.0, 2.0), known("cat", 5.0, 6.0)], [heard("dog", 1.0, 2.0)])], LABELS)
    assert found["event_based"]["macro_f1"] == 0.5
    assert found["segment_based"]["macro_f1"] == 0.5
    nothing = score([scene([known("dog", 1.0, 2.0)], [])], LABELS)
    assert nothing["event_based"]["macro_f1"] == nothing["event_based"]["micro_f1"] == 0.0
    assert nothing["missed"] == 1


@needs_sed_eval
def test_scores_are_the_librarys() -> None:
    random = np.random.default_rng(5)
    scenes = []
    for _ in range(4):
        truth = [known(LABELS[at % 4], t, t + random.uniform(1, 4)) for at, t in enumerate(range(2, 50, 6))]
        shifts = random.uniform(-0.8, 0.8, (len(truth), 2))
        events = [
            heard(e.label, e.onset_s + a, e.offset_s + b) for e, (a, b) in zip(truth, shifts, strict=True)
        ]
        scenes.append(scene(truth, events[1:]))
    found = score(scenes, LABELS)
    library = sed_eval().sound_event
    events_metric = library.EventBasedMetrics(list(LABELS), t_collar=0.5, percentage_of_length=0.5)
    segments_metric = library.SegmentBasedMetrics(list(LABELS), time_resolution=1.0)
    for item in scenes:
        truth_rows = [{"event_label": e.label, "onset": e.onset_s, "offset": e.offset_s} for e in item.truth]
        heard_rows = [{"event_label": e.label, "onset": e.start_s, "offset": e.end_s} for e in item.heard]
        events_metric.evaluate(truth_rows, heard_rows)
        segments_metric.evaluate(truth_rows, heard_rows, evaluated_length_seconds=60.0)
    for name, metric in (("event_based", events_metric), ("segment_based", segments_metric)):
        overall = metric.results_overall_metrics()["f_measure"]
        mean = metric.results_class_wise_average_metrics()["f_measure"]
        assert 0.2 < overall["f_measure"] < 0.98
        assert found[name]["micro_f1"] == pytest.approx(overall["f_measure"], abs=1e-4)
        assert found[name]["macro_f1"] == pytest.approx(mean["f_measure"], abs=1e-4)


# The whole judge


@pytest.fixture(scope="module")
def demo_scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scenes of sounds that the shipped model knows, as the demo synthesises them."""
    folder = tmp_path_factory.mktemp("demo")
    t = np.arange(4 * MODEL_RATE_HZ) / MODEL_RATE_HZ
    clips = []
    for make in (demo_siren, church_bells, clock_alarm):
        wave = make(t)
        path = folder / f"{make.__name__}.wav"
        soundfile.write(path, 0.5 * wave / np.abs(wave).max(), MODEL_RATE_HZ)
        clips.append(Clip(path, make.__name__, 1, path.name))
    soundfile.write(folder / "hush.wav", noise(60.0, MODEL_RATE_HZ, HUSH), MODEL_RATE_HZ)
    return written(
        folder / "scenes",
        clips,
        [Background(folder / "hush.wav", frozenset())],
        count=2,
        length_s=40.0,
        rate_hz=MODEL_RATE_HZ,
        snr_db=(25.0, 35.0),
        events_per_minute=6.0,
        overlap=1,
    )


@needs_sed_eval
def test_the_judge_hears_scenes_through_the_listener(demo_scenes: Path) -> None:
    model = shipped_model()
    table, lines = report(model, demo_scenes)
    assert (table["model"], table["data"], table["dataset"]) == (model.name, "scenes", "folder")
    assert (table["scenes"], table["events"], table["folds"]) == (2, 8, [1])
    assert table["missed"] <= 2
    assert table["event_based"]["micro_recall"] >= 0.5
    assert table["segment_based"]["micro_f1"] > 0.6
    assert 0.3 < table["latency_s"]["median"] < 4.0
    assert abs(table["onset_error_s"]["median"]) < 0.5
    assert set(table["per_class"]) >= {"siren", "church_bells", "clock_alarm"}
    assert any(f"macro-F1 {table['event_based']['macro_f1']:.3f}" in line for line in lines)
    _, scenes = read_scenes(demo_scenes)
    logged = sum(len(list(listen(item.path, model))) for item in scenes)
    matched = table["onset_error_s"]["events"]
    assert matched + table["false_alarms"] <= logged


@needs_sed_eval
def test_what_the_background_may_contain_counts_for_nothing(tmp_path: Path) -> None:
    """A siren in the background: a false alarm, unless it may be there."""
    label = siren_label()
    sound = np.concatenate([siren(20.0), noise(5.0, MODEL_RATE_HZ, HUSH)])
    soundfile.write(tmp_path / "siren.wav", 0.5 * sound, MODEL_RATE_HZ)
    hiss = Clip(tmp_path / "hiss.wav", "clapping", 1, "hiss")
    soundfile.write(hiss.path, noise(1.0, MODEL_RATE_HZ), MODEL_RATE_HZ)
    alarms = {}
    for name, may_contain in (
        ("no", frozenset[str]()),
        ("yes", frozenset(shipped_model().labels) - {"clapping"}),
    ):
        background = Background(tmp_path / "siren.wav", may_contain)
        folder = written(
            tmp_path / name,
            [hiss],
            [background],
            count=1,
            length_s=20.0,
            rate_hz=MODEL_RATE_HZ,
            snr_db=(0.0, 0.0),
        )
        table, _ = report(shipped_model(), folder)
        alarms[name] = {row: found["false_alarms"] for row, found in table["per_class"].items()}
    assert sum(alarms["no"].values()) >= 1, f"nothing is heard in the {label} any more: choose another sound"
    assert set(alarms["yes"]) <= {"clapping"}


@needs_sed_eval
def test_sounds_that_the_model_does_not_know_are_left_out(
    tmp_path: Path, clips: list[Clip], backgrounds: list[Background]
) -> None:
    folder = written(tmp_path / "scenes", clips, backgrounds, count=1)
    with pytest.raises(DatasetError, match="holds no sound that the model esc50 knows"):
        report(shipped_model(), folder)
    mixed = [Clip(clip.path, {"hiss": "rain"}.get(clip.label, clip.label), 1, "x") for clip in clips]
    table, lines = report(shipped_model(), written(tmp_path / "mixed", mixed, backgrounds, count=1))
    assert table["left_out"] == 5 - table["events"] > 0
    assert "left out" in lines[-1]


def test_an_unfinished_folder_is_not_judged(demo_scenes: Path, tmp_path: Path) -> None:
    folder = tmp_path / "scenes"
    shutil.copytree(demo_scenes, folder)
    (folder / NOTES).unlink()
    with pytest.raises(DatasetError, match="unfinished"):
        report(shipped_model(), folder)


@pytest.mark.recordings
def test_the_truth_of_real_clips_over_real_background(tmp_path: Path, esc_data: Path) -> None:
    """Less its background, a scene is digital silence but for the events, each from its onset on."""
    clips = [clip for clip in read_dataset("esc50", esc_data / "esc50") if clip.fold == 5]
    (background, *_) = list(read_background(esc_data / "recordings", "train"))
    folder = written(tmp_path / "scenes", clips, [background], count=1, length_s=60.0, rate_hz=MODEL_RATE_HZ)
    _, (item,) = read_scenes(folder)
    samples = Ear(shipped_model()).read(item.path)
    recorded = Ear(shipped_model()).read(background.path)
    start = round(item.notes.background_start_s * MODEL_RATE_HZ)
    under = continued(recorded, start, len(samples), MODEL_RATE_HZ)
    edge = round(EDGE_S * MODEL_RATE_HZ)
    turned_down = np.dot(samples[:edge], under[:edge]) / np.dot(under[:edge], under[:edge])
    events = np.abs(samples - turned_down * under)
    truth = np.zeros(len(samples), bool)
    for event in item.events:
        first, last = round(event.onset_s * MODEL_RATE_HZ), round(event.offset_s * MODEL_RATE_HZ)
        truth[max(0, first - 3) : last + 3] = True
        begin = events[first : first + round(0.06 * MODEL_RATE_HZ)]
        assert begin.max() > 1e-3 * events[first:last].max()
    assert len(item.events) > 10
    assert events[~truth].max() < 3e-4
