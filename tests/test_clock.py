"""Time: one seam, drift told apart from loss, dates that survive hours and steps of the wall clock."""

from __future__ import annotations

import os

import numpy as np
import pytest
from fake_device import FakeDevice, numbers_in
from test_ledger import RATE_HZ, Heard, Notes

from streamer.clock import SYSTEM_CLOCK, ManualClock, WallClock
from streamer.errors import SourceError
from streamer.sources.pipe import PipeSource
from streamer.sources.supervisor import SupervisedSource
from streamer.sources.timeline import BUCKET_S, LEAST_LOSS_S, Timeline

HOUR_S = 3_600.0


def test_the_clock_of_this_machine_goes_on() -> None:
    before_s = SYSTEM_CLOCK.monotonic_s()
    SYSTEM_CLOCK.sleep(0.01)
    assert 0.01 <= SYSTEM_CLOCK.monotonic_s() - before_s < 30.0
    assert SYSTEM_CLOCK.unix_s() > 1.7e9


def test_a_date_follows_a_step_and_ignores_jitter() -> None:
    clock = ManualClock(unix_s=1.7e9)
    wall = WallClock(clock)
    moment_s = clock.monotonic_s()
    assert wall.unix_s(moment_s) == pytest.approx(1.7e9)
    clock.step_wall(0.01)
    assert wall.take_step() == 0.0
    assert wall.unix_s(moment_s) == pytest.approx(1.7e9)
    clock.step_wall(-3.0)
    assert wall.take_step() == pytest.approx(-2.99)
    assert wall.take_step() == 0.0
    assert wall.unix_s(moment_s) == pytest.approx(1.7e9 - 2.99)


def run_timeline(
    timeline: Timeline, seconds: float, ppm: float, jitter_s: float, start_s: float = 0.0, seed: int = 1
) -> float:
    """Callbacks of a tenth of a second each; the largest error of any time that was asked for."""
    random = np.random.default_rng(seed)
    true_rate_hz = RATE_HZ * (1.0 + 1e-6 * ppm)
    step = RATE_HZ // 10
    first = round(start_s * true_rate_hz)
    worst_s = 0.0
    for end in range(first + step, first + round(seconds * true_rate_hz), step):
        arrival_s = 50.0 + end / true_rate_hz
        timeline.observe(end, arrival_s + random.exponential(jitter_s))
        worst_s = max(worst_s, abs(timeline.monotonic_s(end) - arrival_s))
    return worst_s


@pytest.mark.parametrize("ppm", [-100.0, 0.0, 20.0, 100.0, 500.0])
def test_times_are_right_for_hours_whatever_the_crystal(ppm: float) -> None:
    timeline = Timeline(RATE_HZ)
    timeline.begin(0, 50.0)
    assert run_timeline(timeline, 2 * HOUR_S, ppm, jitter_s=0.01) < 0.01
    assert timeline.drift_ppm == pytest.approx(ppm, abs=1.0)
    assert timeline.suspected_loss_s == 0.0


def test_a_crystal_that_warms_up_is_followed() -> None:
    timeline = Timeline(RATE_HZ)
    timeline.begin(0, 0.0)
    random = np.random.default_rng(2)
    arrival_s, step = 0.0, RATE_HZ // 10
    for number in range(1, 2 * 36_000):
        ppm = -30.0 + 90.0 * min(1.0, number / 18_000)
        arrival_s += 0.1 / (1.0 + 1e-6 * ppm)
        timeline.observe(number * step, arrival_s + random.exponential(0.01))
        assert abs(timeline.monotonic_s(number * step) - arrival_s) < 0.02
    assert timeline.drift_ppm == pytest.approx(60.0, abs=2.0)


def test_what_is_past_never_changes() -> None:
    timeline = Timeline(RATE_HZ)
    timeline.begin(0, 50.0)
    run_timeline(timeline, 60.0, 100.0, 0.01)
    indices = np.arange(0, 59 * RATE_HZ, 777)
    before = [timeline.monotonic_s(index) for index in indices]
    assert before == sorted(before)
    timeline.begin(100 * RATE_HZ, 200.0)
    timeline.observe(101 * RATE_HZ, 201.0)
    assert [timeline.monotonic_s(index) for index in indices] == before


