"""esc-listen: hear, show and log environmental sounds.

from streamer import listen

for event in listen("kitchen.wav"):
    print(event.label, event.start_s, event.duration_s)
"""

from streamer.errors import EscListenError, ModelError, SettingsError, SinkError, SourceError
from streamer.listen import Listener, listen
from streamer.model import Model, load_model
from streamer.settings import EventSettings, SourceSettings
from streamer.sources import Source, open_source
from streamer.types import Block, Event

__version__ = "0.1.0"

__all__ = [
    "Block",
    "EscListenError",
    "Event",
    "EventSettings",
    "Listener",
    "Model",
    "ModelError",
    "SettingsError",
    "SinkError",
    "Source",
    "SourceError",
    "SourceSettings",
    "listen",
    "load_model",
    "open_source",
]
