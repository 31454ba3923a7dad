"""Files of sound, by their first bytes and by their names."""

from __future__ import annotations

from pathlib import PurePath

SOUND_SUFFIXES = (
    *(".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3"),
    *(".aif", ".aiff", ".aifc", ".au", ".snd", ".caf", ".w64", ".rf64", ".bwf"),
    *(".m4a", ".m4b", ".mp4", ".mov", ".3gp", ".aac", ".wma", ".webm", ".mka", ".mkv", ".amr", ".wv", ".ac3"),
)
"""How files are called that can be heard, in lower or upper case; the first ones are preferred where a
sound is there in several formats. From .m4a on, the program ffmpeg is needed."""

LONGEST_LOOK = 1 << 13
"""So many bytes tell what a file is."""

_BEGINNINGS = (
    (b"RIFF", "WAV"),
    (b"RIFX", "WAV"),
    (b"RF64", "WAV"),
    (b"BW64", "WAV"),
    (b"riff\x2e\x91\xcf\x11", "W64"),
    (b"fLaC", "FLAC"),
    (b"OggS", "Ogg"),
    (b"ID3", "MP3"),
    (b".snd", "AU"),
    (b"caff", "CAF"),
    (b"\x1aE\xdf\xa3", "WebM or Matroska"),
    (b"0&\xb2u\x8ef\xcf\x11", "WMA"),
    (b"#!AMR", "AMR"),
)
"""The first bytes of a file, and what it is then."""

NEEDS_FFMPEG = frozenset({"MP4", "WebM or Matroska", "WMA", "AMR", "AAC"})
"""What libsndfile does not read."""

_TS_PACKET, _TS_PACKETS, _TS_MARK = 188, 8, 0x47

FRAMES_IN_A_ROW = 4
"""So many frames of the right length are no chance; samples look like the beginning of one now and then."""

_MP3_KBPS = {
    3: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    2: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_MP3_HZ = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}


def is_called_sound(path: str | PurePath) -> bool:
    """Whether a visible file is called as a sound file is."""
    path = PurePath(path)
    return path.suffix.lower() in SOUND_SUFFIXES and not path.name.startswith(".")


def container_of(data: bytes) -> str:
    """What kind of file begins with these bytes; empty for none that is known, as for raw samples.

    Args:
        data: the beginning; with less than `LONGEST_LOOK` bytes some kinds are not seen yet.
    """
    for beginning, kind in _BEGINNINGS:
        if data.startswith(beginning):
            return kind
    if data[:4] == b"FORM" and data[8:12] in (b"AIFF", b"AIFC"):
        return "AIFF"
    if data[4:8] == b"ftyp":
        return "MP4"
    packets = data[: _TS_PACKETS * _TS_PACKET]
    # A constant has the mark everywhere.
    if set(packets[::_TS_PACKET]) == {_TS_MARK} and _TS_PACKETS <= packets.count(_TS_MARK) < 10 * _TS_PACKETS:
        return "MPEG-TS"
    for length_of, kind in ((_mp3_frame, "MP3"), (_adts_frame, "AAC")):
        at = 0
        for _ in range(FRAMES_IN_A_ROW):
            length = length_of(data[at : at + 8])
            if not length:
                break
            at += length
        else:
            return kind
    return ""


def _mp3_frame(header: bytes) -> int:
    """Bytes of the frame of MPEG layer III that begins so; 0 for anything else."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE6 != 0xE2:
        return 0
    version, rate, speed = header[1] >> 3 & 3, header[2] >> 4, header[2] >> 2 & 3
    if version == 1 or rate in (0, 15) or speed == 3:
        return 0
    kbps = _MP3_KBPS[3 if version == 3 else 2][rate]
    return (144 if version == 3 else 72) * 1_000 * kbps // _MP3_HZ[version][speed] + (header[2] >> 1 & 1)


def _adts_frame(header: bytes) -> int:
    """Bytes of the frame of AAC that begins so; 0 for anything else."""
    if len(header) < 7 or header[0] != 0xFF or header[1] & 0xF6 != 0xF0 or header[2] >> 2 & 15 > 12:
        return 0
    length = (header[3] & 3) << 11 | header[4] << 3 | header[5] >> 5
    return length if length > 7 else 0
