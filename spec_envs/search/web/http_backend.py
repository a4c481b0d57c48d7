"""Backends that read a MediaWiki site: over HTTP, and what they share with the one that looks through a browser."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar, Self

from spec_envs._background import BackgroundLoop
from spec_envs.calls import Effect
from spec_envs.errors import HandlerFailed, InvalidConfiguration
from spec_envs.handling import CancelToken
from spec_envs.search.web import mediawiki
from spec_envs.search.web.client import WebClient, WebSettings, origin_of

if TYPE_CHECKING:
    from spec_envs.search.corpus.pages import Fetched, FetchQuery

__all__ = ["HttpBackend", "read_page", "site_of"]

#: A page of 5 MB has some 100,000 tags; parsing ten times as many would take half a minute.
_MAX_TAGS = 400_000


def site_of(address: str) -> str:
    """A site's address as the backends use it: without path and slash at its end.

    Raises:
        InvalidConfiguration: It is not the address of a site.
    """
    origin = origin_of(address)
    if address.partition("://")[2].rstrip("/").count("/"):
        raise InvalidConfiguration(f"a site is an address without path, such as {origin!r}, not {address!r}")
    return origin


def read_page(url: str, html: str) -> Fetched:
    """What a fetched page says; see ``mediawiki.parse``.

    Raises:
        HandlerFailed: It is no page of a MediaWiki site, or has too many tags to be one.
    """
    if html.count("<") > _MAX_TAGS:
        raise HandlerFailed(f"{url} has more than {_MAX_TAGS:,} tags")
    try:
        return mediawiki.parse(html)
    except HandlerFailed as error:
        raise HandlerFailed(f"{url}: {error}") from error


class HttpBackend:
    """Answers ``fetch`` calls from a MediaWiki site: its search, then the article, over HTTP.

    Contacts nobody but the site, with ``GET`` alone. The constructor starts nothing; ``close`` ends the background
    thread and the connections. A cancelled call closes its connection.

    Args:
        site: Address of the site, such as ``"https://en.wikipedia.org"`` or that of a ``WikiSite``.
        also: Addresses of other sites that redirects may lead to.
        settings: Bounds on time, size, attempts and rate.

    Raises:
        InvalidConfiguration: ``site`` or one of ``also`` is not an address of a site.
    """

    effect: ClassVar[Effect] = Effect.READ

    def __init__(self, site: str, *, also: Iterable[str] = (), settings: WebSettings | None = None) -> None:
        self._site = site_of(site)
        self._client = WebClient((self._site, *map(site_of, also)), settings or WebSettings())
        self._loop = BackgroundLoop("http-backend", last=self._client.close)

    def __call__(self, query: FetchQuery, cancel: CancelToken) -> Fetched:
        """The article called ``query.text``, or the titles that the site's search finds.

        Raises:
            HandlerFailed: The site cannot be reached, leads elsewhere, or answers with something else.
            CallCancelled: The call was cancelled meanwhile.
            EnvClosed: The backend was closed.
        """
        cancel.raise_if_cancelled()
        answer = self._loop.run(self._client.follow(self._site + mediawiki.search_path(query.text)), cancel)
        answer.check_page()
        return read_page(answer.url, answer.text())

    def close(self) -> None:
        """Close the connections; calls under way raise ``EnvClosed``. Idempotent."""
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
