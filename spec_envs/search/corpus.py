"""A corpus: pages that are found by title, by redirect, or by the words in them; and pages in wiki markup.

The full-text search ranks by BM25 and uses FTS5 of SQLite, which is part of Python.
"""

import re
import sqlite3
import threading
import weakref
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Self

from spec_envs.errors import InvalidConfiguration
from spec_envs.search.pages import Fetched, FetchQuery, Page

_LINK = re.compile(r"\[\[([^\[\]|]+)(?:\|([^\[\]|]+))?\]\]")
_REDIRECT = re.compile(r"\s*#REDIRECT\s*\[\[([^\[\]|]+)\]\]\s*", re.IGNORECASE)
_BLANK_LINES = re.compile(r"\n\s*\n")
#: ReAct's Wikipedia environment recognises disambiguation pages by the same words.
_DISAMBIGUATION = "may refer to:"


def page_from_markup(title: str, text: str) -> Page:
    """A page from wiki markup: paragraphs between blank lines, and links ``[[Title]]`` or ``[[Title|shown]]``."""
    links = dict.fromkeys(match[1].strip() for match in _LINK.finditer(text))
    plain = _LINK.sub(lambda match: match[2] or match[1], text)
    paragraphs = tuple(part.strip() for part in _BLANK_LINES.split(plain) if part.strip())
    return Page(title, paragraphs, tuple(links), lists_meanings(paragraphs))


def page_or_redirect(title: str, text: str) -> Page | tuple[str, str]:
    """The page that ``text`` describes, or the redirect ``(title, target)`` if the text is ``#REDIRECT [[target]]``."""
    redirect = _REDIRECT.fullmatch(text)
    return (title, redirect[1].strip()) if redirect else page_from_markup(title, text)


def lists_meanings(paragraphs: tuple[str, ...]) -> bool:
    """Whether a page with these paragraphs only lists what its title may refer to."""
    return any(_DISAMBIGUATION in paragraph for paragraph in paragraphs)


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


#: How many similar titles ``fetch`` returns at most.
_SIMILAR = 10


class Corpus:
    """Immutable pages and redirects. A corpus is callable, so it is also a handler of ``fetch`` calls.

    Iteration yields the pages in the order in which they were given. Several threads may use a corpus at once.

    Args:
        pages: The pages. Titles must differ.
        redirects: Other names of pages, as a mapping from name to title.

    Raises:
        InvalidConfiguration: Two pages have the same title, or a redirect leads to a page that does not exist.
    """

    def __init__(self, pages: Iterable[Page], redirects: Mapping[str, str] = MappingProxyType({})) -> None:
        self._pages: dict[str, Page] = {}
        for page in pages:
            if page.title in self._pages:
                raise InvalidConfiguration(f"there are two pages called {page.title!r}; titles must differ")
            self._pages[page.title] = page
        for name, title in redirects.items():
            if title not in self._pages:
                raise InvalidConfiguration(f"{name!r} redirects to {title!r}, and there is no such page")
        self._redirects = dict(redirects)
        self._by_name: dict[str, Page] = {}
        for name, page in (*self._pages.items(), *((name, self._pages[to]) for name, to in redirects.items())):
            self._by_name.setdefault(_normalized(name), page)
        self._index: Index | None = None
        self._lock = threading.Lock()

    def __iter__(self) -> Iterator[Page]:
        return iter(self._pages.values())

    def __len__(self) -> int:
        return len(self._pages)

    @property
    def redirects(self) -> Mapping[str, str]:
        """Other names of pages, as a mapping from name to title."""
        return MappingProxyType(self._redirects)

    def find(self, name: str) -> Page | None:
        """The page with the title ``name``, or the target of the redirect ``name``; ``None`` if there is neither.

        An exact match wins. If there is none, upper and lower case are ignored, and underscores count as spaces.
        """
        page = self._pages.get(name)
        if page is None and name in self._redirects:
            page = self._pages[self._redirects[name]]
        return page or self._by_name.get(_normalized(name))

    def fetch(self, text: str) -> Fetched:
        """The page called ``text``; otherwise the titles of the (at most ten) best matches by BM25."""
        page = self.find(text)
        return Fetched(page) if page is not None else Fetched(None, self.search(text, _SIMILAR))

    def search(self, text: str, limit: int) -> tuple[str, ...]:
        """Titles of at most ``limit`` pages that contain words of ``text`` in title or text, best first."""
        with self._lock:
            if self._index is None:  # built on first use, since most look-ups find a page by name
                self._index = Index(self)
            index = self._index
        return index.search(text, limit)

    def __call__(self, query: FetchQuery) -> Fetched:
        """Answer a ``fetch`` call: ``fetch(query.text)``."""
        return self.fetch(query.text)

    def __reduce__(self) -> tuple[Any, ...]:
        return Corpus, (tuple(self), self._redirects)  # the index cannot leave this process

    def __deepcopy__(self, memo: Any) -> Self:
        return self  # gym.make copies the arguments of an environment, and a corpus is immutable


def _normalized(name: str) -> str:
    return " ".join(name.replace("_", " ").split()).casefold()
