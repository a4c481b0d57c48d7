"""What the backends that read a MediaWiki site share: the address, the client, and reading of pages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from spec_envs.calls import Effect
from spec_envs.errors import HandlerFailed, InvalidConfiguration
from spec_envs.handling import Closing
from spec_envs.search.pages import Fetched, FetchQuery
from spec_envs.search.web.client import WebClient, WebSettings, origin_of
from spec_envs.search.web.mediawiki import parse, search_path

#: A page of 5 MB has some 100,000 tags. To parse ten times as many would take half a minute.
_MAX_TAGS = 400_000


class SiteBackend(Closing):
    """Base class of the backends that read a MediaWiki site.

    Args:
        site: Address of the site.
        also: Addresses of other sites that may be contacted.
        settings: Bounds on time, size, attempts and rate.

    Raises:
        InvalidConfiguration: ``site`` or one of ``also`` is not the address of a site.
    """

    effect: ClassVar[Effect] = Effect.READ

    def __init__(self, site: str, also: Iterable[str], settings: WebSettings | None) -> None:
        self._site = _site_of(site)
        self._client = WebClient((self._site, *map(_site_of, also)), settings or WebSettings())

    def close(self) -> None:
        """End everything that the backend has started."""
        raise NotImplementedError

    def _search_url(self, query: FetchQuery) -> str:
        return self._site + search_path(query.text)


def read_page(url: str, html: str) -> Fetched:
    """The content of a page that was loaded from ``url``; see ``mediawiki.parse``.

    Raises:
        HandlerFailed: ``html`` is not a page of a MediaWiki site, or has too many tags.
    """
    if html.count("<") > _MAX_TAGS:
        raise HandlerFailed(f"{url} has more than {_MAX_TAGS:,} tags")
    try:
        return parse(html)
    except HandlerFailed as error:
        raise HandlerFailed(f"{url}: {error}") from error


def _site_of(address: str) -> str:
    """Scheme, host and port of a site's address, which must have no path."""
    origin = origin_of(address)
    if address.partition("://")[2].rstrip("/").count("/"):
        raise InvalidConfiguration(f"a site is an address without path, such as {origin!r}, not {address!r}")
    return origin
