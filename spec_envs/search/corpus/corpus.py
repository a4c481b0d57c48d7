"""A corpus: pages that are found by title, by redirect, or by what they say."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Self

from spec_envs.errors import InvalidConfiguration
from spec_envs.search.corpus.index import Index
from spec_envs.search.corpus.pages import Fetched, FetchQuery, Page

__all__ = ["Corpus"]

_SIMILAR = 10


class Corpus:
    """Pages and redirects to them; never changed. As it is callable, it is also a handler of ``fetch`` calls.

    Iterating gives the pages in their order. Safe to use from several threads.

    Args:
        pages: The pages; each title once.
        redirects: Other names of pages: name to title.

    Raises:
        InvalidConfiguration: A title comes twice, or a redirect leads to no page.
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
        """Other names of pages: name to title."""
        return MappingProxyType(self._redirects)

    def find(self, name: str) -> Page | None:
        """The page of that title, or that a redirect of that name leads to.

        Case and underscores do not count unless there are titles, or redirects, that differ in nothing else.
        """
        page = self._pages.get(name)
        if page is None and name in self._redirects:
            page = self._pages[self._redirects[name]]
        return page or self._by_name.get(_normalized(name))

    def fetch(self, text: str) -> Fetched:
        """The page called ``text``, or else the titles of at most ten pages that match it best, by BM25."""
        page = self.find(text)
        return Fetched(page) if page is not None else Fetched(None, self.search(text, _SIMILAR))

    def search(self, text: str, limit: int) -> tuple[str, ...]:
        """Titles of at most ``limit`` pages with words of ``text`` in title or text, best first."""
        with self._lock:
            if self._index is None:  # made on first use: most look-ups find a page
                self._index = Index(self)
        return self._index.search(text, limit)

    def __call__(self, query: FetchQuery) -> Fetched:
        """Answer a ``fetch`` call: ``fetch(query.text)``."""
        return self.fetch(query.text)

    def __reduce__(self) -> tuple[Any, ...]:
        return Corpus, (tuple(self), self._redirects)  # without the index, which belongs to this process

    def __deepcopy__(self, memo: Any) -> Self:
        return self  # it never changes; gym.make copies what an environment is made with


def _normalized(name: str) -> str:
    return " ".join(name.replace("_", " ").split()).casefold()
