"""``esc-listen``: options and configuration to a running listener."""

from __future__ import annotations

import argparse
import difflib
import importlib
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from streamer import __version__
from streamer.errors import EscListenError, SettingsError
from streamer.inputs import expanded
from streamer.output import OutputError, checked
from streamer.printable import printable
from streamer.settings import Settings, SourceSettings, read_settings
from streamer.tables import TableError, from_table, to_table

DESCRIPTION = """\
Hear environmental sounds, show them live and log them.

Without arguments esc-listen listens to the default microphone and appends every
sound that it recognises to esc-events.csv in the current folder. Ctrl-C stops it."""

EXAMPLES = """\
examples:
  esc-listen --demo                        see it work, no microphone needed
  esc-listen --device usb                  listen to the microphone with "usb" in its name
  esc-listen garden.wav night.flac --csv found.csv
  esc-listen recordings/                   every sound file in a folder and below it
  arecord -t raw -f S16_LE -r 44100 | esc-listen --input - --rate 44100
  esc-listen --plain --labels dog,cat      only dogs and cats, no dashboard
  esc-listen bench                         what listening costs on this machine
  esc-listen doctor                        is everything ready? what to do if not
  esc-listen config --print-default        a configuration file to start from
  esc-listen service --print               a systemd service"""

COMMANDS = {
    "bench": "streamer.bench",
    "config": "streamer.config",
    "doctor": "streamer.doctor.command",
    "service": "streamer.service",
}
"""Words that stand first and do something else than listening, and the module of each."""


class Parser(argparse.ArgumentParser):
    """A parser whose errors may hold the name of any file."""

    def error(self, message: str) -> NoReturn:
        super().error(printable(message))


