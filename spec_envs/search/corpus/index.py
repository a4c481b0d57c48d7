"""Full-text search over pages, ranked by BM25. It uses FTS5 of SQLite, which is part of Python."""

from __future__ import annotations

import re
import sqlite3
import threading
import weakref
from collections.abc import Iterable

from spec_envs.search.pages import Page

_WORD = re.compile(r"\w+")
#: How many different words of a query are used at most.
_MAX_WORDS = 64
#: A word in the title counts as much as this many occurrences in the text.
_TITLE_WEIGHT = 10.0


class Index:
    """An index of titles and texts, in memory. Several threads may use an index at once."""

    def __init__(self, pages: Iterable[Page]) -> None:
        self._lock = threading.Lock()
        self._db = sqlite3.connect(":memory:", check_same_thread=False)
        self._db.execute("CREATE VIRTUAL TABLE pages USING fts5(title, body, tokenize='porter unicode61')")
        weakref.finalize(self, self._db.close)
        rows = ((_storable(page.title), _storable("\n".join(page.paragraphs))) for page in pages)
        self._db.executemany("INSERT INTO pages VALUES (?, ?)", rows)

    def search(self, text: str, limit: int) -> tuple[str, ...]:
        """Titles of at most ``limit`` pages that contain a word of ``text``, best first."""
        words = dict.fromkeys(word.lower() for word in _WORD.findall(_storable(text)))
        query = " OR ".join(f'"{word}"' for word in list(words)[:_MAX_WORDS])
        if not query:
            return ()
        with self._lock:
            rows = self._db.execute(
                f"SELECT title FROM pages WHERE pages MATCH ? ORDER BY bm25(pages, {_TITLE_WEIGHT}), rowid LIMIT ?",
                (query, limit),
            ).fetchall()
        return tuple(title for (title,) in rows)


def _storable(text: str) -> str:
    return text.encode(errors="replace").decode()  # SQLite refuses lone surrogates
