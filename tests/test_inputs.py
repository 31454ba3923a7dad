"""Files, folders and globs on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
from command import assert_refused, esc_listen
from sounds import write_siren

from streamer import cli
from streamer.errors import SourceError
from streamer.inputs import expanded


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with sounds and other things."""
    monkeypatch.chdir(tmp_path)
    for name in (
        "r/b.wav",
        "r/A.WAV",
        "r/sub/c.flac",
        "r/notes.txt",
        "r/.hidden.wav",
        "r/.trash/d.wav",
        "x[1].wav",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "empty").mkdir()
    return tmp_path


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("word", "files"),
    [
        ("mic", ["mic"]),
        ("-", ["-"]),
        ("missing.wav", ["missing.wav"]),
        ("r", ["r/A.WAV", "r/b.wav", "r/sub/c.flac"]),
        ("r/", ["r/A.WAV", "r/b.wav", "r/sub/c.flac"]),
        ("r/*.wav", ["r/b.wav"]),
        ("r/**/*.flac", ["r/sub/c.flac"]),
        ("x[1].wav", ["x[1].wav"]),
        ("a" * 300, ["a" * 300]),
    ],
)
def test_a_word_stands_for_files(word: str, files: list[str]) -> None:
    assert list(expanded((word,))) == files


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("word", "said"), [("empty", "no sound file in empty"), ("*.flac", "no file matches")]
)
def test_what_stands_for_nothing_is_refused(word: str, said: str) -> None:
    with pytest.raises(SourceError, match=said):
        list(expanded((word,)))


def test_files_are_heard_wherever_they_stand(tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    for name in ("one.wav", "r/two.wav", "summary.wav"):
        write_siren(tmp_path / name, 3.0)
    done = esc_listen("one.wav", "--json", "--no-csv", "r", "./summary.wav", cwd=tmp_path)
    assert done.status == 0, done
    assert "in 9.0 s of sound" in done.err


def test_a_folder_without_sounds_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    assert_refused(esc_listen("r", cwd=tmp_path), "no sound file in r")
    assert [path.name for path in tmp_path.iterdir()] == ["r"]


def test_a_misspelt_command_is_suggested(tmp_path: Path) -> None:
    done = esc_listen("docter", cwd=tmp_path)
    assert done.status == 2
    assert "did you mean esc-listen doctor?" in done.err
    assert list(tmp_path.iterdir()) == []


def test_a_file_called_almost_like_a_command_is_a_file(folder: Path) -> None:
    (folder / "docter").touch()
    assert cli.misspelt_command(["docter"]) is None
    assert cli.misspelt_command(["garden.wav"]) is None
    assert cli.misspelt_command(["a" * 300]) is None


def test_the_demo_writes_no_log_unless_asked(tmp_path: Path) -> None:
    done = esc_listen("--demo", "--plain", "--duration", "1", cwd=tmp_path)
    assert done.status == 0, done
    assert list(tmp_path.iterdir()) == []
    done = esc_listen("--demo", "--plain", "--duration", "1", "--csv", "mine.csv", cwd=tmp_path)
    assert done.status == 0, done
    assert (tmp_path / "mine.csv").exists()
