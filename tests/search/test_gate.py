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
                gate.open(head.partition(" ")[2])
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


def test_one_page_passes_once_and_nothing_else_of_the_site():
    async def run() -> list[bytes]:
        client = WebClient([site.url], SETTINGS)
        gate = Gate(client)
        port = await gate.start()
        gate.open(f"{site.url}/wiki/x")
        try:
            paths = ("/favicon.ico", "/wiki/x?", "/wiki/x", "/wiki/x", "/wiki/y")
            return [(await ask(port, f"GET {site.url}{path}"))[9:12] for path in paths]
        finally:
            await gate.close()
            await client.close()

    with HostileSite({"/wiki/x": lambda request: send(request, article("Here."))}) as site:
        assert asyncio.run(run()) == [b"403", b"403", b"200", b"403", b"403"]
        assert site.asked == ["GET /wiki/x"]


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


def test_connections_that_the_browser_encrypts_are_refused():
    with trap() as (url, seen):
        host = url.removeprefix("http://")
        answer, gate = through([f"https://{host}"], f"CONNECT {host}", b"hello")
        assert answer.startswith(b"HTTP/1.1 403 ") and not seen


def test_an_encrypted_site_has_another_address_in_the_browser():
    gate = Gate(WebClient(["https://a.example", "https://b.example:8443", "http://c.example"], SETTINGS))
    for url, named in (
        ("https://a.example/w?x=1", "https://a.example:443/w?x=1"),
        ("https://b.example:8443/w", "https://b.example:8443/w"),
        ("http://c.example/w", "http://c.example:80/w"),
        ("http://c.example:80", "http://c.example:80"),
        ("HTTPS://A.Example?q", "https://a.example:443?q"),
        ("http://other.example/", "http://other.example:80/"),
        ("https://other.example/", "https://other.example:443/"),
        ("file:///etc/hostname", "file:///etc/hostname"),
        ("about:blank", "about:blank"),
        ("", ""),
    ):
        inside = gate.inside(url)
        assert gate.outside(inside) == gate.outside(url) == named
        assert inside.startswith("https:") == (named == "https://other.example:443/")


def test_what_hangs_is_ended_when_the_gate_is_shut():
    async def run() -> bytes:
        client = WebClient([site.url], SETTINGS)
        gate = Gate(client)
        port = await gate.start()
        gate.open(f"{site.url}/wiki/x")
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
