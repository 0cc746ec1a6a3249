"""Datashare's tables of tasks and batch searches as its Liquibase makes them, and a SQLite file that has them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final
from uuid import NAMESPACE_URL, uuid5

RUNNER: Final = "org.icij.datashare.tasks.BatchSearchRunner"
TABLES: Final = """
CREATE TABLE task (id varchar(96) PRIMARY KEY NOT NULL, name varchar(128) NOT NULL, state varchar(16) NOT NULL,
  user_id varchar(96), group_id varchar(128), progress float DEFAULT 0, created_at {time} NOT NULL, completed_at {time},
  retries_left int, max_retries int, args text, result text, error text);
CREATE TABLE batch_search (uuid char(36) PRIMARY KEY NOT NULL, name varchar(255), user_id varchar(96) NOT NULL,
  batch_date {time} NOT NULL, state varchar(8) NOT NULL, batch_results int DEFAULT 0, nb_queries int DEFAULT 0,
  nb_queries_without_results int)
"""
"""`time`: the type of a time, `timestamp` on PostgreSQL and `datetime` elsewhere."""
RESULTS: Final = (
    '{"value":5}',
    '{"value":["Long",5]}',
    '{"value":{"@type":"BatchSearchRunnerResult","nbResults":5,"nbQueriesWithoutResults":1}}',
    None,
)
"""A count as it was until 20.2.0, the same as a typed mapper wrote it, today's form, and a search that is not done."""


def create(file: Path, copies: int = 300) -> int:
    """Make the SQLite file, with `copies` of each kind of result, every hundredth without its batch search.

    Returns the number of tasks.
    """
    results = RESULTS * copies
    tasks = [(str(uuid5(NAMESPACE_URL, f"{i}")), RUNNER, result) for i, result in enumerate(results)]
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(TABLES.format(time="datetime"))
        connection.executemany(
            "INSERT INTO task (id, name, result, state, user_id, created_at, args)"
            " VALUES (?1, ?2, ?3, iif(?3 IS NULL, 'RUNNING', 'DONE'), 'fbar', '2024-11-07 14:53:47', '{}')",
            tasks,
        )
        connection.executemany(
            "INSERT INTO batch_search VALUES (?, 'some names', 'fbar', '2024-11-07 14:53:47', 'SUCCESS', ?, 3, 1)",
            [(task, i % 50) for i, (task, *_) in enumerate(tasks) if i % 100],
        )
        connection.commit()
    return len(tasks)
