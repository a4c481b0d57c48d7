from __future__ import annotations

import dataclasses
import gzip
import threading
from typing import Any, cast

import pytest

from spec_envs.errors import CallCancelled, EnvClosed, HandlerFailed, InvalidConfiguration
from spec_envs.handling import CancelToken
from spec_envs.search.local_wiki.server import WikiSite
from spec_envs.search.pages import Fetched, Page
from spec_envs.search.web.backends import HttpBackend
from spec_envs.search.web.client import WebSettings
from tests.search.sites import LOOKUPS, QUICK, HostileSite, article, ask, corpus, send, trap

HERE = "/w/index.php?search=x"
SMALL = WebSettings(timeout_s=30.0, attempts=2, backoff_s=0.0, requests_per_s=float("inf"), max_bytes=100_000)
SHORT = WebSettings(timeout_s=0.2, attempts=1, requests_per_s=float("inf"))


def test_a_site_says_what_its_corpus_says():
    with WikiSite(corpus()) as site, HttpBackend(site.url, settings=QUICK) as backend:
        for text in LOOKUPS:
            assert ask(backend, text) == corpus().fetch(text), text


def fetched(answer, settings: WebSettings = QUICK, **others):
    with HostileSite({HERE: answer, **others}) as site, HttpBackend(site.url, settings=settings) as backend:
        return ask(backend, "x")


# -- where it leads ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["{trap}/wiki/x", "//{host}/wiki/x", "http://localhost:1/", "http://127.1/"])
def test_redirects_off_the_list_are_not_followed(target):
    with trap() as (url, seen):
        location = target.format(trap=url, host=url.removeprefix("http://"))
        with pytest.raises(HandlerFailed, match="is not on one of the allowed sites"):
            fetched(lambda request: send(request, "", status=302, Location=location))
        assert not seen


@pytest.mark.parametrize(
    "target", ["file:///etc/passwd", "ftp://127.0.0.1/", "javascript:alert(1)", "data:text/html,x", "//[x"]
)
def test_other_schemes_are_refused(target):
    with pytest.raises(HandlerFailed, match="is not on one of the allowed sites|cannot be requested"):
        fetched(lambda request: send(request, "", status=302, Location=target))


def test_sites_that_were_named_may_be_led_to():
    page = article("Here.")
    with (
        HostileSite({"/wiki/x": lambda request: send(request, page)}) as other,
        HostileSite({HERE: lambda request: send(request, "", status=301, Location=f"{other.url}/wiki/x#part")}) as site,
        HttpBackend(site.url, also=[other.url], settings=QUICK) as backend,
    ):
        assert ask(backend, "x") == Fetched(Page("Trap", ("Here.",)))


def test_redirects_come_to_an_end():
    with pytest.raises(HandlerFailed, match="more than 5 redirects"):
        fetched(lambda request: send(request, "", status=302, Location=HERE))


def test_what_a_page_would_load_is_not_loaded():
    with trap() as (url, seen):
        harm = f'<img src="{url}/a"><script src="{url}/b"></script><iframe src="{url}/c"></iframe>'
        head = f'<meta http-equiv="refresh" content="0; url={url}"><link rel="stylesheet" href="{url}/d">'
        page = fetched(lambda request: send(request, article(f"Fine.{harm}", head=head))).page
        assert page is not None and page.paragraphs == ("Fine.",) and not seen


# -- how much, and how long ----------------------------------------------------------------------------------------


def endless(request) -> None:
    request.send_response(200)
    request.send_header("Content-Type", "text/html")
    request.end_headers()
    while True:
        request.wfile.write(b"<p>more</p>" * 1000)


@pytest.mark.parametrize(
    "answer",
    [
        endless,
        lambda request: send(request, b"x" * 100_001),
        lambda request: send(request, gzip.compress(b"<p>" * 10_000_000), Content_Encoding="gzip"),
    ],
    ids=["endless", "huge", "bomb"],
)
def test_pages_are_bounded_in_size(answer):
    with pytest.raises(HandlerFailed, match="is larger than 100000 bytes"):
        fetched(answer, SMALL)


def test_pages_are_bounded_in_what_they_hold():
    with pytest.raises(HandlerFailed, match="has more than 400,000 tags"):
        fetched(lambda request: send(request, b"<p>" * 400_001))


