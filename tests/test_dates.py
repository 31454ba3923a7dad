"""No row ends after it is written: live pipes, recordings in a pipe, bursts, pauses and wrong rates."""

from __future__ import annotations

import csv
import itertools
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from command import PATIENCE_S, esc_listen, running, wait_until
from fake_device import FakeDevice
from producer import RATE_HZ, Producer, steadily
from sounds import RATE_HZ as MODEL_HZ
from sounds import only_siren, pcm, siren

from streamer.clock import ManualClock
from streamer.sources.alive import is_alive
from streamer.sources.arrivals import explained
from streamer.sources.pipe_placement import LEAST_EARLY_S
from streamer.sources.supervisor import SupervisedSource
from streamer.sources.timeline import Timeline
from streamer.types import Block, FloatArray


def numbers_of(blocks: list[Block]) -> list[int]:
    """The samples as they were numbered."""
    heard = np.concatenate([block.samples for block in blocks])
    return np.rint(heard * 32_768).astype(int).tolist()


# --- live or a recording? ---


def test_a_recording_comes_faster_than_real_time(monkeypatch: pytest.MonkeyPatch) -> None:
    producer = Producer(monkeypatch, steadily(0, 20, speed=3.0))
    undecided = True
    for block in producer.blocks():
        assert producer.source.health.undecided == (producer.now_s < 10.0 + 0.05) or not len(block.samples)
        undecided = producer.source.health.undecided
    assert not undecided
    assert not producer.source.live
    assert not producer.source.dated
    (advice,) = producer.kinds("advice")
    assert "standard input is a recording" in str(advice["text"])
    assert producer.kinds("ledger") == producer.kinds("gap") == []


@pytest.mark.parametrize("schedule", [[(0.0, 15.0)], [(0.0, 1.0), (5.0, 1.0)], steadily(0, 9)])
def test_what_ends_within_ten_seconds_is_a_recording(
    monkeypatch: pytest.MonkeyPatch, schedule: list[tuple[float, float]]
) -> None:
    producer = Producer(monkeypatch, schedule)
    blocks = producer.run()
    assert not producer.source.live
    assert blocks[-1].end_sample == sum(round(seconds * RATE_HZ) for _, seconds in schedule)


@pytest.mark.parametrize(
    ("schedule", "live"),
    [(steadily(0, 30), True), ([(0.0, 8.0), *steadily(0, 30)], True), (steadily(0, 30, 4.0), False)],
)
def test_what_is_stopped_within_ten_seconds_is_judged_by_what_came(
    monkeypatch: pytest.MonkeyPatch, schedule: list[tuple[float, float]], live: bool
) -> None:
    producer = Producer(monkeypatch, schedule)
    blocks = producer.blocks()
    while producer.now_s <= 4.0:
        next(blocks)
    assert producer.source.health.undecided
    producer.source.close()
    assert not producer.source.health.undecided
    assert producer.source.live == live


def test_it_can_be_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    producer = Producer(monkeypatch, [(0.0, 15.0)], live=True)
    assert not producer.source.health.undecided
    producer.run()
    assert producer.source.live
    producer = Producer(monkeypatch, steadily(0, 20), begin_unix_s=1e9)
    assert not producer.source.health.undecided
    producer.run()
    assert not producer.source.live
    assert producer.source.dated
    assert producer.source.unix_time(3 * RATE_HZ) == 1e9 + 3.0


def test_a_pause_is_nothing_in_a_recording(monkeypatch: pytest.MonkeyPatch) -> None:
    producer = Producer(monkeypatch, [*steadily(0, 12, speed=5.0), *steadily(20, 25, speed=5.0)])
    blocks = producer.run()
    assert not producer.source.live
    assert blocks[-1].end_sample == 85 * RATE_HZ
    assert producer.source.health.gaps == 0


# --- no sample lies in the future ---


