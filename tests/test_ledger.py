"""The ledger: nothing is lost without being entered, in any order of faults."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest
from fake_device import FakeDevice, numbers_in

from streamer.clock import ManualClock
from streamer.ledger import Gap, Ledger, LedgerStatus
from streamer.sources.supervisor import SupervisedSource
from streamer.types import Block

RATE_HZ = 2_000
EXACT_S = 0.02
"""What callbacks of a device with jitter tell about the length of a gap."""


@dataclass
class Notes:
    """What a source reported."""

    taken: list[tuple[str, dict[str, object]]] = field(default_factory=list)

    def __call__(self, kind: str, **fields: object) -> None:
        self.taken.append((kind, fields))

    def of(self, kind: str) -> list[dict[str, object]]:
        return [fields for other, fields in self.taken if other == kind]


class Heard:
    """A source on a fake device, and all that it gave."""

    def __init__(self, **device: float) -> None:
        self.clock = ManualClock()
        self.device = FakeDevice(self.clock, RATE_HZ, **device)
        self.notes = Notes()
        self.source = SupervisedSource(RATE_HZ, self.device, clock=self.clock, report=self.notes)
        self.blocks: list[Block] = []
        self._iterator = self.source.blocks()

    def listen(self, seconds: float) -> None:
        end_s = self.clock.monotonic_s() + seconds
        while self.clock.monotonic_s() < end_s:
            block = next(self._iterator)
            if len(block.samples):
                self.blocks.append(block)

    @property
    def ledger(self) -> LedgerStatus:
        return self.source.health.ledger

    def assert_in_place(self) -> int:
        """An index is missing exactly where a sample is missing; gives how many gaps there are."""
        gaps = 0
        before: tuple[int, int] | None = None  # index and number of the sample before
        for block in self.blocks:
            numbers = numbers_in(block.samples)
            assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), "a gap inside a block"
            if before:
                missing = numbers[0] - before[1] - 1
                skipped = block.start_sample - before[0] - 1
                assert (missing == 0) == (skipped == 0), (missing, skipped)
                assert abs(missing - skipped) <= EXACT_S * RATE_HZ
                gaps += missing > 0
            before = (block.end_sample - 1, numbers[-1])
        return gaps

    def assert_accounted(self) -> None:
        """captured + lost = time x true rate, by what the device really did."""
        ledger = self.ledger
        first, last = numbers_in(self.blocks[0].samples)[0], numbers_in(self.blocks[-1].samples)[-1]
        total = ledger.captured + ledger.lost_samples
        assert abs(total - (last + 1 - first)) / RATE_HZ < 0.05
        assert abs(ledger.unaccounted_s) < 0.05


@pytest.mark.parametrize("channels", [1, 2])
def test_a_microphone_whose_channels_cancel_each_other_is_told_once(channels: int) -> None:
    heard = Heard()
    heard.device.channels = channels
    heard.listen(30.0)
    assert len(heard.notes.of("advice")) == channels - 1
    assert all("--channel 1" in str(note["text"]) for note in heard.notes.of("advice"))


def test_the_sum_is_kept_by_cause() -> None:
    ledger = Ledger(1_000)
    ledger.captured, ledger.processed = 8_000, 7_900
    ledger.lose(Gap(1_000, 1_500, "overflow"))
    ledger.lose(Gap(5_000, 400, "ring"))
    ledger.lose(Gap(9_000, 100, "overflow"))
    status = ledger.status(elapsed_s=10.0)
    assert status.lost == {"overflow": 1_600, "ring": 400}
    assert (status.gaps, status.lost_samples, status.unaccounted_s) == (3, 2_000, 0.0)
    assert ledger.gaps_since(1) == [Gap(5_000, 400, "ring"), Gap(9_000, 100, "overflow")]
    assert status.entry()["lost"] == {"overflow": 1_600, "ring": 400}
    assert "unaccounted" not in status.text()
    assert "crystal" in status.text(figures=True)
    assert "lost 2.00 s (overflow 1.60 s, ring 0.40 s) in 3 gaps" in status.text()


def test_a_fast_crystal_is_drift_and_not_loss() -> None:
    status = LedgerStatus(rate_hz=1_000, captured=3_600_360, elapsed_s=3_600.0, drift_ppm=100.0)
    assert status.true_rate_hz == pytest.approx(1_000.1)
    assert status.unaccounted_s == pytest.approx(0.0, abs=1e-3)


def test_a_healthy_device_loses_nothing() -> None:
    heard = Heard(jitter_s=0.02)
    heard.listen(60.0)
    assert heard.assert_in_place() == 0
    heard.assert_accounted()
    assert heard.ledger.gaps == 0
    assert heard.ledger.processed == sum(len(block.samples) for block in heard.blocks[:-1])


FAULTS: dict[str, tuple[Callable[[Heard], None], str, float]] = {
    "dropped with a flag": (lambda heard: heard.device.drop(0.4, overflow=True), "overflow", 0.4),
    "dropped in passing": (lambda heard: heard.device.drop(0.4), "stall", 0.4),
    "dropped without a pause": (lambda heard: heard.device.drop(0.15), "clock", 0.15),
    "suspended": (lambda heard: pause(heard, "suspended", 1.5), "stall", 1.5),
    "suspended for long": (lambda heard: pause(heard, "suspended", 6.0), "stall", 6.0),
    "unplugged": (lambda heard: unplug(heard, 4.0), "reopen", 4.0),
}


def pause(heard: Heard, how: str, seconds: float) -> None:
    setattr(heard.device, how, True)
    heard.listen(seconds)
    setattr(heard.device, how, False)


def unplug(heard: Heard, seconds: float) -> None:
    heard.device.unplug()
    heard.listen(seconds)
    heard.device.present = True


@pytest.mark.parametrize("fault", FAULTS)
def test_a_loss_is_one_gap_with_its_cause_and_length(fault: str) -> None:
    inject, cause, seconds = FAULTS[fault]
    heard = Heard(jitter_s=0.005)
    heard.listen(20.0)
    inject(heard)
    heard.listen(30.0)
    (gap,) = heard.notes.of("gap")
    assert gap["cause"] == cause
    # A fault lasts for a block longer than it was asked for; a device is tried again after a while.
    longer_s = 6.0 if cause == "reopen" else 0.1
    assert seconds - EXACT_S <= gap["length_s"] <= seconds + longer_s + EXACT_S
    heard.assert_accounted()
    if cause != "clock":  # that one is noticed some seconds later
        assert heard.assert_in_place() == 1


def test_a_delay_that_is_made_up_for_is_no_gap() -> None:
    heard = Heard(jitter_s=0.005)
    heard.listen(10.0)
    pause(heard, "held", 1.5)
    heard.listen(10.0)
    assert heard.assert_in_place() == 0
    assert heard.ledger.gaps == 0
    heard.assert_accounted()


def test_an_overwritten_ring_is_a_gap() -> None:
    heard = Heard()
    heard.listen(5.0)
    heard.clock.sleep(14.0)  # the consumer does something else
    heard.listen(10.0)
    (gap,) = heard.notes.of("gap")
    assert gap["cause"] == "ring"
    assert 4.0 <= gap["length_s"] <= 7.0
    assert heard.assert_in_place() == 1
    heard.assert_accounted()


@pytest.mark.parametrize("seed", range(6))
def test_everything_is_accounted_for_whatever_happens(seed: int) -> None:
    random = np.random.default_rng(seed)
    heard = Heard(jitter_s=0.005, ppm=float(random.uniform(-150, 150)))
    heard.listen(10.0)
    for _ in range(12):
        choice = random.integers(6)
        if choice == 0:
            heard.device.drop(float(random.uniform(0.05, 1.0)), overflow=True)
        elif choice == 1:
            pause(heard, "suspended", float(random.uniform(0.3, 9.0)))
        elif choice == 2:
            pause(heard, "held", float(random.uniform(0.05, 1.5)))
        elif choice == 3:
            unplug(heard, float(random.uniform(0.1, 8.0)))
        elif choice == 4:
            heard.clock.sleep(float(random.uniform(0.5, 13.0)))
        else:
            heard.clock.step_wall(float(random.uniform(-1e6, 1e6)))
        heard.listen(float(random.uniform(0.3, 12.0)))
    heard.listen(60.0)
    gaps = heard.assert_in_place()
    assert gaps == heard.ledger.gaps == len(heard.notes.of("gap"))
    heard.assert_accounted()


def test_gaps_are_dated_and_placed() -> None:
    heard = Heard()
    heard.listen(10.0)
    pause(heard, "suspended", 1.5)
    heard.listen(10.0)
    (gap,) = heard.notes.of("gap")
    before, after = next(
        (one, other) for one, other in itertools.pairwise(heard.blocks) if other.start_sample > one.end_sample
    )
    assert gap["start_sample"] == before.end_sample
    assert gap["samples"] == after.start_sample - before.end_sample
    assert str(gap["start"]).endswith("Z")


def test_the_ledger_is_reported_once_an_hour_and_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamer.sources.account.LEDGER_EVERY_S", 20.0)
    heard = Heard()
    heard.listen(50.0)
    assert len(heard.notes.of("ledger")) == 2
    heard.source.close()
    last = heard.notes.of("ledger")[-1]
    assert len(heard.notes.of("ledger")) == 3
    assert last["captured"] == pytest.approx(49.5 * RATE_HZ, rel=0.02)