@pytest.mark.parametrize(
    "start", [b"", b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\n\r\n"], ids=["", "head", "body"]
)
def test_a_page_that_drips_is_given_up(start):
    with HostileSite({}) as site:

        def drip(request) -> None:
            request.wfile.write(start)
            while not site.closing.wait(0.02):
                request.wfile.write(b"x")

        with (
            HostileSite({HERE: drip}) as dripping,
            HttpBackend(dripping.url, settings=SHORT) as backend,
            pytest.raises(HandlerFailed, match="gave up after 1 attempts: .* took longer than 0.2 s"),
        ):
            try:
                ask(backend, "x")
            finally:
                site.closing.set()


def test_failures_in_passing_are_tried_again():
    answers = iter([503, 200])
    with HostileSite({HERE: lambda request: send(request, article("Here."), status=next(answers))}) as site:
        with HttpBackend(site.url, settings=QUICK) as backend:
            assert ask(backend, "x").page is not None
        assert site.asked == [f"GET {HERE}"] * 2


def test_a_page_that_breaks_off_is_no_page():
    whole = gzip.compress(article("Here. " * 1000).encode())

    def cut(request) -> None:  # without a length, the end of the connection is the end of the page
        request.wfile.write(
            b"HTTP/1.0 200 OK\r\nContent-Type: text/html\r\nContent-Encoding: gzip\r\n\r\n" + whole[:-20]
        )

    with pytest.raises(HandlerFailed, match="gave up after 2 attempts: .* sent an incomplete gzip stream"):
        fetched(cut)


def test_failures_that_stay_are_reported():
    with pytest.raises(HandlerFailed, match="gave up after 2 attempts: .* answered with status 503"):
        fetched(lambda request: send(request, "busy", status=503))
    with pytest.raises(HandlerFailed, match="gave up after 2 attempts: .*RemoteProtocolError"):
        fetched(lambda request: request.wfile.write(b"nonsense\r\n\r\n"))
    with pytest.raises(HandlerFailed, match="answered with status 403"):
        fetched(lambda request: send(request, "no", status=403))
    with trap() as (url, _):
        pass
    with HttpBackend(url, settings=QUICK) as backend, pytest.raises(HandlerFailed, match="ConnectError"):
        ask(backend, "x")


# -- what it says --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "kind", "text"),
    [
        ("Zoë".encode("latin-1"), "text/html; charset=iso-8859-1", "Zoë"),
        ("Zoë".encode(), "text/html; charset=nonsense", "Zoë"),
        ("Zoë".encode(), "text/html; charset=base64", "Zoë"),
        (b"Zo\xff\xfe", "text/html; charset=utf-8", "Zo\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}"),
        (b"a\0b", "text/html", "a\N{REPLACEMENT CHARACTER}b"),
        (b"<b><i>open </b>and <p", "text/html", "open and"),
        (b'<a href="//[x">odd</a> <a href="/wiki/%ff%00">links</a>', "text/html", "odd links"),
        (b"<b><i>" * 80 + b"deep", "text/html", "deep"),
    ],
)
def test_broken_pages_are_read_as_far_as_they_go(body, kind, text):
    html = article("@@").encode().replace(b"@@", body)
    page = fetched(lambda request: send(request, html, kind=kind)).page
    assert page is not None and "".join(page.paragraphs).startswith(text)


def test_what_is_no_page_is_refused():
    with pytest.raises(HandlerFailed, match="is 'image/png', not an HTML page"):
        fetched(lambda request: send(request, b"\x89PNG", kind="image/png"))
    with pytest.raises(HandlerFailed, match="not a page of a MediaWiki site"):
        fetched(lambda request: send(request, "<p>Hello"))
    with pytest.raises(HandlerFailed, match="in the encoding 'br', which was not asked for"):
        fetched(lambda request: send(request, b"x", Content_Encoding="br"))


# -- its life ------------------------------------------------------------------------------------------------------


def test_a_cancelled_call_closes_its_connection():
    asked, gone = threading.Event(), threading.Event()

    def wait(request) -> None:
        asked.set()
        assert request.rfile.read(1) == b""  # until the other side closes
        gone.set()

    with HostileSite({HERE: wait}) as site, HttpBackend(site.url, settings=QUICK) as backend:
        cancel = CancelToken()
        canceller = threading.Thread(target=lambda: (asked.wait(60), cancel.cancel()))
        canceller.start()
        with pytest.raises(CallCancelled):
            ask(backend, "x", cancel)
        assert gone.wait(60)
        canceller.join()


def test_closing_ends_calls_under_way_and_all_that_was_started():
    before = set(threading.enumerate())
    asked = threading.Event()

    def wait(request) -> None:
        asked.set()
        request.rfile.read(1)

    with HostileSite({HERE: wait}) as site:
        backend = HttpBackend(site.url, settings=QUICK)
        closer = threading.Thread(target=lambda: (asked.wait(60), backend.close()))
        closer.start()
        with pytest.raises(EnvClosed, match="http-backend was closed"):
            ask(backend, "x")
        closer.join()
        backend.close()
        with pytest.raises(EnvClosed):
            ask(backend, "x")
    assert set(threading.enumerate()) <= before


def test_a_backend_that_is_dropped_leaves_nothing():
    before = set(threading.enumerate())
    with WikiSite(corpus()) as site:
        assert ask(HttpBackend(site.url, settings=QUICK), "Marr").page is not None
    assert set(threading.enumerate()) <= before


@pytest.mark.parametrize(
    ("site", "message"),
    [
        ("file:///etc", "a page's address is http://HOST"),
        ("127.0.0.1:80", "a page's address is http://HOST"),
        ("http://user:secret@host", "a page's address is http://HOST"),
        ("http://host/wiki/", "a site must be an address without a path, such as 'http://host:80'"),
    ],
)
def test_bad_sites_are_refused(site, message):
    with pytest.raises(InvalidConfiguration, match=message):
        HttpBackend(site)


@pytest.mark.parametrize("name", ["timeout_s", "attempts", "max_bytes", "requests_per_s"])
def test_bounds_must_be_some(name):
    with pytest.raises(InvalidConfiguration, match=f"{name} must be"):
        dataclasses.replace(WebSettings(), **dict.fromkeys([name], cast("Any", 0)))
