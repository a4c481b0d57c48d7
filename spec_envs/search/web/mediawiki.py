"""The pages that a MediaWiki site shows to readers: their addresses, and reading their HTML.

Understands MediaWiki 1.3x and 1.4x, including Wikipedia, and the local wiki, which has the same markup. This module
makes no requests; the backends do.
"""

from __future__ import annotations

import functools
import re
import urllib.parse
from collections.abc import Container, Iterator
from typing import TYPE_CHECKING

from spec_envs.errors import HandlerFailed
from spec_envs.search.pages import Fetched, Page

if TYPE_CHECKING:
    from bs4 import BeautifulSoup, Tag


#: Parts of an article that are not its text, by tag and by class or id: notes, tables, boxes, edit links, ….
_CLUTTER_TAGS = frozenset("script style noscript template table figure math audio video iframe object form".split())
_CLUTTER = frozenset(
    "noprint metadata hatnote navbox infobox sidebar thumb gallery toc mw-editsection reference reference-text reflist "
    "references mw-references-wrap mw-empty-elt shortdescription mw-cite-backlink error ext-phonos coordinates "
    "printfooter catlinks".split()
)
_HIDING = re.compile(r"(?:^|;)\s*(?:display\s*:\s*none|visibility\s*:\s*hidden)", re.IGNORECASE)
#: Characters that nobody sees: soft hyphens, and marks of width 0 for breaks and for the direction of writing.
_UNSEEN = dict.fromkeys([0xAD, 0x200B, 0x200E, 0x200F, 0x2060, *range(0x202A, 0x202F), *range(0x2066, 0x206A), 0xFEFF])
_RESULTS = ("searchresults", "mw-search-results", "mw-search-top-table", "mw-search-nonefound")
_DISAMBIGUATION = ("disambigbox", "setindexbox", "dmbox-disambig")
#: The classes and ids that tell which kind of page it is.
_MARKS = frozenset(
    {*_RESULTS, *_DISAMBIGUATION, "firstHeading", "noarticletext", "mw-content-text", "mw-parser-output"}
)
_MAY_MEAN = re.compile(r"\b(?:may|can|could)(?: also)? refer to:$")
_BLOCKS = frozenset({"p", "ul", "ol", "dl"})
_ITEMS = frozenset({"li", "dt", "dd"})
#: The tags that stand between words: line breaks, and what begins on a new line.
_BREAKS = frozenset(
    "br hr p ul ol dl li dt dd div h1 h2 h3 h4 h5 h6 pre blockquote center address section article aside header footer "
    "nav main details summary fieldset legend table caption tr td th figcaption menu dir listing option".split()
)
#: A page of 5 MB has some 100,000 tags. To parse ten times as many would take half a minute.
_MAX_TAGS = 400_000
#: How deep tags may be nested. Articles have some 30 levels.
_MAX_DEPTH = 200
#: Sections behind the text of an article. Only their links are read.
_BACK_MATTER = frozenset(
    {"see also", "references", "notes", "external links", "further reading", "bibliography", "sources", "citations"}
)
#: Namespaces of MediaWiki whose pages are not articles.
_NOT_ARTICLES = frozenset(
    "media special talk user file image mediawiki template help category portal draft module timedtext wikipedia "
    "project wp".split()
)


def search_path(text: str) -> str:
    """Path and query of a search for ``text``; the site redirects to the article of that name if there is one."""
    return "/w/index.php?" + urllib.parse.urlencode({"search": text})


def title_path(title: str) -> str:
    """Path of the article called ``title``."""
    name = title.replace(" ", "_")
    if any(part in ("", ".", "..") for part in name.split("/")):
        # Clients and servers that normalise paths would change such a title.
        return "/w/index.php?" + urllib.parse.urlencode({"title": name})
    return "/wiki/" + urllib.parse.quote(name, safe="/:,;@!$*()~")


def check_number_of_tags(url: str, html: str) -> None:
    """Raise ``HandlerFailed`` if a page has too many tags to be parsed."""
    if html.count("<") > _MAX_TAGS:
        raise HandlerFailed(f"{url} has more than {_MAX_TAGS:,} tags")


def parse(html: str) -> Fetched:
    """Read a page of a MediaWiki site: an article, search results, or the page that says that there is no article.

    The text of an article is its paragraphs and lists, without markup and with single spaces. A list is one paragraph
    with a line for each item. Tables, boxes, notes, pictures and whatever is hidden are left out.

    Raises:
        HandlerFailed: ``html`` is not a page of a MediaWiki site, or its tags are nested too deeply.
    """
    # The C library of lxml would stop reading at a NUL.
    soup = _soup_class()(html.replace("\0", "\N{REPLACEMENT CHARACTER}"), "lxml")
    marks = _marks(soup)
    if any(name in marks for name in _RESULTS):
        return Fetched(None, tuple(dict.fromkeys(_found(soup))))
    if "firstHeading" not in marks:
        raise HandlerFailed(f"this is not a page of a MediaWiki site: {_text(soup)!r:.80}")
    content = marks.get("mw-parser-output", marks.get("mw-content-text"))
    if content is None or "noarticletext" in marks:
        return Fetched(None)
    listed = any(name in marks for name in _DISAMBIGUATION)
    return Fetched(_page(_text(marks["firstHeading"]), content, listed))


