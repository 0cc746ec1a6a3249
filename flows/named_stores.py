"""What names a store on the command line without its password: `env:NAME` and `block:TYPE/NAME`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Final

from prefect.blocks.core import Block

from flows.prefect_api import api_url, knock, meaning
from tasks.changes.errors import BadInput

VARIABLE: Final = "env:"
BLOCK: Final = "block:"
FORMS: Final = "block:TYPE/NAME, or env:NAME, a variable that holds any of these"


def typed_or_held(text: str) -> str:
    """Return what was typed, or where that is `env:NAME`, what the variable holds.

    Raises BadInput, which names the variable and not what it holds.
    """
    if not text.startswith(VARIABLE):
        return text
    name = text.removeprefix(VARIABLE)
    if not name:
        message = f"{VARIABLE} names no variable; it is {VARIABLE}NAME."
        raise BadInput(message)
    value = os.environ.get(name, "").strip()
    if not value:
        message = f"the variable {name} is not set." if name not in os.environ else f"the variable {name} is empty."
        raise BadInput(message)
    if value.startswith(VARIABLE):
        message = f"the variable {name} holds the name of another one; it must hold a URL or block:TYPE/NAME."
        raise BadInput(message)
    return value


def load_block(reference: str, types: Sequence[type[Block]]) -> Block:
    """Load a block of one of these types from the Prefect server that is set.

    Raises BadInput where there is none, or no server that keeps blocks; ServerFailed where that does not answer.
    """
    slug, _, name = reference.removeprefix(BLOCK).partition("/")
    known = {one.get_block_type_slug(): one for one in types}
    if not name or slug not in known:
        takes = " or ".join(f"{BLOCK}{one}/NAME" for one in known)
        message = f"{reference} is not of the form {takes}."
        raise BadInput(message)
    if not api_url():
        message = f"{reference} is kept on a Prefect server: set PREFECT_API_URL."
        raise BadInput(message)
    knock()
    try:
        loaded: Any = known[slug].load(name)
    except ValueError as error:
        message = f"There is no block {slug}/{name} that can be read on {api_url()}."
        raise BadInput(message) from error
    except Exception as error:
        raise meaning(error) or error from error
    return loaded  # type: ignore[no-any-return]  # Prefect's stub says it may be a coroutine
