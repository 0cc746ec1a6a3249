"""The family of errors: each message says what, where and what to do next.

    StewardError                 1  a failure whose message is for the operator
    ├── BadInput                 2  what the caller gave cannot be used
    │   ├── PlanDamaged             a plan file is torn, altered, of another format, or not the one that was meant
    │   └── WrongStore              a plan was made for another store than the one given
    ├── PlanRefused              3  a guard refused before the first change
    │   ├── SourceUnreadable        what the verdicts rest on could not be read in full
    │   └── OtherStore              at the plan's address is another store, or not what it held
    ├── StoreError               1  a store could not go on; it carries the outcomes that are known
    │   ├── StoreUnavailable        it did not answer; trying again may help
    │   ├── ScanBroken              what a scan has read means nothing any more: it has to begin again
    │   ├── StoreDenied             it answered no: credentials, rights, or the wrong kind of thing under that name
    │   ├── StoreFailed             its client library raised what nobody foresaw
    │   └── LookExpired             what was seen of the rest of a batch is too old to act on
    ├── ApplyStopped             1  the rest of a plan was left alone after its first change was sent
    └── RecordsUnhandled         1  everything that could be done is done, but some records could not be handled

The number is the exit status of a command that ends with it. No message says what has been changed so far: only
`tasks/changes/apply.py` knows, and it adds that (`StewardError.so_far`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, ClassVar

from tasks.changes.texts import printable, without_passwords

if TYPE_CHECKING:
    from tasks.changes.protocols import Key, Outcome, Problem
    from tasks.changes.report import Report


class StewardError(Exception):
    """A failure that Steward foresaw: the message is for the operator, no traceback is needed."""

    exit_status: ClassVar[int] = 1
    report: Report | None = None
    """What had been done when it happened, where there was a plan already."""
    so_far: str = ""
    """What had been changed when it happened, in a sentence."""

    def __str__(self) -> str:
        """Return the message, and what had been changed; nothing in it acts on a terminal, and no URL has a password.

        Prefect makes a run's state, its log and its alerts of this text, and it may have others' words in it.
        """
        return printable(without_passwords(f"{super().__str__()} {self.so_far}".rstrip()))


class BadInput(StewardError):
    """What the caller gave cannot be used."""

    exit_status = 2


class PlanDamaged(BadInput):
    """A plan file is torn, altered, of another format, or not the one that was meant."""


class WrongStore(BadInput):
    """A plan was made for another store than the one given."""


class PlanRefused(StewardError):
    """A guard refused; nothing has changed."""

    exit_status = 3


class SourceUnreadable(PlanRefused):
    """What the verdicts rest on could not be read in full."""


class OtherStore(PlanRefused):
    """At the plan's address is another store than the one it was made for, or it holds not what it should."""


class StoreError(StewardError):
    """A store could not go on.

    Raised while changes are made, it carries the outcomes of those actions that it knows of, by key; the others were
    either done or not.
    """

    outcomes: Mapping[Key, Outcome | Problem] = {}
    untouched: Collection[Key] = ()
    """The actions, by key, that are known not to have been carried out; trying them again is safe."""


class StoreUnavailable(StoreError):
    """The store did not answer; trying again may help."""


class ScanBroken(StoreError):
    """What a scan has read means nothing any more, as its place in the store was lost: it has to begin again."""


class StoreDenied(StoreError):
    """The store answered no: credentials, rights, or the wrong kind of thing under that name."""


class StoreFailed(StoreError):
    """The store's client library raised what nobody foresaw; the message has its words, the log its traceback."""


class LookExpired(StoreError):
    """What was seen of the rest of a batch is too old to act on: it was left alone, and is to be looked at again."""


class ApplyStopped(StewardError):
    """The rest of a plan was left alone after its first change was sent."""


class RecordsUnhandled(StewardError):
    """Everything that could be done is done, but some records could not be handled."""
