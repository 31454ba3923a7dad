"""Samples to frames to windows: log-mel, MFCC and deltas, incremental and exact."""

from streamer.frontend.features import FeatureStream, decibels_of, log_mel, mfcc
from streamer.frontend.mel import MelStream, mel_filterbank
from streamer.frontend.spec import Feature, FrontEndSpec
from streamer.frontend.stream import FrontEnd, features_of

__all__ = [
    "Feature",
    "FeatureStream",
    "FrontEnd",
    "FrontEndSpec",
    "MelStream",
    "decibels_of",
    "features_of",
    "log_mel",
    "mel_filterbank",
    "mfcc",
]
