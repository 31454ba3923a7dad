"""Files, pipes and memory as sources."""

from __future__ import annotations

import itertools
import os
import pty
import shutil
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import skip_or_fail
from hypothesis import given, settings
from hypothesis import strategies as st
from sounds import RATE_HZ, pcm

from streamer.errors import SourceError
from streamer.settings import SampleFormat, SourceSettings
from streamer.sources import Source, open_source, pipe_placement
from streamer.sources.pipe import PipeSource
from streamer.sources.recording import RecordingSource
from streamer.sources.samples import SamplesSource
from streamer.types import Block, FloatArray

SECONDS = 1.5
NOBODY = 65_534


def tones(rate_hz: int, channels: int = 1, seconds: float = SECONDS) -> FloatArray:
    """A tone of its own in each channel, shape (n, channels)."""
    t = np.arange(round(seconds * rate_hz))[:, np.newaxis] / rate_hz
    pitch_hz = 300.0 * np.arange(1, channels + 1)
    return (0.5 * np.sin(2 * np.pi * pitch_hz * t)).astype(np.float32)


def noise(samples: int) -> FloatArray:
    return np.random.default_rng(samples).uniform(-0.5, 0.5, samples).astype(np.float32)


def heard(source: Source) -> FloatArray:
    """All samples of a source whose blocks must follow one another without a gap, from 0."""
    blocks = list(source.blocks())
    source.close()
    assert blocks[0].start_sample == 0
    for before, after in itertools.pairwise(blocks):
        assert before.end_sample == after.start_sample
    for block in blocks:
        assert block.samples.dtype == np.float32
    return np.concatenate([block.samples for block in blocks])


def heard_until_error(source: Source) -> tuple[FloatArray, SourceError]:
    """What a source gives before it fails, and how it fails."""
    blocks: list[Block] = []
    with pytest.raises(SourceError) as caught:
        blocks.extend(source.blocks())
    source.close()
    return np.concatenate([np.empty(0, np.float32), *(b.samples for b in blocks)]), caught.value


def loudness_at(samples: FloatArray, pitch_hz: float) -> float:
    """Amplitude of a tone in samples at the model's rate."""
    t = np.arange(len(samples)) / RATE_HZ
    return float(2 * abs(np.mean(samples * np.exp(-2j * np.pi * pitch_hz * t))))


