"""Datashare's tables in any database, filled with batch searches that ended before 20.2.1."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import text

from blocks.database_credentials import DatabaseCredentials
from sandbox.samples.searches import RUNNER, TABLES

BATCH = 5000
SAMPLE = Path(__file__).parent.parent / "sandbox" / "samples" / "datashare" / "g3-20.3.0.jsonl"
"""Column `args` has always been written by the typed mapper, as these records are."""

INDEXES = [f"CREATE INDEX task_{one} ON task ({one})" for one in ("name", "created_at", "state", "user_id", "group_id")]
"""Liquibase's, of which each makes a rewritten row dearer."""
INTO_TASK = (
    f"INSERT INTO task VALUES (:id, '{RUNNER}', 'DONE', 'fbar', 'Java', 1, :at, :at, 3, 3, :args, :result, 'null')"
)
INTO_SEARCH = "INSERT INTO batch_search VALUES (:id, 'my batch', 'fbar', :at, 'SUCCESS', :results, 3, :without)"
SETTLED = {"postgresql": ["VACUUM ANALYZE task", "CHECKPOINT"], "mysql": ["ANALYZE TABLE task"], "sqlite": ["ANALYZE"]}


def rows(n: int) -> Iterator[dict[str, Any]]:
    """Make batch searches in the order of their creation; ids are random, as Datashare's are."""
    args = json.loads(SAMPLE.read_text().splitlines()[1])["task"]["args"]
    before, _, after = json.dumps(args, separators=(",", ":")).partition(args["batchRecord"]["uuid"])
    began = datetime(2024, 11, 7, tzinfo=UTC).replace(tzinfo=None)
    for i in range(n):
        id_ = str(UUID(bytes=hashlib.md5(b"%d" % i).digest(), version=4))
        at = str(began + timedelta(seconds=i))
        counts = {"results": i % 1000, "without": i % 4 if i % 5 else None}
        yield {"id": id_, "at": at, "args": before + id_ + after, "result": f'{{"value":{i % 1000}}}', **counts}


class Rows:
    """The tables in one database; `url` as the job takes it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine = DatabaseCredentials.from_argument(url).get_client()
        self.dialect = self.engine.dialect.name
        self.tables = TABLES.format(time="timestamp" if self.dialect == "postgresql" else "datetime").split(";")

    def run(self, *statements: str) -> None:
        """Run statements, each on its own."""
        with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            for statement in statements:
                connection.execute(text(statement))

    def load(self, n: int) -> None:
        """Make the tables, and keep the tasks to copy them from."""
        self.run(*[f"DROP TABLE IF EXISTS {one}" for one in ("loaded", "batch_search", "task")], *self.tables)
        made = rows(n)
        while some := list(islice(made, BATCH)):
            with self.engine.begin() as connection:
                connection.execute(text(INTO_TASK), some)
                connection.execute(text(INTO_SEARCH), some)
        self.run("CREATE TABLE loaded AS SELECT * FROM task")
        self.run(*[one.replace("task", "batch_search") for one in SETTLED[self.dialect]])
        self.fresh()

    def fresh(self) -> None:
        """Put the loaded tasks in the place of those that stand there, with nothing left to do for the server."""
        self.run("DROP TABLE IF EXISTS task", self.tables[0], "INSERT INTO task SELECT * FROM loaded")
        self.run(*INDEXES, *SETTLED[self.dialect])

    def all(self, columns: str = "*") -> Iterator[Sequence[Any]]:
        """Read the tasks in the order of their ids."""
        with self.engine.connect().execution_options(yield_per=BATCH) as connection:
            yield from connection.execute(text(f"SELECT {columns} FROM task ORDER BY id"))

    def digest(self, columns: str = "*") -> str:
        """Give what stands in the tasks, as one number."""
        whole = hashlib.sha256()
        for row in self.all(columns):
            whole.update(repr(tuple(row)).encode())
        return whole.hexdigest()