def test_a_step_of_the_lateness_is_a_loss_and_a_slope_is_not() -> None:
    timeline = Timeline(RATE_HZ)
    timeline.begin(0, 50.0)
    run_timeline(timeline, 600.0, 100.0, 0.005)
    assert timeline.suspected_loss_s == 0.0
    drift_ppm = timeline.drift_ppm
    first = round(600.0 * RATE_HZ * 1.0001)
    for number in range(1, 130):  # 13 s
        end = first + number * RATE_HZ // 10
        timeline.observe(end, 50.0 + end / (RATE_HZ * 1.0001) + 3 * LEAST_LOSS_S)
    assert timeline.suspected_loss_s == pytest.approx(3 * LEAST_LOSS_S, abs=0.005)
    assert timeline.drift_ppm == pytest.approx(drift_ppm, abs=0.1)
    timeline.dismiss_suspicion()
    assert timeline.suspected_loss_s == 0.0


def test_a_busy_stretch_does_not_bend_the_rate() -> None:
    timeline = Timeline(RATE_HZ)
    timeline.begin(0, 50.0)
    run_timeline(timeline, 300.0, 50.0, 0.002)
    run_timeline(timeline, 20.0, 50.0, 0.1, start_s=300.0)  # everything comes late
    run_timeline(timeline, 300.0, 50.0, 0.002, start_s=320.0)
    assert timeline.drift_ppm == pytest.approx(50.0, abs=2.0)


def test_another_device_has_another_crystal() -> None:
    timeline = Timeline(RATE_HZ)
    timeline.begin(0, 50.0)
    run_timeline(timeline, 20 * BUCKET_S, 300.0, 0.001)
    assert timeline.drift_ppm == pytest.approx(300.0, abs=20.0)
    timeline.change_crystal()
    assert timeline.drift_ppm == 0.0


def date_errors(heard: Heard) -> list[float]:
    """How far the date of each block is from the truth, in seconds.

    A sample is dated when the end of its callback's block could be had.
    """
    distance_s = heard.clock.unix_s() - heard.clock.monotonic_s()
    return [
        heard.source.unix_time(block.start_sample)
        - distance_s
        - heard.device.begin_s(numbers_in(block.samples)[0])
        for block in heard.blocks
    ]


def test_dates_are_right_across_reopening_with_a_fast_crystal() -> None:
    heard = Heard(ppm=100.0, jitter_s=0.005)
    heard.clock.LONGEST_STEP_S = 0.05
    for _ in range(4):
        heard.listen(180.0)
        heard.device.unplug()
        heard.listen(7.0)
        heard.device.present = True
    heard.listen(60.0)
    assert heard.ledger.gaps == 4
    assert max(map(abs, date_errors(heard)[-2_000:])) < 0.1
    heard.assert_accounted()
    assert heard.ledger.drift_ppm == pytest.approx(100.0, abs=20.0)


def test_a_step_of_the_wall_clock_moves_no_sample() -> None:
    heard = Heard()
    heard.listen(20.0)
    heard.clock.step_wall(86_400.0)
    heard.listen(20.0)
    assert heard.assert_in_place() == 0
    assert heard.ledger.gaps == 0
    assert max(map(abs, date_errors(heard))) < 0.1


