"""The parts of the microphone that need no sound: devices, messages, latency."""

from __future__ import annotations

import os
import subprocess
import sys
from ctypes.util import find_library
from pathlib import Path

import numpy as np
import pytest

from streamer.clock import ManualClock
from streamer.errors import SourceError
from streamer.ledger import Ledger
from streamer.sources.capture import CaptureBuffer
from streamer.sources.devices import InputDevice, describe_devices, find_device
from streamer.sources.microphone import channels_to_open
from streamer.sources.placement import StreamPlacer
from streamer.sources.timeline import Timeline

ROOT = Path(__file__).parent.parent

BUILT_IN = InputDevice(0, "HDA Intel PCH: ALC257 Analog (hw:0,0)", "ALSA", 2, 44_100, False)
USB = InputDevice(3, "USB Audio Device: - (hw:1,0)", "ALSA", 1, 48_000, False)
PULSE = InputDevice(7, "pulse", "ALSA", 32, 44_100, False)
DEFAULT = InputDevice(12, "default", "ALSA", 32, 44_100, True)
MONITOR = InputDevice(13, "PulseAudio monitor", "JACK", 2, 48_000, False)
DEVICES = [BUILT_IN, USB, PULSE, DEFAULT, MONITOR]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (None, DEFAULT),
        (3, USB),
        ("3", USB),
        ("usb audio", USB),
        ("HDA INTEL", BUILT_IN),
        ("hw:1", USB),
        ("pulse", PULSE),  # the whole name wins over a part of another
        ("PulseAudio", MONITOR),
    ],
)
def test_a_device_is_found_by_index_or_part_of_its_name(wanted: str | int | None, found: InputDevice) -> None:
    assert find_device(wanted, DEVICES) is found


@pytest.mark.parametrize("wanted", ["webcam", "99", 99, 1])
def test_an_unknown_device_is_refused_with_those_there_are(wanted: str | int) -> None:
    with pytest.raises(SourceError, match="no input device") as refused:
        find_device(wanted, DEVICES)
    message = str(refused.value)
    assert "\n" not in message
    for device in DEVICES:
        assert f"{device.index} ({device.name}" in message


def test_an_ambiguous_device_is_refused_with_those_it_fits() -> None:
    with pytest.raises(SourceError, match="fits several") as refused:
        find_device("hw:", DEVICES)
    message = str(refused.value)
    assert BUILT_IN.name in message
    assert USB.name in message
    assert PULSE.name not in message


@pytest.mark.parametrize("wanted", [None, 0, "usb"])
def test_without_any_microphone_the_message_says_what_to_do(wanted: str | int | None) -> None:
    with pytest.raises(SourceError, match=r"no microphone found: plug one in .* --list-devices"):
        find_device(wanted, [])


def test_without_a_default_microphone_one_must_be_chosen() -> None:
    with pytest.raises(SourceError, match=r"no default microphone .* --device: 0 \(HDA"):
        find_device(None, [BUILT_IN, USB])


def test_the_table_shows_every_device_and_marks_the_default() -> None:
    lines = describe_devices(DEVICES).splitlines()
    assert len(lines) == 1 + len(DEVICES)
    for line, device in zip(lines[1:], DEVICES, strict=True):
        assert device.name in line
        assert f"{device.rate_hz} Hz" in line
        assert line.startswith("*") == device.is_default
    assert describe_devices([]) == "no input device found"


@pytest.mark.parametrize(
    ("device", "channel", "opened"), [(BUILT_IN, None, 2), (USB, 1, 1), (PULSE, None, 2), (PULSE, 5, 5)]
)
def test_software_mixers_are_not_asked_for_all_they_could_make_up(
    device: InputDevice, channel: int | None, opened: int
) -> None:
    assert channels_to_open(device, channel) == opened


def run_microphone(**environment: str) -> str:
    """Try to construct a microphone in a process of its own; its last line on standard error."""
    program = """
import sys
from streamer.errors import SourceError
from streamer.sources.microphone import MicrophoneSource
try:
    MicrophoneSource(22_050)
except SourceError as error:
    sys.exit(str(error))
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode in (0, 1), done.stderr
    return done.stderr.strip().splitlines()[-1] if done.returncode else ""


def test_without_portaudio_the_message_says_how_to_get_it(tmp_path: Path) -> None:
    hide = "import ctypes.util\nctypes.util.find_library = lambda name: None\n"
    (tmp_path / "sitecustomize.py").write_text(hide)
    assert run_microphone(PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}") == (
        "no PortAudio on this system: sudo apt install libportaudio2 (files and --input - work without it)"
    )


def test_a_system_without_inputs_is_told_so() -> None:
    if not find_library("portaudio"):
        if os.environ.get("ESC_REQUIRE_ALL") == "1":
            pytest.fail("libportaudio2 is missing")
        pytest.skip("libportaudio2 is missing")
    message = run_microphone()
    if not message:
        pytest.skip("this system has a microphone")
    assert message.startswith("no microphone found: plug one in")


RATE_HZ = 48_000
BLOCK = 480
OPENED_S = 500.0


class SetClock(ManualClock):
    """A clock whose time is set."""

    now_s = 0.0

    def monotonic_s(self) -> float:
        return self.now_s


def first_sample_s(delays_s: list[float], claimed_s: list[float]) -> float:
    """When the first sample was in the air, of callbacks with these delays and claims of latency."""
    clock = SetClock()
    buffer = CaptureBuffer(RATE_HZ, 1, 10.0)
    buffer.name, buffer.problem = "test", ""  # type: ignore[attr-defined]
    timeline = Timeline(RATE_HZ)
    placer = StreamPlacer(buffer, RATE_HZ, timeline, Ledger(RATE_HZ), 0, None)  # type: ignore[arg-type]
    for position, (delay_s, latency_s) in enumerate(zip(delays_s, claimed_s, strict=True)):
        clock.now_s = max(clock.now_s, OPENED_S + (position + 1) * BLOCK / RATE_HZ + delay_s)
        buffer.on_audio(np.ones((BLOCK, 1), np.float32), clock.now_s, latency_s, overflow=False)
        placer.look()
        placer.read()
    return timeline.monotonic_s(0) - placer.latency_s


@pytest.mark.parametrize("claims", ["true", "none", "too long at first", "impossible"])
def test_dates_do_not_contain_the_jitter_of_callbacks(claims: str) -> None:
    jitter_s = np.random.default_rng(3).exponential(0.02, 400)
    jitter_s[17] = 0.0
    block_s = BLOCK / RATE_HZ
    claimed_s = {
        "true": jitter_s + block_s,
        "none": np.zeros(400),
        "too long at first": np.maximum(block_s, 0.4 - np.arange(400) * block_s / 3),
        "impossible": np.full(400, -3.0),
    }[claims]
    assert first_sample_s(list(jitter_s), list(claimed_s)) == pytest.approx(OPENED_S, abs=0.01)


def test_a_true_latency_is_taken_off() -> None:
    jitter_s = np.random.default_rng(4).exponential(0.02, 200)
    claimed_s = jitter_s + 0.15 + BLOCK / RATE_HZ
    assert first_sample_s(list(jitter_s + 0.15), list(claimed_s)) == pytest.approx(OPENED_S, abs=0.01)
