"""Datasets: official layouts in any format, folders of one's own sounds, and splits that do not leak."""

from __future__ import annotations

import csv
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.datasets import (
    Background,
    Clip,
    DatasetError,
    background_of_folds,
    read_background,
    read_dataset,
    split,
)
from trainer.datasets.folder import deal
from trainer.datasets.folder_files import snake_case

ESC50_COLUMNS = ("filename", "fold", "target", "category", "esc10", "src_file", "take")
ESC50_ROWS = (
    ("1-100-A-0.wav", "1", "0", "dog", "True", "100", "A"),
    ("1-101-A-1.wav", "1", "1", "rooster", "True", "101", "A"),
    ("2-200-A-2.wav", "2", "2", "pig", "False", "200", "A"),
    ("2-200-B-2.wav", "2", "2", "pig", "False", "200", "B"),
)
URBANSOUND8K_COLUMNS = ("slice_file_name", "fsID", "start", "end", "salience", "fold", "classID", "class")
URBANSOUND8K_ROWS = (
    ("100-3-0-0.wav", "100", "0.0", "4.0", "1", "1", "3", "dog_bark"),
    ("500-5-0-0.wav", "500", "0.0", "4.0", "1", "2", "5", "engine_idling"),
    ("600-8-0-0.wav", "600", "0.0", "4.0", "2", "10", "8", "siren"),
)


def write(path: Path, content: str = "") -> Path:
    """A file, and the folders above it. What it holds is of no importance where nothing is heard."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content or path.name)
    return path


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([columns, *rows])


@pytest.fixture
def esc50(tmp_path: Path) -> Path:
    """Four clips in ESC-50's layout."""
    folder = tmp_path / "ESC-50"
    write_table(folder / "meta" / "esc50.csv", ESC50_COLUMNS, ESC50_ROWS)
    for row in ESC50_ROWS:
        write(folder / "audio" / row[0])
    return folder


@pytest.fixture
def urbansound8k(tmp_path: Path) -> Path:
    """Three clips in UrbanSound8K's layout."""
    folder = tmp_path / "UrbanSound8K"
    write_table(folder / "metadata" / "UrbanSound8K.csv", URBANSOUND8K_COLUMNS, URBANSOUND8K_ROWS)
    for row in URBANSOUND8K_ROWS:
        write(folder / "audio" / f"fold{row[5]}" / row[0])
    return folder


def refusal(name: str, folder: Path) -> str:
    """The line with which a dataset is refused."""
    with pytest.raises(DatasetError) as caught:
        read_dataset(name, folder)
    line = str(caught.value)
    assert "\n" not in line
    return line


# Official layouts


def test_esc50(esc50: Path) -> None:
    clips = read_dataset("esc50", esc50)
    assert clips[0] == Clip(esc50 / "audio" / "1-100-A-0.wav", "dog", 1, "freesound:100")
    assert [clip.label for clip in clips] == ["dog", "rooster", "pig", "pig"]
    assert [clip.fold for clip in clips] == [1, 1, 2, 2]
    assert clips[2].recording == clips[3].recording


def test_esc10_is_the_marked_part_of_esc50(esc50: Path) -> None:
    assert read_dataset("esc10", esc50) == read_dataset("esc50", esc50)[:2]


def test_urbansound8k_in_the_words_of_the_project(urbansound8k: Path) -> None:
    clips = read_dataset("urbansound8k", urbansound8k)
    assert [(clip.label, clip.fold, clip.recording) for clip in clips] == [
        ("dog", 1, "freesound:100"),
        ("engine", 2, "freesound:500"),
        ("siren", 10, "freesound:600"),
    ]
    assert clips[2].path == urbansound8k / "audio" / "fold10" / "600-8-0-0.wav"


