"""A microphone that comes back: the rules, a device made of arithmetic, and a real sound server."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from capture_process import RATE_HZ, CaptureProcess, capturing
from command import COMMAND
from fake_device import FakeDevice, FakeStream
from sound_server import SoundServer, sound_server, wait_until
from test_dashboard import a_status, text_of
from test_ledger import Heard, Notes

from streamer.clock import ManualClock
from streamer.errors import HopelessError, SourceError
from streamer.ledger import LedgerStatus
from streamer.monitor import resident_mb
from streamer.sources.devices import InputDevice
from streamer.sources.microphone import find_again
from streamer.sources.state import (
    FIRST_WAIT_S,
    LONGEST_WAIT_S,
    REOPEN_AFTER_S,
    SILENT_AFTER_S,
    STALLED_AFTER_S,
    STEADY_AFTER_S,
    CaptureState,
    State,
)
from streamer.sources.supervisor import SupervisedSource

Step = tuple[float, Callable[[CaptureState, float], object]]


def sound(state: CaptureState, now_s: float) -> object:
    return state.heard(now_s, sound=True)


def zeros(state: CaptureState, now_s: float) -> object:
    return state.heard(now_s, sound=False)


def nothing(state: CaptureState, now_s: float) -> object:
    return state.waited(now_s)


def beat(state: CaptureState, now_s: float) -> object:
    return state.beat(now_s)


def opened(state: CaptureState, now_s: float) -> object:
    return state.opened(now_s)


def lost(state: CaptureState, now_s: float) -> object:
    return state.lost(now_s, "unplugged")


def hopeless(state: CaptureState, now_s: float) -> object:
    return state.gave_up(now_s, "no PortAudio")


def end(state: CaptureState, now_s: float) -> object:
    return state.finished(now_s)


SILENT, STALLED, REOPEN = SILENT_AFTER_S, STALLED_AFTER_S, REOPEN_AFTER_S
RULES: dict[str, tuple[list[Step], State, float]] = {
    "at first": ([], "starting", 0.0),
    "samples come": ([(1.0, sound)], "listening", 1.0),
    "zeros for a moment": ([(1.0, zeros), (0.9 + SILENT, zeros)], "listening", 1.0),
    "zeros for seconds": ([(1.0, zeros), (1.0 + SILENT, zeros)], "silent", 1.0),
    "zeros after sound": ([(1.0, sound), (3.0, sound), (3.0 + SILENT, zeros)], "silent", 3.0),
    "sound again": ([(1.0, zeros), (9.0, zeros), (10.0, sound)], "listening", 10.0),
    "nothing for a moment": ([(1.0, sound), (0.9 + STALLED, nothing)], "listening", 1.0),
    "nothing for seconds": ([(1.0, sound), (1.0 + STALLED, nothing)], "stalled", 1.0),
    "nothing after zeros": ([(1.0, zeros), (7.0, zeros), (7.0 + STALLED, nothing)], "stalled", 7.0),
    "held back, but alive": ([(1.0, sound), (2.9, beat), (4.0, nothing)], "listening", 1.0),
    "samples after a stall": ([(1.0, sound), (4.0, nothing), (5.0, sound)], "listening", 5.0),
    "a long stall": ([(1.0, sound), (4.0, nothing), (1.0 + STALLED + REOPEN, nothing)], "recovering", 1.0),
    "never a sample": ([(REOPEN, nothing)], "recovering", 0.0),
    "not there at first": ([(0.0, lost)], "recovering", 0.0),
    "unplugged": ([(1.0, sound), (2.0, lost)], "recovering", 1.0),
    "back again": ([(1.0, sound), (2.0, lost), (3.0, opened), (4.0, sound)], "listening", 4.0),
    "opened, but dumb": ([(1.0, sound), (2.0, lost), (3.0, opened), (9.0, nothing)], "recovering", 1.0),
    "zeros after it is back": ([(1.0, lost), (2.0, zeros), (2.0 + SILENT, zeros)], "silent", 2.0),
    "hopeless": ([(1.0, hopeless), (2.0, sound), (3.0, lost)], "failed", 1.0),
    "over": ([(1.0, sound), (2.0, end), (3.0, lost), (4.0, hopeless)], "finished", 2.0),
}


@pytest.mark.parametrize("rule", RULES)
def test_the_rules(rule: str) -> None:
    steps, state, since_s = RULES[rule]
    machine = CaptureState(0.0)
    for at_s, what in steps:
        what(machine, at_s)
    assert (machine.state, machine.since_s) == (state, since_s)


def test_a_stream_without_samples_is_given_up_again_and_again() -> None:
    machine = CaptureState(0.0)
    assert not machine.waited(REOPEN - 0.1)
    assert machine.waited(REOPEN)
    assert not machine.waited(REOPEN + 0.1)
    machine.opened(20.0)
    assert not machine.waited(20.0 + REOPEN - 0.1)
    assert machine.waited(20.0 + REOPEN)


def test_the_waits_double_and_then_stay() -> None:
    machine = CaptureState(0.0)
    waits = [machine.next_wait_s() for _ in range(100)]
    assert waits[:4] == [FIRST_WAIT_S, 2 * FIRST_WAIT_S, 4 * FIRST_WAIT_S, 8 * FIRST_WAIT_S]
    assert set(waits[10:]) == {LONGEST_WAIT_S}
    machine.heard(1.0, sound=True)
    assert machine.next_wait_s() == LONGEST_WAIT_S  # it may only be flapping
    machine.heard(1.0 + STEADY_AFTER_S, sound=True)
    assert machine.next_wait_s() == FIRST_WAIT_S


def test_without_a_supervisor_nothing_is_opened_anew() -> None:
    machine = CaptureState(0.0, reopen_after_s=math.inf)
    machine.heard(1.0, sound=True)
    assert not machine.waited(1e6)
    assert machine.state == "stalled"


def test_a_device_that_comes_back_is_heard_again() -> None:
    heard = Heard()
    heard.listen(5.0)
    heard.device.unplug()
    heard.listen(3.0)
    assert heard.source.health.state == "recovering"
    assert heard.source.health.problem == "fake is not there"
    heard.device.present = True
    heard.listen(10.0)
    assert heard.source.health.state == "listening"
    assert heard.source.health.problem == ""
    assert [note["state"] for note in heard.notes.of("state")] == [
        "starting",
        "listening",
        "recovering",
        "listening",
    ]


def test_a_dumb_device_is_opened_again_for_ever() -> None:
    heard = Heard()
    heard.listen(5.0)
    heard.device.suspended = True
    heard.listen(600.0)
    # Waits of half a minute and REOPEN seconds of patience each time, after some shorter ones.
    assert 600 / (LONGEST_WAIT_S + REOPEN) < heard.device.opened < 25
    heard.device.suspended = False
    heard.listen(LONGEST_WAIT_S + 10.0)
    assert heard.source.health.state == "listening"
    assert heard.assert_in_place() == 1
    heard.assert_accounted()


def test_zeros_are_an_alarm() -> None:
    heard = Heard()
    heard.device.muted = True
    heard.listen(10.0)
    assert heard.source.health.state == "silent"
    heard.device.muted = False
    heard.listen(2.0)
    assert heard.source.health.state == "listening"
    assert heard.ledger.gaps == 0


def blocks_of(device: FakeDevice, clock: ManualClock, wait: bool, notes: Notes) -> SupervisedSource:
    return SupervisedSource(2_000, device, wait=wait, clock=clock, report=notes)


def test_a_device_that_is_missing_at_first_is_an_error_unless_it_shall_be_waited_for() -> None:
    clock, notes = ManualClock(), Notes()
    device = FakeDevice(clock)
    device.present = False
    with pytest.raises(SourceError, match="fake is not there"):
        list(blocks_of(device, clock, wait=False, notes=notes).blocks())
    assert [note["state"] for note in notes.of("state")] == ["starting", "failed"]

    source = blocks_of(device, clock, wait=True, notes=Notes())
    blocks = source.blocks()
    for _ in range(200):
        assert len(next(blocks).samples) == 0
    assert source.health.state == "recovering"
    device.present = True
    while not len(next(blocks).samples):
        pass
    assert source.health.state == "listening"
    assert source.health.gaps == 0  # nothing is lost before the first sample
    source.close()


def test_what_is_hopeless_is_an_error_even_then() -> None:
    class NoPortAudio(FakeDevice):
        def open(self) -> FakeStream:
            raise HopelessError("no PortAudio")

    clock, notes = ManualClock(), Notes()
    with pytest.raises(HopelessError):
        list(blocks_of(NoPortAudio(clock), clock, wait=True, notes=notes).blocks())
    assert notes.of("state")[-1]["state"] == "failed"
    assert notes.of("state")[-1]["problem"] == "no PortAudio"


def test_a_sound_system_that_hangs_does_not_hold_up_the_end() -> None:
    release = threading.Event()

    class Hanging(FakeDevice):
        def open(self) -> FakeStream:
            release.wait(60.0)
            raise SourceError("too late")

    clock = ManualClock()
    device = Hanging(clock)
    source = blocks_of(device, clock, wait=True, notes=Notes())
    blocks = source.blocks()
    next(blocks)
    clock.sleep(60.0)
    next(blocks)
    assert source.health.problem == "the sound system does not answer"
    source.close()
    assert device.abandoned
    release.set()
    assert list(blocks) == []


def test_a_device_may_come_back_with_another_rate() -> None:
    heard = Heard()
    heard.listen(10.0)
    heard.device.unplug()
    heard.listen(2.0)
    heard.device.rate_hz *= 2
    heard.device.present = True
    heard.listen(20.0)
    assert heard.source.health.state == "listening"
    assert abs(heard.ledger.unaccounted_s) < 0.05
    assert heard.ledger.gaps == 1
    assert heard.blocks[-1].end_sample / 2_000 == pytest.approx(heard.ledger.elapsed_s, abs=1.0)


def test_the_screen_says_what_is_wrong_and_what_was_lost() -> None:
    ledger = LedgerStatus(22_050, 220_500, 220_000, {"reopen": 44_100}, 1, 12.0, 12.3)
    health = dataclasses.replace(a_status().health, ledger=ledger, every=4, skipped_windows=77)
    away = a_status(state="recovering", problem="default stopped delivering sound", health=health)
    for width, height in ((80, 24), (140, 40), (200, 60)):
        text = text_of(away, width, height)
        assert "recovering" in text
        assert "nothing heard for 12 s: default stopped" in text
        assert "77 (1 of 4 heard)" in text
    assert "lost: reopen" in text
    assert "2.0 s" in text
    assert "+12 ppm" in text


def a_device(index: int, name: str, rate_hz: int = 48_000) -> InputDevice:
    return InputDevice(index, name, "ALSA", 1, rate_hz, False)


def test_a_device_is_found_again_by_its_name() -> None:
    known = a_device(3, "USB Audio Device: - (hw:1,0)")
    moved = a_device(5, "USB Audio Device: - (hw:2,0)", rate_hz=44_100)
    other = a_device(3, "Webcam: - (hw:1,0)")
    assert find_again(known, [other, moved]) is moved
    twin = a_device(3, "USB Audio Device: - (hw:1,0)")
    assert find_again(known, [moved, twin]) is twin
    with pytest.raises(SourceError, match="USB Audio Device: - is not there"):
        find_again(known, [other])


# With a real sound server.

PITCH_HZ, OTHER_PITCH_HZ = 700, 1_900


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SoundServer]:
    with sound_server(tmp_path) as running:
        running.hum(PITCH_HZ)
        yield running


@pytest.fixture
def capture(server: SoundServer, tmp_path: Path) -> Iterator[CaptureProcess]:
    with capturing(server.environment, tmp_path) as process:
        process.wait_for_pitch(PITCH_HZ)
        yield process


def assert_gap_and_end(capture: CaptureProcess, cause: str, least_s: float) -> None:
    """There was one gap; all that was not captured is in it, and the dates are still right."""
    assert abs(capture.now["unix_s"] - capture.now["end_unix_s"]) < 1.0
    capture.stop()
    (gap,) = capture.of("gap")
    (ledger,) = capture.of("ledger")
    assert gap["cause"] == cause
    assert gap["length_s"] >= least_s
    assert ledger["lost"] == {cause: gap["samples"]}
    assert abs(ledger["unaccounted_ms"]) < 50.0
    accounted_s = (ledger["captured"] + gap["samples"]) / RATE_HZ
    assert ledger["elapsed_s"] == pytest.approx(accounted_s, rel=1e-3)
    assert ledger["processed"] <= ledger["captured"] <= ledger["processed"] + RATE_HZ


@pytest.mark.sound_server
def test_a_sound_server_that_is_killed_and_started_again(
    server: SoundServer, capture: CaptureProcess
) -> None:
    server.kill()
    capture.wait_for_state("recovering")
    server.start()
    server.hum(OTHER_PITCH_HZ)
    capture.wait_for_pitch(OTHER_PITCH_HZ)
    assert capture.now["state"] == "listening"
    assert_gap_and_end(capture, "reopen", 0.5)
    assert capture.states == ["starting", "listening", "recovering", "listening", "finished"]


@pytest.mark.sound_server
def test_a_device_that_is_unplugged_and_plugged_in_again(
    server: SoundServer, capture: CaptureProcess
) -> None:
    server.remove_devices()
    capture.wait_for_state("recovering")
    server.add_device()
    server.hum(OTHER_PITCH_HZ)
    capture.wait_for_pitch(OTHER_PITCH_HZ)
    assert_gap_and_end(capture, "reopen", 0.3)


@pytest.mark.sound_server
def test_a_device_that_is_suspended(server: SoundServer, capture: CaptureProcess) -> None:
    server.suspend(True)
    capture.wait_for_state("stalled")
    server.suspend(False)
    capture.wait_for_state("listening")
    capture.wait_for_pitch(PITCH_HZ)
    gap = capture.of("gap")[0]
    assert_gap_and_end(capture, gap["cause"], STALLED_AFTER_S)
    # On a machine that is busy elsewhere, waking it may take so long that it is opened anew.
    assert gap["cause"] in ("stall", "reopen")


@pytest.mark.sound_server
def test_a_device_that_is_muted(server: SoundServer, capture: CaptureProcess) -> None:
    server.mute(True)
    capture.wait_for_state("silent")
    server.mute(False)
    capture.wait_for_state("listening")
    capture.wait_for_pitch(PITCH_HZ)
    capture.stop()
    assert capture.of("gap") == []
    assert capture.of("ledger")[0]["lost"] == {}


@pytest.mark.sound_server
def test_another_default_device_is_followed(server: SoundServer, capture: CaptureProcess) -> None:
    server.add_device("other", default=False)
    server.hum(OTHER_PITCH_HZ, "other")
    server.control("set-default-source", "other.monitor")
    capture.wait_for_pitch(OTHER_PITCH_HZ)
    gaps = capture.of("gap")
    assert len(gaps) <= 1  # moving a stream takes a moment, and that moment is entered
    capture.stop()
    assert abs(capture.of("ledger")[0]["unaccounted_ms"]) < 50.0


@pytest.mark.sound_server
def test_a_device_that_is_not_there_yet(tmp_path: Path) -> None:
    with (
        sound_server(tmp_path, with_device=False) as server,
        capturing(server.environment, tmp_path, wait=True) as capture,
    ):
        capture.wait_for_state("recovering")
        assert capture.now["samples"] == 0
        server.add_device()
        server.hum(PITCH_HZ)
        capture.wait_for_pitch(PITCH_HZ)
        capture.stop()
        assert capture.of("gap") == []


@pytest.mark.sound_server
def test_without_waiting_a_missing_device_is_one_clear_line(tmp_path: Path) -> None:
    with (
        sound_server(tmp_path, with_device=False) as server,
        capturing(server.environment, tmp_path) as capture,
    ):
        assert capture.end() == 1
        (error,) = capture.errors
        assert "default" in error or "no microphone" in error


@pytest.mark.sound_server
def test_a_sound_server_that_hangs(server: SoundServer, capture: CaptureProcess) -> None:
    server.send(signal.SIGSTOP)
    try:
        capture.wait_until(lambda: "does not answer" in capture.now["problem"], "it says that it hangs")
        assert capture.now["state"] == "recovering"
        assert capture.stop() < 10.0  # 2 s and a bit, on a machine that has time
    finally:
        server.send(signal.SIGCONT)


def portaudio_process(of: int) -> int:
    """The process in which PortAudio runs, of one that listens."""
    (child,) = " ".join(path.read_text() for path in Path(f"/proc/{of}/task").glob("*/children")).split()
    return int(child)


@pytest.mark.sound_server
@pytest.mark.parametrize("fate", [signal.SIGSTOP, signal.SIGKILL], ids=["hangs", "crashes"])
def test_portaudio_itself_may_hang_or_crash(capture: CaptureProcess, fate: signal.Signals) -> None:
    os.kill(portaudio_process(capture.process.pid), fate)
    capture.wait_for_state("recovering")
    capture.wait_for_state("listening")
    capture.wait_for_pitch(PITCH_HZ)
    assert_gap_and_end(capture, "reopen", 0.3)


@pytest.mark.sound_server
def test_portaudio_does_not_outlive_the_process_that_listens(capture: CaptureProcess) -> None:
    process = Path(f"/proc/{portaudio_process(capture.process.pid)}")
    capture.process.kill()
    wait_until(lambda: not process.exists(), "the process of PortAudio has ended")


@pytest.mark.sound_server
def test_the_command_ends_quietly_while_the_sound_server_hangs(server: SoundServer, tmp_path: Path) -> None:
    journal, notes = tmp_path / "journal.jsonl", tmp_path / "notes.txt"
    with notes.open("wb") as notes_file:
        process = subprocess.Popen(
            [COMMAND, "--plain", "--no-csv", "--journal", journal],
            env=server.environment,
            stdout=notes_file,
            stderr=notes_file,
        )
    try:
        wait_until(lambda: journal.exists() and '"listening"' in journal.read_text(), "it listens")
        server.send(signal.SIGSTOP)
        wait_until(lambda: '"stalled"' in journal.read_text(), "it hangs")
        process.terminate()
        assert process.wait(10) == 0
    finally:
        server.send(signal.SIGCONT)
        process.kill()
        process.wait()
    # Nor do native libraries complain about what is left.
    assert "s of sound; lost" in notes.read_text().splitlines()[-1], notes.read_text()


@pytest.mark.sound_server
def test_the_command_tells_what_happens(server: SoundServer, tmp_path: Path) -> None:
    notes, journal = tmp_path / "notes.txt", tmp_path / "journal.jsonl"
    with (
        notes.open("wb") as notes_file,
        subprocess.Popen(
            [COMMAND, "--plain", "--csv", tmp_path / "events.csv", "--journal", journal],
            env=server.environment | {"PYTHONUNBUFFERED": "1"},
            stdout=notes_file,
            stderr=notes_file,
        ) as process,
    ):
        try:

            def says(text: str) -> None:
                wait_until(lambda: text in notes.read_text(), f"it says {text!r}: {notes.read_text()}")

            wait_until(lambda: journal.exists() and '"listening"' in journal.read_text(), "it listens")
            server.kill()
            says("esc-listen: default stopped delivering sound")
            server.start()
            says("esc-listen: sound comes in again")
            process.terminate()
            assert process.wait(30) == 0, notes.read_text()
        finally:
            process.kill()
    said = notes.read_text()
    assert "Expression" not in said  # what PortAudio says about itself
    assert re.search(r"default stopped .*\(nothing heard since \d\d:\d\d:\d\d; trying again", said)
    assert re.search(r"comes in again since \d\d:\d\d:\d\d$", said, re.MULTILINE)
    assert "lost" in said.splitlines()[-1]
    entries = [json.loads(line) for line in journal.read_text().splitlines()]
    kinds = [entry["kind"] for entry in entries]
    assert [kinds.count(kind) for kind in ("gap", "ledger", "clock")] == [1, 1, 0]
    states = [entry["state"] for entry in entries if entry["kind"] == "state"]
    assert states[:4] == ["starting", "listening", "recovering", "listening"]
    assert states[-1] == "finished"


def test_the_memory_that_is_shown_includes_the_process_of_portaudio() -> None:
    if not Path(f"/proc/self/task/{os.getpid()}/children").exists():
        pytest.skip("this kernel does not tell which processes a process has started")
    alone = resident_mb()
    assert alone > 10.0
    hold = "held = b'x' * 50_000_000; print('holding', flush=True); input()"
    command = [sys.executable, "-c", hold]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout
        assert child.stdout.readline() == "holding\n"
        together = resident_mb()
        child.communicate("\n", timeout=20)
    assert 45.0 < together - alone < 100.0
