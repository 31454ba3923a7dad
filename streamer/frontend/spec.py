"""The parameters of the front end, as they travel in a model's manifest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from streamer.errors import ModelError

Feature = Literal["log_mel", "log_mel_delta", "mfcc", "mfcc_delta"]

FEATURES: tuple[Feature, ...] = ("log_mel", "log_mel_delta", "mfcc", "mfcc_delta")


@dataclass(frozen=True)
class FrontEndSpec:
    """How samples become frames.

    Frames are not centred: frame ``i`` covers the samples ``[i * hop_samples, i * hop_samples +
    fft_samples)``, so that it is ready as soon as its last sample has been heard.
    """

    sample_rate_hz: int = 22_050
    """Rate of the samples that go in."""

    fft_samples: int = 1_024
    """Length of a frame and of its Fourier transform."""

    hop_samples: int = 441
    """Distance between the starts of two frames."""

    window: Literal["hann", "hann_symmetric"] = "hann"
    """``hann`` is periodic: its period is its length. ``hann_symmetric`` is 0 at both ends."""

    window_samples: int = 0
    """Length of the window, which stands in the middle of the frame; 0 for that of the frame."""

    pre_emphasis: float = 0.0
    """Each sample becomes ``x[n + 1] - pre_emphasis * x[n]`` before the transform; 0 for none. Needs a
    window that is 0 at the end of the frame, which therefore needs no sample after its own."""

    mel_bands: int = 64
    mel_scale: Literal["htk", "slaney", "kaldi"] = "htk"
    """``htk``: 2595 log10(1 + f / 700) (Young et al., The HTK Book). ``slaney``: linear below
    1 kHz, logarithmic above (Slaney, Auditory Toolbox, 1998). ``kaldi``: 1127 ln(1 + f / 700), and
    the sides of the triangles are straight in mel, not in Hz (Povey et al., Kaldi, 2011)."""

    mel_norm: Literal["none", "slaney"] = "none"
    """``none``: triangles of height 1. ``slaney``: triangles of area 1 (2 / bandwidth in Hz)."""

    limit_hz: float = 0.0
    """What lies above is left out of every band, 0 for none: recordings that end there teach nothing about
    it, while microphones deliver it."""

    fmin_hz: float = 50.0
    fmax_hz: float = 11_025.0

    floor: float = 1e-5
    """Mel power below which nothing is told apart; a frame without more in any band is silent.
    A sine of full scale has a power of (fft_samples / 4) squared, when the window fills the frame."""

    log: Literal["db_floor", "ln_offset"] = "db_floor"
    """Log-mel: ``db_floor`` is 10 log10(max(power, floor)), ``ln_offset`` is ln(power + floor)."""

    mfcc: int = 0
    """Number of cepstral coefficients, 0 for none."""

    delta_frames: int = 9
    """Odd number of frames over which the slope (delta) is fitted."""

    features: tuple[Feature, ...] = ("log_mel",)
    """Which columns a frame holds, in this order."""

    def __post_init__(self) -> None:
        def refuse(problem: str) -> None:
            raise ModelError(f"front end: {problem}")

        if not 1_000 <= self.sample_rate_hz <= 768_000:
            refuse(f"sample_rate_hz is {self.sample_rate_hz}; at least 1000 is needed, 768000 at most")
        if not 16 <= self.fft_samples <= 65_536 or self.fft_samples % 2:
            refuse(
                f"fft_samples is {self.fft_samples}; an even number of at least 16 is needed, 65536 at most"
            )
        if not 1 <= self.hop_samples <= self.fft_samples:
            refuse(f"hop_samples is {self.hop_samples}; it must lie between 1 and fft_samples")
        if self.window not in ("hann", "hann_symmetric"):
            refuse(f"window is {self.window!r}; it must be 'hann' or 'hann_symmetric'")
        if self.window_samples and not 16 <= self.window_samples <= self.fft_samples:
            refuse(
                f"window_samples is {self.window_samples}; "
                "it must lie between 16 and fft_samples, or be 0 for fft_samples"
            )
        if not 0 <= self.pre_emphasis <= 1:
            refuse(f"pre_emphasis is {self.pre_emphasis}; it must lie between 0 and 1")
        if self.pre_emphasis and self.window == "hann" and self.window_length == self.fft_samples:
            refuse(
                "pre_emphasis looks one sample ahead: it needs a window_samples below fft_samples, "
                "or window = 'hann_symmetric'"
            )
        if self.mel_bands < 1:
            refuse(f"mel_bands is {self.mel_bands}; at least 1 is needed")
        if self.mel_scale not in ("htk", "slaney", "kaldi"):
            refuse(f"mel_scale is {self.mel_scale!r}; it must be 'htk', 'slaney' or 'kaldi'")
        if self.mel_norm not in ("none", "slaney"):
            refuse(f"mel_norm is {self.mel_norm!r}; it must be 'none' or 'slaney'")
        if not 0 <= self.fmin_hz < self.fmax_hz <= self.sample_rate_hz / 2:
            refuse(
                f"the mel range {self.fmin_hz:g} to {self.fmax_hz:g} Hz does not fit "
                f"into 0 to {self.sample_rate_hz / 2:g} Hz"
            )
        if self.limit_hz < 0:
            refuse(f"limit_hz is {self.limit_hz:g}; it must be 0 (no limit) or above")
        if not 1e-30 <= self.floor <= 1e30:
            refuse(f"floor is {self.floor}; it must be above 0 and within 32-bit floats")
        if self.log not in ("db_floor", "ln_offset"):
            refuse(f"log is {self.log!r}; it must be 'db_floor' or 'ln_offset'")
        if not 3 <= self.delta_frames <= 999 or self.delta_frames % 2 == 0:
            refuse(f"delta_frames is {self.delta_frames}; an odd number of at least 3 is needed, 999 at most")
        if not self.features or len(set(self.features)) != len(self.features):
            refuse("features must name at least one feature, and each only once")
        unknown = [name for name in self.features if name not in FEATURES]
        if unknown:
            refuse(f"unknown feature {unknown[0]!r}; known are {', '.join(FEATURES)}")
        wants_mfcc = any(name.startswith("mfcc") for name in self.features)
        if wants_mfcc and not 1 <= self.mfcc <= self.mel_bands:
            refuse(f"mfcc is {self.mfcc}; between 1 and mel_bands coefficients are possible")

    @property
    def window_length(self) -> int:
        """Length of the window in samples."""
        return self.window_samples or self.fft_samples

    def width(self, feature: Feature) -> int:
        """Number of columns of one feature."""
        return self.mfcc if feature.startswith("mfcc") else self.mel_bands

    def columns(self, feature: Feature) -> slice:
        """Where the feature stands in a frame.

        Raises:
            ModelError: the front end does not compute it.
        """
        start = 0
        for name in self.features:
            if name == feature:
                return slice(start, start + self.width(name))
            start += self.width(name)
        raise ModelError(f"front end: {feature!r} is not among its features")

    @property
    def frame_columns(self) -> int:
        """Number of columns of a whole frame."""
        return sum(self.width(name) for name in self.features)

    @property
    def lookahead_frames(self) -> int:
        """Frames that must follow before a frame is complete (its deltas look both ways)."""
        has_delta = any(name.endswith("_delta") for name in self.features)
        return self.delta_frames // 2 if has_delta else 0

    def samples_of(self, frames: int) -> int:
        """Number of samples that so many consecutive frames cover."""
        return (frames - 1) * self.hop_samples + self.fft_samples

    def duration_s(self, frames: int) -> float:
        """Seconds that so many consecutive frames cover."""
        return self.samples_of(frames) / self.sample_rate_hz