@pytest.mark.parametrize("suffix", [".wav", ".WAV", ".ogg", ".flac", ".FLAC"])
def test_files_may_have_any_format(esc50: Path, suffix: str) -> None:
    for path in list((esc50 / "audio").iterdir()):
        path.rename(path.with_suffix(suffix))
    # What macOS leaves beside a file is none.
    write(esc50 / "audio" / "._1-100-A-0.wav")
    clips = read_dataset("esc50", esc50)
    assert [clip.path.suffix for clip in clips] == [suffix] * 4
    assert all(clip.path.is_file() for clip in clips)


def test_the_file_in_the_table_comes_before_its_twin_in_another_format(esc50: Path) -> None:
    write(esc50 / "audio" / "1-100-A-0.flac")
    assert read_dataset("esc50", esc50)[0].path.suffix == ".wav"


def test_a_missing_file_is_kept_to_be_counted_when_it_is_read(esc50: Path) -> None:
    (esc50 / "audio" / "1-100-A-0.wav").unlink()
    clips = read_dataset("esc50", esc50)
    assert [clip.path.is_file() for clip in clips] == [False, True, True, True]
    assert clips[0].path == esc50 / "audio" / "1-100-A-0.wav"


def test_a_folder_without_any_of_its_files(esc50: Path, urbansound8k: Path) -> None:
    for path in (esc50 / "audio").iterdir():
        path.rename(path.with_name(f"copy-of-{path.name}"))
    line = refusal("esc50", esc50)
    assert f"{esc50} holds none of the 4 sound files" in line
    assert "expected audio/1-100-A-0.wav" in line
    assert "found copy-of-1-100-A-0.wav" in line
    (urbansound8k / "audio").rename(urbansound8k / "sounds")
    assert "no such folder there" in refusal("urbansound8k", urbansound8k)


@pytest.mark.parametrize("name", ["esc50", "esc10", "urbansound8k", "folder"])
def test_another_layout(tmp_path: Path, name: str) -> None:
    for at in range(7):
        write(tmp_path / f"thing-{at}.txt")
    line = refusal(name, tmp_path)
    assert str(tmp_path) in line
    assert "expected" in line
    assert line.endswith("found thing-0.txt, thing-1.txt, thing-2.txt, thing-3.txt and 3 more")
    assert refusal(name, tmp_path / "nothing").endswith("there is no such folder")


def test_an_empty_folder(tmp_path: Path) -> None:
    assert refusal("esc50", tmp_path).endswith("found nothing")


@pytest.mark.parametrize("inside", [".", "ESC-50/audio", "ESC-50/meta"])
def test_the_right_folder_is_named_when_it_is_near(esc50: Path, inside: str) -> None:
    assert refusal("esc50", esc50.parent / inside).endswith(f"; did you mean {esc50}?")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("file,class\na.wav,dog\n", "line 2 has no filename"),
        ("filename,fold,category\na.wav,1,dog\n", "line 2 has no src_file"),
        ("filename,fold,category,src_file\na.wav,1,dog,1\nb.wav,1\n", "line 3 has no category"),
        ("filename,fold,category,src_file\na.wav,x,dog,1\n", "line 2: fold is 'x', not a number"),
        ("filename;fold;category;src_file\na.wav;1;dog;1\n", "line 2 has no filename"),
        (b"filename,fold,category,src_file\na.wav,1,d\xffg,1\n", "can't decode"),
    ],
)
def test_a_table_that_is_another(esc50: Path, table: str | bytes, message: str) -> None:
    path = esc50 / "meta" / "esc50.csv"
    path.write_bytes(table if isinstance(table, bytes) else table.encode())
    line = refusal("esc50", esc50)
    assert line.startswith(f"{path} is not ESC-50's list of clips: ")
    assert message in line


def test_esc10_needs_its_mark(esc50: Path) -> None:
    write(esc50 / "meta" / "esc50.csv", "filename,fold,category,src_file\n1-100-A-0.wav,1,dog,1\n")
    assert len(read_dataset("esc50", esc50)) == 1
    assert "line 2 has no esc10" in refusal("esc10", esc50)


