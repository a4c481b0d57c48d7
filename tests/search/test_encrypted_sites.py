"""Pages of an ``https`` site: a browser gives the same text as the HTTP backend, as it does for an ``http`` site."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

import pytest

from spec_envs.errors import HandlerFailed
from spec_envs.search.web.backends import BrowserBackend, HttpBackend
from spec_envs.search.web.mediawiki import search_path
from tests.search.sites import (
    QUICK,
    HostileSite,
    article,
    ask,
    needs_chromium,
    needs_openssl,
    send,
    signed_certificate,
)

BODY = '<h1 id=firstHeading>T</h1><div id="mw-content-text"><div class="mw-parser-output">{}</div></div>'
#: What Chromium repairs, or reads, in its own way.
PAGES = {
    "plain": article("Here."),
    "unclosed": BODY.format("<p>One<p>Two<b>three<i>four</b>five"),
    "a table in a paragraph": BODY.format("<p>One<table><tr><td>x</table>two</p>"),
    "text in a table": BODY.format("<table>lost<tr><td>x</td></tr></table><p>Two.</p>"),
    "a form in a form": BODY.format("<form><p>One<form><p>two</form></form>"),
    "links in links": BODY.format('<p><a href="/wiki/A">A <a href="/wiki/B">B</a></a> end</p>'),
    "nobr and noscript": BODY.format("<p>One <noscript>two</noscript><nobr>three<nobr>four</p>"),
    "template": BODY.format("<p>One <template>two</template> three</p>"),
    "entities": BODY.format("<p>&ampa &notit; &#x80; &lt;b&gt; &nbsp;x&zwj;y</p>"),
    "nul": BODY.format("<p>a\0b</p>"),
    "a line break": BODY.format("<p>Born<br>1990</p>"),
    "a list": BODY.format("<ul><li>a<li>b</ul><p>c"),
    "a comment": BODY.format("<p>a<!-- <p>b --!> c</p>"),
    "svg": BODY.format("<p>a <svg><p>b</svg> c</p>"),
    "select": BODY.format("<p>a <select><p>b</select> c</p>"),
    "a refresh to itself": BODY.format("<p>Here</p>") + '<meta http-equiv=refresh content="0">',
    "a refresh to elsewhere": '<meta http-equiv=refresh content="0;url=https://127.0.0.1:1/">'
    + BODY.format("<p>H</p>"),
    "a base": '<base href="http://127.0.0.1:1/">' + BODY.format('<p><a href="/wiki/A" title="A">A</a> b</p>'),
    "csp": '<meta http-equiv="Content-Security-Policy" content="upgrade-insecure-requests">' + article("Here."),
}
ODD: dict[str, tuple[bytes, str, dict[str, str]]] = {
    "gb2312": ("汉字".encode("gb2312"), "text/html; charset=gb2312", {}),
    "shift_jis": ("漢字かな".encode("shift_jis"), "text/html", {}),
    "a mark": (b"\xef\xbb\xbf" + article("é").encode(), "text/html; charset=iso-8859-1", {}),
    "upgrades": (article("Here.").encode(), "text/html", {"Strict_Transport_Security": "max-age=31536000"}),
}


@pytest.fixture(scope="module")
def sites(tmp_path_factory):
    certificate = signed_certificate(tmp_path_factory.mktemp("certificate"))
    answers: dict[str, Any] = {
        search_path(name): partial(send, body=page, kind="text/html") for name, page in PAGES.items()
    }
    for name, (body, kind, headers) in ODD.items():
        page = body if b"<h1" in body else BODY.encode().replace(b"{}", b"<p>" + body + b"</p>")
        answers[search_path(name)] = partial(send, body=page, kind=kind, **headers)  # type: ignore[arg-type]
    answers[search_path("moved")] = lambda request: send(request, "", status=302, Location=search_path("plain"))
    answers[search_path("off")] = lambda request: send(request, "", status=302, Location="https://127.0.0.1:1/x")
    answers[search_path("down")] = lambda request: send(request, "", status=302, Location="http://127.0.0.1:1/x")
    answers[search_path("ban")] = lambda request: send(request, article("No."), status=403)
    with HostileSite(answers) as plain, HostileSite(answers, certificate=certificate) as encrypted:
        yield plain.url, encrypted.url, dataclasses.replace(QUICK, certificates=certificate)


@needs_openssl
@needs_chromium
def test_both_give_the_same_pages(sites):
    plain, encrypted, settings = sites
    with (
        HttpBackend(plain) as expected,
        HttpBackend(encrypted, settings=settings) as http,
        BrowserBackend(encrypted, settings=settings, max_browsers=1) as browser,
    ):
        for name in (*PAGES, *ODD, "moved", "no such page"):
            page = ask(expected, name)
            assert ask(http, name) == page, name
            assert ask(browser, name) == page, name
        for name, message in {"off": "allowed sites", "down": "allowed sites", "ban": "status 403"}.items():
            for backend in (http, browser):
                with pytest.raises(HandlerFailed, match=message):
                    ask(backend, name)


@needs_openssl
@pytest.mark.parametrize("make", [HttpBackend, pytest.param(BrowserBackend, marks=needs_chromium)])
def test_a_certificate_that_nobody_vouches_for_is_refused(sites, make):
    with make(sites[1], settings=QUICK) as backend, pytest.raises(HandlerFailed, match="CERTIFICATE_VERIFY_FAILED"):
        ask(backend, "plain")
