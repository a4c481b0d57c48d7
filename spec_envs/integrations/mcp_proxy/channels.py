"""Connections to the client and to the servers, whatever carries the messages.

A connection buffers what the other side has not read yet. ``Flow`` keeps the buffers small: it has the proxy stop
reading from whoever sends to a side that does not read.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
import sys
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Protocol

from spec_envs.extras import needed
from spec_envs.integrations.mcp_proxy.flow import MUCH
from spec_envs.integrations.mcp_proxy.lines import Lines, Message, Receive, encoded, note

_CHUNK = 256 * 1024
#: For how long a client that does not read is waited for at the end.
_GRACE_S = 2.0


class Channel(Protocol):
    """A connection that carries messages both ways.

    Attributes:
        on_flow: Called when the ``backlog`` is much, and when it has become little again.
    """

    on_flow: Callable[[], None]

    def send(self, message: Message, line: bytes | None = None) -> None:
        """Send a message, which stands on ``line`` if that is given.

        Raises:
            OSError: The other side is gone.
            ValueError: The channel cannot carry the message.
        """

    async def read(self, receive: Receive) -> None:
        """Call ``receive`` with each message, until the other side is gone; to be called once."""

    @property
    def backlog(self) -> int:
        """The number of bytes that were sent, and that the other side has no room for yet."""
        ...

    def hold(self, held: bool) -> None:
        """Read nothing more until ``held`` is false again."""

    async def close(self) -> None:
        """End the connection. Idempotent."""


def nothing() -> None:
    """What ``on_flow`` does until somebody sets it."""


class StandardStreams:
    """The client, on this process's standard input and output, which nothing else may use from now on."""

    def __init__(self) -> None:
        self.on_flow: Callable[[], None] = nothing
        self._in = sys.stdin.fileno()
        self._is_one_socket = os.path.samestat(os.fstat(self._in), os.fstat(sys.stdout.fileno()))
        self._out = _Output(_taken(sys.stdout.fileno()), lambda: self.on_flow())
        self._lines: Lines | None = None
        self._may_read = threading.Event()  # for a thread
        self._may_read.set()
        self._is_held = False

    @property
    def backlog(self) -> int:
        """The number of bytes that the client has no room for yet."""
        return self._out.backlog

    def send(self, message: Message, line: bytes | None = None) -> None:
        """Send a message."""
        self._out.write(line or encoded(message))
        if self._out.backlog > MUCH:
            self.on_flow()

    async def read(self, receive: Receive) -> None:
        """Call ``receive`` with each message, until the client is gone."""
        loop = asyncio.get_running_loop()
        try:
            loop.add_reader(self._in, self._feed)
        except (OSError, NotImplementedError):  # a file, for example: an event loop cannot wait for it
            self._lines = Lines("the client", receive, self._let_thread_read)
            threading.Thread(target=self._feed_from_thread, args=(loop,), name="mcp-client", daemon=True).start()
            await self._lines.ended
            return
        self._lines = Lines("the client", receive, self._set_reading)
        try:
            await self._lines.ended
        finally:
            loop.remove_reader(self._in)

    def _set_reading(self, reads: bool) -> None:
        loop = asyncio.get_running_loop()
        if reads:
            loop.add_reader(self._in, self._feed)
        else:
            loop.remove_reader(self._in)

    def _feed(self) -> None:
        assert self._lines is not None
        self._lines.feed(_read(self._in))

    def _let_thread_read(self, reads: bool) -> None:
        (self._may_read.set if reads else self._may_read.clear)()

    def _feed_from_thread(self, loop: asyncio.AbstractEventLoop) -> None:
        assert self._lines is not None
        with contextlib.suppress(RuntimeError):  # the loop is closed
            data = b"-"
            while data:
                self._may_read.wait()
                data = _read(self._in)
                loop.call_soon_threadsafe(self._lines.feed, data)

    def hold(self, held: bool) -> None:
        """Read nothing more until ``held`` is false again. A client that is gone meanwhile is noticed."""
        if held is self._is_held or self._lines is None:
            return
        self._is_held = held
        self._lines.hold(held)
        if not self._is_one_socket:  # which has something to read whenever the client writes
            self._out.watch(self._lines.end if held else None)

    async def close(self) -> None:
        """Write what is left; the streams end with the process."""
        await self._out.close()


def _read(descriptor: int) -> bytes:
    """The bytes that have come; none at the end, or if nothing can be read any more."""
    try:
        return os.read(descriptor, _CHUNK)
    except OSError:
        return b""


def _taken(descriptor: int) -> int:
    """A copy of ``descriptor``, which itself leads to standard error from now on: no stray print reaches the client."""
    copy = os.dup(descriptor)
    os.dup2(sys.stderr.fileno(), descriptor)
    return copy


