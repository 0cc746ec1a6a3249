"""What people do today: run by batch_search_migrate.py, each in an own process, with a URL and a number of rows."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Final

from sqlalchemy import Engine, text
from sqlalchemy.ext.asyncio import create_async_engine

from blocks.database_credentials import DatabaseCredentials

IDS: Final = "SELECT id FROM task WHERE name LIKE '%BatchSearchRunner%' LIMIT {}"
COUNTS: Final = "SELECT batch_results, nb_queries_without_results FROM batch_search WHERE uuid = "
REWRITE: Final = text("UPDATE task SET result = :result WHERE id = :id")
AT_ONCE: Final = text("""UPDATE task SET result = jsonb_set(result::jsonb, '{value}', jsonb_build_object(
    '@type', 'BatchSearchRunnerResult',
    'nbResults', coalesce(batch_results, (result::jsonb ->> 'value')::int),
    'nbQueriesWithoutResults', coalesce(nb_queries_without_results, -1)))::text
  FROM batch_search
  WHERE batch_search.uuid = task.id AND task.name LIKE '%BatchSearchRunner%'
    AND result LIKE '{%' AND result NOT LIKE '%@type%'""")


def result_of(results: int, without: int | None) -> str:
    """Write the new form."""
    counts = {"nbResults": results, "nbQueriesWithoutResults": -1 if without is None else without}
    return json.dumps({"value": {"@type": "BatchSearchRunnerResult", **counts}}, separators=(",", ":"))


async def by_hand(engine: Engine, n: int) -> int:
    """Do as the script does: one transaction, and for each task a SELECT written for it alone, and an UPDATE."""
    at = create_async_engine(engine.url.set(drivername="sqlite+aiosqlite"))
    async with at.begin() as connection:
        found = (await connection.execute(text(IDS.format(n)))).fetchall()
        for (id_,) in found:
            counts = (await connection.execute(text(f"{COUNTS}'{id_}'"))).fetchone()
            assert counts
            await connection.execute(REWRITE, {"result": result_of(*counts), "id": id_})
    return len(found)


async def autocommit(engine: Engine, n: int) -> int:
    """Do the same with each UPDATE a transaction of its own, and by a driver that waits for its answer."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        found = connection.execute(text(IDS.format(n))).all()
        for (id_,) in found:
            counts = connection.execute(text(f"{COUNTS}:id"), {"id": id_}).one()
            connection.execute(REWRITE, {"result": result_of(*counts), "id": id_})
    return len(found)


async def at_once(engine: Engine, _: int) -> int:
    """Rewrite all rows with one UPDATE."""
    with engine.begin() as connection:
        return connection.execute(AT_ONCE).rowcount


if __name__ == "__main__":
    work = {"by-hand": by_hand, "autocommit": autocommit, "at-once": at_once}[sys.argv[1]]
    engine = DatabaseCredentials.from_argument(sys.argv[2]).get_client()
    began = time.perf_counter()
    n = asyncio.run(work(engine, int(sys.argv[3])))
    print(json.dumps({"seconds": time.perf_counter() - began, "n": n}))