@pytest.mark.parametrize(
    ("kind", "subtype", "tolerance"),
    [
        ("wav", "PCM_U8", 1 / 100),
        ("wav", "PCM_16", 1 / 30_000),
        ("wav", "PCM_24", 1e-6),
        ("wav", "PCM_32", 1e-6),
        ("wav", "FLOAT", 0.0),
        ("wav", "DOUBLE", 0.0),
        ("flac", "PCM_S8", 1 / 100),
        ("flac", "PCM_16", 1 / 30_000),
        ("flac", "PCM_24", 1e-6),
    ],
)
def test_a_lossless_file_at_the_rate_of_the_model_is_heard_as_it_is(
    tmp_path: Path, kind: str, subtype: str, tolerance: float
) -> None:
    path = tmp_path / f"tones.{kind}"
    soundfile.write(path, tones(RATE_HZ), RATE_HZ, subtype=subtype)
    samples = heard(RecordingSource(str(path), RATE_HZ))
    assert len(samples) == len(tones(RATE_HZ))
    assert np.abs(samples - tones(RATE_HZ)[:, 0]).max() <= tolerance


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(
    ("kind", "rate_hz"),
    [
        ("wav", 8_000),
        ("wav", 44_100),
        ("wav", 96_000),
        ("flac", 8_000),
        ("flac", 44_100),
        ("flac", 96_000),
        ("ogg", 8_000),
        ("ogg", 44_100),
        ("ogg", 96_000),
        ("mp3", 8_000),
        ("mp3", 44_100),
    ],
)
def test_any_kind_and_rate_has_the_right_length_and_tone(
    tmp_path: Path, kind: str, rate_hz: int, channels: int
) -> None:
    path = tmp_path / f"tones.{kind}"
    soundfile.write(path, np.repeat(tones(rate_hz), channels, axis=1), rate_hz)
    source = RecordingSource(str(path), RATE_HZ)
    assert source.duration_s == pytest.approx(SECONDS, abs=0.15 if kind == "mp3" else 1e-4)
    expected_samples = source.duration_s * RATE_HZ
    samples = heard(source)
    assert abs(len(samples) - expected_samples) <= 1
    assert loudness_at(samples[RATE_HZ // 4 :][:RATE_HZ], 300.0) == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("kind", ["wav", "flac"])
def test_eight_channels_are_mixed_or_chosen(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"eight.{kind}"
    soundfile.write(path, tones(44_100, channels=8), 44_100)
    mixed = heard(RecordingSource(str(path), RATE_HZ))[:RATE_HZ]
    chosen = heard(RecordingSource(str(path), RATE_HZ, channel=3))[:RATE_HZ]
    assert loudness_at(mixed, 300.0) == pytest.approx(0.5 / 8, abs=0.01)
    assert loudness_at(mixed, 2_400.0) == pytest.approx(0.5 / 8, abs=0.01)
    assert loudness_at(chosen, 900.0) == pytest.approx(0.5, abs=0.01)
    assert loudness_at(chosen, 300.0) < 0.01


def test_a_channel_that_is_not_there_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "stereo.wav"
    soundfile.write(path, tones(44_100, channels=2), 44_100)
    with pytest.raises(SourceError, match=r"no channel 3.*channels 1 to 2"):
        heard(RecordingSource(str(path), RATE_HZ, channel=3))


def test_a_file_has_no_dates(tmp_path: Path) -> None:
    path = tmp_path / "tones.wav"
    soundfile.write(path, tones(44_100), 44_100)
    source = open_source(str(path), SourceSettings(), RATE_HZ)
    assert not source.live
    assert source.name == str(path)
    with pytest.raises(SourceError, match="not dates"):
        source.unix_time(0)
    source.close()
    source.close()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("text.wav", b"this is no sound\n" * 100, "not a sound file"),
        ("text.mp3", b"this is no sound\n" * 100, "not a sound file"),
        ("empty.wav", b"", "not a sound file"),
        ("header.wav", b"RIFF\x24\x00\x00\x00WAVE", "not a sound file"),
    ],
)
def test_what_is_not_audio_is_refused(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(SourceError, match=words) as caught:
        RecordingSource(str(path), RATE_HZ)
    assert name in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"no file .*nowhere\.wav"):
        RecordingSource(str(tmp_path / "nowhere.wav"), RATE_HZ)


def test_a_folder_is_refused_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"is a folder.*\*\.wav"):
        RecordingSource(str(tmp_path), RATE_HZ)


def test_a_name_that_the_system_does_not_take_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError):
        RecordingSource(str(tmp_path / ("a" * 300 + ".wav")), RATE_HZ)


@pytest.mark.parametrize("kind", ["wav", "flac"])
def test_a_file_without_samples_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"nothing.{kind}"
    soundfile.write(path, np.empty((0, 1), np.float32), RATE_HZ)
    with pytest.raises(SourceError, match=r"no samples|not a sound file"):
        RecordingSource(str(path), RATE_HZ)


