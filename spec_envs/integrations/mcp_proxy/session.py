"""One client and the servers behind the proxy: messages go through unchanged, except calls that are ready already.

A message is passed on at once, by the code that has received it. The proxy notes, learns and starts calls ahead of time
after that, while the other side is at work.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Callable, Coroutine, Hashable, Iterator
from typing import Any

from spec_envs.errors import InvalidConfiguration
from spec_envs.integrations.mcp_proxy.ahead import Ahead, ClientCall
from spec_envs.integrations.mcp_proxy.channels import Channel
from spec_envs.integrations.mcp_proxy.config import ProxyConfig
from spec_envs.integrations.mcp_proxy.files import JsonLines, Recorder
from spec_envs.integrations.mcp_proxy.flow import Flow
from spec_envs.integrations.mcp_proxy.lines import Message, decoded, note
from spec_envs.integrations.mcp_proxy.memory import Memory
from spec_envs.integrations.mcp_proxy.routes import Routes, route_of
from spec_envs.integrations.mcp_proxy.server import RpcError, Server

_REFUSED = {"code": -32601, "message": "nothing can be asked of the client during a call ahead of time"}
_INTERNAL_ERROR = -32603


class Session:
    """A client's connection, from its first message to its last.

    Args:
        config: The configuration of the proxy.
        client: The client.
        memory: Learns and guesses; sessions share it.
    """

    def __init__(self, config: ProxyConfig, client: Channel, memory: Memory) -> None:
        self._client = client
        self._servers = {
            each.name: Server(
                each, functools.partial(self._from_server, each.name), self._started_again, lambda: flow.regulate()
            )
            for each in config.servers
        }
        flow = Flow(client, list(self._servers.values()))
        client.on_flow = flow.regulate
        self._routes: Routes = route_of(list(self._servers.values()), self._see, self._spawn)
        self._recorder = None if config.record is None else Recorder(config, config.record)
        self._trace = None if config.trace is None else JsonLines(config.trace)
        self._ahead = Ahead(config, memory, self._trace)
        # How to give up each call under way, by its id: those that a server makes, and those that wait for equal ones.
        self._calls: dict[Any, Callable[[], object]] = {}
        self._waiting: dict[Any, Callable[[], object]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        #: Whether the client is gone: the session ends soon.
        self.is_over = False

    async def run(self) -> None:
        """Serve the client until it is gone; ``InvalidConfiguration`` if no server can be started."""
        try:
            await self._start()
            async with self._ahead:
                await self._client.read(self._from_client)
                self.is_over = True
                await self._finish()
        finally:
            self.is_over = True
            await asyncio.gather(*(server.close() for server in self._servers.values()))
            await self._client.close()
            for file in (self._recorder, self._trace):
                if file is not None:
                    file.close()

    async def _start(self) -> None:
        """Start the servers. One of several that cannot be started is tried again when the client greets it."""
        servers = list(self._servers.values())
        outcomes = await asyncio.gather(*(server.start() for server in servers), return_exceptions=True)
        failures = [outcome for outcome in outcomes if outcome is not None]
        if len(failures) == len(servers) or any(not isinstance(each, InvalidConfiguration) for each in failures):
            raise failures[0]
        for failure in failures:
            note(f"{failure}; the other servers go on")

    async def _finish(self) -> None:
        """The client is gone: nobody waits for its calls."""
        for give_up in (*self._calls.values(), *self._waiting.values()):
            give_up()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Begin a task that ends with the session."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _to_client(self, message: Message, line: bytes | None, *, ready: bool = False) -> None:
        try:
            self._client.send(message, line)
        except OSError:
            pass  # the reader sees that the client is gone
        except ValueError as error:
            note(f"a message cannot be sent to the client: {error!r}")
        self._note("server", message, ready=ready)

    def _answer(self, number: Any, outcome: Message) -> None:
        self._to_client({"jsonrpc": "2.0", "id": number, **outcome}, None)

    def _note(self, source: str, message: Message, *, ready: bool = False) -> None:
        if self._recorder is not None:
            self._recorder.record(source, message, ready=ready)

    # -- from the client -----------------------------------------------------------------------------------------

    def _from_client(self, message: Message, line: bytes | None) -> None:
        self._note("client", message)
        method, number = message.get("method"), message.get("id")
        try:
            if not message and line is not None:
                self._unread(line)
            elif method is None or not isinstance(number, str | int | float):
                self._pass_on(message, line)
            elif method == "tools/call":
                self._call(message, line)
            else:
                self._routes.ask(message, line, self._to_client)
        except Exception as error:  # one message that is not as it should be must not end the connection
            note(f"a message of the client could not be passed on: {error!r}")
            if method is not None and number is not None:
                self._answer(number, {"error": {"code": _INTERNAL_ERROR, "message": f"spec-envs mcp-proxy: {error!r}"}})

    def _unread(self, line: bytes) -> None:
        """The client has sent a line that is not one message: several of them, or something else."""
        self._ahead.stop()
        several = None
        with contextlib.suppress(ValueError, RecursionError):
            several = decoded(line)
        if isinstance(several, list) and len(self._servers) > 1:
            for each in several:
                self._from_client(each if isinstance(each, dict) else {}, None)
        else:
            self._pass_on({}, line)

    def _pass_on(self, message: Message, line: bytes | None) -> None:
        """Pass a notification, or a response to a server's request, to the servers that it is for."""
        for server, own, own_line in self._routes.others(message, line):
            server.send(own, own_line)
        if message.get("method") == "notifications/roots/list_changed":
            self._ahead.forget()
        params = message.get("params")
        if message.get("method") == "notifications/cancelled" and isinstance(params, dict):
            number = params.get("requestId")
            if isinstance(number, Hashable):
                give_up = self._calls.get(number) or self._waiting.get(number)
                (give_up or functools.partial(self._routes.give_up, number))()

    def _see(self, server: Server, message: Message, result: Any) -> None:
        with self._unharmed():
            self._ahead.see_result(server, message, result)

    def _call(self, message: Message, line: bytes | None) -> None:
        """Answer a ``tools/call``: have the server do so, unless the result is there or under way."""
        number = message["id"]
        try:
            server, own, own_line = self._routes.call(message, line)
        except RpcError as error:
            self._answer(number, {"error": error.error})
            return
        execute = functools.partial(self._execute, server, own, own_line)
        call = None
        with self._unharmed():
            call = self._ahead.open(server, own)
        if call is None or call.is_own:
            execute(call)
        elif call.is_ready:
            self._use(number, call, execute)
        else:
            task = self._spawn(self._wait(number, call, execute))
            self._waiting[number] = task.cancel

    def _execute(self, server: Server, own: Message, line: bytes | None, call: ClientCall | None) -> None:
        """Have the server answer a call."""
        self._calls[own["id"]] = functools.partial(self._give_up, server, own["id"], call)
        server.ask(own, line, functools.partial(self._answered_or_ended, server, own, line, call))
        if call is not None:
            with self._unharmed():
                call.sent()

    def _answered_or_ended(
        self,
        server: Server,
        own: Message,
        own_line: bytes | None,
        call: ClientCall | None,
        answer: Message,
        line: bytes | None,
    ) -> None:
        """The server has answered a call, or has ended. If a call ahead of time may be why, the call is made anew."""
        is_harmed = False
        with self._unharmed():
            is_harmed = "error" in answer and server.is_gone and self._ahead.has_harmed(server, own)
        if is_harmed:
            server.ask(own, own_line, functools.partial(self._answered, call))
        else:
            self._answered(call, answer, line)

    def _answered(self, call: ClientCall | None, answer: Message, line: bytes | None) -> None:
        self._to_client(answer, line)
        self._calls.pop(answer["id"], None)
        if call is not None:
            with self._unharmed():
                call.answered(answer, line)

    def _give_up(self, server: Server, number: Any, call: ClientCall | None) -> None:
        """The client does not wait any more; an answer that comes all the same is passed on."""
        self._calls.pop(number, None)
        server.leave(number)
        if call is not None:
            with self._unharmed():
                call.abandon()

    async def _wait(self, number: Any, call: ClientCall, execute: Callable[[ClientCall | None], None]) -> None:
        """Answer a call by the result of an equal one that is under way."""
        try:
            with self._unharmed():
                await call.wait()
        except asyncio.CancelledError:
            with self._unharmed():
                call.abandon()
            raise
        finally:
            self._waiting.pop(number, None)
        if call.is_ready:
            self._use(number, call, execute)
        else:
            execute(call if call.is_own else None)

    def _use(self, number: Any, call: ClientCall, execute: Callable[[ClientCall | None], None]) -> None:
        """Answer a call by the result that is there."""
        found = None
        with self._unharmed():
            answer = call.take()
            found = answer.to(number)
        if found is None:
            execute(None)
            return
        self._to_client(*found, ready=True)
        with self._unharmed():
            call.got(answer)

    # -- from the servers ----------------------------------------------------------------------------------------

    def _from_server(self, name: str, message: Message, line: bytes | None) -> None:
        server, method = self._servers[name], message.get("method")
        if line is not None and not message and _may_answer(line):
            for give_up in list(self._calls.values()):  # which of them are answered, nobody knows
                give_up()
        with self._unharmed():
            if method is not None and "id" in message and self._ahead.asks_in_vain(server, message):
                server.send({"jsonrpc": "2.0", "id": message["id"], "error": _REFUSED})
                return
            if method == "notifications/progress" and self._ahead.is_own_progress(message):
                return
        self._to_client(*self._routes.to_client(server, message, line))
        with self._unharmed():
            if method is not None and "id" not in message:
                self._ahead.see_notification(message)

    def _started_again(self) -> None:
        self._ahead.forget()

    @contextlib.contextmanager
    def _unharmed(self) -> Iterator[None]:
        """A failure of the work ahead of time must not stop a message; all results are forgotten."""
        try:
            yield
        except Exception as error:
            note(f"calls ahead of time failed, and the message goes on: {error!r}")
            self._ahead.forget()


def _may_answer(line: bytes) -> bool:
    """Whether a line that the proxy cannot read may hold an answer."""
    return b'"jsonrpc"' in line and b'"id"' in line
