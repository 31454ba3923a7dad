"""Networks by name, as recipes ask for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trainer.networks.residual import residual

NETWORKS: dict[str, Callable[..., Any]] = {"residual": residual}

__all__ = ["NETWORKS"]
