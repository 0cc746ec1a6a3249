"""The variables of a deploy: those of the environment, and below them those of the `.env` that Prefect reads too."""

import os
from collections.abc import Mapping
from pathlib import Path

from dotenv.parser import parse_stream

from deployments.errors import BadEnvFile

FILE = ".env"


def read_environment(root: Path, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the environment's variables, and those that only the `.env` in `root` has.

    A value is taken as it is written: `${…}` in a password is no variable.

    Raises:
        BadEnvFile: the file cannot be read, or a line of it is no NAME=value; the message has its number only.
    """
    path = root / FILE
    if not path.exists():
        return dict(environ)
    try:
        return {**_values(path), **environ}
    except (OSError, UnicodeDecodeError) as error:
        raise BadEnvFile(f"{path} cannot be read: {error}") from error


def _values(path: Path) -> dict[str, str]:
    values = {}
    with path.open(encoding="utf-8") as file:
        for binding in parse_stream(file):
            line = binding.original.line
            if binding.error or (binding.key and binding.value is None) or "\0" in (binding.value or ""):
                # Prefect would pass over it, and the deploy would go on without the variable.
                raise BadEnvFile(f"{path}, line {line}: write it as NAME=value, or NAME='value' with quotes that end")
            if binding.key and binding.value is not None:
                values[binding.key] = binding.value
    return values
