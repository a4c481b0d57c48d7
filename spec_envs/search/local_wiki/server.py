"""A web server that shows a corpus as a MediaWiki site does, for the ``http`` and ``browser`` backends.

A search redirects to the article of that name if there is one, and otherwise lists similar titles. The server answers
``GET`` and ``HEAD`` only, and by default listens on this machine's own address.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

from spec_envs.errors import InvalidConfiguration
from spec_envs.extras import needed
from spec_envs.search.corpus import Corpus
from spec_envs.search.local_wiki import page_html
from spec_envs.search.web.mediawiki import title_path

if TYPE_CHECKING:
    from werkzeug.serving import ThreadedWSGIServer
    from werkzeug.wrappers import Request, Response


class WikiSite:
    """Serves ``corpus`` over HTTP from background threads, between ``start`` and ``close`` or in a ``with`` block.

    Args:
        corpus: The pages and redirects.
        host: The address to listen on.
        port: The port; 0 takes a free port.
        latency_s: How long a page takes in seconds; or a function that returns this time for the title of a page, or
            for the text of a search that finds no article. Redirects and missing pages are not delayed.

    Raises:
        InvalidConfiguration: ``latency_s`` or ``port`` is out of range.
    """

    def __init__(
        self,
        corpus: Corpus,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        latency_s: float | Callable[[str], float] = 0.0,
    ) -> None:
        if not callable(latency_s) and not 0 <= latency_s < float("inf"):
            raise InvalidConfiguration(f"latency_s must be at least 0 and finite, not {latency_s!r}")
        if not 0 <= port <= 65535:
            raise InvalidConfiguration(f"port must lie in [0, 65535], not {port!r}")
        self._corpus = corpus
        self._address = (host, port)
        self._latency_s = latency_s
        self._server: ThreadedWSGIServer | None = None
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()

    @property
    def url(self) -> str:
        """The address of the site, such as ``"http://127.0.0.1:8000"``.

        Raises:
            InvalidConfiguration: The site is not started, or was closed.
        """
        if self._server is None:
            raise InvalidConfiguration("the site has no address before start() or after close()")
        host = self._address[0]
        return f"http://{f'[{host}]' if ':' in host else host}:{self._server.port}"

    def start(self) -> Self:
        """Begin to serve, and return the site itself.

        Raises:
            DependencyNotInstalled: Werkzeug is missing.
            InvalidConfiguration: The server cannot listen on this address and port.
        """
        if self._server is None:
            self._closing.clear()
            self._server = _server(*self._address, self.answer)
            self._thread = threading.Thread(
                target=self._server.serve_forever, args=(0.05,), name="wiki-site", daemon=True
            )
            self._thread.start()
        return self

    def close(self) -> None:
        """Stop to serve, and close all connections. Idempotent."""
        server, self._server = self._server, None
        if server is not None and self._thread is not None:
            self._closing.set()
            server.shutdown()
            self._thread.join()
            server.server_close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def answer(self, request: Request) -> Response:
        """The response to ``request``."""
        from werkzeug.wrappers import Response

        if request.method not in ("GET", "HEAD"):
            return Response("Only GET and HEAD are answered.\n", 405, {"Allow": "GET, HEAD"})
        path, arguments = request.path, request.args
        if path == "/":
            return _html(page_html.main_page([page.title for page in self._corpus]))
        if path == "/w/index.php" and "search" in arguments:
            return self._search(arguments["search"])
        if path == "/w/index.php" and "title" in arguments:
            return self._article(arguments["title"])
        if path.startswith("/wiki/"):
            return self._article(path.removeprefix("/wiki/"))
        return _html(page_html.missing(path), 404)

    def _search(self, text: str) -> Response:
        from werkzeug.utils import redirect

        page = self._corpus.find(text)
        if page is not None:
            return redirect(title_path(text if text in self._corpus.redirects else page.title))
        found = (self._corpus.find(title) for title in self._corpus.fetch(text).similar)
        self._delay(text)
        return _html(page_html.results(text, [page for page in found if page is not None]))

    def _article(self, name: str) -> Response:
        spaced = name.replace("_", " ")  # in addresses MediaWiki writes underscores for spaces
        page = self._corpus.find(name) or self._corpus.find(spaced)
        if page is None:
            return _html(page_html.missing(spaced), 404)
        self._delay(page.title)
        redirect = next((each for each in (name, spaced) if each in self._corpus.redirects), page.title)
        return _html(page_html.article(page, name=page.title if page.title in (name, spaced) else redirect))

    def _delay(self, title: str) -> None:
        self._closing.wait(self._latency_s(title) if callable(self._latency_s) else self._latency_s)


def _html(text: str, status: int = 200) -> Response:
    from werkzeug.wrappers import Response

    # Texts of a corpus may contain lone surrogates, which UTF-8 cannot encode.
    return Response(text.encode("utf-8", "replace"), status, content_type="text/html; charset=UTF-8")


def _server(host: str, port: int, answer: Callable[[Request], Response]) -> ThreadedWSGIServer:
    with needed("the local wiki", "wiki"):
        from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler
        from werkzeug.wrappers import Request

    class Handler(WSGIRequestHandler):
        disable_nagle_algorithm = True  # otherwise a body may wait 40 ms for the acknowledgement of its header

        def log(self, *_: object) -> None:
            pass

    class Server(ThreadedWSGIServer):
        daemon_threads = False  # so that server_close() waits for the threads

        def __init__(self, *args: Any) -> None:
            self._open: set[socket.socket] = set()
            super().__init__(host, port, *args)

        def process_request(self, request: Any, client_address: Any) -> None:
            self._open.add(request)
            super().process_request(request, client_address)

        def shutdown_request(self, request: Any) -> None:
            self._open.discard(request)
            super().shutdown_request(request)

        def server_close(self) -> None:
            for connection in tuple(self._open):  # to wake the threads that wait for a slow client
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            super().server_close()

        def handle_error(self, request: Any, client_address: Any) -> None:
            pass  # the client has closed the connection

    @Request.application
    def application(request: Request) -> Response:
        return answer(request)

    # If Werkzeug opened the socket, it would end the program on failure.
    try:
        listening = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise InvalidConfiguration(f"the wiki cannot listen at {host}:{port}: {error.strerror}") from error
    with listening:
        return Server(application, Handler, False, None, listening.fileno())
