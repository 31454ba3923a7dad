"""The benchmark measures real work, and says so in figures that make sense."""

from __future__ import annotations

import dataclasses

import pytest

from streamer.bench import ROWS, measure, table
from streamer.cli import main
from streamer.model import load_model


def test_every_figure_is_measured_and_shown() -> None:
    costs = measure(load_model(), seconds=4.0, repeats=1)
    figures = dataclasses.asdict(costs)
    for name, text, _ in ROWS:
        assert figures[name] > 0, name
        assert text in table(costs)
    assert set(figures) == {"model", "hop_s", *(name for name, _, _ in ROWS)}
    # The network is part of the pipeline.
    assert costs.pipeline_cpu_s_per_audio_s > costs.inference_ms_per_window / 1000
    assert costs.hop_latency_p50_ms <= costs.hop_latency_p95_ms <= costs.hop_latency_p99_ms
    assert 10 < costs.peak_memory_mb < 1000


def test_an_unknown_model_is_one_clear_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--model", "nope"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("esc-listen: no model is called 'nope'")
    assert error.count("\n") == 1
