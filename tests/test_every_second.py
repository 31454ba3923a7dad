"""Every second of a recording: what a media player would play is heard, or the line says what is missing."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from command import assert_failed, assert_refused, esc_listen, running, wait_until
from conftest import skip_or_fail
from sounds import RATE_HZ, only_siren, pcm, siren, write_siren

from streamer.decoding import open_recording
from streamer.decoding.wav import find_wav_data
from streamer.errors import SourceError
from streamer.sources.containers import LONGEST_LOOK, container_of
from streamer.sources.recording import RecordingSource
from streamer.types import FloatArray


@pytest.fixture
def ffmpeg() -> Callable[..., None]:
    """Runs the program, where it is there."""
    if not shutil.which("ffmpeg"):
        skip_or_fail("needs the program ffmpeg")

    def run(*arguments: str | Path, out: Path | None = None) -> None:
        command = ["ffmpeg", "-v", "error", "-nostdin", "-y", *arguments]
        with (out or Path(os.devnull)).open("wb") as file:
            subprocess.run(command, stdout=file, check=True, timeout=60)

    return run


SECONDS = 6.0
CODEC_S = 0.1
"""Encoders begin and end a few frames away from the sound."""


def noise(seconds: float = SECONDS, channels: int = 1, seed: int = 1) -> FloatArray:
    """Hiss, of which each sample differs from all others."""
    hiss = np.random.default_rng(seed).uniform(-0.2, 0.2, (round(seconds * RATE_HZ), channels))
    return hiss.astype(np.float32).squeeze()


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


@pytest.mark.parametrize("rate", [("-b:a", "64k"), ("-q:a", "5")], ids=["constant", "variable"])
def test_mp3_without_a_length(tmp_path: Path, ffmpeg: Callable[..., None], rate: tuple[str, str]) -> None:
    """Written into a pipe, so that the encoder could not state the length afterwards."""
    sound = np.concatenate([np.zeros(RATE_HZ, np.float32), noise(60.0)])
    soundfile.write(tmp_path / "a.wav", sound, RATE_HZ)
    path = tmp_path / "a.mp3"
    ffmpeg("-i", tmp_path / "a.wav", "-f", "mp3", *rate, "-", out=path)
    samples, said = heard(path)
    assert said == ""
    assert len(samples) / RATE_HZ == pytest.approx(61.0, abs=CODEC_S)


@pytest.mark.usefixtures("ffmpeg")
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


@pytest.mark.parametrize("kind", ["ogg", "aiff", "au", "caf"])
def test_other_cut_files_are_heard_and_told(
    tmp_path: Path, request: pytest.FixtureRequest, kind: str
) -> None:
    if kind == "caf":  # libsndfile refuses one that is cut
        request.getfixturevalue("ffmpeg")
    path = tmp_path / f"a.{kind}"
    soundfile.write(path, noise(), RATE_HZ)
    assert heard(path)[1] == ""
    samples, said = heard(cut(path))
    assert 3.0 < len(samples) / RATE_HZ < 5.0
    assert "missing" in said or "truncated" in said


@pytest.mark.parametrize("odd", [0, 1])
def test_a_caf_cut_between_two_samples_is_told(tmp_path: Path, ffmpeg: Callable[..., None], odd: int) -> None:
    """ffmpeg complains of half a sample only."""
    path = tmp_path / "a.caf"
    soundfile.write(path, noise(), RATE_HZ, subtype="PCM_16")
    os.truncate(path, path.stat().st_size // 3 * 2 // 2 * 2 + odd)
    samples, said = heard(path)
    assert 3.9 < len(samples) / RATE_HZ < 4.1
    assert "missing" in said or "truncated" in said


# --- what ffmpeg reads ---

FILMED = ("m4a", "mp4", "aac", "wma", "webm", "mkv", "mka", "3gp")


@pytest.mark.parametrize("kind", FILMED)
def test_what_phones_and_cameras_record(tmp_path: Path, ffmpeg: Callable[..., None], kind: str) -> None:
    soundfile.write(tmp_path / "a.wav", noise(), RATE_HZ)
    path = tmp_path / f"a.{kind}"
    ffmpeg("-i", tmp_path / "a.wav", *(("-c:a", "aac") if kind == "3gp" else ()), path)
    samples, said = heard(path)
    assert said == ""
    assert len(samples) / RATE_HZ == pytest.approx(SECONDS, abs=2 * CODEC_S)
    assert float(np.std(samples[RATE_HZ:-RATE_HZ])) == pytest.approx(0.2 / 3**0.5, rel=0.2)


def test_positions_in_a_film_are_those_of_its_sound(tmp_path: Path, ffmpeg: Callable[..., None]) -> None:
    sound = np.zeros(20 * RATE_HZ, np.float32)
    sound[12 * RATE_HZ : 12 * RATE_HZ + 100] = 0.5
    soundfile.write(tmp_path / "a.wav", sound, RATE_HZ)
    ffmpeg("-i", tmp_path / "a.wav", tmp_path / "a.m4a")
    samples, said = heard(tmp_path / "a.m4a")
    assert said == ""
    assert np.argmax(np.abs(samples)) / RATE_HZ == pytest.approx(12.0, abs=0.01)


def test_an_event_in_a_film(tmp_path: Path, ffmpeg: Callable[..., None]) -> None:
    write_siren(tmp_path / "a.wav", 4.0)
    picture = ("-f", "lavfi", "-i", "color=size=64x64:rate=10:duration=4", "-c:v", "mpeg4")
    ffmpeg("-i", tmp_path / "a.wav", *picture, "-c:a", "aac", tmp_path / "talk.mp4")
    done = esc_listen("--input", "talk.mp4", "--csv", "log.csv", *only_siren(), cwd=tmp_path)
    assert done.status == 0, done
    assert len((tmp_path / "log.csv").read_bytes().splitlines()) == 2, "header and event"


def test_a_film_without_sound(tmp_path: Path, ffmpeg: Callable[..., None]) -> None:
    ffmpeg("-f", "lavfi", "-i", "color=size=64x64:rate=10:duration=1", "-c:v", "mpeg4", tmp_path / "a.mp4")
    assert_refused(esc_listen("--input", "a.mp4", "--no-csv", cwd=tmp_path), "a.mp4", "holds no sound")


@pytest.mark.parametrize("kind", ["m4a", "aac", "wma", "webm"])
def test_a_cut_film_is_told(tmp_path: Path, ffmpeg: Callable[..., None], kind: str) -> None:
    soundfile.write(tmp_path / "a.wav", noise(), RATE_HZ)
    path = tmp_path / f"a.{kind}"
    ffmpeg("-i", tmp_path / "a.wav", *(("-movflags", "+faststart") if kind == "m4a" else ()), path)
    samples, said = heard(cut(path))
    assert 3.0 < len(samples) / RATE_HZ < 5.5
    assert "damaged or truncated" in said


def test_a_film_whose_table_is_cut_off(tmp_path: Path, ffmpeg: Callable[..., None]) -> None:
    soundfile.write(tmp_path / "a.wav", noise(), RATE_HZ)
    ffmpeg("-i", tmp_path / "a.wav", tmp_path / "a.m4a")
    cut(tmp_path / "a.m4a")
    assert_refused(esc_listen("--input", "a.m4a", "--no-csv", cwd=tmp_path), "a.m4a", "moov atom not found")


MP4 = b"\0\0\0\x1cftypM4A " + bytes(100)


def test_without_ffmpeg_it_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "a.m4a").write_bytes(MP4)
    done = esc_listen("--input", "a.m4a", "--no-csv", cwd=tmp_path, environment={"PATH": str(tmp_path)})
    assert_refused(done, "a.m4a", "sudo apt install ffmpeg")


def test_a_playlist_opens_nothing(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "secret.wav", noise(), RATE_HZ)
    (tmp_path / "a.m3u8").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXTINF:6,\nsecret.wav\n")
    (tmp_path / "a.txt").write_text("ffconcat version 1.0\nfile secret.wav\n")
    for name in ("a.m3u8", "a.txt"):
        assert_refused(esc_listen("--input", name, "--no-csv", cwd=tmp_path), "not a sound file")


def children() -> set[str]:
    """Processes that this one has started and not waited for."""
    found = Path("/proc/self/task").glob("*/children")
    return {child for path in found for child in path.read_text().split()}


def test_no_child_is_left_behind(tmp_path: Path, ffmpeg: Callable[..., None]) -> None:
    soundfile.write(tmp_path / "a.wav", noise(60.0), RATE_HZ)
    ffmpeg("-i", tmp_path / "a.wav", tmp_path / "a.m4a")
    before = children()
    source = RecordingSource(str(tmp_path / "a.m4a"), RATE_HZ)
    next(iter(source.blocks()))
    assert children() > before
    source.close()
    source.close()
    assert children() == before
    heard(tmp_path / "a.m4a")
    assert children() == before


def test_a_child_that_is_killed_is_damage(tmp_path: Path, ffmpeg: Callable[..., None]) -> None:
    soundfile.write(tmp_path / "a.wav", noise(60.0), RATE_HZ)
    ffmpeg("-i", tmp_path / "a.wav", tmp_path / "a.mka")
    source = RecordingSource(str(tmp_path / "a.mka"), RATE_HZ)
    before = children()
    blocks = source.blocks()
    next(blocks)
    (child,) = children() - before
    os.kill(int(child), signal.SIGKILL)
    with pytest.raises(SourceError, match=r"damaged or truncated.*status -9"):
        list(blocks)
    source.close()


def decoder_of(process: int) -> str:
    """Waits for the child of a listener that decodes; one that only looks at the file comes before."""
    found: list[str] = []

    def look() -> bool:
        for path in Path(f"/proc/{process}/task").glob("*/children"):
            for child in path.read_text().split():
                with contextlib.suppress(OSError):
                    if b"f32le" in Path(f"/proc/{child}/cmdline").read_bytes():
                        found.append(child)
        return bool(found)

    wait_until(look, "ffmpeg has started")
    return found[0]


def alive(process: str) -> bool:
    """Whether it runs; one that has ended and that nobody waits for does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
