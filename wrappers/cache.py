"""``cached``: a decorator of handlers that keeps responses on disk for a while, as JSON text in an SQLite file."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from spec_envs.calls import Effect
from spec_envs.checks import integer, positive
from spec_envs.errors import InvalidConfiguration
from spec_envs.handling import CancelToken
from spec_envs.pickling import MadeAnew
from spec_envs.wrappers.handlers import DecoratedHandler
from spec_envs.wrappers.recording import Codec

__all__ = ["CachedHandler", "cached"]

_log = logging.getLogger(__name__)
#: The name of the file in the folder. A later format gets another name, so that no version reads another one's.
_FILE = "responses-1.sqlite"
_TABLE = """
PRAGMA auto_vacuum = FULL;
CREATE TABLE IF NOT EXISTS responses (query TEXT PRIMARY KEY, response TEXT NOT NULL, expires REAL, used REAL NOT NULL);
CREATE INDEX IF NOT EXISTS used ON responses (used);
"""
#: Drops a twentieth of them, and at least one.
_DROP_LEAST_RECENT = """
DELETE FROM responses WHERE rowid IN
  (SELECT rowid FROM responses ORDER BY used LIMIT (SELECT 1 + count(*) / 20 FROM responses))
"""
#: For how long one process waits while another one writes, in seconds.
_PATIENCE_S = 10.0


def cached(
    handler: Callable[..., Any],
    folder: str | os.PathLike[str] | None = None,
    *,
    types: Iterable[type] = (),
    ttl_s: float = 3600.0,
    max_bytes: int = 100_000_000,
) -> CachedHandler:
    """Return ``handler`` with responses kept on disk, which answer equal queries for ``ttl_s`` seconds.

    ``SpeculativeWrapper`` itself shares equal ``READ`` calls in flight or lately done (``Limits.read_ttl_s``,
    ``Limits.max_reads``), in memory and within one wrapper. This decorator shares responses beyond that: between
    wrappers, processes and runs, and with loops that have no wrapper. ``ttl_s`` counts on the wall clock, also in the
    simulation runtime. Failed calls are not kept. The folder holds text, and nothing in it can run code. If the
    folder fails later, for example because the disk is full, handlers are called as without it, and the log says so.

    Args:
        handler: A handler that only reads, such as ``fetch``.
        folder: The folder for the responses; several processes of one machine may use it at once. ``None``: a temporary
            folder, which ``close()`` removes.
        types: The dataclasses that queries and responses are made of, as for ``Recording``.
        ttl_s: For how long a response may be used (> 0), in seconds.
        max_bytes: The approximate size limit of the folder (>= 1); above it, the responses used least recently go.

    Raises:
        InvalidConfiguration: A number is out of range, the handler does more than read, or the folder cannot be used.
    """
    return CachedHandler(handler, folder, types=types, ttl_s=ttl_s, max_bytes=max_bytes)


class CachedHandler(MadeAnew, DecoratedHandler):
    """The handler that ``cached`` returns. ``close()`` removes a temporary folder, and closes the inner handler."""

    def __init__(
        self,
        handler: Callable[..., Any],
        folder: str | os.PathLike[str] | None,
        *,
        types: Iterable[type],
        ttl_s: float,
        max_bytes: int,
    ) -> None:
        ttl_s = positive("ttl_s", ttl_s)
        max_bytes = integer("max_bytes", max_bytes, least=1)
        effect = getattr(handler, "effect", Effect.READ)
        if effect is not Effect.READ:
            raise InvalidConfiguration(f"only READ handlers can be cached, and the effect of {handler!r} is {effect}")
        super().__init__(handler, self._answer)
        self._codec = Codec(types)
        self._ttl_s = None if ttl_s == float("inf") else ttl_s
        self._temporary = None if folder is not None else tempfile.mkdtemp(prefix="spec-envs-cache-")
        self._responses = _Responses(Path(folder if folder is not None else self._temporary or ""), max_bytes)

    def close(self) -> None:
        """Remove a temporary folder, and close the inner handler. Idempotent."""
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)
        super().close()

    async def _answer(self, inner: Any, query: Any, cancel: CancelToken) -> Any:
        key = json.dumps(self._codec.encode(query))
        found = self._responses.get(key, time.time())
        if found is not None:
            return self._codec.decode(json.loads(found))
        response = await inner(query, cancel)
        self._responses.put(key, json.dumps(self._codec.encode(response)), time.time(), self._ttl_s)
        return response


class _Responses:
    """Texts by key, in the file ``_FILE`` of ``folder``, each for a while.

    Each use opens the file anew, so that a thread that ends leaves nothing open.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._path = folder / _FILE
        self._max_bytes = max_bytes
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with self._opened() as database:
                database.executescript(_TABLE)
        except (OSError, sqlite3.Error) as error:
            raise InvalidConfiguration(
                f"{self._path} cannot keep responses: {error}; give cached() another folder, or remove that file"
            ) from error

    def get(self, key: str, now: float) -> str | None:
        """Return the text of ``key``, unless there is none or its time is over."""
        with self._forgiven(), self._opened() as database:
            for (text,) in database.execute(
                "SELECT response FROM responses WHERE query = ? AND (expires IS NULL OR expires > ?)", (key, now)
            ).fetchall():
                database.execute("UPDATE responses SET used = ? WHERE query = ?", (now, key))
                return str(text)
        return None

    def put(self, key: str, text: str, now: float, ttl_s: float | None) -> None:
        """Keep ``text`` for ``ttl_s`` seconds (``None``: for ever), and drop other texts if the file is too large."""
        with self._forgiven(), self._opened() as database:
            row = (key, text, None if ttl_s is None else now + ttl_s, now)
            database.execute("INSERT OR REPLACE INTO responses VALUES (?, ?, ?, ?)", row)
            if self._size(database) > self._max_bytes:
                database.execute("DELETE FROM responses WHERE expires <= ?", (now,))
            dropped = 1
            while dropped and self._size(database) > self._max_bytes:
                dropped = database.execute(_DROP_LEAST_RECENT).rowcount

    def _size(self, database: sqlite3.Connection) -> int:
        """The size of the file's content in bytes."""
        pages, free, size = (
            database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
        )
        return int((pages - free) * size)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        with contextlib.closing(sqlite3.connect(self._path, timeout=_PATIENCE_S)) as database, database:
            database.execute("PRAGMA synchronous = OFF")  # a cache may be lost in a power cut
            yield database

    @contextlib.contextmanager
    def _forgiven(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            _log.warning("%s cannot be used, so handlers are called as without it: %s", self._path, error)
