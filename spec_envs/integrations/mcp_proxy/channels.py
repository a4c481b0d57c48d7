"""Connections to the client and to the servers: JSON-RPC messages as mappings, whatever carries them.

A message that was read comes with the line that it stood on, if it stood on a line: whoever passes the message on
unchanged passes on the line, so that no byte of it differs and nothing is encoded anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import stat
import sys
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Protocol

from spec_envs.errors import InvalidConfiguration
from spec_envs.extras import needed

Message = dict[str, Any]
#: Called with a message, and with the line that it stood on, if it stood on a line.
Receive = Callable[[Message, bytes | None], None]

#: A line may hold a file or a picture.
_MAX_LINE = 256 * 1024 * 1024
_CHUNK = 256 * 1024
_GRACE_S = 2.0


class Channel(Protocol):
    """A connection that carries messages both ways."""

    def send(self, message: Message, line: bytes | None = None) -> None:
        """Send a message, which stands on ``line`` if that is given.

        Raises:
            OSError: The other side is gone.
            ValueError: The channel cannot carry the message.
        """

    async def read(self, receive: Receive) -> None:
        """Call ``receive`` with each message, until the other side is gone; to be called once."""

    async def close(self) -> None:
        """End the connection. Idempotent."""


def _encoded(message: Message) -> bytes:
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass") + b"\n"


def _decoded(line: bytes, source: str) -> Message | None:
    """The message on a line; ``None``, and a note, for any other line: some servers print other text, too."""
    try:
        message = json.loads(line)
    except ValueError:
        message = None
    if isinstance(message, dict):
        return message
    if line.strip():
        note(f"{source} sent a line that is no message: {line[:200]!r}")
    return None


def note(text: str) -> None:
    """Print ``text`` for the person who runs the proxy, on standard error: standard output belongs to the client."""
    with contextlib.suppress(OSError, ValueError):
        print(f"spec-envs mcp-proxy: {text}", file=sys.stderr, flush=True)  # noqa: T201


class Lines:
    """Finds the lines in bytes that come in pieces, and the message on each line.

    Of several messages that come at once, each is received in a turn of the event loop of its own: tasks that wait for
    one of them go on before the next one.

    Args:
        source: Who sends the lines.
        receive: Called with each message.
    """

    def __init__(self, source: str, receive: Receive) -> None:
        self._source = source
        self._receive = receive
        self._loop = asyncio.get_running_loop()
        self._begun = bytearray()  # a line without its end
        self._waiting: list[bytes] = []  # whole lines, the next one last
        #: Done when no message follows; its exception is what ``receive`` has raised.
        self.ended: asyncio.Future[None] = self._loop.create_future()
        self._is_over = False

    def feed(self, data: bytes) -> None:
        """Bytes have come; no bytes: the end has come."""
        is_busy = bool(self._waiting)
        if not data:
            self._is_over = True
            data = b"\n"  # the last line may have no end
        *whole, rest = data.split(b"\n")
        if whole:
            whole[0] = bytes(self._begun) + whole[0]
            self._waiting[:0] = reversed(whole)
            self._begun.clear()
        self._begun += rest
        if len(self._begun) > _MAX_LINE:
            self._end(ValueError(f"{self._source} sent a line of more than {_MAX_LINE} bytes"))
        elif not is_busy:
            self._go_on()

    def _go_on(self) -> None:
        """Receive the next message."""
        message = None
        try:
            while self._waiting and message is None:
                line = self._waiting.pop()
                if (message := _decoded(line, self._source)) is not None:
                    self._receive(message, line + b"\n")
        except Exception as error:
            self._waiting.clear()
            self._end(error)
        if self._waiting:
            self._loop.call_soon(self._go_on)
        elif self._is_over:
            self._end(None)

    def _end(self, error: Exception | None) -> None:
        if self.ended.done():
            return
        if error is None:
            self.ended.set_result(None)
        else:
            self.ended.set_exception(error)


class _Pipes(asyncio.SubprocessProtocol):
    """The output of a server's process, and whether the process has ended."""

    def __init__(self) -> None:
        self.lines: Lines | None = None
        self.exited: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._early: list[bytes] = []

    def read_into(self, lines: Lines) -> None:
        """Have ``lines`` get the output of the process."""
        self.lines = lines
        for data in self._early:
            lines.feed(data)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """The process has written something; no bytes: its output has ended."""
        if self.lines is None:
            self._early.append(data)
        else:
            self.lines.feed(data)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        """A pipe has ended."""
        if fd == 1:
            self.pipe_data_received(fd, b"")

    def process_exited(self) -> None:
        """The process has ended."""
        self.exited.set_result(None)


