"""Header, alarms, progress, events and footer."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style

from streamer.dashboard.cells import Line, blank, cell, clean, crop, fit, line_width, printable, spread
from streamer.dashboard.figures import clock, seconds_ago, share, span
from streamer.dashboard.meters import progress_bar
from streamer.dashboard.theme import Theme
from streamer.status import EventStatus, Status

PRODUCT = "esc-listen"


def alarm_text(status: Status) -> str | None:
    """What is wrong with the input and since when, or None."""
    since = seconds_ago(status.state_since_s)
    if status.state == "silent":
        question = ": is the microphone muted or dead?" if status.live else " in the recording"
        return f"only digital silence for {since}{question}"
    if status.state == "stalled":
        question = "is it unplugged or suspended?" if status.live else "does the file still answer?"
        return f"no samples for {since}: {question}"
    if status.state in ("recovering", "failed"):
        return f"nothing heard for {since}: {status.problem or 'the microphone is away'}"
    return None


def state_badge(status: Status, theme: Theme) -> Segment:
    """The state with its mark; alarms are inverted."""
    if status.state == "listening":
        return Segment("● listening", theme.live)
    if status.state == "finished":
        return Segment("■ finished", theme.title)
    if status.state == "starting":
        return Segment("○ starting", theme.warm)
    return Segment(f" ▲ {status.state} ", alarm_style(status, theme))


def alarm_style(status: Status, theme: Theme) -> Style:
    """Red for what costs events, amber for digital silence inside a recording."""
    return theme.alarm if status.live or status.state != "silent" else theme.caution


def header(status: Status, width: int, theme: Theme) -> Line:
    """Product, state, source and model; uptime or position at the right."""
    left = [Segment(" "), Segment(PRODUCT, theme.title), blank(2), state_badge(status, theme), blank(2)]
    time = clock(status.health.uptime_s if status.total_s is None else status.heard_s)
    if status.total_s is not None:
        time += f" / {clock(status.total_s)}"
    right = [blank(1), Segment(time, theme.text), Segment(" ")]
    room = width - line_width(left) - line_width(right)
    if room < 8:
        short = [Segment(" "), state_badge(status, theme)]
        return spread(short, right, width)
    source, model = clean(status.source), clean(status.model)
    separator = "  ·  "
    if room < cell_len(source) + len(separator) + cell_len(model):
        model_cells = min(cell_len(model), (room - len(separator)) // 2)
        source = fit(source, max(4, room - len(separator) - model_cells)).rstrip()
        model = fit(model, room - len(separator) - cell_len(source)).rstrip()
    name = [Segment(source, theme.strong), Segment(separator, theme.faint), Segment(model, theme.text)]
    return [*left, *crop(name, room), *right]


def alarm_line(text: str, status: Status, width: int, theme: Theme) -> Line:
    """Stands where the level meter is otherwise: there is no level to show."""
    return [cell(f"  ▲ {text}", width, alarm_style(status, theme))]


def progress_line(status: Status, width: int, theme: Theme) -> Line:
    """How much of a file has been heard."""
    total_s = status.total_s or 0.0
    done = min(1.0, status.heard_s / total_s) if total_s > 0 else 0.0
    percent = cell(f"{100 * done:.0f} %", 6, theme.text, "right")
    return [*progress_bar(done, width - 6, theme), percent]


def event_row(event: EventStatus, width: int, theme: Theme) -> Line:
    """Start, label, duration and confidence; what still goes on is marked."""
    name = theme.live if event.active else theme.text
    calm = theme.live if event.active else theme.faint
    start_cells = min(max(8, cell_len(clean(event.starts_at))), max(5, width // 3))
    line = [cell(event.starts_at, start_cells, theme.faint), cell(" ● " if event.active else "   ", 3, name)]
    label_cells = width - start_cells - 3 - 7 - 5
    if label_cells < 6:
        return [*line, cell(printable(event.label), width - start_cells - 3, name)]
    line.append(cell(printable(event.label), label_cells, name))
    line.append(cell(span(event.duration_s), 7, calm, "right"))
    line.append(cell(share(event.confidence), 5, theme.text, "right"))
    return line


def event_rows(status: Status, width: int, height: int, theme: Theme) -> list[Line]:
    """The latest events, newest first."""
    if not status.events:
        return [[cell("nothing recognised yet", width, theme.faint)]]
    return [event_row(event, width, theme) for event in status.events[:height]]


def footer(status: Status, width: int, theme: Theme) -> Line:
    """Where events go, or why they cannot; and how to stop."""
    events = "1 event" if status.events_total == 1 else f"{status.events_total:,} events".replace(",", " ")
    right = [Segment("Ctrl-C", theme.accent), Segment(" stops ", theme.faint)]
    if not status.live and width >= 60:  # for a live source it stands in the header
        right = [Segment(f"up {clock(status.health.uptime_s)}   ", theme.faint), *right]
    left: Sequence[Segment] = [Segment(" "), Segment(events, theme.text)]
    room = width - line_width(left) - line_width(right) - 2
    if status.log_trouble:
        if room >= 12:
            text = fit(f"  ▲ log: {clean(status.log_trouble)}", room).rstrip()
            left = [*left, Segment(text, theme.bad)]
    elif status.advice:
        if room >= 12:
            left = [*left, Segment(fit(f"  ▲ {clean(status.advice)}", room).rstrip(), theme.warm)]
    elif status.log:
        if room >= 12:
            left = [
                *left,
                Segment(" → ", theme.faint),
                Segment(fit(status.log, room - 3).rstrip(), theme.text),
            ]
    elif room >= 12:
        left = [*left, Segment(" · not logged", theme.faint)]
    return spread(left, right, width)
