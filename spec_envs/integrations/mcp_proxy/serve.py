"""Serving clients: one on standard input and output, or any number by streamable HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import uuid
from collections.abc import AsyncIterator
from typing import Any

from spec_envs.errors import InvalidConfiguration
from spec_envs.extras import needed
from spec_envs.integrations.mcp_proxy.channels import StandardStreams, Streams
from spec_envs.integrations.mcp_proxy.config import ProxyConfig
from spec_envs.integrations.mcp_proxy.lines import cause, note
from spec_envs.integrations.mcp_proxy.memory import Memory
from spec_envs.integrations.mcp_proxy.session import Session

#: A client by HTTP that has sent no request for this long counts as gone, in seconds.
_IDLE_S = 1800.0


class _Notes(logging.Handler):
    """What the ``mcp`` package logs, as notes of one line: it logs each failure of a connection with its traceback."""

    def emit(self, record: logging.LogRecord) -> None:
        """Note what is logged."""
        error = record.exc_info[1] if record.exc_info else None
        note(f"mcp: {record.getMessage()}{'' if error is None else f': {cause(error)}'}")


def _log_as_notes() -> None:
    logger = logging.getLogger("mcp")
    logger.handlers, logger.propagate = [_Notes(logging.WARNING)], False


def serve_stdio(config: ProxyConfig) -> None:
    """Serve the client on standard input and output until the client disconnects, or until Ctrl-C or SIGTERM.

    Raises:
        InvalidConfiguration: A server cannot be started.
    """
    _log_as_notes()
    memory = Memory(config)

    async def serve() -> None:
        session = Session(config, StandardStreams(), memory)
        running = asyncio.create_task(session.run())

        def end() -> None:
            if not session.is_over:  # or else the servers are ending, which takes some seconds at most
                running.cancel()

        for number in (signal.SIGTERM, signal.SIGINT):
            with contextlib.suppress(NotImplementedError):
                asyncio.get_running_loop().add_signal_handler(number, end)
        with contextlib.suppress(asyncio.CancelledError):
            await running

    try:
        asyncio.run(serve())
    finally:
        memory.close()


def serve_http(config: ProxyConfig, host: str, port: int) -> None:
    """Serve clients by streamable HTTP at ``http://host:port/mcp``, each with servers of its own, until Ctrl-C.

    Raises:
        DependencyNotInstalled: The extra ``mcp`` is missing, or too old.
        InvalidConfiguration: Nobody can listen at this host and port.
    """
    with needed("`spec-envs mcp-proxy --http`", "mcp"):
        import uvicorn
        from mcp.types import jsonrpc_message_adapter  # noqa: F401  (sessions need it; version 1 does not have it)
        from starlette.applications import Starlette
        from starlette.routing import Route

    _log_as_notes()
    try:
        listening = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise InvalidConfiguration(f"cannot serve at {host}:{port}: {error}; give another --http or --host") from None
    memory = Memory(config)
    door = Door(config, memory, host, port)

    @contextlib.asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        note(f"serving {', '.join(each.name for each in config.servers)} at http://{host}:{port}/mcp")
        yield
        await door.close()
        memory.close()  # here, since a signal may end the process after uvicorn's shutdown

    app = Starlette(routes=[Route("/mcp", endpoint=door)], lifespan=lifespan)
    uvicorn.Server(uvicorn.Config(app, host=host, port=port, log_level="warning")).run(sockets=[listening])


class Door:
    """Opens a session for each new client, and passes later requests to their sessions.

    Clients of the protocol of 2026, which has no sessions, are told to make the earlier handshake.
    """

    def __init__(self, config: ProxyConfig, memory: Memory, host: str, port: int) -> None:
        from mcp.server.transport_security import TransportSecuritySettings

        self._config = config
        self._memory = memory
        names = [f"{name}:{port}" for name in {host, "127.0.0.1", "localhost"}]
        self._security = TransportSecuritySettings(
            enable_dns_rebinding_protection=True,
            allowed_hosts=names,
            allowed_origins=[f"http://{name}" for name in names],
        )
        self._transports: dict[str, Any] = {}
        self._sessions: dict[str, asyncio.Task[None]] = {}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one HTTP request."""
        from mcp.server.streamable_http import MCP_SESSION_ID_HEADER
        from starlette.requests import Request
        from starlette.responses import JSONResponse

        request = Request(scope, receive)
        session = request.headers.get(MCP_SESSION_ID_HEADER)
        transport = self._transports.get(session or "")
        if session is None and request.method == "POST":
            await self._first(scope, receive, send)
        elif transport is not None:
            await transport.handle_request(scope, receive, send)
        else:  # also a browser, say, for which no server is to be started
            status, why = (400, "Missing session ID") if session is None else (404, "Session not found")
            error = {"code": -32600, "message": why}
            await JSONResponse({"jsonrpc": "2.0", "id": None, "error": error}, status)(scope, receive, send)

    async def _first(self, scope: Any, receive: Any, send: Any) -> None:
        """Open a session for a request without a session; if the request is refused, the session is closed."""
        statuses: list[int] = []

        async def watched(message: Any) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])
            await send(message)

        transport = await self._open()
        try:
            await transport.handle_request(scope, receive, watched)
        finally:
            if not statuses or statuses[0] >= 400:
                await transport.terminate()

    async def _open(self) -> Any:
        import anyio
        from mcp.server.streamable_http import StreamableHTTPServerTransport

        name = uuid.uuid4().hex
        transport = StreamableHTTPServerTransport(
            mcp_session_id=name, security_settings=self._security, idle_timeout=_IDLE_S
        )
        ready = asyncio.Event()

        async def run() -> None:
            try:
                async with transport.connect() as (received, sent):
                    ready.set()
                    with transport.idle_scope or anyio.CancelScope():
                        await Session(self._config, Streams(received, sent), self._memory).run()
            except Exception as error:
                note(f"a session has failed: {error!r}")
            finally:
                ready.set()
                self._transports.pop(name, None)
                self._sessions.pop(name, None)

        self._transports[name] = transport
        self._sessions[name] = asyncio.create_task(run())
        await ready.wait()
        return transport

    async def close(self) -> None:
        """End all sessions."""
        sessions = list(self._sessions.values())
        for transport in list(self._transports.values()):
            await transport.terminate()
        await asyncio.gather(*sessions, return_exceptions=True)
