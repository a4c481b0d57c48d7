"""A program (see ``process.py``) that reads and writes a SQLite database, on a copy of a prepared file.

The arguments are the core to run on and a folder; the program removes its files there when it ends. An order has the
settings, ``rows``, ``reads`` (share of the events), ``seed``, ``settle_s`` and ``window_s``. The answer has the
``latencies_ns`` of the events, the ``cpu_share`` of the core, and under ``read`` the settings as they read back.
"""

import contextlib
import os
import random
import shutil
import sqlite3
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from spec_envs.tuning.programs.wire import Orders, run, say, serve, window_ns

_PAYLOAD = 200  # most of the bytes of a row
_MB = 1 << 20


class Bench:
    """The files: a prepared database for each page size, and the copy that is measured."""

    def __init__(self, folder: Path, orders: Orders) -> None:
        self._folder = folder
        self._orders = orders

    def measure(self, order: dict[str, Any]) -> dict[str, Any]:
        """Measure a window on a fresh copy."""
        copy = self._folder / "work.db"
        for suffix in ("", "-wal", "-shm", "-journal"):
            Path(f"{copy}{suffix}").unlink(missing_ok=True)
        try:
            shutil.copyfile(self._prepared(order["page_size"], order["rows"]), copy)
            with contextlib.closing(sqlite3.connect(copy, isolation_level=None)) as database:
                read = configure(database, order)
                return self._window(database, order) | {"read": read}
        except sqlite3.Error as error:
            return {"error": str(error)}

    def _prepared(self, page_size: str, rows: int) -> Path:
        path = self._folder / f"{page_size}-{rows}.db"
        if not path.exists():
            draw = random.Random(rows)
            made = path.with_suffix(".new")
            made.unlink(missing_ok=True)
            with contextlib.closing(sqlite3.connect(made)) as database:
                database.execute(f"PRAGMA page_size = {int(page_size)}")
                database.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, owner INTEGER, body BLOB)")
                database.execute("CREATE INDEX item_owner ON item (owner)")
                content = ((number, draw.randrange(rows // 10 + 1), draw.randbytes(_PAYLOAD)) for number in range(rows))
                database.executemany("INSERT INTO item VALUES (?, ?, ?)", content)
                database.commit()
            made.replace(path)
        return path

    def _window(self, database: sqlite3.Connection, order: dict[str, Any]) -> dict[str, Any]:
        """Make events one after the other. A write is done when its batch is on the disk."""
        draw = random.Random(order["seed"])
        rows = order["rows"]
        latencies: list[int] = []
        waiting: list[int] = []
        begin = now = time.monotonic_ns()
        used = time.process_time_ns()
        count_from, count_until = window_ns(order, begin)
        while (now < count_until and not self._orders.wait(0)) or waiting:
            started = now
            if now < count_until and draw.random() < order["reads"]:
                database.execute(
                    "SELECT count(body) FROM item WHERE owner = ?", (draw.randrange(rows // 10 + 1),)
                ).fetchone()
                done = [started]
            else:
                done = self._write(database, draw, rows, waiting, order["batch_size"], started)
            now = time.monotonic_ns()
            latencies += [now - at for at in done if count_from <= at < count_until]
        return {"latencies_ns": latencies, "cpu_share": (time.process_time_ns() - used) / max(now - begin, 1)}

    def _write(
        self, database: sqlite3.Connection, draw: random.Random, rows: int, waiting: list[int], batch: int, started: int
    ) -> list[int]:
        """Write a row. If that completes a batch, commit it, and return the times at which its writes began."""
        if not waiting:
            database.execute("BEGIN IMMEDIATE")
        change = (draw.randrange(rows // 10 + 1), draw.randbytes(_PAYLOAD), draw.randrange(rows))
        database.execute("UPDATE item SET owner = ?, body = ? WHERE id = ?", change)
        waiting.append(started)
        if len(waiting) < batch:
            return []
        database.execute("COMMIT")
        done = list(waiting)
        waiting.clear()
        return done


def configure(database: sqlite3.Connection, order: dict[str, Any]) -> dict[str, Any]:
    """Apply the settings, and return the values that read back. With ``synchronous`` = FULL a commit is on the disk."""
    database.execute("PRAGMA synchronous = FULL")
    database.execute(f"PRAGMA journal_mode = {order['journal_mode']}")
    database.execute(f"PRAGMA cache_size = -{order['cache_kb']}")
    database.execute(f"PRAGMA mmap_size = {int(order['mmap_mb']) * _MB}")
    database.execute(f"PRAGMA wal_autocheckpoint = {order['autocheckpoint']}")
    names = ("journal_mode", "cache_size", "page_size", "mmap_size", "wal_autocheckpoint", "synchronous")
    found = {name: database.execute(f"PRAGMA {name}").fetchone()[0] for name in names}
    return {
        "journal_mode": found["journal_mode"],
        "cache_kb": -found["cache_size"],
        "page_size": str(found["page_size"]),
        "mmap_mb": str(found["mmap_size"] // _MB),
        "autocheckpoint": found["wal_autocheckpoint"],
        "synchronous": found["synchronous"],
    }


def main() -> None:
    """Serve in a temporary folder."""
    os.sched_setaffinity(0, {int(sys.argv[1])})
    orders = Orders()
    with tempfile.TemporaryDirectory(prefix="spec-envs-sqlite-", dir=sys.argv[2]) as folder:
        say({"folder": folder})
        serve(orders, Bench(Path(folder), orders).measure)


if __name__ == "__main__":
    run(main)
