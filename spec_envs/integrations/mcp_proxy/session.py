"""One client and the servers behind the proxy: messages go through unchanged, except calls that are ready already."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Callable
from typing import Any

from spec_envs.integrations.mcp_proxy.ahead import Ahead
from spec_envs.integrations.mcp_proxy.channels import Channel, Message, note
from spec_envs.integrations.mcp_proxy.config import ProxyConfig
from spec_envs.integrations.mcp_proxy.memory import Memory
from spec_envs.integrations.mcp_proxy.routes import Routes, route_of
from spec_envs.integrations.mcp_proxy.server import RpcError, Server

_REFUSED = {"code": -32601, "message": "nothing can be asked of the client during a call ahead of time"}


class Session:
    """A client's connection, from its first message to its last.

    Args:
        config: What the proxy is told.
        client: The client.
        memory: What is learned, which sessions share.
    """

    def __init__(self, config: ProxyConfig, client: Channel, memory: Memory) -> None:
        self._client = client
        self._servers = {
            each.name: Server(each, self._handler(each.name), self._started_again) for each in config.servers
        }
        self._routes: Routes = route_of(list(self._servers.values()), self._see)
        self._record, self._trace = (
            None if path is None else path.open("a", encoding="utf-8", buffering=1)
            for path in (config.record, config.trace)
        )
        self._ahead = Ahead(config, memory, self._trace)
        self._calls: dict[Any, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._outgoing: asyncio.Queue[Message] = asyncio.Queue()

    async def run(self) -> None:
        """Serve the client until it is gone; ``InvalidConfiguration`` if a server cannot be started."""
        sender = asyncio.create_task(self._send_all())
        try:
            await asyncio.gather(*(server.start() for server in self._servers.values()))
            async with self._ahead:
                while (message := await self._client.receive()) is not None:
                    self._note("client", message)
                    await self._from_client(message)
                    await asyncio.sleep(0)  # let a call that has begun get to its server before the next message
                await self._finish()
        finally:
            await asyncio.gather(*(server.close() for server in self._servers.values()))
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)
            await self._client.close()
            for file in (self._record, self._trace):
                if file is not None:
                    file.close()

    async def _finish(self) -> None:
        """The client is gone: nobody waits for its calls."""
        for task in (*self._calls.values(), *self._tasks):
            task.cancel()
        await asyncio.gather(*self._calls.values(), *self._tasks, return_exceptions=True)

    async def _send_all(self) -> None:
        while True:
            message = await self._outgoing.get()
            with contextlib.suppress(ConnectionError, OSError):  # the reader sees that the client is gone
                await self._client.send(message)

    def _to_client(self, message: Message) -> None:
        self._note("server", message)
        self._outgoing.put_nowait(message)

    def _note(self, source: str, message: Message) -> None:
        if self._record is not None:
            self._record.write(json.dumps({"at": time.time(), "from": source, "message": message}) + "\n")

    # -- from the client -----------------------------------------------------------------------------------------

    async def _from_client(self, message: Message) -> None:
        method, number = message.get("method"), message.get("id")
        if method == "tools/call" and number is not None:
            task = self._calls[number] = asyncio.create_task(self._call(message))
            task.add_done_callback(lambda _: self._calls.pop(number, None))
        elif method == "notifications/cancelled" and (call := self._call_of(message)) is not None:
            await self._pass_on(message)
            call.cancel()
        elif method is not None and number is not None:
            task = asyncio.create_task(self._request(message))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        else:
            await self._pass_on(message)

    def _call_of(self, cancelled: Message) -> asyncio.Task[None] | None:
        params = cancelled.get("params")
        return self._calls.get(params.get("requestId")) if isinstance(params, dict) else None

    async def _pass_on(self, message: Message) -> None:
        """Pass a notification, or a response to a server's request, to the servers that it is for."""
        for server, own in self._routes.others(message):
            with contextlib.suppress(RpcError):
                await server.send(own)

    async def _request(self, message: Message) -> None:
        try:
            response = await self._routes.request(message)
        except RpcError as error:
            response = {"error": error.error}
        self._to_client({"jsonrpc": "2.0", "id": message["id"], **response})

    def _see(self, server: Server, message: Message, result: Any) -> None:
        with self._unharmed():
            self._ahead.see_result(server, message, result)

    async def _call(self, message: Message) -> None:
        number = message["id"]
        try:
            server, own = self._routes.call(message)
            response = {"result": await self._ahead.call(server, own)}
        except RpcError as error:
            response = {"error": error.error}
        self._to_client({"jsonrpc": "2.0", "id": number, **response})

    # -- from the servers ----------------------------------------------------------------------------------------

    def _handler(self, name: str) -> Callable[[Message], None]:
        def deliver(message: Message) -> None:
            self._from_server(self._servers[name], message)

        return deliver

    def _from_server(self, server: Server, message: Message) -> None:
        method = message.get("method")
        if method is not None and "id" in message and self._ahead.asks_in_vain(server, message):
            refusal = {"jsonrpc": "2.0", "id": message["id"], "error": _REFUSED}
            task = asyncio.create_task(self._answer(server, refusal))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            return
        if method == "notifications/progress" and self._ahead.is_own_progress(message):
            return
        with self._unharmed():
            if method is not None and "id" not in message:
                self._ahead.see_notification(message)
        self._to_client(self._routes.to_client(server, message))

    async def _answer(self, server: Server, message: Message) -> None:
        with contextlib.suppress(RpcError):
            await server.send(message)

    def _started_again(self) -> None:
        self._ahead.forget()

    @contextlib.contextmanager
    def _unharmed(self) -> Any:
        """A failure of what happens ahead of time must not keep a message from going on."""
        try:
            yield
        except Exception as error:
            note(f"calls ahead of time failed, and the message goes on: {error!r}")
