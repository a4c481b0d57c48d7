"""A gate between one browser and the web: a proxy on this machine that lets allowed requests through.

The browser sends all requests of all pages to its gate: pages, frames, images, scripts. For each load the ``WebClient``
requests one page of an allowed site with ``GET``, within its bounds, and follows redirects. The gate passes on nothing
but HTML, as UTF-8, so the browser shows the text that a reader without a browser reads. The gate also keeps the text of
the page, since a browser repairs broken markup in other ways than the parser here. All other requests are refused.
Between loads the gate is shut.

The gate could not read requests that the browser encrypts. So the browser knows an ``https`` site by an ``http``
address that only the gate understands, and the client makes the encrypted request.
"""

import asyncio
import contextlib
import urllib.parse
from collections.abc import Callable, Mapping

from spec_envs.errors import HandlerFailed, InvalidConfiguration
from spec_envs.search.web.answers import without_refresh
from spec_envs.search.web.client import WebClient, origin_of
from spec_envs.search.web.mediawiki import check_number_of_tags

#: Seconds that the browser has for the head of a request.
_HEAD_S = 10.0


class Gate:
    """A proxy for one browser. Its coroutines and methods must run on the client's event loop."""

    def __init__(self, client: WebClient) -> None:
        self._failures: dict[str, HandlerFailed] = {}
        self._client = client
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._is_open = False
        self._wanted: str | None = None  # the address of the page, until it is asked for
        self._on_page: Callable[[], None] | None = None
        self._page: tuple[str, str] | None = None  # its address and text
        encrypted = (origin for origin in sorted(client.origins) if origin.startswith("https:"))
        # Names that end in "invalid" are nobody's.
        self._encrypted = {f"http://https-{number}.invalid:80": origin for number, origin in enumerate(encrypted)}

    async def start(self) -> int:
        """Start to listen, and return the port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def open(self, url: str, on_page: Callable[[], None] | None = None) -> None:
        """Allow one request, for the page ``url``; ``on_page`` is called when the browser has the page."""
        self._on_page = on_page
        self._page = None
        self._failures.clear()
        self._is_open, self._wanted = True, self.outside(url)

    def failure_of(self, url: str) -> HandlerFailed | None:
        """Why ``url`` was refused since the gate was last opened; ``None`` if it was not refused."""
        return self._failures.get(self.outside(url))

    def text_of(self, url: str) -> str | None:
        """The text of ``url`` as it came, if this is the page that was loaded last; otherwise ``None``."""
        return self._page[1] if self._page is not None and self._page[0] == self.outside(url) else None

    def inside(self, url: str) -> str:
        """The address by which the browser knows the page ``url``."""
        return _moved(url, {origin: name for name, origin in self._encrypted.items()})

    def outside(self, url: str) -> str:
        """The address, with its port, of the page that the browser knows by the address ``url``."""
        return _moved(url, self._encrypted)

    def _delivered(self) -> None:
        on_page, self._on_page = self._on_page, None
        if on_page is not None:
            on_page()

    def shut(self) -> None:
        """End the connections, and refuse all requests until the gate is opened again."""
        self._is_open = False
        for connection in self._connections:
            connection.cancel()

    async def close(self) -> None:
        """Stop listening, and close the connections. Idempotent."""
        self.shut()
        if self._server is not None:
            self._server.close()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            async with asyncio.timeout(_HEAD_S):
                head = await reader.readuntil(b"\r\n\r\n")
            await self._answer(head.split(b"\r\n", 1)[0].decode("latin-1"), writer)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # the browser has ended, or sent something that is not HTTP
        except asyncio.CancelledError:
            pass  # the gate was shut; asyncio would otherwise report that the task failed
        finally:
            self._connections.discard(task)
            writer.close()
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _answer(self, line: str, writer: asyncio.StreamWriter) -> None:
        method, _, rest = line.partition(" ")
        target = self.outside(rest.rpartition(" ")[0])
        if not self._is_open:
            return
        try:
            if method != "GET":
                raise HandlerFailed(f"only GET is allowed, not {method[:20]} {target[:200]}")
            self._client.check(target)
            if target == self._wanted:
                self._wanted = None
                await self._pass_on(target, writer)
            else:  # a part of this page or of the last one, such as an icon, of which nothing is read
                await self._reply(writer, 403, "text/plain", b"refused")
        except HandlerFailed as error:
            self._failures.setdefault(target, error)
            await self._reply(writer, 403, "text/plain", b"refused")

    async def _pass_on(self, url: str, writer: asyncio.StreamWriter) -> None:
        # Redirects are followed, and texts decoded, as without a browser, so that the same page is shown.
        answer = await self._client.follow(url)
        answer.check_page()
        text = answer.text()
        check_number_of_tags(answer.url, text)
        self._page = url, text
        await self._reply(writer, 200, "text/html; charset=utf-8", without_refresh(text).encode())
        self._delivered()

    async def _reply(self, writer: asyncio.StreamWriter, status: int, kind: str, body: bytes) -> None:
        lines = (f"HTTP/1.1 {status} -", f"content-length: {len(body)}", f"content-type: {kind}", "connection: close")
        writer.write("\r\n".join((*lines, "cache-control: no-store", "", "")).encode("latin-1") + body)
        await writer.drain()


def _moved(url: str, origins: Mapping[str, str]) -> str:
    """``url`` with the origin that stands in ``origins`` in place of its own; unchanged if it is of no web page."""
    try:
        origin = origin_of(url)
    except InvalidConfiguration:
        return url
    parts = urllib.parse.urlsplit(url)
    return origins.get(origin, origin) + url[len(f"{parts.scheme}://{parts.netloc}") :]