@functools.cache
def _soup_class() -> type[BeautifulSoup]:
    """A parser that stops where tags are nested too deeply, instead of after a long page."""
    from bs4 import BeautifulSoup

    class Soup(BeautifulSoup):
        def pushTag(self, tag: Tag) -> None:
            super().pushTag(tag)
            if len(self.tagStack) - 1 > _MAX_DEPTH:  # the first is the document itself
                raise HandlerFailed(f"tags are nested more than {_MAX_DEPTH} levels deep")

    return Soup


def _marks(soup: BeautifulSoup) -> dict[str, Tag]:
    """The first tag with each of the classes and ids in ``_MARKS``."""
    marks: dict[str, Tag] = {}
    # CSS selectors would take five times as long as the rest of the parsing.
    for tag in _tags(soup):
        for name in _names(tag):
            if name in _MARKS:
                marks.setdefault(name, tag)
                if name == "mw-content-text":
                    marks.pop("mw-parser-output", None)  # one before the content belongs to a notice of the site
    return marks


def _tags(within: Tag) -> Iterator[Tag]:
    from bs4 import Tag

    return (each for each in within.descendants if isinstance(each, Tag))


def _names(tag: Tag) -> list[str]:
    """The classes and the id of a tag."""
    attributes = tag.attrs
    names = [*attributes["class"]] if "class" in attributes else []
    return [*names, str(attributes["id"])] if "id" in attributes else names


def _is_hidden(tag: Tag) -> bool:
    attributes = tag.attrs
    return "hidden" in attributes or ("style" in attributes and _HIDING.search(str(attributes["style"])) is not None)


def _found(soup: BeautifulSoup) -> Iterator[str]:
    for heading in soup.select(".mw-search-result-heading"):
        # Results from sister projects are in a separate list; a second link would be the redirect that matched.
        link = heading.select_one("a[href]")
        if link is not None and heading.find_parent(id="mw-interwiki-results") is None:
            yield _title_of(link) or _text(link)


def _page(title: str, content: Tag, disambiguation: bool) -> Page:
    for tag in list(_tags(content)):
        if not tag.decomposed and (
            tag.name in _CLUTTER_TAGS or not _CLUTTER.isdisjoint(_names(tag)) or _is_hidden(tag)
        ):
            tag.decompose()
    paragraphs: list[str] = []
    links: list[str] = []
    in_text = True
    for tag in _tags(content):
        if tag.name == "h2":
            in_text = disambiguation or _text(tag).casefold() not in _BACK_MATTER
        elif tag.name == "a":
            links.append(_title_of(tag) or "")
        elif in_text and tag.name in _BLOCKS and _nearest(tag.parent, _BLOCKS) is None:
            paragraphs.append(_text(tag) if tag.name == "p" else "\n".join(_items(tag)))
    paragraphs = [text for text in paragraphs if text]
    disambiguation = disambiguation or bool(paragraphs and _MAY_MEAN.search(paragraphs[0]))
    return Page(title, tuple(paragraphs), tuple(dict.fromkeys(filter(None, links))), disambiguation)


def _items(listing: Tag) -> Iterator[str]:
    """The texts of the items of a list and of nested lists. An item's text does not include the items nested in it."""
    texts: dict[int, list[str]] = {id(tag): [] for tag in _tags(listing) if tag.name in _ITEMS}
    for text, tag in _pieces(listing):
        texts.get(id(_nearest(tag, _ITEMS)), []).append(text)
    return filter(None, (" ".join("".join(parts).split()) for parts in texts.values()))


def _pieces(tag: Tag) -> Iterator[tuple[str, Tag]]:
    """The texts in ``tag``, each with the tag that it is in, and a space wherever a line breaks."""
    from bs4.element import CData, NavigableString, Tag

    for child in tag.children:
        if isinstance(child, Tag):
            gap = " " if child.name in _BREAKS else ""
            yield gap, tag
            yield from _pieces(child)
            yield gap, tag
        elif type(child) in (NavigableString, CData):  # not comments
            yield str(child).translate(_UNSEEN), tag


def _nearest(tag: Tag | None, names: Container[str]) -> Tag | None:
    """The first of ``tag`` and the tags around it whose name is in ``names``; ``None`` if there is none."""
    while tag is not None and tag.name not in names:
        tag = tag.parent
    return tag


def _title_of(link: Tag) -> str | None:
    """The title of the article that ``link`` leads to; ``None`` if there is no such article."""
    href, classes = str(link.get("href") or ""), link.get("class") or ()
    if "new" in classes or "extiw" in classes:
        return None
    try:
        parts = urllib.parse.urlsplit(href)
    except ValueError:  # not an address
        return None
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
    return " ".join("".join(text for text, _ in _pieces(tag)).split())