def test_a_table_that_a_spreadsheet_saved(esc50: Path) -> None:
    path = esc50 / "meta" / "esc50.csv"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(read_dataset("esc50", esc50)) == 4


def test_a_table_without_clips(esc50: Path) -> None:
    write_table(esc50 / "meta" / "esc50.csv", ESC50_COLUMNS, [])
    assert refusal("esc50", esc50) == f"{esc50} lists no clips"


# One's own sounds


def test_a_folder_of_sounds(tmp_path: Path) -> None:
    for name in ("Door Bell/front.wav", "Door Bell/back.OGG", "kettle/a.flac", "kettle/b.WAV"):
        write(tmp_path / "sounds" / name)
    for name in (".trash/x.wav", "kettle/._a.flac", "kettle/.old/c.wav", "kettle/notes.txt", "readme.md"):
        write(tmp_path / "sounds" / name)
    clips = read_dataset("folder", tmp_path)
    assert [(clip.path.relative_to(tmp_path / "sounds").as_posix(), clip.label) for clip in clips] == [
        ("Door Bell/back.OGG", "door_bell"),
        ("Door Bell/front.wav", "door_bell"),
        ("kettle/a.flac", "kettle"),
        ("kettle/b.WAV", "kettle"),
    ]
    assert len({clip.recording for clip in clips}) == 4
    assert {clip.fold for clip in clips} <= {1, 2, 3, 4, 5}


def test_files_of_a_sub_folder_are_one_recording(tmp_path: Path) -> None:
    for name in ("dog/monday/1.wav", "dog/monday/2.wav", "dog/tuesday.wav", "cat/monday/1.wav", "cat/2.wav"):
        write(tmp_path / "sounds" / name, content=name)
    clips = {
        clip.path.relative_to(tmp_path / "sounds").as_posix(): clip
        for clip in read_dataset("folder", tmp_path)
    }
    monday = clips["dog/monday/1.wav"]
    # One recording may hold several sounds.
    for name in ("dog/monday/2.wav", "cat/monday/1.wav"):
        assert (clips[name].recording, clips[name].fold) == (monday.recording, monday.fold)
    assert len({clip.recording for clip in clips.values()}) == 3
    assert clips["dog/tuesday.wav"].fold != monday.fold
    assert clips["cat/2.wav"].fold != monday.fold


def test_copies_are_one_recording(tmp_path: Path) -> None:
    for name, content in (
        ("a", "woof"),
        ("b", "bark"),
        ("copy-of-a", "woof"),
        ("long/1", "bark"),
        ("long/2", "x"),
    ):
        write(tmp_path / "sounds" / "dog" / f"{name}.wav", content)
    clips = {clip.path.stem: clip for clip in read_dataset("folder", tmp_path)}
    assert clips["a"].recording == clips["copy-of-a"].recording
    assert clips["b"].recording == clips["1"].recording == clips["2"].recording
    assert clips["a"].recording != clips["b"].recording
    # Wherever a copy lies, it is called the same.
    for name, content in (("z", "woof"), ("y", "meow")):
        write(tmp_path / "elsewhere" / "sounds" / "dog" / f"{name}.wav", content)
    elsewhere = {clip.path.stem: clip for clip in read_dataset("folder", tmp_path / "elsewhere")}
    assert elsewhere["z"].recording == clips["a"].recording


def test_recordings_never_straddle_folds_and_classes_are_spread(tmp_path: Path) -> None:
    for label in ("dog", "cat", "bell"):
        for at in range(10):
            write(tmp_path / "sounds" / label / f"{at}.wav", f"{label} {at}")
        for part in range(3):
            write(tmp_path / "sounds" / label / "long one" / f"{part}.wav", f"{label} part {part}")
    clips = read_dataset("folder", tmp_path)
    folds_of = defaultdict(set)
    for clip in clips:
        folds_of[clip.recording].add(clip.fold)
    assert all(len(folds) == 1 for folds in folds_of.values())
    for label in ("dog", "cat", "bell"):
        spread = Counter(clip.fold for clip in clips if clip.label == label)
        assert sorted(spread.values()) in ([2, 2, 3, 3, 3], [2, 2, 2, 3, 4])
    assert read_dataset("folder", tmp_path) == clips