def long_film(tmp_path: Path, ffmpeg: Callable[..., None]) -> Path:
    """Two minutes."""
    soundfile.write(tmp_path / "a.wav", noise(120.0), RATE_HZ)
    ffmpeg("-i", tmp_path / "a.wav", tmp_path / "a.m4a")
    return tmp_path / "a.m4a"


def test_a_child_does_not_outlive_us(long_film: Path) -> None:
    """Killed, we cannot end it; it must notice itself that nobody reads."""
    with running("--input", long_film, "--no-csv", "--plain", "--realtime", cwd=long_film.parent) as listener:
        child = decoder_of(listener.process.pid)
    wait_until(lambda: not alive(child), "ffmpeg is gone, too")


def test_ctrl_c_is_for_us_alone(long_film: Path) -> None:
    """A terminal sends it to all of its session. The child is in none, so that our end is no damage."""
    with running("--input", long_film, "--no-csv", "--plain", "--realtime", cwd=long_film.parent) as listener:
        child = decoder_of(listener.process.pid)
        assert os.getsid(int(child)) != os.getsid(listener.process.pid)
        done = listener.finish(signal.SIGINT)
    assert done.status == 0, done
    assert "damaged" not in done.err
    assert not alive(child)


# --- floats that are integers, channels that cancel ---


