"""What a database's errors mean for the operator: known by SQLSTATE, MySQL's error number, or SQLite's error name."""

from __future__ import annotations

import re
import sqlite3
from typing import Final

from sqlalchemy.exc import OperationalError, SQLAlchemyError

from blocks.database_engine import NoGreeting
from tasks.changes.errors import BadInput, StewardError, StoreDenied, StoreUnavailable

# A lock that others hold.
LOCKED: Final = re.compile(r"55P03|1205|3572")
# MySQL's servers send no number so high: a trigger chose it (SIGNAL … SET MYSQL_ERRNO).
SIGNALLED: Final = 10_000
USERS_OWN: Final = "45000"
# Classes of SQLSTATE that PostgreSQL knows: any other is raised by a function of the owner's own, for a row.
KNOWN: Final = "0[0-3]|0[89A]|0B|0[FLPZ]|2[0-8]|2[BDF]|34|3[89]|3[BDF]|40|42|44|5[3-578]|72|F0|HV|P0|XX"
# A row, or a part of it, that the database or a trigger of its owner refuses.
OF_ROWS: Final = re.compile(
    r"(09|20|21|22|23|27|2F|38|39|44|54|P0|XX)..."  # data, constraints, triggers, limits, damage
    rf"|(?!{KNOWN})[0-9A-Z]{{5}}"
    r"|1030|1048|1062|1118|1138|1153|1216|1217|1226|1242|1264|1265|1301|1364|1365|1366|1367|1406|1416|1422|1423"
    r"|1442|1451|1452|1526|1557|1610|1643|1644|1690|1748|1761|1762|1859|3140|3141|3156|3813|3819|3903|4025"
    r"|SQLITE_(CONSTRAINT|TOOBIG|MISMATCH).*"
)
TRANSIENT: Final = re.compile(
    r"08...|40...|53[23]..|57...|25P03|55P03"  # connection lost, deadlock, too many clients, shutdown, lock timeout
    r"|0|1040|1053|1158|1159|1160|1161|1205|1213|1927|2003|2006|2013|3572|4031"
    r"|SQLITE_(BUSY|LOCKED|PROTOCOL|IOERR).*"
)
NO_DATABASE: Final = re.compile(r"SQLITE_(CANTOPEN.*|NOTADB)")
RIGHTS: Final = re.compile(r"28...|42501|1044|1045|1142|1143|1227|1370|1698|3159|SQLITE_(AUTH|PERM)")
ADVICE: Final = {
    RIGHTS: "Correct the user, password or rights in the URL, block or file.",
    re.compile(r"3D...|3F...|42P01|42703|1049|1054|1146"): "Is it the right database, and of a version this job knows?",
    re.compile(r"SQLITE_ERROR"): "Is it the right database, and of a version this job knows?",
    re.compile(r"25006|1290|1792|1836|SQLITE_READONLY.*"): "It can be read and planned for, not changed.",
    re.compile(r"53100|1021|1114|SQLITE_FULL"): "Make room, and run the command again.",
}
# libpq tells no SQLSTATE where connecting fails.
NO_ENTRY: Final = re.compile(r"authentication|password|pg_hba|role|does not exist|permission|SSL", re.IGNORECASE)
NO_PASSWORD: Final = re.compile(r"no password supplied|using password: NO")
UNTRUSTED: Final = re.compile(r"certificate.verify.failed|self.signed certificate", re.IGNORECASE)
CERTIFICATE: Final = (
    "Give the file of its CA's certificate in the URL: sslrootcert=FILE (PostgreSQL), ssl_ca=FILE (MySQL)."
)

ON_OBJECT: Final = re.compile(r"permission denied for (schema|table|view|relation|sequence|column) (\S+)")
ON_TABLE: Final = re.compile(r"(\w+(?:, \w+)*) command denied to user (\S+) for (?:table|column) (\S+)")


class Locked(StoreUnavailable):
    """A lock was waited for in vain; other rows may be free."""


class RowRefused(StoreDenied):
    """The database refuses a row as it shall be; others may pass. `reason` is in its words."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


def meaning(location: str, error: Exception, right: str = "SELECT") -> StewardError | None:
    """Return our error for one of SQLAlchemy or a driver, None for any other.

    `right` names the privileges that what was tried needs.
    """
    if not isinstance(error, SQLAlchemyError | OSError | UnicodeError):
        return None
    if isinstance(error, NoGreeting):
        return StoreDenied(f"{location}: what answers there is no MySQL or MariaDB: {error}. Correct the address.")
    cause = getattr(error, "orig", None) or error
    code, said = code_of(cause), said_by(cause)
    if NO_DATABASE.fullmatch(code):
        return BadInput(f"{location}: {said}. Is the path right, and may this user open it? Nothing was created.")
    if NO_PASSWORD.search(said):
        return BadInput(f"{location} asks for a password: {said}. Give one in the URL, block or file.")
    if UNTRUSTED.search(said):
        return StoreDenied(f"{location} is not trusted: {said}. {CERTIFICATE}")
    if LOCKED.fullmatch(code):
        return Locked(f"{location} is locked by another transaction: {said}. Run the command again.")
    if TRANSIENT.fullmatch(code) or (not code and _is_lost(error, cause, said)):
        return StoreUnavailable(f"{location} does not answer: {said}. Run the command again.")
    if OF_ROWS.fullmatch(code):
        return RowRefused(f"{location} refuses: {said}.", f"the database refuses it: {said}")
    return StoreDenied(f"{location} refuses: {said}. {_advice(code, said, right)}".rstrip())


def _is_lost(error: Exception, cause: BaseException, said: str) -> bool:
    of_server = isinstance(error, OSError | OperationalError) and not isinstance(cause, sqlite3.Error)
    return of_server and not NO_ENTRY.search(said)


def _advice(code: str, said: str, right: str) -> str:
    advice = next((text for codes, text in ADVICE.items() if codes.fullmatch(code)), "")
    lacks = _lacking(said, right) if RIGHTS.fullmatch(code) else ""
    return f"The right that lacks: {lacks}. {advice}" if lacks else advice


def _lacking(said: str, right: str) -> str:
    """Return the statement that would give the right, as far as the database's words name it."""
    if found := ON_OBJECT.search(said):
        kind, name = found.groups()
        return f"GRANT USAGE ON SCHEMA {name} TO …" if kind == "schema" else f"GRANT {right} ON {name} TO …"
    if found := ON_TABLE.search(said):
        return f"GRANT {found[1]} ON {found[3]} TO {found[2]}"
    return ""


def code_of(cause: BaseException) -> str:
    """Return a driver's error's code, empty where it has none."""
    if cause.args and isinstance(cause.args[0], int):  # PyMySQL
        return str(cause.args[0]) if cause.args[0] < SIGNALLED else USERS_OWN
    return getattr(cause, "sqlstate", None) or getattr(cause, "sqlite_errorname", None) or ""


def said_by(cause: BaseException) -> str:
    """Return a driver's own words, without what they quote of records."""
    words = cause.args[1] if len(cause.args) > 1 else str(cause)
    primary = getattr(getattr(cause, "diag", None), "message_primary", None)
    return re.split(r"\n| with text ", str(primary or words))[0].rstrip(".")
