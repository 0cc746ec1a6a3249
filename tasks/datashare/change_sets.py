"""Datashare's own change sets for batch search results: whether they ran, and what they would do."""

from __future__ import annotations

from typing import Final

from sqlalchemy import bindparam, text

from tasks.stores.sql_talk import Talk

# Datashare's change sets are known by id *and* file: other files of its changelog have the same ids.
FILE: Final = "%042-task-result-batch-search-migration.yml"
# By database: its ids since Datashare 21.0.1, and from 20.2.1 to 21.0.0. Where 21.0.1 and later start on a database
# that an older one has migrated, they write the new id into its log first.
OWN: Final = {"postgresql": ("70", "42"), "sqlite": ("71", "43")}
LOGS: Final = {
    "postgresql": "SELECT count(to_regclass('databasechangelog'))",
    "sqlite": "SELECT count(*) FROM sqlite_master WHERE lower(name) = 'databasechangelog'",
}
RAN: Final = text("SELECT id FROM databasechangelog WHERE filename LIKE :file AND id IN :ids").bindparams(
    bindparam("ids", expanding=True), file=FILE
)


def own_change_set(talk: Talk) -> str:
    """Return whether Datashare's own change set ran in this database, and so whether it will yet, as a sentence."""
    if talk.dialect not in OWN:
        return "Datashare has no change set of its own for batch search results in MySQL."
    newest = OWN[talk.dialect][0]
    if ran := _ran(talk):
        return f"Datashare's own change set {ran} has run here already, and will not run again."
    orphans = " and empty the results that have no batch search" if talk.dialect == "sqlite" else ""
    return (
        f"Datashare's own change set {newest} has not run here: when Datashare 20.2.1 or later next starts, it will "
        f"write these results once more, from the batch searches' counts{orphans}."
    )


def _ran(talk: Talk) -> str | None:
    """Return the id under which the change set is logged, None where it is not."""
    if not talk.number(text(LOGS[talk.dialect])):
        return None
    found = talk.read(RAN.bindparams(ids=OWN[talk.dialect]))
    return str(found[0][0]) if found else None
