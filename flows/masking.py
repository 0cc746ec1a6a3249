"""A store's address without its secrets, so that a command can be shown that names it."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote

from tasks.changes.texts import MASK

SECRET: Final = re.compile(r"pass|pwd|secret|token|credential", re.IGNORECASE)


def without_secrets(address: str) -> str:
    """Return what was typed for a store, with PASSWORD in the place of every secret; a path stays as it is."""
    rest, mark, query = address.partition("?")
    rest = re.sub(r"(?<=//)[^/?#]*(?=@)", lambda found: _login(found[0]), rest)
    return rest + mark + "&".join(map(_option, query.split("&")))


def _login(login: str) -> str:
    user, colon, _ = login.partition(":")
    return f"{user}{colon}{MASK}" if colon else user


def _option(option: str) -> str:
    name, equals, _ = option.partition("=")
    return f"{name}={MASK}" if equals and SECRET.search(unquote(name)) else option