@contextmanager
def without_privileges() -> Iterator[None]:
    """Root may read everything: be somebody else for a moment."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(user)


@pytest.mark.parametrize("locked", ["file", "folder"])
def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path, locked: str) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    path = folder / "secret.wav"
    soundfile.write(path, tones(RATE_HZ), RATE_HZ)
    (path if locked == "file" else folder).chmod(0)
    try:
        with without_privileges(), pytest.raises(SourceError, match="Permission denied"):
            RecordingSource(str(path), RATE_HZ)
    finally:
        folder.chmod(0o700)


def test_a_flac_cut_in_the_middle_is_heard_as_far_as_it_goes(tmp_path: Path) -> None:
    path = tmp_path / "cut.flac"
    original = noise(6 * RATE_HZ)
    soundfile.write(path, original, RATE_HZ, subtype="PCM_16")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    samples, error = heard_until_error(RecordingSource(str(path), RATE_HZ))
    assert f"{path} is damaged or truncated" in str(error)
    assert 2 * RATE_HZ < len(samples) < 4 * RATE_HZ
    assert np.abs(samples - original[: len(samples)]).max() < 1 / 30_000


def test_a_flac_of_unknown_length_is_heard_whole(tmp_path: Path) -> None:
    path = tmp_path / "piped.flac"
    original = noise(2 * RATE_HZ)
    soundfile.write(path, original, RATE_HZ, subtype="PCM_16")
    content = bytearray(path.read_bytes())
    # The last 36 bits of this field are the number of samples; 0 says that nobody knew it.
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    path.write_bytes(content)
    source = RecordingSource(str(path), RATE_HZ)
    assert source.duration_s is None
    assert np.abs(heard(source) - original).max() < 1e-4


@pytest.mark.parametrize(
    ("kind", "options"),
    [("ogg", ["-c:a", "libvorbis"]), ("mp3", ["-write_xing", "0"]), ("mp3", [])],
    ids=["ogg", "mp3 without a length", "mp3"],
)
def test_a_lossy_file_that_announces_a_little_too_much_is_whole(
    tmp_path: Path, kind: str, options: list[str]
) -> None:
    if not shutil.which("ffmpeg"):
        skip_or_fail("needs ffmpeg")
    wav, path = tmp_path / "tone.wav", tmp_path / f"tone.{kind}"
    soundfile.write(wav, tones(44_100, seconds=5.0), 44_100)
    subprocess.run(["ffmpeg", "-v", "error", "-i", wav, *options, path], check=True)
    samples = heard(RecordingSource(str(path), RATE_HZ))
    assert len(samples) / RATE_HZ == pytest.approx(5.0, abs=0.1)


def test_all_that_a_truncated_wav_holds_is_heard(tmp_path: Path) -> None:
    path = tmp_path / "cut.wav"
    original = noise(4 * RATE_HZ)
    soundfile.write(path, original, RATE_HZ, subtype="PCM_16")
    header_bytes = path.stat().st_size - 2 * len(original)
    path.write_bytes(path.read_bytes()[: header_bytes + 2 * 3 * RATE_HZ])
    source = RecordingSource(str(path), RATE_HZ)
    blocks: list[Block] = []
    with suppress(SourceError):  # it may say so
        blocks.extend(source.blocks())
    source.close()
    samples = np.concatenate([block.samples for block in blocks])
    assert len(samples) == 3 * RATE_HZ
    assert np.abs(samples - original[: len(samples)]).max() < 1 / 30_000


def test_broken_samples_are_counted_and_heard_as_silence(tmp_path: Path) -> None:
    path = tmp_path / "broken.wav"
    broken = tones(RATE_HZ)[:, 0]
    broken[100:110] = np.nan
    broken[200], broken[300] = np.inf, -np.inf
    soundfile.write(path, broken, RATE_HZ, subtype="FLOAT")
    source = RecordingSource(str(path), RATE_HZ)
    samples = heard(source)
    good = np.isfinite(broken)
    assert not samples[~good].any()
    assert np.array_equal(samples[good], broken[good])
    assert source.health.broken_samples == 12


def test_realtime_never_runs_ahead_and_makes_up_for_a_delay(tmp_path: Path) -> None:
    path = tmp_path / "tones.wav"
    soundfile.write(path, tones(44_100), 44_100)
    source = RecordingSource(str(path), RATE_HZ, realtime=True)
    delay_s = 1.0
    began = time.monotonic()
    arrived = []
    for block in source.blocks():
        arrived.append((block.end_sample / RATE_HZ, time.monotonic() - began))
        if len(arrived) == 1:
            time.sleep(delay_s)
    source.close()
    assert len(arrived) >= 10
    for end_s, at_s in arrived:
        assert at_s >= end_s - 0.01
    # Paced by the sample index, the delay is made up for; else it would come on top.
    assert arrived[-1][1] < SECONDS + 0.7 * delay_s


def test_a_file_is_normally_read_at_full_speed(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    soundfile.write(path, np.zeros(120 * RATE_HZ, np.float32), RATE_HZ)
    began = time.monotonic()
    assert len(heard(RecordingSource(str(path), RATE_HZ))) == 120 * RATE_HZ
    assert time.monotonic() - began < 60


@contextmanager
def piped(
    chunks: list[bytes],
    rate_hz: int = RATE_HZ,
    channels: int = 1,
    sample_format: SampleFormat = "s16le",
    channel: int = 0,
    live: bool = False,
) -> Iterator[PipeSource]:
    """A source on a pipe that delivers exactly these chunks, one at a time, and then ends.

    A pipe in packet mode keeps up to 16 writes of up to 4096 bytes apart.
    """
    assert len(chunks) <= 16
    reader, writer = os.pipe2(os.O_DIRECT)
    try:
        for chunk in chunks:
            assert os.write(writer, chunk) == len(chunk) <= 4_096
        os.close(writer)
        yield PipeSource(RATE_HZ, rate_hz, channels, sample_format, channel, descriptor=reader, live=live)
    finally:
        os.close(reader)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """The data cut at these places, without empty pieces."""
    bounds = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[start:end] for start, end in itertools.pairwise(bounds)]


def encoded(samples: FloatArray, sample_format: SampleFormat) -> bytes:
    return pcm(samples) if sample_format == "s16le" else samples.astype("<f4").tobytes()


@settings(deadline=None, max_examples=60)
@given(
    places=st.lists(st.integers(0, 10_000), max_size=14),
    sample_format=st.sampled_from(["s16le", "f32le"]),
    channels=st.integers(1, 3),
    rate_hz=st.sampled_from([RATE_HZ, 44_100]),
)
def test_any_cutting_of_the_bytes_gives_the_same_samples(
    places: list[int], sample_format: SampleFormat, channels: int, rate_hz: int
) -> None:
    data = encoded(noise(300 * channels), sample_format)
    with piped([data], rate_hz, channels, sample_format) as source:
        whole = heard(source)
    with piped(cut(data, places), rate_hz, channels, sample_format) as source:
        assert np.array_equal(heard(source), whole)


@pytest.mark.parametrize("sample_format", ["s16le", "f32le"])
def test_raw_samples_keep_their_values(sample_format: SampleFormat) -> None:
    samples = noise(900)
    with piped([encoded(samples, sample_format)], sample_format=sample_format) as source:
        assert np.abs(heard(source) - samples).max() < 1 / 30_000


def test_full_scale_of_16_bits_is_one() -> None:
    with piped([struct.pack("<3h", -32_768, 0, 16_384)]) as source:
        assert heard(source).tolist() == [-1.0, 0.0, 0.5]


def test_stereo_is_mixed_or_chosen() -> None:
    data = struct.pack("<4h", 16_384, 0, 0, -16_384)
    with piped([data], channels=2) as source:
        assert heard(source).tolist() == [0.25, -0.25]
    with piped([data], channels=2, channel=2) as source:
        assert heard(source).tolist() == [0.0, -0.5]
    with piped([data], channels=2, channel=3) as source, pytest.raises(SourceError, match="no channel 3"):
        heard(source)


@pytest.mark.parametrize(("channels", "extra"), [(1, 1), (2, 3)])
def test_an_end_in_the_middle_of_a_frame_is_told_after_the_rest_was_heard(channels: int, extra: int) -> None:
    with piped([pcm(noise(100 * channels)) + b"x" * extra], channels=channels) as source:
        samples, error = heard_until_error(source)
    assert len(samples) == 100
    assert f"in the middle of a frame ({extra} of {2 * channels} bytes)" in str(error)


def test_nothing_at_all_is_an_error() -> None:
    with piped([]) as source, pytest.raises(SourceError, match="no samples"):
        list(source.blocks())


@pytest.mark.parametrize(
    ("magic", "kind"),
    [(b"RIFF", "WAV"), (b"fLaC", "FLAC"), (b"OggS", "Ogg"), (b"ID3\x04", "MP3")],
)
def test_a_file_instead_of_raw_samples_is_refused(magic: bytes, kind: str) -> None:
    with piped([magic + bytes(1_000)]) as source, pytest.raises(SourceError, match=f"{kind} file, not raw"):
        list(source.blocks())


def test_broken_floats_on_a_pipe_are_counted() -> None:
    samples = noise(100)
    samples[10:15] = np.nan
    with piped([encoded(samples, "f32le")], sample_format="f32le") as source:
        assert not heard(source)[10:15].any()
        assert source.health.broken_samples == 5


def test_an_idle_pipe_yields_empty_blocks_and_can_be_closed() -> None:
    reader, writer = os.pipe()
    source = PipeSource(RATE_HZ, RATE_HZ, descriptor=reader)
    blocks = source.blocks()
    for _ in range(2):
        nothing = next(blocks)
        assert (nothing.start_sample, len(nothing.samples)) == (0, 0)
    os.write(writer, pcm(noise(10)))
    assert len(next(blocks).samples) == 10
    idle = next(blocks)
    assert (idle.start_sample, len(idle.samples)) == (10, 0)
    source.close()
    assert list(blocks) == []
    os.close(reader)
    os.close(writer)


def test_samples_of_a_pipe_are_dated_by_their_arrival() -> None:
    before = time.time()
    with piped([pcm(noise(2_000))], live=True) as source:
        heard(source)
        after = time.time()
        assert before - 2_000 / RATE_HZ - 0.001 <= source.unix_time(0) <= after - 2_000 / RATE_HZ + 0.001
        assert source.unix_time(RATE_HZ) - source.unix_time(0) == pytest.approx(1.0)


def test_a_pause_of_a_pipe_is_a_gap_and_dates_stay_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipe_placement, "PAUSE_S", 0.3)
    monkeypatch.setattr(pipe_placement, "HOLD_S", 0.3)
    monkeypatch.setattr(pipe_placement, "LEAST_LAG_S", 0.2)
    read, write = os.pipe()
    source = PipeSource(RATE_HZ, RATE_HZ, descriptor=read, live=True)
    second = encoded(noise(RATE_HZ // 10), "s16le")
    os.write(write, second)
    blocks = source.blocks()
    first = next(block for block in blocks if len(block.samples))
    paused_s = time.time()
    while time.time() - paused_s < 1.0:
        next(blocks)
    os.write(write, second)
    came_s = time.time()
    later = next(block for block in blocks if len(block.samples))
    os.close(write)
    list(blocks)
    os.close(read)
    assert later.start_sample > first.end_sample + RATE_HZ // 2
    assert source.unix_time(later.end_sample) == pytest.approx(came_s, abs=0.3)
    assert source.health.gaps == 1
    assert source.health.lost_samples == later.start_sample - first.end_sample


def test_a_terminal_is_refused() -> None:
    ours, theirs = pty.openpty()
    try:
        with pytest.raises(SourceError, match="expects raw PCM from a pipe"):
            PipeSource(RATE_HZ, RATE_HZ, descriptor=theirs)
    finally:
        os.close(ours)
        os.close(theirs)


def test_samples_in_memory_are_cut_into_blocks() -> None:
    samples = noise(5_000)
    source = SamplesSource(samples, RATE_HZ, block_samples=777)
    assert not source.live
    assert source.duration_s == pytest.approx(5_000 / RATE_HZ)
    assert [len(block.samples) for block in source.blocks()] == [777] * 6 + [338]
    assert np.array_equal(heard(source), samples)


def test_blocks_in_memory_keep_their_indices_and_dates() -> None:
    blocks = [Block(0, noise(100)), Block(400, noise(50))]
    source = SamplesSource(blocks, RATE_HZ, "garden", start_time=1_000.0)
    assert list(source.blocks()) == blocks
    assert source.live
    assert source.name == "garden"
    assert source.unix_time(RATE_HZ) == 1_001.0
    assert source.duration_s == pytest.approx(450 / RATE_HZ)


def test_no_samples_in_memory_are_no_blocks() -> None:
    source = SamplesSource([], RATE_HZ)
    assert list(source.blocks()) == []
    assert source.duration_s == 0.0