def test_folds_that_the_user_fixed(tmp_path: Path) -> None:
    for name in ("dog/a.wav", "dog/b.wav", "cat/c.wav", "cat/long/d.wav"):
        write(tmp_path / "sounds" / name)
    folds = {"dog/a.wav": 2, "dog/b.wav": 7, "cat/c.wav": 2, "cat/long/d.wav": 1}
    write_table(tmp_path / "sounds" / "folds.csv", ("file", "fold"), [(f, str(n)) for f, n in folds.items()])
    clips = read_dataset("folder", tmp_path)
    assert {c.path.relative_to(tmp_path / "sounds").as_posix(): c.fold for c in clips} == folds


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("file,part\ndog/a.wav,1\n", "lacks the column fold"),
        ("", "lacks the column file"),
        ("file,fold\ndog/a.wav,1\n", "does not list dog/b.wav; add it"),
        ("file,fold\ndog/a.wav,1\ndog/b.wav,one\n", "line 3: fold is 'one', not a number from 1 on"),
        ("file,fold\ndog/a.wav,0\ndog/b.wav,1\n", "line 2: fold is '0', not a number from 1 on"),
        ("file,fold\ndog/a.wav,1\ndog/b.wav\n", "line 3: fold is '', not a number from 1 on"),
        (
            "file,fold\ndog/a.wav,1\ndog/b.wav,2\ndog/a.wav,3\n",
            "line 4: dog/a.wav was in another fold before",
        ),
        ("file,fold\ndog/a.wav,1\ndog/b.wav,2\ndog/c.wav,3\n", "lists dog/c.wav, which is not there"),
    ],
)
def test_folds_that_do_not_fit(tmp_path: Path, table: str, message: str) -> None:
    for name in ("dog/a.wav", "dog/b.wav"):
        write(tmp_path / "sounds" / name)
    (tmp_path / "sounds" / "folds.csv").write_text(table)
    line = refusal("folder", tmp_path)
    assert line.startswith(str(tmp_path / "sounds" / "folds.csv"))
    assert message in line


def make_empty(sounds: Path) -> None:
    write(sounds / "cat" / "notes.txt")


def make_single(sounds: Path) -> None:
    write(sounds / "cat" / "only.wav")


def make_copies(sounds: Path) -> None:
    write(sounds / "cat" / "1.wav", "meow")
    write(sounds / "cat" / "2.wav", "meow")


def make_parts(sounds: Path) -> None:
    write(sounds / "cat" / "long" / "1.wav", "purr")
    write(sounds / "cat" / "long" / "2.wav", "meow")


def make_same_label(sounds: Path) -> None:
    for name in ("Door Bell", "door-bell"):
        write(sounds / name / "1.wav", "ding")


def make_no_label(sounds: Path) -> None:
    write(sounds / "!!" / "1.wav")


def make_stray(sounds: Path) -> None:
    write(sounds / "bark.wav")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            make_empty,
            r"^the class cat is empty: .*/sounds/cat holds no .*; put at least two recordings into it",
        ),
        (make_single, r"^the class cat has only one recording \(cat/only\.wav\): add another one"),
        (make_copies, r"^the class cat has only one recording .*identical files are one recording"),
        (make_parts, r"^the class cat has only one recording \(cat/long/1\.wav\)"),
        (make_same_label, r"the folders Door Bell and door-bell both give the label door_bell"),
        (make_no_label, r"sounds/!!: a label needs letters or digits"),
        (make_stray, r"sounds/bark\.wav has no label: move it into a folder"),
    ],
)
def test_sounds_that_cannot_be_learnt(tmp_path: Path, make: Callable[[Path], None], message: str) -> None:
    for name in ("1.wav", "2.wav"):
        write(tmp_path / "sounds" / "dog" / name)
    assert len(read_dataset("folder", tmp_path)) == 2
    make(tmp_path / "sounds")
    assert re.search(message, refusal("folder", tmp_path))