def build_parser() -> argparse.ArgumentParser:
    """All options. None means: not given, so the configuration or the default holds."""
    parser = Parser(
        prog="esc-listen",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument_group("where the sound comes from").add_argument
    add("files", nargs="*", metavar="FILE", help="sound files, folders of them, or quoted globs")
    add(
        "--input",
        nargs="+",
        metavar="INPUT",
        help="mic (default), files as above, or - for raw PCM on standard input",
    )
    add("--device", metavar="NAME", help="microphone: part of its name, or its number")
    add("--wait", action="store_true", default=None, help="wait for a microphone that is not there yet")
    add("--channel", type=int, metavar="N", help="listen to one channel, from 1 (default: all, mixed)")
    add("--rate", type=int, metavar="HZ", help="raw PCM: samples per second (default 44100)")
    add("--channels", type=int, metavar="N", help="raw PCM: number of channels (default 1)")
    add("--format", choices=("s16le", "f32le"), help="raw PCM: sample format (default s16le)")
    add("--live", action="store_true", default=None, help="raw PCM: it is live; otherwise ten seconds tell")
    add("--start", metavar="WHEN", help="recordings: a date, name (the one in the file's name) or mtime")
    add("--time-zone", metavar="ZONE", help="of dates that name none (default: that of the system)")
    add("--realtime", action="store_true", default=None, help="play files at their own speed")
    add("--duration", type=float, metavar="S", help="stop after so many seconds of audio")
    add("--demo", action="store_true", help="listen to a scene that the program makes up itself")

    add = parser.add_argument_group("how it listens").add_argument
    add("--model", metavar="NAME", help="a shipped model, or the path of a .tflite file")
    add("--threshold", type=float, metavar="P", help="probability (0 to 1) at which an event begins")
    add("--hop", type=float, metavar="S", help="seconds between two looks at the sound")
    add("--smoothing", type=float, metavar="S", help="time constant of the smoothing, in seconds")
    add("--labels", metavar="A,B,...", help="report only these sounds, or groups of them")
    add("--threads", type=int, metavar="N", help="processor threads for the network (default 1)")

    add = parser.add_argument_group("what comes out").add_argument
    add("--csv", metavar="PATH", help="the event log (default esc-events.csv)")
    add("--no-csv", action="store_true", help="write no log")
    add("--rotate", metavar="WHEN", help="begin a new log daily, or at a size such as 10MB")
    add("--local-time", action="store_true", default=None, help="local time with its offset instead of UTC")
    add("--keep", type=int, metavar="N", help="delete rotated logs beyond the latest N (default: keep all)")
    add(
        "--note-column",
        action="store_true",
        default=None,
        help="give a new log a column that marks interrupted events",
    )
    add("--journal", metavar="PATH", help="starts, states, gaps, ledger (default beside a live log)")
    add("--no-journal", action="store_true", help="write no journal")
    add("--json", action="store_true", default=None, help="print events as JSON lines, nothing else")
    add("--plain", action="store_true", default=None, help="plain lines instead of the dashboard")
    add("--screenshot", metavar="SVG", help="save a picture of the dashboard when it ends")

    add = parser.add_argument_group("more").add_argument
    add("--config", metavar="TOML", help="read settings from a file; options given here win")
    add("--list-devices", action="store_true", help="list the microphones and stop")
    add("--list-models", action="store_true", help="list the shipped models and stop")
    add("--debug", action="store_true", help="show the full traceback when something fails")
    add("--version", action="version", version=f"esc-listen {__version__}")
    return parser


def with_options(settings: Settings, options: argparse.Namespace) -> Settings:
    """The settings with those that were given as options in their place.

    Raises:
        SettingsError: a value makes no sense.
    """
    given: dict[str, dict[str, object]] = {
        "source": {
            "input": [*(options.input or []), *options.files] or None,
            "device": options.device,
            "wait": options.wait,
            "channel": options.channel,
            "rate_hz": options.rate,
            "channels": options.channels,
            "format": options.format,
            "live": options.live,
            "start": options.start,
            "time_zone": options.time_zone,
            "realtime": options.realtime,
            "duration_s": options.duration,
        },
        "model": {"name": options.model, "threads": options.threads},
        "events": {
            "threshold": options.threshold,
            "hop_s": options.hop,
            "smoothing_s": options.smoothing,
            "labels": None if options.labels is None else [x.strip() for x in options.labels.split(",")],
        },
        "log": {
            "csv": "" if options.no_csv else options.csv,
            "json": options.json,
            "rotate": options.rotate,
            "keep": options.keep,
            "local_time": options.local_time,
            "note_column": options.note_column,
            "journal": "" if options.no_journal else options.journal,
        },
        "screen": {"plain": options.plain},
    }
    table = to_table(settings)
    for name, values in given.items():
        table[name].update({key: value for key, value in values.items() if value is not None})
    try:
        return from_table(Settings, table)
    except (TableError, SettingsError) as error:
        raise SettingsError(named_as_given(str(error), given)) from error


OPTION_NAMES = {
    "rate_hz": "rate",
    "duration_s": "duration",
    "hop_s": "hop",
    "smoothing_s": "smoothing",
    "name": "model",
}
"""Options that are called otherwise than the key of a configuration."""


def named_as_given(problem: str, given: Mapping[str, Mapping[str, object]]) -> str:
    """A problem with a setting, by the name of the option that gave it, if one did: ``--rate``, not
    ``source.rate_hz``."""
    key, colon, rest = problem.partition(":")
    section, _, name = key.partition(".")
    if given.get(section, {}).get(name) is None:
        return problem
    return f"--{OPTION_NAMES.get(name, name).replace('_', '-')}{colon}{rest}"


def contradiction(source: SourceSettings, demo: bool) -> str:
    """What cannot be together in the settings of live input and dates; empty if all can."""
    if demo:
        given = source.start or source.live
        return "--demo brings its own sound; leave out --start and --live" if given else ""
    if source.live and "-" not in source.input:
        return "--live says something about --input - only"
    if not source.start:
        return ""
    if source.live:
        return "--live and --start contradict each other: what is live dates itself"
    if "mic" in source.input:
        return "--start is for recordings; a microphone dates what it hears itself"
    if source.start in ("name", "mtime"):
        no_file = "-" in source.input
        return "standard input has no name; say when it began: --start 2026-11-21T08:31:02" if no_file else ""
    if len(source.input) > 1:
        return "one date fits one recording; for several there are --start name and --start mtime"
    return ""


@checked("esc-listen")
def main(arguments: list[str] | None = None) -> int:
    """Run the command; gives its exit status: 0 done, 1 failed, 2 wrong usage."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments and arguments[0] in COMMANDS:
        command = importlib.import_module(COMMANDS[arguments[0]])
        options = command.build_parser().parse_args(arguments[1:])
        return guarded(lambda: command.run(options), options.debug)
    parser = build_parser()
    # Files may stand between options: esc-listen --plain a.wav --no-csv b.wav
    options = parser.parse_intermixed_args(arguments)
    if meant := misspelt_command(arguments):
        parser.error(f"there is no command and no file {arguments[0]}; did you mean esc-listen {meant}?")
    return guarded(lambda: run(parser, options), options.debug)


def misspelt_command(arguments: list[str]) -> str | None:
    """The command that the first word was probably meant to be; None where it may well be a file."""
    word = arguments[0] if arguments else ""
    if not word.isalpha() or os.path.lexists(word):
        return None
    return next(iter(difflib.get_close_matches(word.lower(), COMMANDS, n=1)), None)


def guarded(work: Callable[[], int], debug: bool) -> int:
    """Do the work; what goes wrong becomes one line on standard error and status 1."""
    try:
        return work()
    except OutputError:
        raise
    except EscListenError as error:
        if debug:
            raise
        print(printable(f"esc-listen: {error}"), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("esc-listen: interrupted", file=sys.stderr)
        return 1
    except Exception as error:
        if debug:
            raise
        what = printable(f"{type(error).__name__}: {error}")
        print(
            f"esc-listen: something unexpected went wrong ({what}); "
            "run it again with --debug for the details",
            file=sys.stderr,
        )
        return 1


def run(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    """Do what the options ask for."""
    if options.list_devices:
        from streamer.sources.devices import describe_devices, list_devices

        print(describe_devices(list_devices()))
        return 0
    if options.list_models:
        from streamer.model import describe_models

        print(describe_models())
        return 0
    if options.demo and (options.input or options.files):
        parser.error("--demo brings its own sound; leave out --input and files")
    if options.csv and options.no_csv:
        parser.error("--csv and --no-csv contradict each other")
    if options.journal and options.no_journal:
        parser.error("--journal and --no-journal contradict each other")
    if options.screenshot and (options.plain or options.json):
        parser.error("--screenshot needs the dashboard; leave out --plain and --json")
    base = read_settings(Path(options.config)) if options.config else Settings()
    try:
        settings = with_options(base, options)
    except SettingsError as error:
        parser.error(str(error))
    if options.demo and not options.csv:
        settings = replace(settings, log=replace(settings.log, csv=""))
    if len(settings.source.input) > 1 and {"mic", "-"} & set(settings.source.input):
        parser.error("mic and - cannot be combined with other inputs")
    if problem := contradiction(settings.source, options.demo):
        parser.error(problem)
    if not options.demo:
        found = tuple(expanded(settings.source.input))
        settings = replace(settings, source=replace(settings.source, input=found))
        # Once more: "one date fits one recording" also where a folder holds several.
        if problem := contradiction(settings.source, options.demo):
            parser.error(problem)
    from streamer.session import run_session

    return run_session(settings, demo=options.demo, screenshot=options.screenshot, debug=options.debug)


if __name__ == "__main__":
    sys.exit(main())
