"""Every second of a recording: what a media player would play is heard, or the line says what is missing."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
from command import assert_failed, esc_listen
from sounds import RATE_HZ, only_siren, write_siren

from streamer.decoding import open_recording
from streamer.decoding.wav import find_wav_data
from streamer.errors import SourceError
from streamer.sources.recording import RecordingSource
from streamer.types import FloatArray

needs_ffmpeg = pytest.mark.skipif(
    not shutil.which("ffmpeg") and not os.environ.get("ESC_REQUIRE_ALL"),
    reason="the program ffmpeg is not installed",
)

SECONDS = 6.0
CODEC_S = 0.1
"""Encoders begin and end a few frames away from the sound."""


def noise(seconds: float = SECONDS, channels: int = 1, seed: int = 1) -> FloatArray:
    """Hiss, of which each sample differs from all others."""
    hiss = np.random.default_rng(seed).uniform(-0.2, 0.2, (round(seconds * RATE_HZ), channels))
    return hiss.astype(np.float32).squeeze()


def ffmpeg(*arguments: str | Path) -> None:
    """Run the program."""
    subprocess.run(["ffmpeg", "-v", "error", "-nostdin", "-y", *arguments], check=True, timeout=60)


def heard(path: Path, **options: int) -> tuple[FloatArray, str]:
    """All samples that come, in order and without a hole, and what the line says."""
    notes: list[str] = []
    source = RecordingSource(
        str(path), RATE_HZ, report=lambda kind, **fields: notes.append(str(fields["text"])), **options
    )
    samples: list[FloatArray] = []
    at = 0
    try:
        for block in source.blocks():
            assert block.start_sample == at
            at = block.end_sample
            samples.append(block.samples)
    except SourceError as error:
        notes.append(str(error))
    finally:
        source.close()
    assert all("\n" not in note for note in notes)
    return np.concatenate(samples) if samples else np.empty(0, np.float32), "\n".join(notes)


def cut(path: Path, share: float = 2 / 3) -> Path:
    """The file without its end."""
    os.truncate(path, round(path.stat().st_size * share))
    return path


# --- joined files ---


@pytest.mark.parametrize("name", ["a.flac", "a.ogg", "a.opus"])
def test_joined_files_are_heard_as_their_parts_are(tmp_path: Path, name: str) -> None:
    """To the sample: what the parts give on their own, one after the other."""
    parts = []
    rate_hz = 24_000 if name == "a.opus" else RATE_HZ
    kind = {"format": "OGG", "subtype": "OPUS"} if name == "a.opus" else {}
    for number in range(3):
        path = tmp_path / f"{number}-{name}"
        soundfile.write(path, noise(2.0 + number, seed=number), rate_hz, **kind)
        parts.append(path)
    joined = tmp_path / name
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    samples, said = heard(joined)
    assert said == ""
    if rate_hz == RATE_HZ:
        np.testing.assert_array_equal(samples, np.concatenate([heard(part)[0] for part in parts]))
    assert len(samples) == pytest.approx(sum(len(heard(part)[0]) for part in parts), abs=3)
    source = RecordingSource(str(joined), RATE_HZ)
    assert source.duration_s == pytest.approx(len(samples) / RATE_HZ, abs=0.001)
    source.close()


@pytest.mark.parametrize("channels", [1, 2])
def test_parts_may_differ_in_rate_and_channels(tmp_path: Path, channels: int) -> None:
    paths = []
    for number, rate_hz in enumerate((RATE_HZ, 16_000, 16_000, 48_000)):
        path = tmp_path / f"{number}.flac"
        soundfile.write(path, noise(2.0, 1 if number % 2 else channels), rate_hz)
        paths.append(path)
    joined = tmp_path / "joined.flac"
    joined.write_bytes(b"".join(path.read_bytes() for path in paths))
    samples, said = heard(joined)
    assert said == ""
    expected = sum(len(soundfile.read(path)[0]) / soundfile.info(path).samplerate for path in paths)
    assert len(samples) == pytest.approx(expected * RATE_HZ, abs=4)


def test_a_part_that_is_cut_is_told(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.ogg", noise(), RATE_HZ)
    whole = (tmp_path / "a.ogg").read_bytes()
    joined = tmp_path / "joined.ogg"
    joined.write_bytes(whole[: len(whole) // 2] + whole)
    samples, said = heard(joined)
    assert "missing" in said
    assert len(samples) > SECONDS * RATE_HZ


@needs_ffmpeg
@pytest.mark.parametrize("rate", [("-b:a", "64k"), ("-q:a", "5")], ids=["constant", "variable"])
def test_mp3_without_a_length(tmp_path: Path, rate: tuple[str, str]) -> None:
    """Written into a pipe, so that the encoder could not state the length afterwards."""
    sound = np.concatenate([np.zeros(RATE_HZ, np.float32), noise(60.0)])
    soundfile.write(tmp_path / "a.wav", sound, RATE_HZ)
    path = tmp_path / "a.mp3"
    with path.open("wb") as out:
        subprocess.run(
            ["ffmpeg", "-v", "error", "-nostdin", "-i", tmp_path / "a.wav", "-f", "mp3", *rate, "-"],
            stdout=out,
            check=True,
            timeout=60,
        )
    samples, said = heard(path)
    assert said == ""
    assert len(samples) / RATE_HZ == pytest.approx(61.0, abs=CODEC_S)


@needs_ffmpeg
def test_joined_mp3(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.mp3", noise(), RATE_HZ)
    whole = (tmp_path / "a.mp3").read_bytes()
    (tmp_path / "joined.mp3").write_bytes(3 * whole)
    samples, said = heard(tmp_path / "joined.mp3")
    assert said == ""
    assert len(samples) / RATE_HZ == pytest.approx(3 * SECONDS, abs=3 * CODEC_S)


@pytest.mark.parametrize("tag", [b"", b"TAG" + bytes(125)], ids=["plain", "with a tag at its end"])
def test_an_ordinary_mp3_needs_no_other_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tag: bytes
) -> None:
    soundfile.write(tmp_path / "a.mp3", noise(), RATE_HZ)
    (tmp_path / "a.mp3").write_bytes((tmp_path / "a.mp3").read_bytes() + tag)
    monkeypatch.setenv("PATH", str(tmp_path))
    samples, said = heard(tmp_path / "a.mp3")
    assert said == ""
    assert len(samples) == SECONDS * RATE_HZ


# --- WAV files whose size is not what it says ---


def wav(path: Path, sound: FloatArray, subtype: str = "PCM_16", kind: str = "WAV") -> tuple[bytes, int]:
    """A WAV file's bytes and where its samples begin."""
    soundfile.write(path, sound, RATE_HZ, subtype=subtype, format=kind)
    content = path.read_bytes()
    return content, content.index(b"data") + 8


