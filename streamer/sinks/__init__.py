"""Where events go: the CSV log, lines for programs and people, memory."""

from streamer.sinks.csv_log import CsvLog
from streamer.sinks.lines import JsonLines, PlainLines
from streamer.sinks.queued import QueuedSink
from streamer.sinks.sink import MemorySink, Sink

__all__ = ["CsvLog", "JsonLines", "MemorySink", "PlainLines", "QueuedSink", "Sink"]
