"""Nothing that a file is called reaches a terminal as a command to it."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import soundfile
from command import esc_listen
from sounds import only_siren, write_siren

from streamer import listen
from streamer.errors import SettingsError
from streamer.printable import printable

EVIL = "a\x1b[31mred\x07\nb"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("garden at night.wav", "garden at night.wav"),
        ("Bäume 森.wav", "Bäume 森.wav"),
        ("\x1b[2J", "\\x1b[2J"),
        ("a\nb\tc\rd\x7f", "a\\nb\\tc\\rd\\x7f"),
        ("\x9b31m", "\\x9b31m"),
        ("\u202egnp.wav", "\\u202egnp.wav"),
        ("\udcff", "\udcff"),
    ],
)
def test_control_characters_are_written_out(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_an_error_shows_the_name_harmlessly(tmp_path: Path) -> None:
    broken = tmp_path / f"{EVIL}.wav"
    broken.write_bytes(b"no sound")
    done = esc_listen("--input", broken, "--no-csv", cwd=tmp_path)
    assert done.status == 1
    assert "\x1b" not in done.err
    assert len(done.err.splitlines()) == 1
    assert "\\x1b[31mred\\x07\\nb" in done.err


def test_a_wrong_word_is_shown_harmlessly(tmp_path: Path) -> None:
    done = esc_listen("docto\x07", cwd=tmp_path)
    assert done.status == 1
    assert "\x07" not in done.err
    assert "docto\\x07" in done.err


def test_notes_and_summary_show_names_harmlessly_and_the_log_keeps_them(tmp_path: Path) -> None:
    recording = write_siren(tmp_path / f"{EVIL}.wav", 4.0)
    log = tmp_path / f"{EVIL}.csv"
    done = esc_listen("--input", recording, "--plain", "--csv", log, *only_siren(), cwd=tmp_path)
    assert done.status == 0, done
    assert "\x1b" not in done.err + done.out
    assert "events go to " in done.err
    with log.open(newline="", encoding="utf-8") as rows:
        assert [row["source"] for row in csv.DictReader(rows)] == [str(recording)]


def test_samples_alone_are_refused_with_what_takes_them(tmp_path: Path) -> None:
    path = write_siren(tmp_path / "siren.wav", 2.0)
    samples, _ = soundfile.read(path, dtype="float32")
    assert isinstance(samples, np.ndarray)
    with pytest.raises(SettingsError, match=r"ndarray.*SamplesSource\(samples, 22050\)"):
        next(listen(samples))  # type: ignore[arg-type]
