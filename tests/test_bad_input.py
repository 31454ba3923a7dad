"""What can be wrong with the input: one clear line, status 1, and no harm to what was logged before."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from command import Finished, assert_failed, assert_refused, esc_listen
from disks import fill, small_disk, unwritable_folder
from sounds import RATE_HZ, only_siren, pcm, shipped_model, siren, siren_label, write_siren

from streamer.classifier import Classifier
from streamer.errors import ModelError, SourceError
from streamer.manifest import Manifest, add_manifest, strip_manifest
from streamer.model import load_model
from streamer.sources.devices import InputDevice, find_device, list_devices

HEADER = b"start,end,duration_s,label,confidence,mean_confidence,source,model\n"
LOGGED = HEADER + b'1.5,2.5,1.0,dog,0.9,0.8,"yesterday, late.wav",esc50\n'


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log that already holds a row."""
    path = tmp_path / "log.csv"
    path.write_bytes(LOGGED)
    return path


@pytest.fixture
def dated_log(tmp_path: Path) -> Path:
    """The log of something live, which already holds a row."""
    path = tmp_path / "log.csv"
    row = "2026-11-21T08:31:02.000Z,2026-11-21T08:31:03.000Z,1.0,dog,0.9,0.9,default,esc50"
    path.write_bytes(LOGGED.splitlines(keepends=True)[0] + row.encode() + b"\n")
    return path


def new_rows(log: Path) -> list[bytes]:
    """What was appended to the log; what was there before must be unharmed."""
    content = log.read_bytes()
    assert content.startswith(LOGGED)
    assert content.endswith(b"\n")
    return content[len(LOGGED) :].splitlines()


def hear(log: Path, *arguments: str | Path, stdin: bytes = b"") -> Finished:
    """Run the command on the log."""
    return esc_listen(*arguments, "--csv", log, cwd=log.parent, stdin=stdin)


def make_text(path: Path) -> None:
    path.write_text("no sound at all\n" * 50)


def make_nothing(path: Path) -> None:
    path.write_bytes(b"")


def make_no_samples(path: Path) -> None:
    soundfile.write(path, np.empty(0, np.float32), RATE_HZ)


def make_folder(path: Path) -> None:
    path.mkdir()


def make_missing(path: Path) -> None:
    assert not path.exists()


def make_noise(path: Path) -> None:
    path.write_bytes(np.random.default_rng(1).bytes(10_000))


@pytest.mark.parametrize("kind", ["wav", "flac", "ogg", "mp3"])
@pytest.mark.parametrize("make", [make_missing, make_text, make_nothing, make_noise, make_folder])
def test_what_is_not_audio(log: Path, make: Callable[[Path], None], kind: str) -> None:
    name = f"input.{kind}"
    make(log.parent / name)
    assert_refused(hear(log, "--input", name), name)
    assert log.read_bytes() == LOGGED


def test_no_samples(log: Path) -> None:
    make_no_samples(log.parent / "input.wav")
    assert_refused(hear(log, "--input", "input.wav"), "input.wav", "no samples")
    assert log.read_bytes() == LOGGED


def test_a_name_that_is_too_long(log: Path) -> None:
    assert_refused(hear(log, "--input", "a" * 300 + ".wav"), "too long")
    assert log.read_bytes() == LOGGED


def test_a_name_that_is_not_text(log: Path) -> None:
    """Old recordings may carry names in another encoding than that of the system."""
    name = os.fsdecode(b"caf\xe9.wav")
    write_siren(log.parent / "siren.wav", 3.0).rename(log.parent / name)
    done = hear(log, "--input", name, "--json", *only_siren())
    assert done.status == 0, done
    assert json.loads(done.out)["label"] == siren_label()
    assert len(new_rows(log)) == 1


@pytest.mark.parametrize("kind", ["flac", "mp3"])
def test_truncated_after_events(log: Path, kind: str) -> None:
    path = log.parent / f"cut.{kind}"
    hiss = np.random.default_rng(1).uniform(-0.01, 0.01, 12 * RATE_HZ).astype(np.float32)
    hiss[: 4 * RATE_HZ] += siren(4.0)
    soundfile.write(path, hiss, RATE_HZ)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    done = hear(log, "--input", path.name, *only_siren())
    assert_failed(done, path.name, "damaged or truncated")
    assert len(done.err.splitlines()) == 3, "announcement, complaint and summary only"
    assert len(new_rows(log)) == 1


def test_truncated_wav_is_heard_as_far_as_it_goes(log: Path) -> None:
    path = write_siren(log.parent / "cut.wav", 6.0)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    done = hear(log, "--input", path.name, *only_siren())
    assert " in 3.0 s of sound" in done.err
    assert len(new_rows(log)) == 1


