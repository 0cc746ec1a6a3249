"""batch-search-migrate beside what people do today: python benchmarks/batch_search_migrate.py [ROWS [DATABASE …]].

ROWS are those in PostgreSQL; the other databases get a tenth.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

from measuring import HERE, child, inside, kills, line
from search_rows import Rows
from sqlalchemy import text

from sandbox import Sandbox
from sandbox.prefect_server import prefect_server

ONE_BY_ONE = 10_000
"""So many rows tell how many a second are rewritten one by one, each a transaction."""


class Bench:
    """The loaded tables, and what is run on them."""

    def __init__(self, rows: Rows, api: str, work: Path) -> None:
        self.rows = rows
        self.env = {"STEWARD_PLANS": str(work / "plans"), "PREFECT_API_URL": api}
        self.job = inside("batch-search-migrate", {"database": rows.url})

    def ours(self) -> dict[str, Any]:
        """Run the job."""
        return child(*self.job, **self.env)

    def other(self, name: str, n: int) -> dict[str, Any]:
        """Run a baseline."""
        return child(sys.executable, str(HERE / "search_baseline.py"), name, self.rows.url, str(n))


def times(bench: Bench, baseline: str, n: int, columns: str = "*") -> tuple[dict[str, Any], float]:
    """Measure a baseline on `n` rows, and the job on all; give the job's figures, and the baseline's rows a second."""
    other = bench.other(baseline, n)
    wanted = bench.rows.digest(columns)
    bench.rows.fresh()
    ours = bench.ours()
    if n == ours["n"]:
        assert bench.rows.digest(columns) == wanted, "the two ended differently"
    speed = other["n"] / other["seconds"]
    line(f"baseline, {baseline}", f"{speed:,.0f} rows/s, {other['peak']:.0f} MB", f"{other['n']:,} rows")
    line("plan + apply", f"{ours['plan']:.1f} + {ours['apply']:.1f} s, {ours['peak']:.0f} MB", "peak < 200 MB")
    return ours, speed


def whole(ours: dict[str, Any], speed: float) -> float:
    """Give how many times as fast as the baseline the job plans and applies."""
    return float(ours["n"] / (ours["plan"] + ours["apply"]) / speed)


def sqlite(bench: Bench, n: int) -> None:
    """Measure against the script."""
    bench.rows.load(n)
    line("  plan + apply against it", f"{whole(*times(bench, 'by-hand', n)):.1f} times", ">= 30")


def mariadb(bench: Bench, n: int) -> None:
    """Measure against one UPDATE after the other."""
    bench.rows.load(n)
    fast = whole(*times(bench, "autocommit", min(n, ONE_BY_ONE)))
    line("  plan + apply against it", f"{fast:.1f} times", ">= 10")


def postgres(bench: Bench, n: int) -> None:
    """Measure against one UPDATE of all rows, and the memory against that for a tenth of the rows."""
    bench.rows.load(n // 10)
    less = bench.ours()["peak"]
    bench.rows.load(n)
    ours, speed = times(bench, "at-once", n, "id, CAST(result AS jsonb)")
    line("  apply against it", f"{n / ours['apply'] / speed:.2f}", ">= 0.6")
    line("  plan + apply against it", f"{whole(ours, speed):.2f}", ">= 0.35")
    line("peak memory: more than with a tenth of the rows", f"{ours['peak'] - less:.0f} MB", "<= 25 MB")


@contextmanager
def rewriting(rows: Rows) -> Iterator[list[float]]:
    """Rewrite rows at random meanwhile, each in a transaction; the list is how many seconds each took."""
    ids, waits, over = [row[0] for row in rows.all("id")], [], Event()
    touch = text("UPDATE task SET retries_left = retries_left - 1 WHERE id = :id")

    def rewrite() -> None:
        with rows.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            while not over.wait(0.002):
                began = time.perf_counter()
                connection.execute(touch, {"id": random.choice(ids)})
                waits.append(time.perf_counter() - began)

    thread = Thread(target=rewrite)
    thread.start()
    yield waits
    over.set()
    thread.join()


def locks(bench: Bench) -> None:
    """Measure how long another writer waits while the job runs."""
    bench.rows.fresh()
    with rewriting(bench.rows) as waits:
        n = bench.ours()["n"]
    line("longest UPDATE of another meanwhile", f"{max(waits) * 1000:.0f} ms", "< 1000 ms")
    line("  of so many; rows that the job rewrote", f"{len(waits):,}; {n:,}")


def url_of(sandbox: Sandbox, name: str, work: Path) -> str:
    """Make a database and give its URL."""
    if name == "sqlite":
        (work / "datashare.db").touch()
        return f"sqlite:{work / 'datashare.db'}"
    url = sandbox.url(name)
    Rows(url).run("CREATE DATABASE datashare")
    return f"{url.rpartition('/')[0]}/datashare"


def main() -> None:
    """Print every figure."""
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    measures = {"sqlite": sqlite, "postgres": postgres, "mariadb": mariadb}
    with Sandbox() as sandbox, tempfile.TemporaryDirectory() as work, prefect_server(Path(work) / "server") as prefect:
        for name in sys.argv[2:] or measures:
            size = n if name == "postgres" else n // 10
            print(f"\n{size:,} batch searches in {name}, all to change")
            bench = Bench(Rows(url_of(sandbox, name, Path(work))), prefect.api_url, Path(work))
            measures[name](bench, size)
            bench.rows.load(n // 20)
            locks(bench)
            kills(bench.job, bench.env, bench.rows.fresh, bench.rows.digest)


if __name__ == "__main__":
    main()