def test_all_that_the_listener_hears_is_learnt_from(tmp_path: Path) -> None:
    names = ("1.wav", "2.MP3", "3.caf", "4.w64", "5.au", "6.m4a", "7.opus", "8.aiff")
    for name in (*names, "9.txt", "._1.wav"):
        write(tmp_path / "sounds" / "dog" / name)
    assert [clip.path.name for clip in read_dataset("folder", tmp_path)] == list(names)


def test_a_folder_of_sounds_that_is_near(tmp_path: Path) -> None:
    write(tmp_path / "mine" / "sounds" / "dog" / "1.wav")
    assert refusal("folder", tmp_path).endswith(f"did you mean {tmp_path / 'mine'}?")
    assert refusal("folder", tmp_path / "mine" / "sounds").endswith(f"did you mean {tmp_path / 'mine'}?")
    assert refusal("folder", tmp_path / "mine" / "sounds" / "dog").endswith("found 1.wav")


def test_a_folder_of_no_classes(tmp_path: Path) -> None:
    (tmp_path / "sounds").mkdir()
    assert "holds no classes: expected a folder a label, found nothing" in refusal("folder", tmp_path)


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("dog", "dog"),
        ("Crying Baby", "crying_baby"),
        ("CryingBaby", "crying_baby"),
        ("door-bell (2)", "door_bell_2"),
        ("__TVNoise__", "tv_noise"),
        ("Türklingel", "türklingel"),
        ("!?", ""),
    ],
)
def test_labels_are_snake_case(name: str, label: str) -> None:
    assert snake_case(name) == label


labelled_recordings = st.lists(
    st.tuples(st.integers(0, 30).map(str), st.sampled_from(["dog", "cat", "bell"])), min_size=1, max_size=80
)


@given(labelled_recordings, st.randoms(use_true_random=False))
def test_dealing_does_not_depend_on_the_order(clips: list[tuple[str, str]], random: object) -> None:
    shuffled = list(clips)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    dealt = deal(clips)
    assert deal(shuffled) == dealt
    assert set(dealt) == {recording for recording, _ in clips}
    assert set(dealt.values()) <= {1, 2, 3, 4, 5}


@given(
    st.dictionaries(st.integers().map(str), st.sampled_from(["dog", "cat", "bell"]), min_size=1, max_size=60)
)
def test_single_clips_are_spread_as_evenly_as_can_be(clips: dict[str, str]) -> None:
    dealt = deal(clips.items())
    for label in set(clips.values()):
        counts = [sum(dealt[r] == fold for r, of in clips.items() if of == label) for fold in range(1, 6)]
        assert max(counts) - min(counts) <= 1
    totals = [sum(at == fold for at in dealt.values()) for fold in range(1, 6)]
    assert max(totals) - min(totals) <= 3


@given(
    st.lists(st.tuples(st.integers(0, 5).map(str), st.sampled_from(["dog", "cat"])), min_size=1, max_size=60)
)
def test_a_class_of_two_recordings_is_never_in_one_fold_only(clips: list[tuple[str, str]]) -> None:
    dealt = deal(clips)
    for label in ("dog", "cat"):
        recordings = {recording for recording, of in clips if of == label}
        if len(recordings) > 1:
            assert len({dealt[recording] for recording in recordings}) > 1


# Splits


def clip(name: str, fold: int, recording: str) -> Clip:
    return Clip(Path(name), "dog", fold, recording)