def assert_honest(producer: Producer, gaps: int = 0, off_s: float = 0.05) -> None:
    """Nothing was ever in the future, and the account is right."""
    ledger = producer.source.health.ledger
    assert producer.earliest_s >= -LEAST_EARLY_S - 1e-6
    assert abs(ledger.unaccounted_s) < off_s
    assert ledger.gaps == gaps


@pytest.mark.parametrize("live", [False, True])
def test_a_burst_at_the_beginning_lies_in_the_past(monkeypatch: pytest.MonkeyPatch, live: bool) -> None:
    producer = Producer(monkeypatch, [(0.0, 20.0), *steadily(0, 120)], live=live)
    end = producer.run()[-1].end_sample
    assert producer.source.live
    assert_honest(producer)
    assert producer.source.unix_time(end) == pytest.approx(producer.clock.unix_s(), abs=0.05)
    assert producer.source.health.ledger.captured == 140 * RATE_HZ
    assert producer.source.health.ledger.elapsed_s == pytest.approx(140.0, abs=0.05)


@pytest.mark.parametrize("segment_s", [1.5, 2.0, 4.0, 6.0])
@pytest.mark.parametrize("at_once", [0, 3])
def test_a_stream_of_segments_is_live_and_loses_nothing(
    monkeypatch: pytest.MonkeyPatch, segment_s: float, at_once: int
) -> None:
    count = round(200 / segment_s)
    later = [(segment_s * number, segment_s) for number in range(1, count + 1)]
    producer = Producer(monkeypatch, [*[(0.0, segment_s)] * at_once, *later])
    blocks = producer.run()
    assert producer.source.live
    assert_honest(producer, off_s=0.1)
    assert blocks[-1].end_sample == round((at_once + count) * segment_s * RATE_HZ)
    assert producer.kinds("advice") == []


@pytest.mark.parametrize("speed", [0.995, 1.005])
def test_a_source_that_is_a_little_fast_or_slow_is_followed(
    monkeypatch: pytest.MonkeyPatch, speed: float
) -> None:
    producer = Producer(monkeypatch, steadily(0, 600, speed, chunk_s=0.2))
    end = producer.run()[-1].end_sample
    assert_honest(producer, off_s=0.2)
    assert producer.source.unix_time(end) == pytest.approx(producer.clock.unix_s(), abs=0.1)
    assert producer.source.health.ledger.drift_ppm == pytest.approx(1e6 * (speed - 1), abs=500)
    assert producer.source.health.ledger.elapsed_s == pytest.approx(600.0, abs=1.0)


def test_samples_that_come_early_later_on_move_the_dates(monkeypatch: pytest.MonkeyPatch) -> None:
    producer = Producer(monkeypatch, [*steadily(0, 60), (60.05, 10.0), *steadily(60, 120)])
    end = producer.run()[-1].end_sample
    assert_honest(producer)
    assert producer.source.unix_time(end) == pytest.approx(producer.clock.unix_s(), abs=0.05)


def test_a_pause_that_is_made_up_for_is_no_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    producer = Producer(monkeypatch, [*steadily(0, 30), (42.0, 12.0), *steadily(42, 100)])
    blocks = producer.run()
    assert_honest(producer)
    assert blocks[-1].end_sample == 100 * RATE_HZ
    assert producer.source.unix_time(0) == pytest.approx(producer.clock.unix_s() - 100.0, abs=0.05)


def test_a_pause_that_is_not_made_up_for_is_one_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    producer = Producer(monkeypatch, [*steadily(0, 30), *steadily(42, 100)])
    blocks = producer.run()
    assert_honest(producer, gaps=1)
    assert producer.source.health.lost_samples / RATE_HZ == pytest.approx(12.0, abs=0.15)
    (jump,) = [
        after.start_sample
        for before, after in itertools.pairwise(blocks)
        if after.start_sample != before.end_sample
    ]
    assert jump == pytest.approx(42 * RATE_HZ, abs=0.15 * RATE_HZ)
    (gap,) = producer.kinds("gap")
    assert gap["cause"] == "stall"