@pytest.mark.parametrize("seconds", [0.3, 0.5, 1.0, 1.9])
def test_shorter_than_a_window(log: Path, seconds: float) -> None:
    write_siren(log.parent / "short.wav", seconds)
    done = hear(log, "--input", "short.wav", "--json", "--threshold", "0.001", "--labels", siren_label())
    assert done.status == 0, done
    (line,) = done.out_lines
    event = json.loads(line)
    assert event["start"] == 0.0
    assert event["confidence"] == event["mean_confidence"]  # a single window
    assert len(new_rows(log)) == 1


def test_a_single_sample(log: Path) -> None:
    soundfile.write(log.parent / "one.wav", np.array([0.5], np.float32), RATE_HZ)
    done = hear(log, "--input", "one.wav")
    assert done.status == 0, done
    assert log.read_bytes() == LOGGED


def test_live_input_shorter_than_a_window_is_no_event(dated_log: Path) -> None:
    log, before = dated_log, dated_log.read_bytes()
    done = hear(
        log, "--input", "-", "--live", "--rate", str(RATE_HZ), "--threshold", "0.001", stdin=pcm(siren(1.0))
    )
    assert done.status == 0, done
    assert "0 events in 1.0 s of sound" in done.err
    assert log.read_bytes() == before


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers(log: Path, broken: float) -> None:
    samples = siren(4.0)
    samples[20_000:20_100] = broken
    soundfile.write(log.parent / "broken.wav", samples, RATE_HZ, subtype="FLOAT")
    done = hear(log, "--input", "broken.wav", *only_siren())
    assert done.status == 0, done
    assert "100 samples were not numbers and counted as silence" in done.err
    (row,) = new_rows(log)
    assert b"nan" not in row
    assert b"inf" not in row


def test_nothing_but_broken_samples(log: Path) -> None:
    soundfile.write(log.parent / "nan.wav", np.full(4 * RATE_HZ, np.nan), RATE_HZ, subtype="FLOAT")
    done = hear(log, "--input", "nan.wav", "--threshold", "0.001")
    assert done.status == 0, done
    assert "0 events" in done.err
    assert log.read_bytes() == LOGGED


def test_huge_samples(log: Path) -> None:
    soundfile.write(log.parent / "huge.wav", 1e30 * siren(3.0), RATE_HZ, subtype="FLOAT")
    done = hear(log, "--input", "huge.wav")
    assert done.status == 0, done
    assert len(done.err.splitlines()) == 2
    new_rows(log)


@pytest.mark.parametrize("channels", [1, 8])
@pytest.mark.parametrize("rate_hz", [8_000, 96_000])
def test_eight_channels_and_unusual_rates(log: Path, rate_hz: int, channels: int) -> None:
    write_siren(log.parent / "odd.wav", 4.0, rate_hz, channels)
    done = hear(log, "--input", "odd.wav", "--labels", siren_label(), "--threshold", "0.05")
    assert done.status == 0, done
    assert " in 4.0 s of sound" in done.err
    assert len(new_rows(log)) >= 1


def test_a_missing_channel(log: Path) -> None:
    write_siren(log.parent / "eight.wav", 1.0, channels=8)
    done = hear(log, "--input", "eight.wav", "--channel", "9")
    assert_failed(done, "no channel 9", "channels 1 to 8")
    assert log.read_bytes() == LOGGED


def without_member(content: bytes) -> bytes:
    """A network with an archive that holds no manifest."""
    out = io.BytesIO()
    out.write(strip_manifest(content))
    with zipfile.ZipFile(out, "a") as archive:
        archive.writestr("labels.txt", "dog\ncat\n")
    return out.getvalue()


def with_manifest_text(content: bytes, text: str) -> bytes:
    """A network whose manifest is this text."""
    out = io.BytesIO()
    out.write(strip_manifest(content))
    with zipfile.ZipFile(out, "a") as archive:
        archive.writestr("manifest.json", text)
    return out.getvalue()


def changed(content: bytes, change: Callable[[Manifest], Manifest]) -> bytes:
    """The shipped network with a changed manifest."""
    return add_manifest(content, change(shipped_model().manifest))


def renamed_input(manifest: Manifest) -> Manifest:
    first = dataclasses.replace(manifest.inputs[0], tensor="nobody")
    return dataclasses.replace(manifest, inputs=(first, *manifest.inputs[1:]))


def one_class_less(manifest: Manifest) -> Manifest:
    return dataclasses.replace(manifest, classes=manifest.classes[:-1])