def with_size(content: bytes, start: int, size: int) -> bytes:
    """The same with another size of the samples in its header."""
    return content[: start - 4] + struct.pack("<I", size) + content[start:]


LIST = b"LIST" + struct.pack("<I", 14) + b"INFOICMT\x02\x00\x00\x00a\x00"


@pytest.mark.parametrize(
    "subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW"]
)
@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFF000, 0x80000000, 10_000])
def test_a_size_that_was_never_finished(tmp_path: Path, subtype: str, size: int) -> None:
    path = tmp_path / "a.wav"
    content, start = wav(path, noise(), subtype)
    truth, _ = heard(path)
    path.write_bytes(with_size(content, start, size))
    samples, said = heard(path)
    assert said == ""
    np.testing.assert_array_equal(samples[: len(truth)], truth)
    assert len(samples) - len(truth) <= 200  # a chunk that libsndfile writes behind floats


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF])
def test_an_unfinished_size_in_two_channels(tmp_path: Path, size: int) -> None:
    path = tmp_path / "a.wav"
    content, start = wav(path, noise(channels=2))
    truth, _ = heard(path, channel=2)
    path.write_bytes(with_size(content, start, size))
    samples, said = heard(path, channel=2)
    assert said == ""
    np.testing.assert_array_equal(samples, truth)


@pytest.mark.parametrize("behind", [LIST, LIST + LIST, LIST[:-6], bytes(512), b"\0"])
def test_what_follows_the_samples_is_no_sound(tmp_path: Path, behind: bytes) -> None:
    path = tmp_path / "a.wav"
    content, _ = wav(path, noise())
    path.write_bytes(content + behind)
    samples, said = heard(path)
    assert said == ""
    assert len(samples) == SECONDS * RATE_HZ


def test_a_recording_of_nothing_with_a_note_behind_it(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    content, _ = wav(path, np.empty(0, np.float32))
    path.write_bytes(content + LIST)
    with pytest.raises(SourceError, match="no samples"):
        RecordingSource(str(path), RATE_HZ)


@pytest.mark.parametrize("behind", [b"", LIST])
def test_a_size_that_has_wrapped(tmp_path: Path, behind: bytes) -> None:
    """More than 4 GiB of samples, most of them a hole in the file."""
    path = tmp_path / "long.wav"
    content, start = wav(path, noise(1.0))
    size = (1 << 32) + 100_000
    path.write_bytes(with_size(content, start, size % (1 << 32)))
    os.truncate(path, start + size)
    with path.open("ab") as file:
        file.write(behind)
    found = find_wav_data(str(path))
    assert found is not None
    assert (found.start, found.end) == (start, start + size)
    recording = open_recording(str(path))
    assert recording.first.frames == size // 2
    recording.first.close()


@pytest.mark.parametrize("kind", ["WAV", "RF64", "W64"])
def test_a_cut_wav_is_heard_and_told(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(), RATE_HZ, format=kind)
    samples, said = heard(cut(path))
    assert len(samples) / RATE_HZ == pytest.approx(4.0, abs=0.01)
    assert "cut off" in said
    assert "2.0 s" in said


def test_a_cut_wav_through_the_command(tmp_path: Path) -> None:
    write_siren(tmp_path / "a.wav", 6.0)
    cut(tmp_path / "a.wav")
    done = esc_listen("--input", "a.wav", "--csv", "log.csv", *only_siren(), cwd=tmp_path)
    assert_failed(done, "a.wav", "cut off", "2.0 s")
    assert len((tmp_path / "log.csv").read_bytes().splitlines()) == 2, "header and event"


@pytest.mark.parametrize("kind", ["ogg", "aiff", "au", pytest.param("caf", marks=needs_ffmpeg)])
def test_other_cut_files_are_heard_and_told(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"a.{kind}"
    soundfile.write(path, noise(), RATE_HZ)
    assert heard(path)[1] == ""
    samples, said = heard(cut(path))
    assert 3.0 < len(samples) / RATE_HZ < 5.0
    assert "missing" in said or "truncated" in said
