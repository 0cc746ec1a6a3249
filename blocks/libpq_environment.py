"""What libpq takes from the environment beside what it is given: it must not lead elsewhere than messages say."""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import Final

from blocks.errors import UnusableCredentials

LEADS_ELSEWHERE: Final = {
    "PGSERVICE": ("", "take from a file what is not given: unset it, and name the server and its options"),
    "PGHOSTADDR": ("", "lead to another server than the host that is named: unset it, or name this one as the host"),
    "PGDATABASE": ("dbname", "choose the database, as none is named: unset it, or name the database"),
    "PGOPTIONS": (
        "options",
        "set options of the session, such as the schemas that tables are looked for in: unset it, or say it in the URL "
        "(options=…)",
    ),
}
"""Variables, the parameter that rules each of them out, and what it would do.

Others, as of users, passwords and TLS, only say how to get in.
"""


def check_environment(given: Collection[str]) -> None:
    """Raise UnusableCredentials where a variable leads elsewhere, `given` being the parameters of a connection."""
    for name, (parameter, does) in LEADS_ELSEWHERE.items():
        if os.environ.get(name) and parameter not in given:
            message = f"{name} is set in the environment, and would {does}."
            raise UnusableCredentials(message)
