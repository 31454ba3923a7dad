"""Sound files to samples: libsndfile for what it reads exactly, the program ffmpeg for the rest.

Layout: `choose` looks at a file and says which parts it has and who reads them; `wav`, `ogg`, `flac` and
`mp3` know where a file says something else than what it holds; `sndfile` and `ffmpeg` decode.
"""

from streamer.decoding.choose import Recording, open_recording
from streamer.decoding.decoder import DecodeError, Decoder

__all__ = ["DecodeError", "Decoder", "Recording", "open_recording"]
