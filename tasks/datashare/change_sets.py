"""Datashare's own change sets for batch search results: whether they ran, and what they would do."""

from __future__ import annotations

from typing import Final

from sqlalchemy import text

from tasks.stores.sql_talk import Talk

# By database, since Datashare 20.2.1: Liquibase's id of the change set, and how to see whether it has run any.
OWN: Final = {
    "postgresql": ("70", "SELECT count(to_regclass('databasechangelog'))"),
    "sqlite": ("71", "SELECT count(*) FROM sqlite_master WHERE lower(name) = 'databasechangelog'"),
}
RAN: Final = text("SELECT count(*) FROM databasechangelog WHERE id = :id")


def own_change_set(talk: Talk) -> str:
    """Say whether Datashare's own change set ran in this database, and so whether it will yet."""
    if talk.dialect not in OWN:
        return "Datashare has no change set of its own for batch search results in MySQL."
    own, logged = OWN[talk.dialect]
    if talk.number(text(logged)) and talk.number(RAN.bindparams(id=own)):
        return f"Datashare's own change set {own} has run here already, and will not run again."
    orphans = " and empty the results that have no batch search" if talk.dialect == "sqlite" else ""
    return (
        f"Datashare's own change set {own} has not run here: when Datashare 20.2.1 or later next starts, it will write "
        f"these results once more, from the batch searches' counts{orphans}."
    )
