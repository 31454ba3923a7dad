"""Which microphones there are, through PortAudio."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType

from streamer.errors import HopelessError, SourceError
from streamer.native import quiet_native_code
from streamer.sources.portaudio_process import NO_PORTAUDIO, PortAudioProcess


@dataclass(frozen=True)
class InputDevice:
    """A device that sound can be recorded from."""

    index: int
    """What PortAudio calls it; may change whenever something is plugged in."""

    name: str
    host_api: str
    """The sound system behind it: ALSA, Core Audio, WASAPI ..."""

    channels: int
    """Most input channels that it can give; a mixer in software tells a large number."""

    rate_hz: int
    """Its native rate."""

    is_default: bool
    """True for the one that is used when none is asked for."""


def load_sounddevice() -> ModuleType:
    """The sounddevice module in this process: for a look at a device, not for listening.

    Raises:
        HopelessError: PortAudio is missing.
        SourceError: PortAudio does not start.
    """
    try:
        with quiet_native_code():
            import sounddevice
    except OSError as error:
        raise HopelessError(NO_PORTAUDIO) from error
    except Exception as error:  # PortAudio is there, but refuses to start
        raise SourceError(f"the sound system does not start: {error}") from error
    module: ModuleType = sounddevice
    return module


def list_devices() -> list[InputDevice]:
    """All input devices, in the order of their index.

    Raises:
        SourceError: PortAudio is missing, cannot tell, or does not answer.
    """
    with PortAudioProcess() as process:
        return devices_of(process)


def devices_of(process: PortAudioProcess) -> list[InputDevice]:
    """All input devices as a process that has just been started sees them.

    Raises:
        SourceError: PortAudio is missing, cannot tell, or does not answer.
    """
    return [InputDevice(**device) for device in process.ask(do="list")["devices"]]


def describe_devices(devices: Sequence[InputDevice]) -> str:
    """A table for people, one line a device; the default one is marked with a star."""
    if not devices:
        return "no input device found"
    rows = [("", "index", "name", "channels", "rate", "sound system")]
    rows += [
        (
            "*" if device.is_default else "",
            str(device.index),
            device.name,
            str(device.channels),
            f"{device.rate_hz} Hz",
            device.host_api,
        )
        for device in devices
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def find_device(wanted: str | int | None, devices: Sequence[InputDevice]) -> InputDevice:
    """The device that is meant.

    Args:
        wanted: its index (also as text), its name or a part of it in any case; None for the default.
        devices: those to choose from.

    Raises:
        SourceError: there is no such device, or the text fits several.
    """
    if not devices:
        raise SourceError(
            "no microphone found: plug one in and look with --list-devices, or listen to a file with --input"
        )
    if wanted is None:
        return _default(devices)
    text = str(wanted).strip().lower()
    by_index = [device for device in devices if str(device.index) == text]
    exact = [device for device in devices if device.name.lower() == text]
    part = [device for device in devices if text in device.name.lower()]
    if isinstance(wanted, int):
        exact = part = []
    matches = by_index or exact or part
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise SourceError(f"device {wanted!r} fits several: {_names(matches)}; use the index of one")
    raise SourceError(f"no input device {wanted!r}; there are: {_names(devices)}")


def _default(devices: Sequence[InputDevice]) -> InputDevice:
    for device in devices:
        if device.is_default:
            return device
    raise SourceError(f"no default microphone is set; choose one with --device: {_names(devices)}")


def _names(devices: Sequence[InputDevice]) -> str:
    return ", ".join(f"{device.index} ({device.name}, {device.host_api})" for device in devices)
