"""Serve an ASGI application on a socket, from a thread of this process: for model servers, shop servers and tests."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

from spec_envs.checks import integer
from spec_envs.closing import Closing
from spec_envs.errors import InvalidConfiguration
from spec_envs.extras import require

if TYPE_CHECKING:
    from starlette.types import ASGIApp


class Served(Closing):
    """``app``, answering at ``address`` from now until ``close``.

    Small packets leave at once, so that a token is seen when it is sent.

    Args:
        app: The application that answers requests.
        host: Where to listen. Anything but the machine itself opens the server to the network.
        port: 0 takes a free one.
        websockets: Whether the application answers at WebSockets, too. Needs the package ``websockets``.

    Raises:
        InvalidConfiguration: The server cannot listen there.
        DependencyNotInstalled: The extra ``servers`` is missing.
    """

    def __init__(self, app: ASGIApp, *, host: str = "127.0.0.1", port: int = 0, websockets: bool = False) -> None:
        require("a local server", "servers")
        import uvicorn  # late: an extra

        self._socket = _listening(host, port)
        #: The server's address, such as ``http://127.0.0.1:8000``.
        self.address = f"http://{f'[{host}]' if ':' in host else host}:{self._socket.getsockname()[1]}"
        config = uvicorn.Config(
            app,
            loop="asyncio",
            interface="asgi3",
            http="h11",
            ws="websockets-sansio" if websockets else "none",
            lifespan="off",
            log_config=None,
            log_level="critical",  # clients are told what goes wrong
            access_log=False,
            timeout_graceful_shutdown=0,  # whoever closes does not wait for clients
        )
        self._server = uvicorn.Server(config)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"serve-{self.address}", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._server.run(sockets=[self._socket])
        finally:
            self._ended.set()

    def wait(self) -> None:
        """Block until the server is closed."""
        self._ended.wait()  # not join: a thread whose join was interrupted passes for one that has ended

    def close(self) -> None:
        """Stop answering; requests under way are broken off. Idempotent."""
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()


def _listening(host: str, port: int) -> socket.socket:
    """A socket to which clients can connect already: their requests wait until the server runs."""
    if not isinstance(host, str) or not host:
        raise InvalidConfiguration(f"host must be a name or an address, such as '127.0.0.1', not {host!r}")
    port = integer("port", port, least=0)
    # asyncio switches Nagle's algorithm off only for sockets that name the protocol TCP: 2 ms, not 44 ms.
    listening = socket.socket(
        socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP
    )
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(1024)
    except (OSError, OverflowError) as error:
        listening.close()
        raise InvalidConfiguration(f"cannot listen on port {port} of {host}: {error}") from error
    return listening