def test_a_split_drops_what_would_leak() -> None:
    main = [clip("a", 1, "r1"), clip("b", 2, "r2"), clip("c", 3, "r3"), clip("d", 1, "r3")]
    extra = [clip("e", 3, "r4"), clip("f", 1, "r3"), clip("g", 3, "r1")]
    parts = split(main, (1, 2), extra)
    assert [c.path.name for c in parts.train] == ["a", "b", "e", "g"]
    assert [c.path.name for c in parts.held_out] == ["c"]
    # From the main dataset itself as well: one's own folds may divide a recording.
    assert [c.path.name for c in parts.dropped] == ["d", "f"]


def test_a_split_without_another_dataset_follows_the_folds() -> None:
    main = [clip("a", 1, "r1"), clip("b", 2, "r2")]
    parts = split(main, [1])
    assert (parts.train, parts.held_out, parts.dropped) == ((main[0],), (main[1],), ())


# Real recordings


@pytest.mark.recordings
def test_two_recordings_straddle_the_folds_of_esc50(esc_data: Path) -> None:
    # The official folds were meant to keep recordings whole; a rooster and a hen were recorded at once.
    parts = split(read_dataset("esc50", esc_data / "esc50"), (1, 3, 5))
    assert {(clip.recording, clip.label) for clip in parts.dropped} == {
        ("freesound:134049", "rooster"),
        ("freesound:131943", "clock_alarm"),
    }


@pytest.mark.recordings
def test_the_real_datasets(esc_data: Path) -> None:
    esc50 = read_dataset("esc50", esc_data / "esc50")
    urbansound8k = read_dataset("urbansound8k", esc_data / "urbansound8k")
    assert len({clip.label for clip in esc50}) == 50
    assert len({clip.label for clip in read_dataset("esc10", esc_data / "esc50")}) == 10
    assert {"dog", "engine", "siren", "car_horn", "street_music"} <= {clip.label for clip in urbansound8k}
    assert all(clip.path.is_file() for clip in esc50 + urbansound8k)
    shared = {clip.recording for clip in esc50} & {clip.recording for clip in urbansound8k}
    assert len(shared) >= 18
    for fold in (1, 2, 3, 5):
        train_folds = {1, 2, 3, 4, 5} - {fold}
        parts = split(esc50, train_folds, urbansound8k)
        assert not {clip.recording for clip in parts.train} & {clip.recording for clip in parts.held_out}
        assert len(parts.train) + len(parts.held_out) + len(parts.dropped) == len(esc50) + len(urbansound8k)
        assert 0 < len(parts.dropped) < 100
        assert parts.held_out == tuple(clip for clip in esc50 if clip.fold == fold)


def test_a_background_table_saved_by_a_spreadsheet_is_read(tmp_path: Path) -> None:
    rows = "file,expected,also,split\nroom.ogg,none,rain wind,train\ndog.ogg,dog,,train\n"
    (tmp_path / "expected.csv").write_text(rows, encoding="utf-8-sig")
    (room,) = read_background(tmp_path, "train")
    assert (room.path.name, room.may_contain) == ("room.ogg", {"rain", "wind"})
    assert list(read_background(tmp_path, "test")) == []


def test_background_belongs_to_folds_as_clips_do(tmp_path: Path) -> None:
    recordings = []
    for at in range(7):
        path = tmp_path / f"room-{at}.wav"
        path.write_bytes(bytes(100 * (1 + at // 2)))  # some are equally large
        recordings.append(Background(path, frozenset()))
    missing = Background(tmp_path / "missing.wav", frozenset())
    folds = [1, 2, 5]
    shares = [background_of_folds([missing, *recordings], folds, [fold]) for fold in folds]
    assert {item for share in shares for item in share} == {missing, *recordings}
    assert [len(share) for share in shares] == [3, 3, 2]
    assert shares[0][0].path.name == "room-6.wav"  # the largest first
    assert background_of_folds(recordings[::-1], folds, [1]) == shares[0]
    assert set(background_of_folds(recordings, folds, [1, 5])) == {*shares[0], *shares[2]}