def test_a_gap_that_is_made_up_for_much_later_is_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    producer = Producer(monkeypatch, [*steadily(0, 30), *steadily(42, 60), (60.05, 12.0), *steadily(60, 100)])
    end = producer.run()[-1].end_sample
    assert_honest(producer, gaps=1, off_s=0.2)
    assert producer.source.health.lost_samples / RATE_HZ == pytest.approx(0.0, abs=0.2)
    assert producer.source.unix_time(end) == pytest.approx(producer.clock.unix_s(), abs=0.05)
    assert sum(float(str(told["length_s"])) for told in producer.kinds("regained")) == pytest.approx(
        12.0, abs=0.2
    )


def test_being_stopped_ourselves_loses_nothing_of_what_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    producer = Producer(monkeypatch, steadily(0, 100))
    blocks = []
    stopped = False
    for block in producer.blocks():
        blocks.append(block)
        if producer.now_s > 30.0 and not stopped:
            stopped = True
            producer.clock.sleep(6.0)
    assert_honest(producer)
    assert numbers_of(blocks) == [1_000 + number % 10_000 for number in range(100 * RATE_HZ)]


def test_what_came_earlier_than_thought_moves_only_its_own_run() -> None:
    timeline = Timeline(RATE_HZ)
    timeline.begin(0, 50.0)
    timeline.begin(20 * RATE_HZ, 75.0)
    assert timeline.advance(30 * RATE_HZ, 82.0) == 3.0
    assert timeline.monotonic_s(RATE_HZ) == 51.0
    assert timeline.monotonic_s(21 * RATE_HZ) == 73.0
    assert timeline.elapsed_s(20 * RATE_HZ) == 22.0
    assert timeline.advance(22 * RATE_HZ, 73.98) == pytest.approx(0.02)
    assert timeline.monotonic_s(21 * RATE_HZ) == pytest.approx(72.98)
    assert timeline.advance(40 * RATE_HZ, 91.96) == 0.0
    assert timeline.monotonic_s(21 * RATE_HZ) == pytest.approx(72.98)
    assert timeline.monotonic_s(41 * RATE_HZ) == pytest.approx(92.96)


# --- another rate than was said ---


@pytest.mark.parametrize(
    ("hz", "rate_hz", "channels", "hint"),
    [
        (88_200, 44_100, 1, "--channels 2"),
        (22_200, 44_100, 2, "--channels 1"),
        (16_000, 44_100, 1, "--rate 16000"),
        (47_500, 44_100, 1, "--rate 48000"),
        (96_000, 44_100, 1, "--rate 48000 --channels 2"),
        (192_000, 48_000, 3, "--rate 192000"),
        (33_333, 44_100, 1, ""),
    ],
)
def test_the_likeliest_reason_for_a_rate(hz: float, rate_hz: int, channels: int, hint: str) -> None:
    assert explained(hz, rate_hz, channels).hint == hint


@pytest.mark.parametrize("live", [False, True])
@pytest.mark.parametrize(
    ("speed", "says"), [(2.0, "4,000 per second, not 2,000: --channels 2?"), (1 / 3, None)]
)
def test_another_rate_is_told_and_costs_no_gap(
    monkeypatch: pytest.MonkeyPatch, speed: float, says: str | None, live: bool
) -> None:
    producer = Producer(monkeypatch, steadily(0, 60, speed, chunk_s=0.3), live=live)
    told_s = None
    for _ in producer.blocks():
        if producer.kinds("advice") and told_s is None:
            told_s = producer.now_s
    assert told_s is not None
    assert 10.0 <= told_s < 15.0
    (advice,) = producer.kinds("advice")
    assert str(advice["text"]).startswith("samples arrive at")
    if says:
        assert says in str(advice["text"])
        assert_honest(producer, off_s=0.2)
        assert producer.source.health.ledger.elapsed_s == pytest.approx(60.0, abs=0.5)
    assert producer.source.live


