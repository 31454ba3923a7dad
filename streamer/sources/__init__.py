"""Where samples come from: microphone, files, a pipe, or memory."""

from __future__ import annotations

from streamer.settings import SourceSettings
from streamer.sources.samples import SamplesSource
from streamer.sources.source import Source, SourceHealth


def open_source(name: str, settings: SourceSettings, rate_hz: int) -> Source:
    """Open ``mic``, ``-`` (raw PCM on standard input) or a sound file.

    Args:
        rate_hz: rate of the blocks that the source will yield: that of the model.

    Raises:
        SourceError: it cannot be opened.
    """
    if name == "mic":
        from streamer.sources.microphone import MicrophoneSource

        device: str | int | None = settings.device or None
        if settings.device.isdecimal():
            device = int(settings.device)
        return MicrophoneSource(rate_hz, device, settings.channel or None)
    if name == "-":
        from streamer.sources.pipe import PipeSource

        return PipeSource(rate_hz, settings.rate_hz, settings.channels, settings.format, settings.channel)
    from streamer.sources.recording import RecordingSource

    return RecordingSource(name, rate_hz, settings.channel, settings.realtime)


__all__ = ["SamplesSource", "Source", "SourceHealth", "open_source"]
