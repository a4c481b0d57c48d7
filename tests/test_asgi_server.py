"""``Served``: what a server does when its process is interrupted."""

from __future__ import annotations

import signal
import socket
import threading

import pytest

pytest.importorskip("uvicorn")

from spec_envs.asgi_server import Served


async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def test_after_an_interrupted_wait_it_is_closed_in_order():
    served = Served(app)
    interrupt = threading.Timer(0.05, signal.pthread_kill, [threading.get_ident(), signal.SIGINT])
    interrupt.start()
    with pytest.raises(KeyboardInterrupt):
        served.wait()
    interrupt.join()
    served.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("serve-")]
    port = int(served.address.rpartition(":")[2])
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