@pytest.mark.parametrize("speed", [0.98, 1.0, 1.02])
def test_nothing_is_said_about_a_rate_that_is_right(monkeypatch: pytest.MonkeyPatch, speed: float) -> None:
    producer = Producer(monkeypatch, [(0.0, 5.0), *steadily(0, 20, speed, chunk_s=0.5)])
    producer.run()
    assert producer.kinds("advice") == []


# --- dead microphones ---


@pytest.mark.parametrize("scale", [1 / 32_768, 1 / 32_767])
def test_no_microphone_gives_a_constant_or_a_flickering_bit(scale: float) -> None:
    random = np.random.default_rng(1)
    zeros = np.zeros((4_410, 1), np.float32)
    for dead in (zeros, zeros + np.float32(5 * scale), zeros - np.float32(0.9)):
        assert not is_alive(dead)
        flicker = random.integers(-1, 2, zeros.shape) * scale
        assert not is_alive((dead + flicker).astype(np.float32))
    quiet = (2 * random.standard_normal(zeros.shape)).round() * scale
    assert is_alive(quiet.astype(np.float32))
    both = np.concatenate([zeros, quiet.astype(np.float32)], axis=1)
    assert is_alive(both)
    assert is_alive(both, channel=2)
    assert not is_alive(both, channel=1)


class DeadDevice(FakeDevice):
    """A microphone whose converter has died."""

    def __init__(self, clock: ManualClock, flickers: bool) -> None:
        super().__init__(clock)
        self._flickers = flickers

    def _samples(self, numbers: np.ndarray[tuple[int], np.dtype[np.int64]]) -> FloatArray:
        value = 5 + (numbers % 3 - 1 if self._flickers else 0 * numbers)
        return (value / 32_768).astype(np.float32)[:, np.newaxis]


@pytest.mark.parametrize("flickers", [False, True])
def test_a_dead_device_is_silent(flickers: bool) -> None:
    clock = ManualClock()
    source = SupervisedSource(2_000, DeadDevice(clock, flickers), clock=clock)
    end_s = clock.monotonic_s() + 8.0
    blocks = source.blocks()
    while clock.monotonic_s() < end_s:
        next(blocks)
    assert source.health.state == "silent"
    source.close()


# --- as a whole ---

FEED = """
import sys, time
data, rate, burst_s = open(sys.argv[1], 'rb').read(), int(sys.argv[2]), float(sys.argv[3])
out, at = sys.stdout.buffer, int(burst_s * rate) // 8 * 8
out.write(data[:at]); out.flush()
began, first = time.monotonic(), at
while at < len(data):
    out.write(data[at:at + rate // 10 // 8 * 8]); out.flush()
    at += rate // 10 // 8 * 8
    time.sleep(max(0, began + (at - first) / rate - time.monotonic()))
"""
"""feed FILE BYTES_PER_SECOND BURST_S: a burst, then a steady stream; it makes up for delays."""


class Fed:
    """The command behind a program that feeds it."""

    def __init__(self, folder: Path, data: bytes, bytes_per_s: int, burst_s: float = 0.0) -> None:
        self._folder = folder
        (folder / "data.raw").write_bytes(data)
        self._feed = [sys.executable, "-c", FEED, str(folder / "data.raw"), str(bytes_per_s), str(burst_s)]

    def __enter__(self) -> Fed:
        self.feeder = subprocess.Popen(self._feed, stdout=subprocess.PIPE)
        assert self.feeder.stdout is not None
        self._running = running(
            *("--input", "-", "--rate", str(MODEL_HZ), "--csv", "log.csv", *only_siren()),
            cwd=self._folder,
            stdin=self.feeder.stdout.fileno(),
        )
        self.listener = self._running.__enter__()
        self.feeder.stdout.close()
        return self

    def __exit__(self, *_: object) -> None:
        self.feeder.kill()
        self.feeder.wait(PATIENCE_S)
        self._running.__exit__(None, None, None)

    def rows(self) -> list[dict[str, str]]:
        """What is logged now."""
        with (self._folder / "log.csv").open() as log:
            return list(csv.DictReader(log))


