"""The backend that reads a MediaWiki site over HTTP."""

from __future__ import annotations

from collections.abc import Iterable

from spec_envs.background_loop import BackgroundLoop
from spec_envs.handling import CancelToken
from spec_envs.search.pages import Fetched, FetchQuery
from spec_envs.search.web.client import WebSettings
from spec_envs.search.web.site_backend import SiteBackend, read_page


class HttpBackend(SiteBackend):
    """Answers ``fetch`` calls from a MediaWiki site over HTTP: requests the site's search, which leads to the article.

    Only the site is contacted, and only with ``GET``. The constructor starts nothing; ``close`` ends the background
    thread and the connections. A cancelled call closes its connection.

    Args:
        site: Address of the site, such as ``"https://en.wikipedia.org"`` or that of a ``WikiSite``.
        also: Addresses of other sites that redirects may lead to.
        settings: Bounds on time, size, attempts and rate.

    Raises:
        InvalidConfiguration: ``site`` or one of ``also`` is not the address of a site.
    """

    def __init__(self, site: str, *, also: Iterable[str] = (), settings: WebSettings | None = None) -> None:
        super().__init__(site, also, settings)
        self._loop = BackgroundLoop("http-backend", last=self._client.close)

    def __call__(self, query: FetchQuery, cancel: CancelToken | None = None) -> Fetched:
        """The article called ``query.text``, or the titles that the site's search finds.

        Raises:
            HandlerFailed: The site cannot be reached, redirects to another site, or returns something unexpected.
            CallCancelled: The call was cancelled meanwhile.
            EnvClosed: The backend was closed.
        """
        cancel = cancel or CancelToken()
        cancel.raise_if_cancelled()
        answer = self._loop.run(self._client.follow(self._search_url(query)), cancel)
        answer.check_page()
        return read_page(answer.url, answer.text())

    def close(self) -> None:
        """Close the connections; calls under way raise ``EnvClosed``. Idempotent."""
        self._loop.close()
