"""One server behind the proxy: its connection, the requests to it, and how it is started again when it has ended."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from collections.abc import Callable, Hashable
from typing import Any

from gymnasium.error import DependencyNotInstalled

from spec_envs.errors import InvalidConfiguration
from spec_envs.integrations.mcp_proxy.channels import Channel, Streams, nothing
from spec_envs.integrations.mcp_proxy.children import Child
from spec_envs.integrations.mcp_proxy.config import ServerConfig
from spec_envs.integrations.mcp_proxy.flow import MUCH
from spec_envs.integrations.mcp_proxy.lines import Message, Receive, cause, encoded, note

#: A server that ends more often than this is left alone.
_MAX_STARTS, _PER_S = 5, 60.0
_CONNECTION_CLOSED = -32000
#: For how long a connection may take to end.
_PATIENCE_S = 2.0
#: The beginning of the ids and progress tokens of the proxy itself.
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
        receive: Called with every message of the server that answers no request of ``ask``.
        started_again: Called when the server runs again after it has ended.
        on_flow: Called when the ``backlog`` is much, and when it has become little again.
    """

    def __init__(
        self,
        config: ServerConfig,
        receive: Receive,
        started_again: Callable[[], None],
        on_flow: Callable[[], None] = nothing,
    ) -> None:
        self.config = config
        self._receive = receive
        self._started_again = started_again
        self._on_flow = on_flow
        self._channel: Channel | None = None
        self._newest: Channel | None = None  # which may not be ready yet
        self._is_held = False
        self._reader: asyncio.Task[None] | None = None
        self._answers: dict[Any, Receive] = {}
        self._greeting: list[Message] = []  # the handshake that the server has accepted
        self._starts: list[float] = []
        self._restart: asyncio.Task[None] | None = None
        self._unsent: list[tuple[Message, bytes | None]] = []  # while the server is started again
        self._unsent_bytes = 0
        self._closing = False
        self._failure: str | None = None  # why the server could not be started the last time
        self._number = 0
        #: How often the server has ended.
        self.num_ends = 0

    async def start(self) -> None:
        """Connect to the server; ``InvalidConfiguration`` if the server cannot be reached."""
        self._channel = await self._connect()

    async def _connect(self) -> Channel:
        self._starts.append(time.monotonic())
        connected: asyncio.Future[Channel] = asyncio.get_running_loop().create_future()
        self._reader = asyncio.create_task(self._stay(connected))
        self._newest = channel = await connected
        channel.on_flow = self._on_flow
        channel.hold(self._is_held)
        return channel

    async def _stay(self, connected: asyncio.Future[Channel]) -> None:
        """Open and close the connection in one task, as a transport of the ``mcp`` package needs it."""
        try:
            async with self._connection() as channel:
                connected.set_result(channel)
                await channel.read(self._received)
                self._ended(channel)
        except Exception as error:
            if connected.done():
                self._ended(connected.result(), f": {cause(error)}")
            else:
                connected.set_exception(self._unreachable(error))

    def _unreachable(self, error: Exception) -> Exception:
        """``error``, which was raised where the connection was opened, as the user is to see it."""
        if isinstance(error, InvalidConfiguration | DependencyNotInstalled):
            return error
        return InvalidConfiguration(f"the server {self.config.name!r} cannot be reached: {cause(error)}")

    def _connection(self) -> contextlib.AbstractAsyncContextManager[Channel]:
        config = self.config
        if config.url is not None:
            return Streams.to_url(config.url, config.headers)
        return Child.of(config.name, config.command, config.env, config.cwd)

    @property
    def backlog(self) -> int:
        """The number of bytes that the server has no room for yet."""
        return self._unsent_bytes + (0 if self._newest is None else self._newest.backlog)

    def hold(self, held: bool) -> None:
        """Read nothing more from the server until ``held`` is false again."""
        self._is_held = held
        if self._newest is not None:
            self._newest.hold(held)

    def _received(self, message: Message, line: bytes | None) -> None:
        if not message and OWN_ID.encode() in (line or b""):  # whichever of them it answers
            for number in [each for each in self._answers if _is_own(each)]:
                self._fail(number, "the answer cannot be read")
            return
        if "method" not in message:
            number = message.get("id")
            answered = self._answers.pop(number, None) if isinstance(number, Hashable) else None
            if answered is not None:
                answered(message, line)
                return
            if _is_own(number):
                return  # of a call ahead of time that was given up
        self._receive(message, line)

    def _ended(self, channel: Channel, why: str = "") -> None:
        """The server is gone: requests that wait for an answer get an error."""
        self.num_ends += 1
        if self._channel is channel:
            self._channel = None
        if self._newest is channel:
            self._newest = None
        self._on_flow()
        gone = f"{self._gone}{why}"
        if not self._closing:
            note(gone)
        unsent = [message.get("id") for message, _ in self._unsent]
        for number in [each for each in self._answers if each not in unsent]:
            self._fail(number, gone)

    @property
    def _gone(self) -> str:
        if self.config.url is not None:
            return f"the connection to the server {self.config.name!r} at {self.config.url} has ended"
        return f"the server {self.config.name!r} has ended"

    def _fail(self, number: Any, why: str) -> None:
        """Answer the request ``number``, if it waits for an answer, in place of the server."""
        answered = self._answers.pop(number, None) if isinstance(number, Hashable) else None
        if answered is not None:
            error = {"code": _CONNECTION_CLOSED, "message": why}
            answered({"jsonrpc": "2.0", "id": number, "error": error}, None)

    def send(self, message: Message, line: bytes | None = None) -> None:
        """Pass on a message of the client. A server that has ended is started again first.

        A request that cannot be passed on is answered with an error.
        """
        if message.get("method") == "notifications/initialized":
            self._greeting = [*self._greeting[:1], message]
        if self._channel is not None:
            self._put(self._channel, message, line)
            return
        self._unsent.append((message, line))
        self._unsent_bytes += len(line or encoded(message))
        if self._unsent_bytes > MUCH:
            self._on_flow()
        if self._restart is None:
            self._restart = asyncio.create_task(self._start_again())

    def _put(self, channel: Channel, message: Message, line: bytes | None) -> None:
        try:
            channel.send(message, line)
        except (OSError, ValueError) as error:
            # A moment later: whoever asks is not answered before the request is made.
            why = f"{self.config.name}: {error}"
            asyncio.get_running_loop().call_soon(self._fail, message.get("id"), why)

    def ask(self, message: Message, line: bytes | None, answered: Receive) -> None:
        """Pass on a request; ``answered`` is called once with the server's answer, or with an error in its place."""
        number = message["id"]
        if message.get("method") == "initialize":
            answered = functools.partial(self._greeted, message, answered)
        elif self.config.url is not None:
            answered = functools.partial(self._answered_by_url, message, answered)
        self._answers[number] = answered
        self.send(message, line)

    def _answered_by_url(self, request: Message, answered: Receive, answer: Message, line: bytes | None) -> None:
        """A server by HTTP that was started again does not know the session: make the request in a new one."""
        if not _is_of_lost_session(answer) or not self._greeting or self._restart is not None:
            answered(answer, line)
            return
        self._answers[request["id"]] = answered
        self._unsent.append((request, None))
        self._restart = asyncio.create_task(self._start_anew())

    async def _start_anew(self) -> None:
        await self.end()
        await self._start_again()

    def _greeted(self, greeting: Message, answered: Receive, answer: Message, line: bytes | None) -> None:
        if "error" not in answer:  # one that a server refuses would be refused again
            self._greeting = [greeting]
        answered(answer, line)

    def leave(self, number: Any) -> None:
        """Wait for the answer to the request ``number`` no more; an answer that comes is a message like any other."""
        self._answers.pop(number, None)

    async def request(self, message: Message) -> Any:
        """Make a request and return its result; ``RpcError`` if the server has answered with an error, or has ended."""
        answer, _ = await self.answer(message)
        return result_of(answer)

    async def answer(self, message: Message) -> tuple[Message, bytes | None]:
        """Make a request and return the answer, with its line."""
        answer, answered = _awaited()
        self.ask(message, None, answered)
        try:
            return await answer
        finally:
            self.leave(message["id"])

    @property
    def is_gone(self) -> bool:
        """Whether there is no connection to the server."""
        return self._channel is None

    @property
    def is_asked(self) -> bool:
        """Whether a request of the client is under way."""
        return not all(map(_is_own, self._answers))

    def new_id(self) -> str:
        """An id that no client uses."""
        self._number += 1
        return f"{OWN_ID}{self.config.name}/{self._number}"

    async def _start_again(self) -> None:
        """Start the server, and send the messages that wait for it; if it cannot be started, requests get an error."""
        now = time.monotonic()
        self._starts = [each for each in self._starts if each > now - _PER_S]
        why = self._failure or self._gone
        try:
            if not self._closing and len(self._starts) < _MAX_STARTS:
                channel = await self._connect()
                note(f"the server {self.config.name!r} was started again")
                await self._greet_again(channel)
                self._channel, self._failure = channel, None
                self._started_again()
        except Exception as error:  # transports raise all kinds
            why = self._failure = cause(error)
        unsent, self._unsent, self._restart = self._unsent, [], None
        self._unsent_bytes = 0
        for message, line in unsent:
            if self._channel is None:
                self._fail(message.get("id"), why)
            else:
                self._put(self._channel, message, line)
        self._on_flow()

    async def _greet_again(self, channel: Channel) -> None:
        """Make the handshake again that the client has made with the server before."""
        for message in self._greeting:
            if message.get("method") == "initialize":
                number = self.new_id()
                answer, self._answers[number] = _awaited()
                channel.send({**message, "id": number})
                result_of((await answer)[0])
            else:
                channel.send(message)

    async def end(self) -> None:
        """End the server, which is started again for the next message."""
        channel, self._channel = self._channel, None
        if channel is not None and self._reader is not None:
            await channel.close()
            await asyncio.wait([self._reader], timeout=_PATIENCE_S)

    async def close(self) -> None:
        """End the server."""
        self._closing = True
        if self._restart is not None:
            self._restart.cancel()
        if self._channel is not None:
            await self._channel.close()
        if self._reader is not None:
            await asyncio.wait([self._reader], timeout=_PATIENCE_S)
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)


def _is_own(number: Any) -> bool:
    """Whether a request is of the proxy itself."""
    return isinstance(number, str) and number.startswith(OWN_ID)


def _is_of_lost_session(answer: Message) -> bool:
    """Whether a server by HTTP has answered that it does not know the session."""
    error = answer.get("error")
    return isinstance(error, dict) and str(error.get("message")).lower() in ("session not found", "session terminated")


def _awaited() -> tuple[asyncio.Future[tuple[Message, bytes | None]], Receive]:
    """An answer with its line, and what is to be called with them."""
    answer: asyncio.Future[tuple[Message, bytes | None]] = asyncio.get_running_loop().create_future()

    def answered(message: Message, line: bytes | None) -> None:
        if not answer.done():
            answer.set_result((message, line))

    return answer, answered


def result_of(answer: Message) -> Any:
    """The result in an answer.

    Raises:
        RpcError: The answer is an error.
    """
    if "error" in answer:
        raise RpcError(answer["error"])
    return answer.get("result")