def one_frame_more(manifest: Manifest) -> Manifest:
    return dataclasses.replace(manifest, window_frames=manifest.window_frames + 1)


BAD_MODELS: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "text": (lambda content: b"this is no model at all", "not a TensorFlow Lite model"),
    "nothing": (lambda content: b"", "not a TensorFlow Lite model"),
    "no manifest": (strip_manifest, "no manifest"),
    "other archive": (without_member, "no manifest"),
    "torn": (lambda content: content[:-1_000], "no manifest"),
    "no JSON": (lambda content: with_manifest_text(content, "{ not JSON"), "manifest"),
    "JSON list": (lambda content: with_manifest_text(content, "[]"), "manifest"),
    "JSON without keys": (lambda content: with_manifest_text(content, "{}"), "missing"),
    "JSON with unknown key": (lambda content: with_manifest_text(content, '{"colour": 1}'), "colour"),
    "tensor name": (lambda content: changed(content, renamed_input), "does not fit its network"),
    "class count": (lambda content: changed(content, one_class_less), "does not fit its network"),
    "window length": (lambda content: changed(content, one_frame_more), "does not fit its network"),
    "damaged network": (
        lambda content: add_manifest(strip_manifest(content)[:50_000], shipped_model().manifest),
        "LiteRT cannot run the model",
    ),
}


@pytest.mark.parametrize("kind", BAD_MODELS)
def test_a_model_that_cannot_be_used(tmp_path: Path, kind: str) -> None:
    make, words = BAD_MODELS[kind]
    path = tmp_path / "bad.tflite"
    path.write_bytes(make(shipped_model().content))
    with pytest.raises(ModelError, match=words) as caught:
        Classifier(load_model(path))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["text", "no manifest", "class count", "damaged network"])
def test_a_model_that_cannot_be_used_through_the_command(log: Path, kind: str) -> None:
    make, words = BAD_MODELS[kind]
    (log.parent / "bad.tflite").write_bytes(make(shipped_model().content))
    write_siren(log.parent / "siren.wav", 3.0)
    done = hear(log, "--input", "siren.wav", "--model", "bad.tflite")
    assert_failed(done, "bad.tflite", words)
    assert done.out == ""
    assert log.read_bytes() == LOGGED


@pytest.mark.parametrize("name", ["nobody", "nowhere.tflite", "./nobody"])
def test_a_missing_model(log: Path, name: str) -> None:
    write_siren(log.parent / "siren.wav", 3.0)
    words = [name.removeprefix("./")]
    if name == "nobody":
        words.append(shipped_model().name)
    assert_refused(hear(log, "--input", "siren.wav", "--model", name), *words)


def test_a_label_that_the_model_does_not_know(log: Path) -> None:
    write_siren(log.parent / "siren.wav", 3.0)
    done = hear(log, "--input", "siren.wav", "--labels", "unicorn")
    assert_refused(done, "unicorn", "it knows", "more")


def test_a_hop_that_does_not_fit_the_model(log: Path) -> None:
    write_siren(log.parent / "siren.wav", 3.0)
    assert_failed(hear(log, "--input", "siren.wav", "--hop", "100"), "hop of 100 s")
    assert log.read_bytes() == LOGGED


def test_a_log_in_a_missing_folder(tmp_path: Path) -> None:
    write_siren(tmp_path / "siren.wav", 3.0)
    done = esc_listen("--input", "siren.wav", "--csv", "nowhere/log.csv", cwd=tmp_path)
    assert_refused(done, "nowhere/log.csv", "no folder")
    assert not (tmp_path / "nowhere").exists()


def test_a_log_in_an_unwritable_folder(tmp_path: Path) -> None:
    write_siren(tmp_path / "siren.wav", 3.0)
    with unwritable_folder(tmp_path) as folder:
        done = esc_listen("--input", "siren.wav", "--csv", folder / "log.csv", cwd=tmp_path)
        assert_refused(done, "cannot log to", "log.csv")


def test_a_log_that_is_another_file(tmp_path: Path) -> None:
    write_siren(tmp_path / "siren.wav", 3.0)
    (tmp_path / "letter.txt").write_text("Dear reader,\n")
    done = esc_listen("--input", "siren.wav", "--csv", "letter.txt", cwd=tmp_path)
    assert_refused(done, "letter.txt", "not an event log")
    assert (tmp_path / "letter.txt").read_text() == "Dear reader,\n"


