"""One server behind the proxy: its connection, what was asked of it, and how it is started again when it has ended."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any

from spec_envs.errors import InvalidConfiguration
from spec_envs.integrations.mcp_proxy.channels import Channel, Child, Message, Streams, note
from spec_envs.integrations.mcp_proxy.config import ServerConfig

#: A server that ends more often than this is left alone.
_MAX_STARTS, _PER_S = 5, 60.0
_CONNECTION_CLOSED = -32000
#: For how long a connection may take to end.
_PATIENCE_S = 2.0
#: How ids and progress tokens of the proxy itself begin.
OWN_ID = "spec-envs/"


class RpcError(Exception):
    """The server has answered with an error; ``error`` is the error as it came."""

    def __init__(self, error: Any) -> None:
        super().__init__(str(error.get("message", error) if isinstance(error, dict) else error))
        self.error = error


class Server:
    """A server, and the requests of this proxy to it.

    Args:
        config: How the server is reached.
        deliver: Called with every message of the server that answers no request of ``request``.
        started_again: Called when the server runs again after it has ended.
    """

    def __init__(
        self, config: ServerConfig, deliver: Callable[[Message], None], started_again: Callable[[], None]
    ) -> None:
        self.config = config
        self._deliver = deliver
        self._started_again = started_again
        self._channel: Channel | None = None
        self._reader: asyncio.Task[None] | None = None
        self._answers: dict[Any, asyncio.Future[Any]] = {}
        self._greeting: list[Message] = []  # the handshake that the server has accepted
        self._starts: list[float] = []
        self._starting = asyncio.Lock()
        self._closing = False
        self._number = 0

    async def start(self) -> None:
        """Connect to the server; ``InvalidConfiguration`` if the server cannot be reached."""
        self._starts.append(time.monotonic())
        connected: asyncio.Future[Channel] = asyncio.get_running_loop().create_future()
        self._reader = asyncio.create_task(self._stay(connected))
        self._channel = await connected

    async def _stay(self, connected: asyncio.Future[Channel]) -> None:
        """Be connected, from beginning to end: a transport of the ``mcp`` package lives in one task."""
        try:
            async with self._connection() as channel:
                connected.set_result(channel)
                await self._read(channel)
                self._ended(channel)
        except Exception as error:
            if connected.done():
                note(f"the connection to {self.config.name!r} has failed: {error!r}")
                self._ended(connected.result())
            else:
                connected.set_exception(error)

    def _connection(self) -> contextlib.AbstractAsyncContextManager[Channel]:
        config = self.config
        if config.url is not None:
            return Streams.to_url(config.url, config.headers)
        return Child.of(config.name, config.command, config.env, config.cwd)

    async def _read(self, channel: Channel) -> None:
        while (message := await channel.receive()) is not None:
            number = message.get("id")
            if "method" not in message:
                answer = self._answers.pop(number, None)
                if answer is not None:
                    if not answer.done():
                        _settle(answer, message)
                    await asyncio.sleep(0)  # let the answer go on before what the server says next
                    continue
                if str(number).startswith(OWN_ID):
                    continue  # of a call ahead of time that was given up
            self._deliver(message)

    def _ended(self, channel: Channel) -> None:
        """The server is gone: whoever waits for an answer is told."""
        if self._channel is channel:
            self._channel = None
        text = f"the server {self.config.name!r} has ended"
        gone = {"code": _CONNECTION_CLOSED, "message": text}
        if not self._closing:
            note(text)
        answers, self._answers = self._answers, {}
        for answer in answers.values():
            if not answer.done():
                answer.set_exception(RpcError(gone))

    async def send(self, message: Message) -> None:
        """Pass on a message of the client. A server that has ended is started again first.

        Raises:
            RpcError: The server has ended, and cannot be started again.
        """
        channel = await self._connected()
        if message.get("method") == "notifications/initialized":
            self._greeting = [*self._greeting[:1], message]
        try:
            await channel.send(message)
        except (OSError, ConnectionError, RuntimeError) as error:
            raise RpcError({"code": _CONNECTION_CLOSED, "message": f"{self.config.name}: {error}"}) from error

    async def request(self, message: Message) -> Any:
        """Send a request and return its result; ``RpcError`` if the server has answered with an error, or has ended."""
        number = message["id"]
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        try:
            await self.send(message)
            result = await answer
            if message.get("method") == "initialize":  # one that a server refuses would be refused again
                self._greeting = [message]
            return result
        finally:
            self._answers.pop(number, None)

    @property
    def is_asked(self) -> bool:
        """Whether a request of the client is under way."""
        return any(not str(number).startswith(OWN_ID) for number in self._answers)

    def new_id(self) -> str:
        """An id that no client uses."""
        self._number += 1
        return f"{OWN_ID}{self.config.name}/{self._number}"

    async def _connected(self) -> Channel:
        async with self._starting:
            if self._channel is None:
                await self._start_again()
            assert self._channel is not None
            return self._channel

    async def _start_again(self) -> None:
        now = time.monotonic()
        self._starts = [each for each in self._starts if each > now - _PER_S]
        gone = {"code": _CONNECTION_CLOSED, "message": f"the server {self.config.name!r} has ended"}
        if self._closing or len(self._starts) >= _MAX_STARTS:
            raise RpcError(gone)
        try:
            await self.start()
        except (InvalidConfiguration, OSError) as error:
            raise RpcError({**gone, "message": str(error)}) from error
        note(f"the server {self.config.name!r} was started again")
        await self._greet_again()
        self._started_again()

    async def _greet_again(self) -> None:
        """Make the handshake again that the client has made with the server before."""
        channel = self._channel
        assert channel is not None
        for message in self._greeting:
            if message.get("method") == "initialize":
                number = self.new_id()
                answer = self._answers[number] = asyncio.get_running_loop().create_future()
                await channel.send({**message, "id": number})
                await answer
            else:
                await channel.send(message)

    async def close(self) -> None:
        """Let the server end."""
        self._closing = True
        if self._channel is not None:
            await self._channel.close()
        if self._reader is not None:
            await asyncio.wait([self._reader], timeout=_PATIENCE_S)
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)


def _settle(answer: asyncio.Future[Any], message: Message) -> None:
    if "error" in message:
        answer.set_exception(RpcError(message["error"]))
    else:
        answer.set_result(message.get("result"))
