"""The command: runs the checks one after the other and prints what they say."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from streamer.doctor.finding import Finding, problem
from streamer.doctor.level import Heard
from streamer.errors import EscListenError
from streamer.settings import Settings, read_settings

Check = Callable[[], Iterator[Finding]]


def checks(settings: Settings, microphone: bool) -> Iterator[tuple[str, Check]]:
    """The checks by name, in the order in which a person would look.

    Args:
        settings: those with which it will listen.
        microphone: look for the microphone and listen to it.
    """
    from streamer.doctor.clock import check_clock
    from streamer.doctor.log import check_log
    from streamer.doctor.network import check_model
    from streamer.doctor.processor import check_governor, check_heat, check_throttling
    from streamer.doctor.system import check_system

    yield "system", check_system
    yield "clock", check_clock
    yield "processor", check_governor
    yield "temperature", check_heat
    yield "power", check_throttling
    yield "model", lambda: check_model(settings)
    yield "log", lambda: check_log(settings.log.csv)
    if microphone:
        yield from microphone_checks(settings)


def microphone_checks(settings: Settings) -> Iterator[tuple[str, Check]]:
    """Those that need a sound system. After a failure the later ones have nothing to look at."""
    from streamer.doctor.level import check_level
    from streamer.doctor.permissions import check_permissions
    from streamer.doctor.sound import check_devices, check_portaudio, check_rate
    from streamer.model import load_model
    from streamer.sources.devices import find_device, list_devices
    from streamer.sources.microphone import channels_to_open

    wanted = settings.source.device
    yield "permission", check_permissions
    yield "PortAudio", check_portaudio
    yield "devices", lambda: check_devices(wanted)
    try:
        device = find_device(wanted or None, list_devices())
        model_hz = load_model(settings.model.name).manifest.front_end.sample_rate_hz
    except EscListenError:
        return  # has been told by the checks before
    channel = settings.source.channel
    channels = channels_to_open(device, channel or None)
    yield "rate", lambda: check_rate(device, model_hz)

    def level() -> Iterator[Finding]:
        with Meter() as meter:
            findings = list(check_level(device, channels, channel, meter.show))
        yield from findings  # when the meter has left its line

    yield "level", level


class Meter:
    """A level meter on a terminal; nothing where standard error is none."""

    WIDTH = 40
    LOWEST_DBFS = -80.0

    def __init__(self) -> None:
        self._stream = sys.stderr if sys.stderr is not None and sys.stderr.isatty() else None

    def __enter__(self) -> Meter:
        if self._stream:
            print("listening for five seconds: make a sound", file=self._stream, flush=True)
        return self

    def show(self, heard: Heard) -> None:
        """Draw how loud a moment was."""
        if self._stream is None:
            return
        peak = max(self.LOWEST_DBFS, heard.peak_dbfs)
        filled = round(self.WIDTH * (1 - peak / self.LOWEST_DBFS))
        bar = "#" * filled + "." * (self.WIDTH - filled)
        print(f"\r  [{bar}] peak {peak:6.1f} dBFS ", end="", file=self._stream, flush=True)

    def __exit__(self, *_: object) -> None:
        if self._stream:
            print("\r\x1b[K", end="", file=self._stream, flush=True)


def examine(settings: Settings, microphone: bool) -> Iterator[Finding]:
    """What all checks say. One that fails itself does not keep the others from being made."""
    for name, check in checks(settings, microphone):
        try:
            yield from check()
        except EscListenError as error:
            yield problem(name, str(error), "put that right and look again")
        except Exception as error:
            yield problem(
                name,
                f"could not be looked at ({type(error).__name__}: {error})",
                "look again; if it stays so, please report it",
            )


def settings_of(options: argparse.Namespace) -> Settings:
    """The settings that will be listened with."""
    settings = read_settings(Path(options.config)) if options.config else Settings()
    given = {
        "source": {"device": options.device},
        "model": {"name": options.model},
        "log": {"csv": options.csv},
    }
    for table, values in given.items():
        changes = {key: value for key, value in values.items() if value is not None}
        part = dataclasses.replace(getattr(settings, table), **changes)
        settings = dataclasses.replace(settings, **{table: part})
    return settings


def text(finding: Finding) -> str:
    """A finding for people, with its next step on a line of its own."""
    line = f"{finding.verdict:<8} {finding.check:<12} {finding.says}"
    return line + (f"\n{'':<21} -> {finding.do}" if finding.do else "")


def summary(findings: list[Finding]) -> str:
    """All in one line."""
    counts = {kind: sum(f.verdict == kind for f in findings) for kind in ("problem", "warning")}
    if not any(counts.values()):
        return "everything is ready"
    parts = [f"{count} {kind}{'' if count == 1 else 's'}" for kind, count in counts.items() if count]
    return f"{' and '.join(parts)}; what to do stands behind the arrows"


def build_parser() -> argparse.ArgumentParser:
    """The options of ``esc-listen doctor``."""
    parser = argparse.ArgumentParser(
        prog="esc-listen doctor",
        description="Look whether everything is ready for listening, and say what to do if it is not. "
        "Exit status 1 if there is a problem.",
    )
    parser.add_argument("--device", metavar="NAME", help="microphone: part of its name, or its number")
    parser.add_argument("--model", metavar="NAME", help="a shipped model, or the path of a .tflite file")
    parser.add_argument("--csv", metavar="PATH", help="the event log (default esc-events.csv)")
    parser.add_argument("--config", metavar="TOML", help="look at what this configuration asks for")
    parser.add_argument("--no-microphone", action="store_true", help="leave out everything about sound")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--debug", action="store_true", help="show the full traceback when it fails")
    return parser


def run(options: argparse.Namespace) -> int:
    """Run ``esc-listen doctor``."""
    findings = []
    for finding in examine(settings_of(options), not options.no_microphone):
        findings.append(finding)
        if not options.json:
            print(text(finding), flush=True)
    problems = sum(finding.verdict == "problem" for finding in findings)
    if options.json:
        checks = [dataclasses.asdict(finding) for finding in findings]
        print(json.dumps({"problems": problems, "checks": checks}))
    else:
        print(summary(findings))
    return 1 if problems else 0
