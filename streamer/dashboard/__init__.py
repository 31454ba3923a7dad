"""The live terminal dashboard: a `Status` in, a picture out."""

from streamer.dashboard.picture import render, save_svg
from streamer.dashboard.screen import Dashboard, can_draw

__all__ = ["Dashboard", "can_draw", "render", "save_svg"]
