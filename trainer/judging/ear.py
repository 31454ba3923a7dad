"""What the listener reports of a sound, and when: the product's own loop over a file or an array.

Every judge of events (scenes, real recordings, clips in background) hears through this, with the
thresholds, smoothing and durations of the model's manifest, so that what is measured is what a user gets.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from streamer.classifier import Classifier
from streamer.listen import listen
from streamer.model import Model
from streamer.monitor import Monitor
from streamer.sources import SamplesSource, SourceHealth
from streamer.tracker import OpenSound
from streamer.types import Block, FloatArray
from trainer.examples.spectrograms import read_mono

BLOCK_S = 0.02
"""Length of the blocks in which the listener gets the samples: announcements are timed this finely."""


@dataclass(frozen=True)
class HeardEvent:
    """One event as it is logged, and when it became known. Times are seconds of the sample clock."""

    label: str
    start_s: float
    """When it began, as it is logged."""

    end_s: float

    announced_s: float
    """Position of the stream at which it was first shown as going on: it had passed its threshold and
    lasted for its minimum duration."""

    logged_s: float
    """Position of the stream at which it was over and its line was written."""

    confidence: float
    """Highest smoothed probability while it lasted."""

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.end_s - self.start_s


class Ear:
    """A model that listens to one recording after the other; the network is opened only once."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.rate_hz = model.manifest.front_end.sample_rate_hz
        self._classifier = Classifier(model)

    def hear(self, samples: FloatArray) -> list[HeardEvent]:
        """Events of a whole recording, in the order in which they were logged.

        Args:
            samples: mono, shape (n,), at `rate_hz`.
        """
        watch = _Watch(self.model)
        block_samples = max(1, round(BLOCK_S * self.rate_hz))
        source = SamplesSource(samples, self.rate_hz, block_samples=block_samples)
        return [
            HeardEvent(
                event.label,
                event.start_s,
                event.end_s,
                watch.announced(event.label) / self.rate_hz,
                watch.position / self.rate_hz,
                event.confidence,
            )
            for event in listen(source, self.model, monitor=watch, classifier=self._classifier)
        ]

    def read(self, path: Path) -> FloatArray:
        """Samples of a sound file as the listener gets them, shape (n,), at `rate_hz`.

        Raises:
            SourceError: the file cannot be read.
        """
        return read_mono(path, self.rate_hz)


class _Watch(Monitor):
    """Notes at which sample a sound was first shown, as a dashboard would show it."""

    def __init__(self, model: Model) -> None:
        rules = model.manifest.classes
        super().__init__(model, tuple(r.on for r in rules), tuple(r.off for r in rules), draws=False)
        self.position = 0
        """Sample just after the last one that was heard."""

        self._shown_at: dict[str, int] = {}
        self._over_at: dict[str, int] = {}

    def heard(self, block: Block, health: SourceHealth) -> None:
        super().heard(block, health)
        self.position = block.end_sample

    def scored(self, raw: FloatArray, smoothed: FloatArray, sounds: list[OpenSound]) -> None:
        super().scored(raw, smoothed, sounds)
        shown = {sound.label for sound in sounds}
        for label in self._shown_at.keys() - shown:
            self._over_at[label] = self._shown_at.pop(label)
        for label in shown - self._shown_at.keys():
            self._shown_at[label] = self.position
            self._over_at.pop(label, None)

    def announced(self, label: str) -> int:
        """Sample at which the event that is being logged was announced; asked once for each event.

        The later pieces of an endless sound are announced when the piece before them is logged.
        """
        if label in self._over_at:
            return self._over_at.pop(label)
        announced = self._shown_at[label]
        self._shown_at[label] = self.position
        return announced
