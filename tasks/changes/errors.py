"""A named exception per failure; each message says what, where and what to do next."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tasks.changes.report import Report


class StewardError(Exception):
    """A failure that Steward foresaw: the message is for the operator, no traceback is needed."""

    report: Report | None = None
    """What had been done when it happened, where there was a plan already."""


class BadInput(StewardError):
    """What the caller gave cannot be used (exit status 2)."""


class PlanDamaged(BadInput):
    """A plan file is torn, altered, or of another format."""


class WrongStore(BadInput):
    """A plan was made for another store than the one given."""


class PlanRefused(StewardError):
    """A guard refused; nothing has changed (exit status 3)."""


class SourceUnreadable(PlanRefused):
    """What the verdicts rest on could not be read in full."""


class StoreUnavailable(StewardError):
    """The store did not answer; trying again may help."""


class StoreDenied(StewardError):
    """The store answered no: credentials, rights, or the wrong kind of thing under that name."""


class ApplyStopped(StewardError):
    """The world changed so much while a plan was applied that the rest was left alone."""


class RecordsUnhandled(StewardError):
    """Everything that could be done is done, but some records could not be handled."""
