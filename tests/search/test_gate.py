"""What a browser's gate lets through, asked of it directly."""

from __future__ import annotations

import asyncio
import threading

import pytest

from spec_envs.errors import HandlerFailed
from spec_envs.search.web.client import WebClient, WebSettings
from spec_envs.search.web.gate import Gate
from tests.search.sites import HostileSite, article, send, trap

SETTINGS = WebSettings(attempts=1, requests_per_s=float("inf"), max_bytes=1000)


async def ask(port: int, head: str, body: bytes = b"") -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"{head} HTTP/1.1\r\nHost: x\r\n\r\n".encode() + body)
    try:
        return await reader.read()
    finally:
        writer.close()


def through(sites: list[str], head: str, body: bytes = b"", *, is_open: bool = True) -> tuple[bytes, Gate]:
    """What comes back from a gate, and the gate."""

    async def run() -> tuple[bytes, Gate]:
        client = WebClient(sites, SETTINGS)
        gate = Gate(client)
        port = await gate.start()
        try:
            if is_open:
                gate.open()
            return await ask(port, head, body), gate
        finally:
            await gate.close()
            await client.close()

    return asyncio.run(run())


def test_pages_of_the_site_pass_without_what_could_be_kept():
    page = article("Here.")
    with HostileSite({"/wiki/x": lambda request: send(request, page, Set_Cookie="a=b")}) as site:
        answer, _ = through([site.url], f"GET {site.url}/wiki/x")
    assert answer.startswith(b"HTTP/1.1 200 ") and answer.endswith(page.encode()) and b"cookie" not in answer.lower()


@pytest.mark.parametrize("head", ["GET {trap}/", "CONNECT {host}", "GET file:///etc/hostname", "GET /etc/hostname"])
def test_nobody_else_is_contacted(head):
    with trap() as (url, seen), HostileSite({}) as site:
        answer, _ = through([site.url], head.format(trap=url, host=url.removeprefix("http://")))
        assert answer.startswith(b"HTTP/1.1 403 ") and not seen and not site.asked


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "HEAD"])
def test_only_get_is_let_through(method):
    with HostileSite({}) as site:
        answer, gate = through([site.url], f"{method} {site.url}/wiki/x")
        failure = gate.failure_of(f"{site.url}/wiki/x")
        assert answer.startswith(b"HTTP/1.1 403 ") and not site.asked
    assert isinstance(failure, HandlerFailed) and "only GET is allowed" in str(failure)


def test_a_shut_gate_answers_nothing():
    with HostileSite({}) as site:
        assert through([site.url], f"GET {site.url}/wiki/x", is_open=False)[0] == b"" and not site.asked


def test_encrypted_connections_pass_up_to_a_number_of_bytes():
    async def run() -> tuple[bytes, bytes]:
        async def far(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            word = await reader.readexactly(5)
            writer.write(word.upper() if word == b"hello" else b"x" * 1_000_000)
            writer.close()

        async with await asyncio.start_server(far, "127.0.0.1", 0) as server:
            host = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
            gate = Gate(WebClient([f"https://{host}"], SETTINGS))
            port = await gate.start()
            answers = []
            for word in (b"hello", b"flood"):
                gate.open()
                answers.append(await ask(port, f"CONNECT {host}", word))
            await gate.close()
        return answers[0], answers[1]

    hello, flood = asyncio.run(run())
    assert hello == b"HTTP/1.1 200 -\r\n\r\nHELLO"
    assert len(flood) < 200_000  # a chunk or two more than the four pages of the largest size


def test_what_hangs_is_ended_when_the_gate_is_shut():
    async def run() -> bytes:
        client = WebClient([site.url], SETTINGS)
        gate = Gate(client)
        port = await gate.start()
        gate.open()
        asking = asyncio.create_task(ask(port, f"GET {site.url}/wiki/x"))
        await asyncio.to_thread(asked.wait, 60)
        gate.shut()
        try:
            return await asking
        finally:
            await gate.close()
            await client.close()

    asked = threading.Event()

    def hang(request) -> None:
        asked.set()
        request.rfile.read(1)

    with HostileSite({"/wiki/x": hang}) as site:
        assert asyncio.run(run()) == b""
