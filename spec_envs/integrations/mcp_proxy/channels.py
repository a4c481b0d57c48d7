"""Ways to the client and to the servers: JSON-RPC messages as mappings, whatever carries them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, BinaryIO, Protocol

from spec_envs.errors import InvalidConfiguration
from spec_envs.extras import needed

Message = dict[str, Any]

#: A line may hold a file or a picture.
_MAX_LINE = 256 * 1024 * 1024
_GRACE_S = 2.0


class Channel(Protocol):
    """A connection that carries messages both ways."""

    async def send(self, message: Message) -> None:
        """Send a message; ``ConnectionError`` if the other side is gone."""

    async def receive(self) -> Message | None:
        """The next message; ``None`` once the other side is gone."""

    async def close(self) -> None:
        """End the connection. Idempotent."""


def _encoded(message: Message) -> bytes:
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass") + b"\n"


def _decoded(line: bytes, source: str) -> Message | None:
    """The message on a line; ``None``, and a note, for anything else: servers print what they should not."""
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
    """Tell the person who runs the proxy: standard error, since standard output belongs to the client."""
    with contextlib.suppress(OSError, ValueError):
        print(f"spec-envs mcp-proxy: {text}", file=sys.stderr, flush=True)  # noqa: T201


class Child:
    """A server that runs as a process of its own, on its standard input and output."""

    def __init__(self, process: asyncio.subprocess.Process, name: str) -> None:
        self._process = process
        self._name = name

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
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                env={**os.environ, **env},
                cwd=cwd,
                limit=_MAX_LINE,
            )
        except (OSError, ValueError) as error:
            raise InvalidConfiguration(f"the server {name!r} cannot be started: {' '.join(command)}: {error}") from None
        child = cls(process, name)
        try:
            yield child
        finally:
            await child.close()

    async def send(self, message: Message) -> None:
        """Send a message."""
        assert self._process.stdin is not None
        self._process.stdin.write(_encoded(message))
        await self._process.stdin.drain()

    async def receive(self) -> Message | None:
        """The next message."""
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            if (message := _decoded(line, f"the server {self._name!r}")) is not None:
                return message
        return None

    async def close(self) -> None:
        """Let the server end: close its input, then ask, then force it."""
        process = self._process
        if process.stdin is not None:
            process.stdin.close()
        for end in (None, process.terminate, process.kill):
            with contextlib.suppress(ProcessLookupError):
                if end is not None:
                    end()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), _GRACE_S)
                return


class StandardStreams:
    """The client, on this process's standard input and output, which nothing else may use from now on."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._received: asyncio.Queue[Message | None] = asyncio.Queue()
        self._out = _taken(sys.stdout.fileno())
        # A thread, because not every kind of input can be waited for on an event loop.
        threading.Thread(target=self._read, args=(sys.stdin.buffer,), name="mcp-client", daemon=True).start()

    def _read(self, stream: BinaryIO) -> None:
        with contextlib.suppress(OSError, ValueError, RuntimeError):  # RuntimeError: the loop is closed
            for line in stream:
                if (message := _decoded(line, "the client")) is not None:
                    self._loop.call_soon_threadsafe(self._received.put_nowait, message)
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._received.put_nowait, None)

    async def send(self, message: Message) -> None:
        """Send a message."""
        data = memoryview(_encoded(message))
        while data:
            data = data[os.write(self._out, data) :]

    async def receive(self) -> Message | None:
        """The next message."""
        return await self._received.get()

    async def close(self) -> None:
        """Nothing: the streams end with the process."""


def _taken(descriptor: int) -> int:
    """A copy of ``descriptor``, which itself leads to standard error from now on: no stray print reaches the client."""
    copy = os.dup(descriptor)
    os.dup2(sys.stderr.fileno(), descriptor)
    return copy


class Streams:
    """A transport of the ``mcp`` package as a channel: a pair of streams of ``SessionMessage``."""

    def __init__(self, received: Any, sent: Any) -> None:
        self._received = received
        self._sent = sent

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

    async def send(self, message: Message) -> None:
        """Send a message."""
        import anyio
        from mcp.shared.message import SessionMessage
        from mcp.types import jsonrpc_message_adapter

        try:
            await self._sent.send(SessionMessage(jsonrpc_message_adapter.validate_python(message)))
        except (anyio.ClosedResourceError, anyio.BrokenResourceError) as error:
            raise ConnectionError("the other side is gone") from error

    async def receive(self) -> Message | None:
        """The next message."""
        import anyio

        with contextlib.suppress(anyio.ClosedResourceError):
            async for item in self._received:
                if isinstance(item, Exception):
                    note(f"a message could not be read: {item!r}")
                    continue
                found: Message = item.message.model_dump(by_alias=True, mode="json", exclude_unset=True)
                return found
        return None

    async def close(self) -> None:
        """Close both ways."""
        await self._sent.aclose()
