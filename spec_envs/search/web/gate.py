"""A gate between one browser and the web: a proxy on this machine that lets allowed requests through.

The browser is started so that all requests of all pages go to its gate: pages, frames, images, scripts. The
``WebClient`` makes a ``GET`` to an allowed site, within its bounds, and follows redirects; only HTML is passed on, as
UTF-8, so that the browser shows what a reader without a browser reads; the gate keeps the text of the page, since a
browser's repairs of broken markup differ from those of the parser here. An ``https`` connection to an allowed site is
forwarded, up to a number of bytes. All other requests are refused. Between loads the gate is shut.
"""

import asyncio
import contextlib
import urllib.parse
from collections.abc import Callable

from spec_envs.errors import HandlerFailed
from spec_envs.search.web.answers import without_refresh
from spec_envs.search.web.client import WebClient
from spec_envs.search.web.mediawiki import check_number_of_tags

#: Seconds that the browser has for the head of a request.
_HEAD_S = 10.0
#: How many requests one load may make.
_MAX_REQUESTS = 200
#: How many bytes an ``https`` page may load in all, as a multiple of the largest page.
_PAGES_IN_A_TUNNEL = 4
_CHUNK = 65536


class Gate:
    """A proxy for one browser. Its coroutines and methods must run on the client's event loop."""

    def __init__(self, client: WebClient) -> None:
        self._failures: dict[str, HandlerFailed] = {}
        self._client = client
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._requests_left = 0
        self._bytes_left = 0
        self._on_page: Callable[[], None] | None = None
        self._page: tuple[str, str] | None = None  # address and text of the first page since the gate was opened

    async def start(self) -> int:
        """Start to listen, and return the port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def open(self, on_page: Callable[[], None] | None = None) -> None:
        """Allow the requests of one load; ``on_page`` is called when the browser has the page, or a tunnel to it."""
        self._on_page = on_page
        self._page = None
        self._failures.clear()
        self._requests_left = _MAX_REQUESTS
        self._bytes_left = _PAGES_IN_A_TUNNEL * self._client.settings.max_bytes

    def failure_of(self, url: str) -> HandlerFailed | None:
        """Why ``url`` was refused since the gate was last opened; ``None`` if it was not refused."""
        parts = urllib.parse.urlsplit(url)
        names = (url, f"{parts.hostname}:{parts.port or 443}")  # of an encrypted request only the host is known
        return next((self._failures[name] for name in names if name in self._failures), None)

    def text_of(self, url: str) -> str | None:
        """The text of the page ``url``, as it came; ``None`` if it went through a tunnel."""
        return self._page[1] if self._page is not None and self._page[0] == url else None

    def _delivered(self) -> None:
        on_page, self._on_page = self._on_page, None
        if on_page is not None:
            on_page()

    def shut(self) -> None:
        """End the connections, and refuse all requests until the gate is opened again."""
        self._requests_left = self._bytes_left = 0
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
            await self._answer(head.split(b"\r\n", 1)[0].decode("latin-1"), reader, writer)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # the browser has ended, or sent something that is not HTTP
        except asyncio.CancelledError:
            pass  # the gate was shut; asyncio would otherwise report that the task failed
        finally:
            self._connections.discard(task)
            writer.close()
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _answer(self, line: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        method, _, rest = line.partition(" ")
        target = rest.rpartition(" ")[0]
        if self._requests_left <= 0:
            return
        self._requests_left -= 1
        try:
            if method == "CONNECT":
                self._client.check(f"https://{target}")
                await self._tunnel(target, reader, writer)
            elif method == "GET":
                await self._pass_on(target, writer)
            else:
                raise HandlerFailed(f"only GET is allowed, not {method[:20]} {target[:200]}")
        except HandlerFailed as error:
            self._failures.setdefault(target, error)
            await self._reply(writer, 403, "text/plain", b"refused")

    async def _pass_on(self, url: str, writer: asyncio.StreamWriter) -> None:
        # Redirects are followed, and texts decoded, as without a browser, so that the same page is shown.
        answer = await self._client.follow(url)
        answer.check_page()
        text = answer.text()
        check_number_of_tags(answer.url, text)
        self._page = self._page or (url, text)
        await self._reply(writer, 200, "text/html; charset=utf-8", without_refresh(text).encode())
        self._delivered()

    async def _reply(self, writer: asyncio.StreamWriter, status: int, kind: str, body: bytes) -> None:
        lines = (f"HTTP/1.1 {status} -", f"content-length: {len(body)}", f"content-type: {kind}", "connection: close")
        writer.write("\r\n".join((*lines, "cache-control: no-store", "", "")).encode("latin-1") + body)
        await writer.drain()

    async def _tunnel(self, target: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        parts = urllib.parse.urlsplit(f"//{target}")
        try:
            async with asyncio.timeout(self._client.settings.timeout_s):
                far_reader, far_writer = await asyncio.open_connection(parts.hostname, parts.port)
        except (OSError, TimeoutError) as error:
            raise HandlerFailed(f"cannot connect to {target}: {error!r}") from error
        try:
            writer.write(b"HTTP/1.1 200 -\r\n\r\n")
            self._delivered()
            await asyncio.gather(self._copy(reader, far_writer), self._copy(far_reader, writer))
        finally:
            far_writer.close()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (chunk := await reader.read(_CHUNK)) and self._bytes_left > 0:
            self._bytes_left -= len(chunk)
            writer.write(chunk)
            await writer.drain()
        writer.close()