def test_the_recording_itself_as_log(tmp_path: Path) -> None:
    path = write_siren(tmp_path / "siren.wav", 3.0)
    before = path.read_bytes()
    assert_refused(esc_listen("--input", path, "--csv", path, cwd=tmp_path), "not an event log")
    assert path.read_bytes() == before


def test_a_disk_that_is_full(tmp_path: Path) -> None:
    write_siren(tmp_path / "siren.wav", 3.0)
    with small_disk(tmp_path) as folder:
        log = folder / "log.csv"
        whole_block = HEADER + b"1.0,2.0,1.0,dog,0.9,0.8,yesterday.wav,esc50\n" * 100
        log.write_bytes(whole_block[: 4_096 - 5] + b"torn\n")
        before = log.read_bytes()
        fill(folder)
        done = esc_listen("--input", "siren.wav", "--csv", log, *only_siren(), cwd=tmp_path)
        assert done.status == 1
        assert "Traceback" not in done.err
        assert "1 event" in done.err.splitlines()[-1]
        assert "could not be written" in done.err.splitlines()[-1]
        assert "No space left on device" in done.err.splitlines()[-1]
        assert len(done.out_lines) == 1
        assert log.read_bytes() == before


@pytest.mark.parametrize(("channels", "extra"), [(1, 1), (2, 3)])
def test_raw_samples_that_end_in_the_middle_of_a_frame(log: Path, channels: int, extra: int) -> None:
    data = pcm(np.repeat(siren(4.0), channels)) + b"x" * extra
    options = ["--input", "-", "--rate", str(RATE_HZ), "--channels", str(channels)]
    done = hear(log, *options, *only_siren(), stdin=data)
    assert_failed(done, "middle of a frame", f"{extra} of {2 * channels} bytes")
    assert len(new_rows(log)) == 1


def test_no_raw_samples(log: Path) -> None:
    assert_failed(hear(log, "--input", "-"), "no samples")
    assert log.read_bytes() == LOGGED


def test_a_file_instead_of_raw_samples(log: Path) -> None:
    content = write_siren(log.parent / "siren.wav", 3.0).read_bytes()
    assert_failed(hear(log, "--input", "-", stdin=content), "WAV file, not raw PCM", "ffmpeg")
    assert log.read_bytes() == LOGGED


def microphone(index: int, name: str, default: bool = False) -> InputDevice:
    return InputDevice(index, name, "ALSA", 1, 48_000, default)


MICROPHONES = [microphone(0, "HDA Intel", default=True), microphone(2, "USB PnP"), microphone(5, "USB Cam")]


@pytest.mark.parametrize("wanted", ["nosuch", "7", 7])
def test_an_unknown_device_is_answered_with_those_there_are(wanted: str | int) -> None:
    with pytest.raises(SourceError) as caught:
        find_device(wanted, MICROPHONES)
    for word in ("0 (HDA Intel, ALSA)", "2 (USB PnP, ALSA)", "5 (USB Cam, ALSA)", repr(wanted)):
        assert word in str(caught.value)


def test_a_device_is_found_by_number_and_part_of_its_name() -> None:
    assert find_device(None, MICROPHONES).index == 0
    assert find_device("2", MICROPHONES).index == 2
    assert find_device(" usb cam ", MICROPHONES).index == 5
    with pytest.raises(SourceError, match=r"fits several.*USB PnP.*USB Cam"):
        find_device("usb", MICROPHONES)


def expected_words(wanted: str) -> list[str]:
    """What the answer to an unknown device says on this very machine."""
    try:
        devices = list_devices()
    except SourceError as error:
        return [str(error)]  # no PortAudio: what to install
    return [wanted, *(device.name for device in devices)] if devices else ["no microphone found"]


def test_an_unknown_device_through_the_command(dated_log: Path) -> None:
    log, before = dated_log, dated_log.read_bytes()
    done = hear(log, "--device", "no such microphone")
    assert_refused(done)
    for word in expected_words("no such microphone"):
        assert word in done.err
    assert log.read_bytes() == before


def test_list_devices_always_answers(tmp_path: Path) -> None:
    done = esc_listen("--list-devices", cwd=tmp_path)
    if done.status == 0:
        assert "no input device found" in done.out or "index" in done.out_lines[0]
    else:
        assert_refused(done, "sound")


def test_a_model_that_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.tflite")
    for path in (tmp_path / "pipe.tflite", Path("/dev/zero"), tmp_path):
        with pytest.raises(ModelError, match="not an ordinary file"):
            load_model(path)


def test_a_model_that_is_absurdly_large_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "huge.tflite"
    path.touch()
    os.truncate(path, 10**12)
    with pytest.raises(ModelError, match="larger than any network for sounds"):
        load_model(path)
