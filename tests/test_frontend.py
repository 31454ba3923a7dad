"""The front end: the same bits for any chunking, and the same numbers as librosa."""

from __future__ import annotations

import dataclasses
import tracemalloc
from typing import Any

import librosa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from signals import blocks_of, chirp, noise, same_bits, silence, tone

from streamer.edges import EdgeFinder
from streamer.errors import ModelError
from streamer.frontend import FrontEnd, FrontEndSpec, decibels_of, features_of, log_mel, mel_filterbank
from streamer.sources.resample import StreamResampler
from streamer.types import Block, FloatArray, Frames, Window

TOLERANCE_DB = 1e-3
"""Largest difference to librosa, which computes in another order."""

EVERYTHING = FrontEndSpec(
    sample_rate_hz=16_000,
    fft_samples=512,
    hop_samples=160,
    mel_bands=40,
    mel_scale="slaney",
    mel_norm="slaney",
    fmin_hz=0.0,
    fmax_hz=8_000.0,
    floor=1e-10,
    mfcc=13,
    features=("mfcc", "log_mel", "mfcc_delta", "log_mel_delta"),
)

EAR = FrontEndSpec(
    sample_rate_hz=32_000,
    fft_samples=1_024,
    hop_samples=320,
    window="hann_symmetric",
    window_samples=800,
    pre_emphasis=0.97,
    mel_bands=128,
    mel_scale="kaldi",
    fmin_hz=0.0,
    fmax_hz=15_000.0,
    log="ln_offset",
)
"""The front end of networks that heard AudioSet."""

SPECS = {
    "default": FrontEndSpec(),
    "everything": EVERYTHING,
    "odd hop": FrontEndSpec(fft_samples=1_000, hop_samples=333, mel_bands=31),
    "hop of a whole frame": FrontEndSpec(
        fft_samples=256, hop_samples=256, mel_bands=20, delta_frames=3, features=("log_mel_delta",)
    ),
    "pre-emphasis": EAR,
    "pre-emphasis, whole frame": FrontEndSpec(
        fft_samples=256, hop_samples=256, window="hann_symmetric", pre_emphasis=1.0, mel_bands=20
    ),
    "hop of one sample": FrontEndSpec(fft_samples=64, hop_samples=1, mel_bands=8),
}


