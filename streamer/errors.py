"""Everything that can go wrong in a way a person can act on.

    EscListenError
    ├── SourceError      a microphone, file or pipe cannot be heard
    │   └── HopelessError    and never will be in this process: do not try again
    ├── ModelError       a model cannot be used
    ├── SettingsError    an option or a line of the configuration makes no sense
    ├── SinkError        events cannot be written where they were asked to go
    └── OutputError      standard output takes nothing (in streamer/output.py)

Each message is one line that says what is wrong and what to do next.
"""

from __future__ import annotations


class EscListenError(Exception):
    """Base of all errors that are reported to the user as one clear line."""


class SourceError(EscListenError):
    """A microphone, file or pipe cannot be heard."""


class HopelessError(SourceError):
    """A source cannot be heard, and trying again in this process does not help."""


class ModelError(EscListenError):
    """A model file cannot be used."""


class SettingsError(EscListenError):
    """An option or a line of the configuration makes no sense."""


class SinkError(EscListenError):
    """Events cannot be written where they were asked to go."""
