"""A web server that shows a corpus as a MediaWiki site does, for the ``http`` and ``browser`` backends.

A search redirects to the article of that name if there is one, and otherwise lists similar titles. The server answers
``GET`` and ``HEAD`` only, and by default listens on this machine's own address.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Self

from spec_envs.asgi_server import Served
from spec_envs.checks import not_negative
from spec_envs.closing import Closing
from spec_envs.errors import InvalidConfiguration
from spec_envs.pickling import NotPicklable
from spec_envs.search.corpus import Corpus
from spec_envs.search.local_wiki import page_html
from spec_envs.search.web.mediawiki import title_path

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import Receive, Scope, Send


class WikiSite(NotPicklable, Closing):
    """Serves ``corpus`` over HTTP from a background thread, between ``start`` and ``close`` or in a ``with`` block.

    Args:
        corpus: The pages and redirects.
        host: The address to listen on.
        port: The port; 0 takes a free port.
        latency_s: How long a page takes in seconds; or a function that returns this time for the title of a page, or
            for the text of a search that finds no article. Redirects and missing pages are not delayed.

    Raises:
        InvalidConfiguration: ``latency_s`` is out of range.
    """

    def __init__(
        self,
        corpus: Corpus,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        latency_s: float | Callable[[str], float] = 0.0,
    ) -> None:
        if not callable(latency_s):
            latency_s = not_negative("latency_s", latency_s)
        self._corpus = corpus
        self._host, self._port = host, port
        self._latency_s = latency_s
        self._served: Served | None = None

    @property
    def url(self) -> str:
        """The address of the site, such as ``"http://127.0.0.1:8000"``.

        Raises:
            InvalidConfiguration: The site is not started, or was closed.
        """
        if self._served is None:
            raise InvalidConfiguration("the site has no address before start() or after close()")
        return self._served.address

    def start(self) -> Self:
        """Begin to serve, and return the site itself.

        Raises:
            DependencyNotInstalled: The extra ``servers`` is missing.
            InvalidConfiguration: The server cannot listen on this address and port.
        """
        if self._served is None:
            self._served = Served(self._serve, host=self._host, port=self._port)
        return self

    def close(self) -> None:
        """Stop to serve, and close all connections. Idempotent."""
        served, self._served = self._served, None
        if served is not None:
            served.close()

    def __enter__(self) -> Self:
        return self.start()

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        from starlette.requests import Request

        response = await self._answer(Request(scope))
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        from starlette.responses import Response

        if request.method not in ("GET", "HEAD"):
            return Response("Only GET and HEAD are answered.\n", 405, {"Allow": "GET, HEAD"})
        path, arguments = request.scope["path"], request.query_params
        if path == "/":
            return _html(page_html.main_page([page.title for page in self._corpus]))
        if path == "/w/index.php" and "search" in arguments:
            return await self._search(arguments["search"])
        if path == "/w/index.php" and "title" in arguments:
            return await self._article(arguments["title"])
        if path.startswith("/wiki/"):
            return await self._article(path.removeprefix("/wiki/"))
        return _html(page_html.missing(path), 404)

    async def _search(self, text: str) -> Response:
        from starlette.responses import RedirectResponse

        page = self._corpus.find(text)
        if page is not None:
            return RedirectResponse(title_path(text if text in self._corpus.redirects else page.title), 302)
        fetched = await asyncio.to_thread(self._corpus.fetch, text)
        found = (self._corpus.find(title) for title in fetched.similar)
        await self._delay(text)
        return _html(page_html.results(text, [page for page in found if page is not None]))

    async def _article(self, name: str) -> Response:
        spaced = name.replace("_", " ")  # in addresses MediaWiki writes underscores for spaces
        page = self._corpus.find(name) or self._corpus.find(spaced)
        if page is None:
            return _html(page_html.missing(spaced), 404)
        await self._delay(page.title)
        redirect = next((each for each in (name, spaced) if each in self._corpus.redirects), page.title)
        return _html(page_html.article(page, name=page.title if page.title in (name, spaced) else redirect))

    async def _delay(self, title: str) -> None:
        await asyncio.sleep(self._latency_s(title) if callable(self._latency_s) else self._latency_s)


def _html(text: str, status: int = 200) -> Response:
    from starlette.responses import HTMLResponse

    # Texts of a corpus may contain lone surrogates, which UTF-8 cannot encode.
    return HTMLResponse(text.encode("utf-8", "replace"), status)