class _Output:
    """A descriptor to write to. A reader that does not read does not block the event loop.

    Args:
        descriptor: Where to write.
        on_written: Called when all is written that had to wait.
    """

    def __init__(self, descriptor: int, on_written: Callable[[], None]) -> None:
        self._descriptor = descriptor
        self._on_written = on_written
        self._loop = asyncio.get_running_loop()
        self._rest = bytearray()
        self._is_written = asyncio.Event()
        self._is_written.set()
        self._on_gone: Callable[[], None] | None = None
        mode = os.fstat(descriptor).st_mode
        self._is_pipe = stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)
        if self._is_pipe:
            os.set_blocking(descriptor, False)

    @property
    def backlog(self) -> int:
        """The number of bytes that there is no room for yet."""
        return len(self._rest)

    def write(self, data: bytes) -> None:
        """Write ``data`` now, or as soon as there is room."""
        if self._rest:
            self._rest += data
        elif len(data) > (num_written := self._written(data)):
            self._rest += data[num_written:]
            self._is_written.clear()
            self._loop.add_writer(self._descriptor, self._go_on)

    def _written(self, data: bytes | bytearray) -> int:
        """Write as much as there is room for, and return the number of bytes."""
        done = 0
        with memoryview(data) as view, contextlib.suppress(BlockingIOError):
            while done < len(view):
                done += os.write(self._descriptor, view[done:])
        return done

    def _go_on(self) -> None:
        try:
            del self._rest[: self._written(self._rest)]
        except OSError:  # the reader is gone
            self._rest.clear()
        if not self._rest:
            self._is_written.set()
            self._loop.remove_writer(self._descriptor)
            self._on_written()

    def watch(self, on_gone: Callable[[], None] | None) -> None:
        """Call ``on_gone`` once nobody can read any more what is written; ``None``: watch no more."""
        if self._on_gone is not None:
            self._loop.remove_reader(self._descriptor)
        self._on_gone = on_gone if self._is_pipe else None
        if self._on_gone is not None:
            self._loop.add_reader(self._descriptor, self._end_watch)

    def _end_watch(self) -> None:
        on_gone = self._on_gone
        self.watch(None)
        if on_gone is not None:
            on_gone()

    async def close(self) -> None:
        """Write what is left, as far as somebody reads."""
        self.watch(None)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._is_written.wait(), _GRACE_S)
        if self._is_pipe:
            self._loop.remove_writer(self._descriptor)
            os.set_blocking(self._descriptor, True)  # others may have the same pipe


class Streams:
    """A transport of the ``mcp`` package as a channel: a pair of streams of ``SessionMessage``."""

    def __init__(self, received: Any, sent: Any) -> None:
        self.on_flow: Callable[[], None] = nothing
        self._received = received
        self._sent = sent
        self._outgoing: asyncio.Queue[tuple[Any, int]] = asyncio.Queue()
        self._backlog = 0
        self._may_read = asyncio.Event()
        self._may_read.set()
        self._sender = asyncio.create_task(self._send_all())

    @classmethod
    @contextlib.asynccontextmanager
    async def to_url(cls, url: str, headers: Mapping[str, str]) -> AsyncIterator[Streams]:
        """A server that is reached by streamable HTTP."""
        with needed("a server by HTTP behind `spec-envs mcp-proxy`", "mcp"):
            from mcp.client.streamable_http import streamable_http_client
            from mcp.shared._httpx_utils import create_mcp_http_client
            from mcp.types import jsonrpc_message_adapter  # noqa: F401  (``send`` needs it; version 1 does not have it)

        async with create_mcp_http_client(headers=dict(headers)) as client:
            async with streamable_http_client(url, http_client=client) as (received, sent, *_):
                streams = cls(received, sent)
                try:
                    yield streams
                finally:
                    await streams.close()

    @property
    def backlog(self) -> int:
        """The number of bytes that were not sent yet."""
        return self._backlog

    def send(self, message: Message, line: bytes | None = None) -> None:
        """Send a message, after those before."""
        from mcp.shared.message import SessionMessage
        from mcp.types import jsonrpc_message_adapter

        if self._sender.done():
            raise ConnectionError("the other side is gone")
        size = len(line or encoded(message))
        self._outgoing.put_nowait((SessionMessage(jsonrpc_message_adapter.validate_python(message)), size))
        self._backlog += size
        if self._backlog > MUCH:
            self.on_flow()

    async def _send_all(self) -> None:
        import anyio

        with contextlib.suppress(anyio.ClosedResourceError, anyio.BrokenResourceError):
            while True:
                item, size = await self._outgoing.get()
                await self._sent.send(item)
                was_much = self._backlog > MUCH
                self._backlog -= size
                if was_much and self._backlog <= MUCH:
                    self.on_flow()

    async def read(self, receive: Receive) -> None:
        """Call ``receive`` with each message, until the other side is gone, or does not read any more."""
        reader = asyncio.create_task(self._read(receive))
        try:
            await asyncio.wait((reader, self._sender), return_when=asyncio.FIRST_COMPLETED)
            if reader.done():
                reader.result()
        finally:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)

    async def _read(self, receive: Receive) -> None:
        import anyio

        with contextlib.suppress(anyio.ClosedResourceError):
            async for item in self._received:
                await self._may_read.wait()
                if isinstance(item, Exception):
                    note(f"a message could not be read: {item!r}")
                    continue
                receive(item.message.model_dump(by_alias=True, mode="json", exclude_unset=True), None)
                await asyncio.sleep(0)  # tasks that wait for this message go on before the next one

    def hold(self, held: bool) -> None:
        """Read nothing more until ``held`` is false again."""
        (self._may_read.clear if held else self._may_read.set)()

    async def close(self) -> None:
        """Close both ways."""
        self._sender.cancel()
        await asyncio.gather(self._sender, return_exceptions=True)
        await self._sent.aclose()