def test_rows_from_before_the_clock_was_set_can_be_put_right() -> None:
    clock = ManualClock(unix_s=86_400.0)  # the second of January 1970
    device = FakeDevice(clock, RATE_HZ)
    taken: list[tuple[str, dict[str, object]]] = []
    source = SupervisedSource(
        RATE_HZ, device, clock=clock, report=lambda kind, **fields: taken.append((kind, fields))
    )
    blocks = source.blocks()
    while (block := next(blocks)).start_sample < 10 * RATE_HZ:
        pass
    sample = block.start_sample
    written = source.unix_time(sample)
    assert written == pytest.approx(86_400.0 + 10.0, abs=1.0)
    step_s = 1.7e9
    clock.step_wall(step_s)
    next(blocks), next(blocks)
    (step,) = (fields for kind, fields in taken if kind == "clock")
    assert written + step["step_s"] == pytest.approx(source.unix_time(sample))
    assert str(step["before"]).startswith("1970-01-02")
    assert str(step["after"]).startswith("2023-11-1")
    # What is dated from now on is right, also what began before the step: its length is not touched.
    assert source.unix_time(sample) - source.unix_time(0) == pytest.approx(sample / RATE_HZ, abs=1e-3)
    source.close()


def test_before_the_first_sample_there_is_no_date() -> None:
    clock = ManualClock()
    source = SupervisedSource(RATE_HZ, FakeDevice(clock, RATE_HZ), clock=clock)
    with pytest.raises(SourceError, match="nothing has been heard yet"):
        source.unix_time(0)
    source.close()


class PacedPipe:
    """A pipe whose writer is a sound card of its own crystal, on a clock moved by hand."""

    def __init__(self, ppm: float) -> None:
        self.clock = ManualClock()
        self.began_s = self.clock.monotonic_s()
        self.true_rate_hz = RATE_HZ * (1.0 + 1e-6 * ppm)
        reader, self._writer = os.pipe()
        self.reader = reader
        self.notes = Notes()
        self.source = PipeSource(RATE_HZ, RATE_HZ, descriptor=reader, clock=self.clock, report=self.notes)
        self._blocks = self.source.blocks()
        self._written = 0
        self.heard = 0

    def hear(self, seconds: float, chunk_s: float = 1.0) -> None:
        """Let the writer write a chunk at a time, and read it."""
        for _ in range(round(seconds / chunk_s)):
            self.clock.sleep(chunk_s)
            end = int((self.clock.monotonic_s() - self.began_s) * self.true_rate_hz)
            os.write(self._writer, bytes(2 * (end - self._written)))
            self._written = end
            self.heard = next(self._blocks).end_sample

    def pause(self, seconds: float) -> None:
        """The writer throws away what comes."""
        self.clock.sleep(seconds)
        self._written = int((self.clock.monotonic_s() - self.began_s) * self.true_rate_hz)

    def error_s(self) -> float:
        """How far the date of the latest sample is from the truth."""
        return self.source.unix_time(self.heard) - self.clock.unix_s()

    def close(self) -> None:
        self.source.close()
        os.close(self._writer)
        os.close(self.reader)


def test_a_pipe_is_dated_for_hours_too() -> None:
    piped = PacedPipe(ppm=100.0)
    piped.clock.LONGEST_STEP_S = 10.0
    for _ in range(6):
        piped.hear(1_800.0)
        assert abs(piped.error_s()) < 0.1
        piped.pause(20.0)
        piped.clock.step_wall(3_600.0)
    piped.hear(60.0)
    assert abs(piped.error_s()) < 0.1
    ledger = piped.source.health.ledger
    assert ledger.gaps == 6
    assert ledger.lost_samples / RATE_HZ == pytest.approx(6 * 20.0, abs=0.1)
    assert abs(ledger.unaccounted_s) < 0.05
    assert ledger.drift_ppm == pytest.approx(100.0, abs=2.0)
    piped.close()
    assert [len(piped.notes.of(kind)) for kind in ("gap", "clock", "ledger")] == [6, 6, 4]


def test_a_pipe_that_is_read_faster_than_real_time_keeps_its_own_time() -> None:
    reader, writer = os.pipe()
    with os.fdopen(writer, "wb") as file:
        file.write(bytes(2 * 15 * RATE_HZ))
    source = PipeSource(RATE_HZ, RATE_HZ, descriptor=reader, live=True)
    (*_, last) = source.blocks()
    assert last.end_sample == 15 * RATE_HZ
    assert source.unix_time(last.end_sample) - source.unix_time(0) == pytest.approx(15.0, abs=0.01)
    assert source.health.gaps == 0
    os.close(reader)
