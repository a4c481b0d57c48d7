"""The shop's database: SQLite, shared by many episodes, each of which sees only its own writes.

A write has a key. Its changes, its answer under the key, and its line in the log are one transaction. A call that is
repeated, because its answer got lost, is answered from the database and not carried out again. The log allows several
lines with one key, so that it would show a write that happened twice.
"""

import contextlib
import dataclasses
import json
import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from spec_envs.calls import Effect
from spec_envs.closing import Closing
from spec_envs.errors import InvalidConfiguration
from spec_envs.pickling import NotPicklable
from spec_envs.retail.store.data import RetailData
from spec_envs.retail.store.snapshot import Change, StoreSnapshot
from spec_envs.retail.tools.table import effect_of, run_tool
from spec_envs.retail.tools.tool import ToolResponse

_SCHEMA = """
CREATE TABLE IF NOT EXISTS shop (digest TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS answers (
    episode TEXT, key TEXT, call TEXT NOT NULL, output TEXT NOT NULL, patch TEXT NOT NULL, PRIMARY KEY (episode, key));
CREATE TABLE IF NOT EXISTS log (
    number INTEGER PRIMARY KEY, episode TEXT NOT NULL, key TEXT NOT NULL, name TEXT NOT NULL, arguments TEXT NOT NULL,
    output TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS log_by_episode ON log (episode);
"""


class Refused(Exception):
    """The shop refuses a request. ``status`` is the HTTP status of the refusal."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclasses.dataclass(frozen=True, slots=True)
class Write:
    """A write that was carried out, as a line of the log."""

    number: int  # the position in the log of all episodes
    key: str
    name: str  # of the tool
    arguments: Any
    output: str  # what the tool answered; a tool that refused has changed nothing


class ShopDatabase(NotPicklable, Closing):
    """The data of many episodes. Thread-safe: one call at a time.

    All episodes begin with the same data, which stay in memory. SQLite holds the changes of the episodes, the answers
    to writes, and the log.

    Args:
        data: The data that every episode begins with.
        path: The database file, which is made if it is missing; ":memory:" (default) for none.

    Raises:
        InvalidConfiguration: The file is no database, or belongs to a shop with different data.
    """

    def __init__(self, data: RetailData, path: str | os.PathLike[str] = ":memory:") -> None:
        self._start = StoreSnapshot(data)
        self._lock = threading.Lock()
        try:
            self._sqlite = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        except sqlite3.Error as error:
            raise InvalidConfiguration(f"{os.fspath(path)} cannot be opened as a database: {error}") from None
        try:
            self._sqlite.executescript(_SCHEMA)
            self._check_data(os.fspath(path))
        except sqlite3.Error as error:
            self._sqlite.close()
            raise InvalidConfiguration(f"{os.fspath(path)} cannot be used as a database: {error}") from None
        except BaseException:
            self._sqlite.close()
            raise

    @property
    def start_digest(self) -> int:
        """The digest of the data that every episode begins with."""
        return self._start.digest

    def call(
        self,
        episode: str,
        name: str,
        arguments: Mapping[str, Any],
        *,
        key: str | None = None,
        digest: int | None = None,
    ) -> ToolResponse:
        """Carry out a tool call.

        Args:
            episode: The name of the episode.
            name: The tool.
            arguments: The tool's arguments.
            key: Identifies a write in its episode. A call with a known key changes nothing and returns what the first
                call with this key returned.
            digest: The digest that the episode's data must have before a write; ``None`` allows any data.

        Returns:
            What the tool answers and what it has changed.

        Raises:
            Refused: A write has no key or the key of another write, or the data have another digest.
        """
        if effect_of(name) is not Effect.WRITE:
            return run_tool(self.snapshot(episode), name, arguments)
        if not key:
            raise Refused(400, f"{name} writes, so it needs a key (header Idempotency-Key)")
        call = json.dumps([name, arguments])
        with self._transaction():
            known = self._known(episode, key, call)
            if known is not None:
                return known
            store = self._snapshot(episode)
            if digest is not None and store.digest != digest:
                raise Refused(
                    412,
                    f"the data of episode {episode!r} have digest {store.digest:032x}, not {digest:032x}: "
                    f"somebody else has changed them",
                )
            result = run_tool(store, name, arguments)
            output, patch = json.dumps(result.output), [[each.table, each.key, each.record] for each in result.patch]
            self._sqlite.execute(
                "INSERT INTO answers VALUES (?, ?, ?, ?, ?)", (episode, key, call, output, json.dumps(patch))
            )
            self._sqlite.execute(
                "INSERT INTO log (episode, key, name, arguments, output) VALUES (?, ?, ?, ?, ?)",
                (episode, key, name, json.dumps(arguments), output),
            )
            return result

    def snapshot(self, episode: str) -> StoreSnapshot:
        """Return the episode's data as they are now."""
        with self._lock:
            return self._snapshot(episode)

    def writes(self, episode: str) -> list[Write]:
        """Return the writes of an episode that were carried out, in their order."""
        with self._lock:
            rows = self._sqlite.execute(
                "SELECT number, key, name, arguments, output FROM log WHERE episode = ? ORDER BY number", (episode,)
            ).fetchall()
        return [
            Write(number, key, name, json.loads(arguments), json.loads(output))
            for number, key, name, arguments, output in rows
        ]

    def close(self) -> None:
        """Close the file. Idempotent."""
        with self._lock:
            self._sqlite.close()

    def _check_data(self, path: str) -> None:
        with self._transaction():
            digest = f"{self._start.digest:032x}"
            row = self._sqlite.execute("SELECT digest FROM shop").fetchone()
            if row is None:
                self._sqlite.execute("INSERT INTO shop VALUES (?)", (digest,))
            elif row[0] != digest:
                raise InvalidConfiguration(
                    f"{path} belongs to a shop whose data have digest {row[0]}, and these data have digest {digest}; "
                    f"name another file"
                )

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._lock:
            self._sqlite.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._sqlite.execute("COMMIT")  # may fail: the file is in use, the disk is full
            except BaseException:
                if self._sqlite.in_transaction:
                    self._sqlite.execute("ROLLBACK")
                raise

    def _snapshot(self, episode: str) -> StoreSnapshot:
        rows = self._sqlite.execute("SELECT patch FROM answers WHERE episode = ? ORDER BY rowid", (episode,))
        return self._start.patched(Change(*change) for (patch,) in rows for change in json.loads(patch))

    def _known(self, episode: str, key: str, call: str) -> ToolResponse | None:
        """Return the result of the write with this key, or ``None`` if there was no such write."""
        row = self._sqlite.execute(
            "SELECT call, output, patch FROM answers WHERE episode = ? AND key = ?", (episode, key)
        ).fetchone()
        if row is None:
            return None
        if row[0] != call:
            raise Refused(422, f"the key {key!r} of episode {episode!r} belongs to another call: {row[0]}")
        return ToolResponse(json.loads(row[1]), tuple(Change(*change) for change in json.loads(row[2])))
