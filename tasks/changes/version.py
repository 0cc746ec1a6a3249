"""Which Steward this is."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Final

PROJECT: Final = Path(__file__).parents[2] / "pyproject.toml"
"""Only a checkout has it here; what was installed from it may be of an older version."""


@cache
def own_version() -> str:
    """Return Steward's version: that of the checkout this is in, else as it was installed."""
    if PROJECT.exists():
        project = tomllib.loads(PROJECT.read_text()).get("project", {})
        if project.get("name") == "steward":
            return str(project["version"])
    return version("steward")
