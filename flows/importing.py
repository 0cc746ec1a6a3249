"""Importing much at once, as every command and every Prefect server does."""

from __future__ import annotations

import gc
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from tempfile import TemporaryFile
from typing import Final

STDERR: Final = 2


@contextmanager
def quiet_failure() -> Iterator[None]:
    """Show what is written to stderr meanwhile only where nothing fails: Prefect's import prints before it raises."""
    try:
        stderr = os.dup(STDERR)
    except OSError:  # it is closed
        yield
        return
    with TemporaryFile() as held:
        os.dup2(held.fileno(), STDERR)
        try:
            yield
        finally:
            os.dup2(stderr, STDERR)
            os.close(stderr)
        held.seek(0)
        with suppress(OSError):
            os.write(STDERR, held.read())


@contextmanager
def imports_kept() -> Iterator[None]:
    """Import without looking for garbage, neither meanwhile nor later in what was imported: it takes a fifth less."""
    gc.disable()
    # Where it matters, as for a private server, that is said in words of ours.
    warnings.filterwarnings("ignore", message="Failed to create the Prefect home")
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
