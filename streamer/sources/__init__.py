"""Where samples come from: microphone, files, a pipe, or memory."""

from __future__ import annotations

from streamer.errors import SourceError
from streamer.settings import SourceSettings
from streamer.sources.samples import SamplesSource
from streamer.sources.source import Report, Source, SourceHealth, has_dates, no_report


def open_source(name: str, settings: SourceSettings, rate_hz: int, report: Report = no_report) -> Source:
    """Open ``mic``, ``-`` (raw PCM on standard input) or a sound file.

    Args:
        rate_hz: rate of the blocks that the source will yield: that of the model.
        report: takes note of what a live source wants to be known later.

    Raises:
        SourceError: it cannot be opened.
    """
    if name == "mic":
        from streamer.sources.microphone import MicrophoneSource

        device: str | int | None = settings.device or None
        if settings.device.isdecimal():
            device = int(settings.device)
        channel = settings.channel or None
        return MicrophoneSource(rate_hz, device, channel, wait=settings.wait, report=report)
    if name == "-":
        from streamer.sources.pipe import PipeSource

        pcm = (settings.rate_hz, settings.channels, settings.format, settings.channel)
        if not settings.start:
            return PipeSource(rate_hz, *pcm, report=report, live=settings.live)
        from streamer.sources.recorded import begin_of, time_zone

        begin = begin_of("standard input", settings.start, time_zone(settings.time_zone), None)
        report("advice", text=f"standard input began at {begin.text()}", source=PipeSource.name)
        return PipeSource(rate_hz, *pcm, report=report, begin_unix_s=begin.unix_s)
    from streamer.sources.recording import RecordingSource

    recording = RecordingSource(name, rate_hz, settings.channel, settings.realtime, report)
    if not settings.start:
        return recording
    from streamer.sources.recorded import DatedSource, begin_of, time_zone

    try:
        begin = begin_of(name, settings.start, time_zone(settings.time_zone), recording.duration_s)
    except SourceError:
        recording.close()
        raise
    report("advice", text=f"{name} began at {begin.text()}", source=name)
    return DatedSource(recording, begin, rate_hz)


__all__ = ["Report", "SamplesSource", "Source", "SourceHealth", "has_dates", "no_report", "open_source"]
