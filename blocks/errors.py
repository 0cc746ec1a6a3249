"""What goes wrong with credentials, and with any value that is given, before anything is opened."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


class UnusableCredentials(Exception):
    """What was given has the form of these credentials, but cannot be used; the message says why, without secrets."""


def said(wrong: ErrorDetails) -> str:
    """Say in plain words what pydantic finds wrong with a value."""
    plain = {"missing": "missing", "extra_forbidden": "not known"}
    return plain.get(wrong["type"], wrong["msg"].removeprefix("Value error, "))