class Child:
    """A server that runs as a process of its own, on its standard input and output."""

    def __init__(self, process: asyncio.SubprocessTransport, pipes: _Pipes, name: str) -> None:
        self._process = process
        self._pipes = pipes
        self._name = name
        self._in: Any = process.get_pipe_transport(0)

    @classmethod
    @contextlib.asynccontextmanager
    async def of(
        cls, name: str, command: Sequence[str], env: Mapping[str, str], cwd: str | None
    ) -> AsyncIterator[Child]:
        """The server ``name``, which runs inside of the ``async with``.

        Raises:
            InvalidConfiguration: The command cannot be started.
        """
        try:
            process, pipes = await asyncio.get_running_loop().subprocess_exec(
                _Pipes, *command, stderr=None, env={**os.environ, **env}, cwd=cwd
            )
        except (OSError, ValueError) as error:
            raise InvalidConfiguration(f"the server {name!r} cannot be started: {' '.join(command)}: {error}") from None
        child = cls(process, pipes, name)
        try:
            yield child
        finally:
            await child.close()

    def send(self, message: Message, line: bytes | None = None) -> None:
        """Send a message."""
        self._in.write(line or _encoded(message))
        if self._in.is_closing():
            raise ConnectionError("the server does not read any more")

    async def read(self, receive: Receive) -> None:
        """Call ``receive`` with each message, until the output of the server ends."""
        lines = Lines(f"the server {self._name!r}", receive)
        self._pipes.read_into(lines)
        await lines.ended

    async def close(self) -> None:
        """End the server: close its input, then ask it to end, then kill it."""
        self._in.close()
        try:
            for end in (None, self._process.terminate, self._process.kill):
                with contextlib.suppress(ProcessLookupError):
                    if end is not None:
                        end()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(asyncio.shield(self._pipes.exited), _GRACE_S)
                    return
        finally:
            self._process.close()


class StandardStreams:
    """The client, on this process's standard input and output, which nothing else may use from now on."""

    def __init__(self) -> None:
        self._out = _Output(_taken(sys.stdout.fileno()))

    def send(self, message: Message, line: bytes | None = None) -> None:
        """Send a message."""
        self._out.write(line or _encoded(message))

    async def read(self, receive: Receive) -> None:
        """Call ``receive`` with each message, until the client is gone."""
        lines, loop, descriptor = Lines("the client", receive), asyncio.get_running_loop(), sys.stdin.fileno()

        def feed() -> None:
            lines.feed(_read(descriptor))

        def feed_from_thread() -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                while data := _read(descriptor):
                    loop.call_soon_threadsafe(lines.feed, data)
                loop.call_soon_threadsafe(lines.feed, b"")

        try:
            loop.add_reader(descriptor, feed)
        except (OSError, NotImplementedError):  # a file, for example: an event loop cannot wait for it
            threading.Thread(target=feed_from_thread, name="mcp-client", daemon=True).start()
            await lines.ended
            return
        try:
            await lines.ended
        finally:
            loop.remove_reader(descriptor)

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
    """A descriptor to write to. A reader that does not read does not block the event loop."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._loop = asyncio.get_running_loop()
        self._rest = bytearray()
        self._is_written = asyncio.Event()
        self._is_written.set()
        mode = os.fstat(descriptor).st_mode
        self._is_pipe = stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)
        if self._is_pipe:
            os.set_blocking(descriptor, False)

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

    async def close(self) -> None:
        """Write what is left, as far as somebody reads."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._is_written.wait(), _GRACE_S)
        if self._is_pipe:
            self._loop.remove_writer(self._descriptor)
            os.set_blocking(self._descriptor, True)  # others may have the same pipe


class Streams:
    """A transport of the ``mcp`` package as a channel: a pair of streams of ``SessionMessage``."""

    def __init__(self, received: Any, sent: Any) -> None:
        self._received = received
        self._sent = sent
        self._outgoing: asyncio.Queue[Any] = asyncio.Queue()
        self._sender = asyncio.create_task(self._send_all())

    @classmethod
    @contextlib.asynccontextmanager
    async def to_url(cls, url: str, headers: Mapping[str, str]) -> AsyncIterator[Streams]:
        """A server that is reached by streamable HTTP."""
        with needed("a server by HTTP behind `spec-envs mcp-proxy`", "mcp"):
            from mcp.client.streamable_http import streamable_http_client
            from mcp.shared._httpx_utils import create_mcp_http_client

        async with create_mcp_http_client(headers=dict(headers)) as client:
            async with streamable_http_client(url, http_client=client) as (received, sent, *_):
                yield cls(received, sent)

    def send(self, message: Message, line: bytes | None = None) -> None:
        """Send a message, after those before."""
        from mcp.shared.message import SessionMessage
        from mcp.types import jsonrpc_message_adapter

        if self._sender.done():
            raise ConnectionError("the other side is gone")
        self._outgoing.put_nowait(SessionMessage(jsonrpc_message_adapter.validate_python(message)))

    async def _send_all(self) -> None:
        import anyio

        with contextlib.suppress(anyio.ClosedResourceError, anyio.BrokenResourceError):
            while True:
                await self._sent.send(await self._outgoing.get())

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
                if isinstance(item, Exception):
                    note(f"a message could not be read: {item!r}")
                    continue
                receive(item.message.model_dump(by_alias=True, mode="json", exclude_unset=True), None)
                await asyncio.sleep(0)  # tasks that wait for this message go on before the next one

    async def close(self) -> None:
        """Close both ways."""
        self._sender.cancel()
        await asyncio.gather(self._sender, return_exceptions=True)
        await self._sent.aclose()