def date(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_a_burst_is_dated_in_the_past(tmp_path: Path) -> None:
    sound = np.concatenate(
        [siren(4.0), np.zeros(30 * MODEL_HZ, np.float32), siren(4.0), np.zeros(5 * MODEL_HZ)]
    )
    began = datetime.now(UTC)
    with Fed(tmp_path, pcm(sound.astype(np.float32)), 2 * MODEL_HZ, burst_s=20.0) as fed:
        done = fed.listener.finish()
        rows = fed.rows()
    assert done.status == 0, done.err
    assert len(rows) == 2
    assert date(rows[0]["end"]) < began
    assert date(rows[1]["end"]) < datetime.now(UTC)
    assert (date(rows[1]["start"]) - date(rows[0]["start"])).total_seconds() == pytest.approx(34.0, abs=1.0)
    assert "recording" not in done.err


def test_a_recording_in_a_pipe_has_positions(tmp_path: Path) -> None:
    options = ["--input", "-", "--rate", str(MODEL_HZ), "--csv", "log.csv", *only_siren()]
    sound = np.concatenate(
        [np.zeros(60 * MODEL_HZ, np.float32), siren(4.0), np.zeros(60 * MODEL_HZ, np.float32)]
    )
    done = esc_listen(*options, cwd=tmp_path, stdin=pcm(sound))
    assert done.status == 0, done.err
    (row,) = csv.DictReader((tmp_path / "log.csv").read_text().splitlines())
    assert float(row["start"]) == pytest.approx(60.0, abs=0.5)
    assert "standard input is a recording" in done.err


def test_no_event_of_a_fast_recording_is_dropped(tmp_path: Path) -> None:
    (tmp_path / "pieces.toml").write_text("[events]\nmax_duration_s = 1\n")
    options = [
        "--input",
        "-",
        "--rate",
        str(MODEL_HZ),
        "--config",
        "pieces.toml",
        "--csv",
        "log.csv",
        "--json",
    ]
    done = esc_listen(*options, *only_siren(), cwd=tmp_path, stdin=pcm(np.tile(siren(2.0), 600)))
    assert done.status == 0, done.err
    assert len(done.out_lines) >= 1_190
    assert (tmp_path / "log.csv").read_bytes().count(b"\n") == len(done.out_lines) + 1


def test_two_channels_for_one_are_told(tmp_path: Path) -> None:
    with Fed(tmp_path, pcm(np.repeat(siren(25.0), 2)), 4 * MODEL_HZ) as fed:
        wait_until(lambda: "samples arrive" in fed.listener.err, "it is told")
        done = fed.listener.finish(signal.SIGINT)
    assert f"samples arrive at {2 * MODEL_HZ:,} per second, not {MODEL_HZ:,}: --channels 2?" in done.err
    assert " 0 gaps" in done.err or "lost nothing" in done.err


def test_being_stopped_costs_no_gap(tmp_path: Path) -> None:
    with Fed(tmp_path, pcm(np.tile(siren(2.0), 15)), 2 * MODEL_HZ) as fed:
        time.sleep(13.0)
        os.kill(fed.listener.process.pid, signal.SIGSTOP)
        time.sleep(4.0)
        os.kill(fed.listener.process.pid, signal.SIGCONT)
        done = fed.listener.finish()
    assert done.status == 0, done.err
    assert " 0 gaps" in done.err or "lost nothing" in done.err
    assert "no sound comes in" not in done.err


@pytest.mark.parametrize("kind", ["constant", "flickering"])
def test_a_dead_microphone_behind_a_pipe_is_an_alarm(tmp_path: Path, kind: str) -> None:
    random = np.random.default_rng(1)
    data = random.integers(-1, 2, 9 * MODEL_HZ) if kind == "flickering" else np.full(9 * MODEL_HZ, 5)
    with Fed(tmp_path, data.astype("<i2").tobytes(), 2 * MODEL_HZ) as fed:
        done = fed.listener.finish()
    assert "muted or dead?" in done.err