@pytest.mark.parametrize("bits", [16, 24, 32])
@pytest.mark.parametrize("quiet_s", [0.0, 40.0])
def test_integers_that_were_stored_as_floats(tmp_path: Path, bits: int, quiet_s: float) -> None:
    sound = np.concatenate([np.zeros(round(quiet_s * RATE_HZ)), 0.9 * noise()])
    sound[-1000:] = 0.5
    numbers = np.rint(sound * 2.0 ** (bits - 1)) * (1 if bits == 32 else 4)
    numbers = np.clip(numbers, -(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1)
    soundfile.write(tmp_path / "a.wav", numbers, RATE_HZ, subtype="DOUBLE")
    samples, said = heard(tmp_path / "a.wav")
    assert f"whole numbers stored as floats; heard as {bits}-bit samples" in said
    np.testing.assert_allclose(samples, numbers / 2.0 ** (bits - 1), atol=1e-6)


@pytest.mark.parametrize("gain", [1e-6, 0.1, 1.0, 3.0, 100.0])
def test_floats_are_left_alone(tmp_path: Path, gain: float) -> None:
    """A recording may be far too loud; as long as it is not made of whole numbers, nobody knows its scale."""
    sound = noise()
    sound[:100] = 5.0
    soundfile.write(tmp_path / "a.wav", gain * sound, RATE_HZ, subtype="FLOAT")
    samples, said = heard(tmp_path / "a.wav")
    if gain < 100.0:
        assert said == ""
        np.testing.assert_array_equal(samples, np.float32(gain) * sound)


def test_channels_that_cancel_each_other(tmp_path: Path) -> None:
    sound = siren(4.0)
    soundfile.write(tmp_path / "a.wav", np.stack([sound, -sound], axis=1), RATE_HZ)
    done = esc_listen("--input", "a.wav", "--no-csv", *only_siren(), cwd=tmp_path)
    assert done.status == 0, done
    assert "a.wav: the channels cancel each other" in done.err
    assert "--channel 1" in done.err
    done = esc_listen("--input", "a.wav", "--no-csv", "--channel", "1", *only_siren(), cwd=tmp_path)
    assert "cancel" not in done.err
    assert "1 event " in done.err


def test_channels_that_cancel_each_other_in_a_pipe(tmp_path: Path) -> None:
    sound = siren(12.0)
    samples = pcm(np.stack([sound, -sound], axis=1))
    arguments = ("--input", "-", "--rate", str(RATE_HZ), "--channels", "2", "--no-csv", "--live")
    assert "the channels cancel each other" in esc_listen(*arguments, cwd=tmp_path, stdin=samples).err
    assert "cancel" not in esc_listen(*arguments, "--channel", "2", cwd=tmp_path, stdin=samples).err


@pytest.mark.parametrize("kind", ["apart", "together", "one is silent", "silent"])
def test_other_channels_do_not(tmp_path: Path, kind: str) -> None:
    left, right = noise(seed=1), noise(seed=2)
    right = {"apart": right, "together": left, "one is silent": 0 * left, "silent": 0 * left}[kind]
    left = 0 * left if kind == "silent" else left
    soundfile.write(tmp_path / "a.wav", np.stack([left, right], axis=1), RATE_HZ)
    assert heard(tmp_path / "a.wav")[1] == ""


# --- files where raw samples are expected ---


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.aiff", "AIFF"),
        ("a.au", "AU"),
        ("a.caf", "CAF"),
        ("a.rf64", "WAV"),
        ("a.w64", "W64"),
        ("a.m4a", "MP4"),
        ("a.webm", "WebM or Matroska"),
        ("a.wma", "WMA"),
        ("a.aac", "AAC"),
        ("bare.mp3", "MP3"),
        ("a.ts", "MPEG-TS"),
    ],
)
def test_a_file_on_standard_input_is_refused(
    tmp_path: Path, request: pytest.FixtureRequest, name: str, kind: str
) -> None:
    path = tmp_path / name
    if path.suffix in (".aiff", ".au", ".caf", ".rf64", ".w64"):
        soundfile.write(path, noise(), RATE_HZ, format=path.suffix[1:].upper())
    else:
        soundfile.write(tmp_path / "a.wav", noise(), RATE_HZ)
        bare = ("-write_xing", "0", "-id3v2_version", "0") if name == "bare.mp3" else ()
        request.getfixturevalue("ffmpeg")("-i", tmp_path / "a.wav", *bare, path)
    content = path.read_bytes()
    assert container_of(content[:LONGEST_LOOK]) == kind
    done = esc_listen("--input", "-", "--no-csv", cwd=tmp_path, stdin=content)
    assert_failed(done, f"{kind} file, not raw PCM")


@pytest.mark.parametrize("seed", range(50))
def test_samples_are_not_taken_for_a_file(seed: int) -> None:
    random = np.random.default_rng(seed)
    for samples in (
        random.integers(-32_768, 32_767, 4_096),
        random.integers(-3, 3, 4_096),
        np.full(4_096, -1),
        np.full(4_096, 0x47),
        np.full(4_096, random.integers(-1_100, -1_000)),
        np.zeros(4_096),
    ):
        assert container_of(samples.astype("<i2").tobytes()) == ""
