"""MediaWiki's pages, as it shows them to readers: their addresses, and what they say.

Reads the HTML of MediaWiki 1.3x and 1.4x, Wikipedia's included, and of the local site (``site.py``), which writes the
same. Pure: fetching is the business of the backends.
"""

from __future__ import annotations

import re
import urllib.parse
from typing import TYPE_CHECKING

from spec_envs.errors import HandlerFailed
from spec_envs.search.pages import Fetched, Page

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bs4 import BeautifulSoup, Tag

__all__ = ["parse", "search_path", "title_path"]

#: What stands in an article and is not its text: notes, tables, boxes, headings' edit links, pronunciation buttons, ….
_CLUTTER = ", ".join(
    (
        "script, style, noscript, template, table, figure, math, audio, video, iframe, object, form",
        ".noprint, .metadata, .hatnote, .navbox, .infobox, .sidebar, .thumb, .gallery, .toc, #toc, .mw-editsection",
        "sup.reference, .reference-text, .reflist, .references, .mw-references-wrap, .mw-empty-elt, .shortdescription",
        ".mw-cite-backlink, .error, .ext-phonos, #coordinates, .printfooter, .catlinks, #catlinks",
    )
)
_DISAMBIGUATION = "#disambigbox, #setindexbox, .dmbox-disambig"
_MAY_MEAN = re.compile(r"\b(?:may|can|could)(?: also)? refer to:$")
_LISTS = ("ul", "ol", "dl")
_ITEMS = ("li", "dt", "dd")
#: Sections that follow the text of an article; their entries are links at most.
_BACK_MATTER = frozenset(
    {"see also", "references", "notes", "external links", "further reading", "bibliography", "sources", "citations"}
)
#: Name spaces of MediaWiki whose pages are not articles.
_NOT_ARTICLES = frozenset(
    "media special talk user file image mediawiki template help category portal draft module timedtext wikipedia "
    "project wp".split()
)


def search_path(text: str) -> str:
    """Path and query of a search that goes straight to the article, where there is one of that name."""
    return "/w/index.php?" + urllib.parse.urlencode({"search": text})


def title_path(title: str) -> str:
    """Path of the article with that title."""
    name = title.replace(" ", "_")
    if any(part in ("", ".", "..") for part in name.split("/")):
        # Whoever normalises a path would change it.
        return "/w/index.php?" + urllib.parse.urlencode({"title": name})
    return "/wiki/" + urllib.parse.quote(name, safe="/:,;@!$*()~")


def parse(html: str) -> Fetched:
    """What a page of a MediaWiki site says: an article, the titles that a search found, or that there is nothing.

    Markup is left out, white space is one space. An article's text are its paragraphs and lists, each list as one
    paragraph with a line for each item; tables, boxes, notes and pictures are left out. What a redirect leads to has
    the title of its target.

    Raises:
        HandlerFailed: It is not a page of a MediaWiki site.
    """
    from bs4 import BeautifulSoup

    # NUL ends a document for the C library beneath.
    soup = BeautifulSoup(html.replace("\0", "\N{REPLACEMENT CHARACTER}"), "lxml")
    if soup.select_one(".searchresults, .mw-search-results, #mw-search-top-table, .mw-search-nonefound") is not None:
        return Fetched(None, tuple(dict.fromkeys(_found(soup))))
    heading = soup.select_one("#firstHeading")
    if heading is None:
        raise HandlerFailed(f"this is not a page of a MediaWiki site: {_excerpt(soup)!r}")
    content = _content(soup)
    if content is None or soup.select_one(".noarticletext") is not None:
        return Fetched(None)
    return Fetched(_page(_text(heading), content))


def _found(soup: BeautifulSoup) -> Iterator[str]:
    for heading in soup.select(".mw-search-result-heading"):
        # Results from sister projects stand in a list of their own; a second link is the redirect that matched.
        link = heading.select_one("a[href]")
        if link is not None and heading.find_parent(id="mw-interwiki-results") is None:
            yield _title_of(link) or _text(link)


def _content(soup: BeautifulSoup) -> Tag | None:
    # Notices of the site may come as parsed text of their own, before the article's.
    area = soup.select_one("#mw-content-text") or soup
    return area.select_one(".mw-parser-output") or soup.select_one("#mw-content-text")


def _page(title: str, content: Tag) -> Page:
    disambiguation = content.select_one(_DISAMBIGUATION) is not None
    for tag in content.select(_CLUTTER):
        if not tag.decomposed:
            tag.decompose()
    paragraphs: list[str] = []
    links: list[str] = []
    in_text = True
    for tag in content.find_all(("h2", "p", "a", *_LISTS)):
        if tag.name == "h2":
            in_text = disambiguation or _text(tag).casefold() not in _BACK_MATTER
        elif tag.name == "a":
            links.append(_title_of(tag) or "")
        elif in_text and tag.find_parent(("p", *_LISTS)) is None:
            paragraphs.append(_text(tag) if tag.name == "p" else "\n".join(_items(tag)))
    paragraphs = [text for text in paragraphs if text]
    disambiguation = disambiguation or bool(paragraphs and _MAY_MEAN.search(paragraphs[0]))
    return Page(title, tuple(paragraphs), tuple(dict.fromkeys(filter(None, links))), disambiguation)


def _items(listing: Tag) -> Iterator[str]:
    for item in listing.find_all(_ITEMS):
        # What lists within it say comes as lines of its own.
        text = "".join(part for part in item.strings if part.find_parent(_ITEMS) is item)
        if line := " ".join(text.split()):
            yield line


def _title_of(link: Tag) -> str | None:
    """The title of the article that ``link`` leads to; ``None`` if it leads elsewhere, or nowhere yet."""
    href, classes = str(link.get("href") or ""), link.get("class") or ()
    if "new" in classes or "extiw" in classes:
        return None
    parts = urllib.parse.urlsplit(href)
    if not parts.scheme and not parts.netloc and parts.path.startswith("/wiki/"):
        name = urllib.parse.unquote(parts.path.removeprefix("/wiki/"))
    elif not parts.scheme and not parts.netloc and parts.path == "/w/index.php":
        query = urllib.parse.parse_qs(parts.query)
        name = query["title"][0] if query.keys() == {"title"} else ""
    else:
        return None
    space, colon, _ = name.partition(":")
    if not name or (colon and space.casefold().removesuffix("_talk") in _NOT_ARTICLES):
        return None
    return " ".join(str(link.get("title") or name.replace("_", " ")).split())


def _text(tag: Tag) -> str:
    return " ".join(tag.get_text().split())


def _excerpt(soup: BeautifulSoup) -> str:
    text = _text(soup)
    return text if len(text) <= 80 else text[:77] + "..."
