"""What the environment fetches, as immutable values: pages, and what a search finds."""

from __future__ import annotations

import dataclasses

__all__ = ["FetchQuery", "Fetched", "Page"]


@dataclasses.dataclass(frozen=True, slots=True)
class Page:
    """An article.

    Attributes:
        title: Its title, by which it is found; the canonical one also where a redirect led to it.
        paragraphs: Its text, without markup; a list is one paragraph with a line for each entry.
        links: Titles that it links to, in their order, each once.
        disambiguation: Whether it only lists what the title may mean.
    """

    title: str
    paragraphs: tuple[str, ...]
    links: tuple[str, ...] = ()
    disambiguation: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class FetchQuery:
    """Look for the article called ``text``; compared letter by letter."""

    text: str


@dataclasses.dataclass(frozen=True, slots=True)
class Fetched:
    """What a look-up gave: a page, or the titles that are like the one asked for.

    Attributes:
        page: The article, or ``None`` where there is none of that name.
        similar: Without a page: titles that the search found, best first.
    """

    page: Page | None
    similar: tuple[str, ...] = ()