def mixed(seconds: float, rate_hz: int) -> FloatArray:
    """A chirp in noise that stops for a moment."""
    sound = chirp(100.0, 7_000.0, seconds, rate_hz) + noise(seconds, rate_hz, 0.05)
    third = len(sound) // 3
    sound[third : third + rate_hz // 10] = 0.0
    return sound


def run(front_end: FrontEnd, blocks: list[Block], flush: bool = True) -> Frames:
    """All frames of some blocks as one."""
    parts = [front_end.push(block) for block in blocks]
    if flush:
        parts.append(front_end.flush())
    starts = [part.start_sample for part in parts if len(part.values)]
    return Frames(
        starts[0] if starts else 0,
        np.concatenate([part.values for part in parts]),
        np.concatenate([part.silent for part in parts]),
    )


def assert_same(one: Frames, other: Frames) -> None:
    assert one.start_sample == other.start_sample
    assert same_bits([one.values], [other.values])
    assert one.silent.tolist() == other.silent.tolist()


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
@settings(max_examples=25)
@given(
    sizes=st.lists(
        st.one_of(st.integers(0, 3), st.integers(0, 3_000), st.just(40_000)), min_size=1, max_size=30
    ).filter(any)
)
def test_any_chunking_gives_the_same_bits(spec: FrontEndSpec, sizes: list[int]) -> None:
    samples = mixed(min(1.3, 3_000 * spec.hop_samples / spec.sample_rate_hz), spec.sample_rate_hz)
    # Few samples for blocks of one or two: they are slow, and change nothing once frames overlap.
    samples = samples[: 1_500 * max(1, sum(sizes) // len(sizes))]
    assert_same(run(FrontEnd(spec), blocks_of(samples, sizes)), features_of(samples, spec))


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_single_samples_give_the_same_bits(spec: FrontEndSpec) -> None:
    samples = mixed(0.3, spec.sample_rate_hz)
    assert_same(run(FrontEnd(spec), blocks_of(samples, [1])), features_of(samples, spec))


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_frames_come_as_soon_as_they_are_complete(spec: FrontEndSpec) -> None:
    front_end = FrontEnd(spec)
    samples = mixed(0.4, spec.sample_rate_hz)
    whole = features_of(samples, spec).values
    given_frames = 0
    for block in blocks_of(samples, [37]):
        frames = front_end.push(block)
        assert frames.start_sample == given_frames * spec.hop_samples
        given_frames += len(frames.values)
        heard = block.end_sample - spec.fft_samples
        complete = max(0, heard // spec.hop_samples + 1 - spec.lookahead_frames) if heard >= 0 else 0
        assert given_frames == complete
    assert len(whole) == (len(samples) - spec.fft_samples) // spec.hop_samples + 1


def by_the_book(samples: FloatArray) -> FloatArray:
    """What `EAR` gives, in 64 bits and straight from the formulas; shape (frames, bands)."""
    x = samples.astype(np.float64)
    emphasised = x[1:] - 0.97 * x[:-1]
    starts = range(0, len(samples) - 1_024 + 1, 320)
    # numpy's own Hann window is the symmetric one.
    framed = np.stack([emphasised[at + 112 : at + 912] * np.hanning(800) for at in starts])
    power = np.abs(np.fft.rfft(np.pad(framed, ((0, 0), (112, 112)))))[:, :512] ** 2
    mel = 1127.0 * np.log(1.0 + np.arange(512) * 32_000 / 1_024 / 700.0)
    points = np.linspace(0.0, 1127.0 * np.log(1.0 + 15_000 / 700.0), 130)
    bands = [np.interp(mel, points[i : i + 3], [0.0, 1.0, 0.0]) for i in range(128)]
    return np.log(power @ np.array(bands).T + 1e-5).astype(np.float32)


def test_pre_emphasis_short_window_and_offset_follow_the_formulas() -> None:
    samples = mixed(2.0, EAR.sample_rate_hz)
    ours = features_of(samples, EAR).values
    np.testing.assert_allclose(ours, by_the_book(samples), rtol=0, atol=TOLERANCE_DB / 2)


def test_the_last_sample_of_a_frame_needs_none_after_it() -> None:
    samples = mixed(0.1, EAR.sample_rate_hz)[:1_024]
    for spec in (SPECS["pre-emphasis"], SPECS["pre-emphasis, whole frame"]):
        frame = features_of(samples[: spec.fft_samples], spec).values
        longer = features_of(samples[: spec.fft_samples + spec.hop_samples - 1], spec).values
        assert len(frame) == 1
        assert same_bits([frame], [longer])


@pytest.mark.parametrize("from_hz", [22_050, 44_100, 48_000])
def test_resampled_blocks_give_the_same_bits_in_any_chunking(from_hz: int) -> None:
    samples = mixed(1.0, from_hz)

    def frames(sizes: list[int]) -> Frames:
        resampler = StreamResampler(from_hz, EAR.sample_rate_hz)
        blocks = [out for block in blocks_of(samples, sizes) for out in resampler.push(block)]
        return run(FrontEnd(EAR), blocks + resampler.flush())

    whole = frames([len(samples)])
    assert len(whole.values) == (EAR.sample_rate_hz - EAR.fft_samples) // EAR.hop_samples + 1
    for sizes in ([1_024], [37, 4_000, 1]):
        assert_same(frames(sizes), whole)


def test_either_logarithm_can_be_had_in_decibels() -> None:
    samples = mixed(0.5, EAR.sample_rate_hz)
    decibels = features_of(samples, dataclasses.replace(EAR, log="db_floor")).values
    offset = decibels_of(features_of(samples, EAR).values, EAR)
    # The offset is the floor: far above it both are the same, at it they are 3 dB apart.
    loud = decibels > 10 * np.log10(EAR.floor) + 40
    assert loud.any()
    np.testing.assert_allclose(offset[loud], decibels[loud], rtol=0, atol=1e-3)
    assert ((offset > decibels - 1e-3) & (offset < decibels + 3.02)).all()


def test_edges_are_found_whichever_logarithm_a_front_end_takes() -> None:
    rate_hz = EAR.sample_rate_hz
    samples = noise(2.0, rate_hz, 1e-3)
    samples[20_000:40_000] += tone(1_000.0, 20_000 / rate_hz, rate_hz)
    frames = features_of(samples, EAR)
    window = Window(0, len(samples), frames.values, 0, len(samples))
    finder = EdgeFinder(EAR)
    onset, offset = finder.onset(window), finder.offset(window)
    assert onset is not None
    assert offset is not None
    assert abs(onset - 20_000) <= 2 * EAR.hop_samples
    assert abs(offset - 40_000) <= 2 * EAR.hop_samples
    # No edge at 4 dB, one at 9: as natural logarithms 0.9 and 2.1, which taken for decibels are both none.
    softer = dataclasses.replace(window, values=_with_a_step(frames.values, 4.0))
    assert finder.onset(softer) is None
    louder = dataclasses.replace(window, values=_with_a_step(frames.values, 9.0))
    assert finder.onset(louder) is not None


def _with_a_step(values: FloatArray, step_db: float) -> FloatArray:
    """Natural logarithms of a level that rises once, in the middle."""
    steady = np.zeros_like(values)
    steady[len(values) // 2 :] = step_db * np.log(10.0) / 10.0
    return steady


def test_samples_too_few_for_a_frame_give_none() -> None:
    frames = features_of(silence(0.01, 22_050), FrontEndSpec())
    assert frames.values.shape == (0, 64)
    assert frames.silent.shape == (0,)


def test_input_is_left_as_it_is() -> None:
    samples = mixed(0.2, 22_050)
    samples[100] = np.nan
    before = samples.copy()
    features_of(samples, FrontEndSpec())
    np.testing.assert_array_equal(samples, before)


def test_memory_does_not_grow() -> None:
    spec = EVERYTHING
    front_end = FrontEnd(spec)
    second = noise(1.0, spec.sample_rate_hz)

    def hear(first_second: int, seconds: int) -> None:
        for at in range(first_second, first_second + seconds):
            start = at * len(second)
            for block in blocks_of(second, [1_000], start):
                front_end.push(block)

    hear(0, 3)
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    hear(3, 60)
    after, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 20_000
    assert peak - before < 2_000_000


def test_frames_are_computed_in_memory_that_is_kept() -> None:
    """What is taken from the system and given back for every batch costs more than the arithmetic."""
    spec = FrontEndSpec()
    front_end = FrontEnd(spec)
    half_seconds = blocks_of(noise(3.0, spec.sample_rate_hz), [spec.sample_rate_hz // 2])
    front_end.push(half_seconds[0])
    tracemalloc.start()
    for block in half_seconds[1:]:
        front_end.push(block)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    batch = 25 * spec.fft_samples * 4
    assert peak < batch


@pytest.mark.parametrize(
    "spec", [SPECS["default"], EVERYTHING, EAR], ids=["default", "everything", "pre-emphasis"]
)
def test_a_gap_starts_afresh(spec: FrontEndSpec) -> None:
    rate_hz = spec.sample_rate_hz
    before, after = mixed(0.5, rate_hz), tone(700.0, 0.5, rate_hz)
    later = len(before) + 1
    front_end = FrontEnd(spec)
    run(front_end, blocks_of(before, [500]), flush=False)
    frames = run(front_end, blocks_of(after, [500], later))
    expected = features_of(after, spec)
    assert_same(frames, Frames(later, expected.values, expected.silent))


def test_reset_starts_afresh_without_a_gap() -> None:
    samples = mixed(0.4, 22_050)
    front_end = FrontEnd(EVERYTHING)
    front_end.push(Block(0, samples[:3_000]))
    front_end.reset()
    frames = run(front_end, [Block(3_000, samples[3_000:])])
    expected = features_of(samples[3_000:], EVERYTHING)
    assert_same(frames, Frames(3_000, expected.values, expected.silent))


@pytest.mark.parametrize("spec", [SPECS["default"], EAR], ids=["default", "pre-emphasis"])
def test_silence_is_flagged_frame_by_frame(spec: FrontEndSpec) -> None:
    rate_hz = spec.sample_rate_hz
    samples = silence(1.0, rate_hz)
    samples[10_000:12_000] = tone(1_000.0, 2_000 / rate_hz, rate_hz)
    frames = features_of(samples, spec)
    starts = np.arange(len(frames.values)) * spec.hop_samples
    # The Hann window is next to zero at its ends, so a frame may just miss the sound there.
    margin = (spec.fft_samples - spec.window_length) // 2 + 32
    certainly = (starts + spec.fft_samples - margin > 10_000) & (starts + margin < 12_000)
    possibly = (starts + spec.fft_samples > 10_000) & (starts < 12_000)
    assert not frames.silent[certainly].any()
    assert frames.silent[~possibly].all()
    assert np.unique(frames.values[~possibly]) == log_mel(np.zeros(1, np.float32), spec)


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    "spec", [SPECS["default"], EVERYTHING, EAR], ids=["default", "everything", "pre-emphasis"]
)
def test_broken_samples_are_counted_and_taken_as_zero(spec: FrontEndSpec, broken: float) -> None:
    samples = mixed(0.5, spec.sample_rate_hz)
    zeroed = samples.copy()
    samples[[0, 2_000, 2_001]] = broken
    zeroed[[0, 2_000, 2_001]] = 0.0
    front_end = FrontEnd(spec)
    assert_same(run(front_end, blocks_of(samples, [700])), features_of(zeroed, spec))
    assert front_end.broken_samples == 3


@pytest.mark.parametrize("spec", [SPECS["default"], EAR], ids=["default", "pre-emphasis"])
def test_an_absurdly_large_sample_is_harmless_to_later_frames(spec: FrontEndSpec) -> None:
    samples = mixed(1.0, spec.sample_rate_hz)
    clean = features_of(samples, spec)
    samples[3_000] = 1e30
    frames = features_of(samples, spec)
    assert np.isfinite(frames.values).all()
    starts = np.arange(len(frames.values)) * spec.hop_samples
    untouched = (starts > 3_000) | (starts + spec.fft_samples <= 3_000)
    assert same_bits([frames.values[untouched]], [clean.values[untouched]])


def librosa_mel_db(samples: FloatArray, spec: FrontEndSpec) -> FloatArray:
    """Log-mel by librosa, shape (frames, bands)."""
    power = librosa.feature.melspectrogram(
        y=samples.astype(np.float64),
        sr=spec.sample_rate_hz,
        n_fft=spec.fft_samples,
        hop_length=spec.hop_samples,
        center=False,
        power=2.0,
        n_mels=spec.mel_bands,
        fmin=spec.fmin_hz,
        fmax=spec.fmax_hz,
        htk=spec.mel_scale == "htk",
        norm="slaney" if spec.mel_norm == "slaney" else None,
        dtype=np.float64,
    )
    decibels: FloatArray = librosa.power_to_db(power, ref=1.0, amin=spec.floor, top_db=None).T
    return decibels


def delta_by_the_book(values: FloatArray, reach: int) -> FloatArray:
    """The slope formula of the HTK Book, frame by frame, the ends repeated."""
    last = len(values) - 1
    rows = []
    for t in range(len(values)):
        total = np.zeros(values.shape[1])
        for n in range(1, reach + 1):
            total += n * (values[min(t + n, last)] - values[max(t - n, 0)])
        rows.append(total / (2 * sum(n * n for n in range(1, reach + 1))))
    return np.array(rows)


@pytest.mark.parametrize("scale", ["htk", "slaney"])
@pytest.mark.parametrize("norm", ["none", "slaney"])
def test_log_mel_agrees_with_librosa(scale: Any, norm: Any) -> None:
    # A floor well above the rounding of 32 bits, as in the models: under it nothing is told apart.
    spec = FrontEndSpec(mel_scale=scale, mel_norm=norm)
    samples = mixed(2.0, spec.sample_rate_hz)
    ours = features_of(samples, spec).values
    np.testing.assert_allclose(ours, librosa_mel_db(samples, spec), rtol=0, atol=TOLERANCE_DB)


def test_every_feature_agrees_with_librosa_or_the_formula() -> None:
    spec = EVERYTHING
    # Noise everywhere: the digital zeros of 32 bits and of 64 bits are not the same.
    samples = noise(2.0, spec.sample_rate_hz) + tone(900.0, 2.0, spec.sample_rate_hz)
    ours = features_of(samples, spec).values
    level = librosa_mel_db(samples, spec)
    mfcc = librosa.feature.mfcc(S=level.T, n_mfcc=spec.mfcc, dct_type=2, norm="ortho").T
    expected = {
        "log_mel": level,
        "mfcc": mfcc,
        "log_mel_delta": delta_by_the_book(level, spec.delta_frames // 2),
        "mfcc_delta": delta_by_the_book(mfcc, spec.delta_frames // 2),
    }
    assert ours.shape[1] == spec.frame_columns == 2 * (13 + 40)
    for name in spec.features:
        np.testing.assert_allclose(
            ours[:, spec.columns(name)], expected[name], rtol=0, atol=TOLERANCE_DB, err_msg=name
        )


def test_filterbank_agrees_with_librosa() -> None:
    ours = mel_filterbank(EVERYTHING)
    theirs = librosa.filters.mel(sr=16_000, n_fft=512, n_mels=40, fmin=0.0, fmax=8_000.0, dtype=np.float64)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-9)


def test_a_band_narrower_than_a_bin_stays_at_the_floor() -> None:
    spec = FrontEndSpec(fft_samples=256, hop_samples=128, mel_bands=128, fmin_hz=0.0)
    empty = ~mel_filterbank(spec).any(axis=1)
    assert empty.any()
    values = features_of(noise(0.5, spec.sample_rate_hz), spec).values
    assert (values[:, empty] == 10 * np.log10(np.float32(spec.floor))).all()


def test_a_sine_of_full_scale_has_the_power_that_the_docstring_states() -> None:
    spec = FrontEndSpec(mel_bands=10)
    # Exactly in the middle of a band and of a bin: the triangle lets all of the bin pass.
    weights = mel_filterbank(spec)
    bin_at = int(weights.max(axis=0).argmax())
    samples = tone(bin_at * spec.sample_rate_hz / spec.fft_samples, 1.0, spec.sample_rate_hz, 1.0)
    power = 10 ** (features_of(samples, spec).values.max() / 10)
    # The window spreads a third of the power over the two bins beside it.
    assert (spec.fft_samples / 4) ** 2 <= power <= 1.5 * (spec.fft_samples / 4) ** 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sample_rate_hz": 10}, "sample_rate_hz is 10"),
        ({"fft_samples": 15}, "fft_samples is 15"),
        ({"fft_samples": 1_023}, "fft_samples is 1023"),
        ({"hop_samples": 0}, "hop_samples is 0"),
        ({"hop_samples": 1_025}, "hop_samples is 1025"),
        ({"mel_bands": 0}, "mel_bands is 0"),
        ({"window": "hamming"}, "window is 'hamming'"),
        ({"window_samples": 1_025}, "window_samples is 1025"),
        ({"window_samples": 15}, "window_samples is 15"),
        ({"pre_emphasis": 1.1}, "pre_emphasis is 1.1"),
        ({"pre_emphasis": float("nan")}, "pre_emphasis is nan"),
        ({"pre_emphasis": 0.97}, "pre_emphasis looks one sample ahead"),
        ({"log": "ln"}, "log is 'ln'"),
        ({"mel_scale": "bark"}, "mel_scale is 'bark'"),
        ({"mel_norm": "area"}, "mel_norm is 'area'"),
        ({"fmax_hz": 11_026.0}, "does not fit into 0 to 11025 Hz"),
        ({"fmin_hz": 5_000.0, "fmax_hz": 400.0}, "5000 to 400 Hz"),
        ({"fmin_hz": -1.0}, "-1 to 11025 Hz"),
        ({"floor": 0.0}, "floor is 0.0"),
        ({"floor": float("nan")}, "floor is nan"),
        ({"delta_frames": 8}, "delta_frames is 8"),
        ({"delta_frames": 1}, "delta_frames is 1"),
        ({"features": ()}, "at least one feature"),
        ({"features": ("log_mel", "log_mel")}, "only once"),
        ({"features": ("chroma",)}, "unknown feature 'chroma'"),
        ({"features": ("mfcc",)}, "mfcc is 0"),
        ({"features": ("mfcc",), "mfcc": 65}, "mfcc is 65"),
    ],
)
def test_a_specification_that_makes_no_sense_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=r"^front end: ") as caught:
        dataclasses.replace(FrontEndSpec(), **change)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_feature_that_is_not_computed_has_no_columns() -> None:
    with pytest.raises(ModelError, match="'mfcc' is not among its features"):
        FrontEndSpec().columns("mfcc")


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
@settings(max_examples=25)
@given(waits=st.lists(st.booleans(), min_size=1, max_size=20), size=st.integers(1, 9_000))
def test_waiting_changes_when_frames_come_but_not_their_bits(
    spec: FrontEndSpec, waits: list[bool], size: int
) -> None:
    samples = mixed(1.0, spec.sample_rate_hz)
    front_end = FrontEnd(spec)
    blocks = blocks_of(samples, [size])
    parts = [front_end.push(b, wait=waits[n % len(waits)]) for n, b in enumerate(blocks)]
    parts.append(front_end.flush())
    values = np.concatenate([part.values for part in parts])
    assert same_bits([values], [features_of(samples, spec).values])


def test_who_waits_gets_nothing_before_the_buffer_is_full() -> None:
    spec = FrontEndSpec()
    front_end = FrontEnd(spec)
    samples = noise(0.4, spec.sample_rate_hz)
    assert len(front_end.push(Block(0, samples), wait=True).values) == 0
    assert len(front_end.flush().values) == len(features_of(samples, spec).values)


def test_spectra_are_as_exact_as_32_bits_allow() -> None:
    """Processors agree on the features of a quiet band beside a loud one only because of this."""
    frames = np.random.default_rng(3).standard_normal((7, 1024)).astype(np.float32)
    exact = np.fft.rfft(frames.astype(np.float64)).astype(np.complex64)
    assert np.fft.rfft(frames).tobytes() == exact.tobytes()


def test_a_range_narrower_than_a_bin_is_silent() -> None:
    spec = FrontEndSpec(fft_samples=64, hop_samples=32, mel_bands=2, fmin_hz=400.0, fmax_hz=420.0)
    assert features_of(noise(0.1, 22_050), spec).silent.all()
