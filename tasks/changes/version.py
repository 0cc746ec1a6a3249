"""Which Steward this is."""

from __future__ import annotations

from functools import cache
from importlib.metadata import version


@cache
def own_version() -> str:
    """Return Steward's version, as it was installed."""
    return version("steward")
