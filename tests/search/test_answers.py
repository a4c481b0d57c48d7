"""Pages as sites send them: compression, character sets, redirects, waits. Both backends read the same."""

from __future__ import annotations

import email.utils
import gzip
import time
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spec_envs.errors import HandlerFailed
from spec_envs.search.pages import Fetched, Page
from spec_envs.search.web.answers import Answer, BrokenBody, Inflater, decoded, without_refresh
from spec_envs.search.web.backends import BrowserBackend, HttpBackend
from spec_envs.search.web.client import WebSettings, seconds_to_wait
from spec_envs.search.web.mediawiki import parse, search_path
from tests.search.sites import HostileSite, article, ask, needs_chromium, send

LONG = b"a text of some length, " * 200
INNER = zlib.compressobj(wbits=-15)
RAW = INNER.compress(LONG) + INNER.flush()


def inflated(encoding: str, body: bytes, *, most: int = 10**6, size: int = 7) -> bytes:
    """``body`` without its encoding, fed in pieces of ``size`` bytes."""
    inflater = Inflater(encoding, most)
    out = b""
    for at in range(0, len(body), size):
        out += inflater.feed(body[at : at + size])
        if inflater.is_too_large:
            raise HandlerFailed("is larger")
    inflater.end()
    return out


ENCODED = {
    "one member": ("gzip", gzip.compress(LONG)),
    "two members": ("gzip", gzip.compress(LONG[:1000]) + gzip.compress(LONG[1000:])),
    "many members": ("gzip", b"".join(gzip.compress(LONG[at : at + 100]) for at in range(0, len(LONG), 100))),
    "empty members": ("gzip", gzip.compress(b"") * 3 + gzip.compress(LONG) + gzip.compress(b"")),
    "padding between members": ("gzip", gzip.compress(LONG[:9]) + bytes(5) + gzip.compress(LONG[9:]) + bytes(700)),
    "garbage behind": ("gzip", gzip.compress(LONG) + b"garbage"),
    "one byte behind": ("gzip", gzip.compress(LONG) + b"\x1f"),
    "capitals": (" GZip ", gzip.compress(LONG)),
    "an old name": ("x-gzip", gzip.compress(LONG)),
    "deflate with the header of zlib": ("deflate", zlib.compress(LONG)),
    "deflate without": ("deflate", RAW),
    "deflate, and garbage": ("deflate", RAW + b"garbage"),
    "twice": ("gzip, gzip", gzip.compress(gzip.compress(LONG))),
    "deflate, then gzip": ("deflate, gzip", gzip.compress(zlib.compress(LONG))),
    "identity": ("identity", LONG),
    "none": ("None", LONG),
    "nothing": ("", LONG),
}


class TestInflater:
    @pytest.mark.parametrize("size", [1, 2, 3, 1000, 10**6])
    @pytest.mark.parametrize(("encoding", "body"), ENCODED.values(), ids=ENCODED)
    def test_reads_the_whole_body(self, encoding, body, size):
        assert inflated(encoding, body, size=size) == LONG

    @pytest.mark.parametrize(
        "body",
        [
            gzip.compress(b"x" * 10_000),
            gzip.compress(b"x" * 1001),
            gzip.compress(b"x" * 999) * 2,
            gzip.compress(b"x") * 1001,
            gzip.compress(b"") * 1000,
            gzip.compress(b"x" * 1000) + b"y" * 10_000,
        ],
        ids=["a bomb", "one too many", "two members", "a thousand members", "empty members", "garbage"],
    )
    @pytest.mark.parametrize("size", [1, 20, 10**6])
    def test_is_bounded(self, body, size):
        with pytest.raises(HandlerFailed, match="is larger"):
            inflated("gzip", body, most=1000, size=size)

    def test_allows_what_the_bound_allows(self):
        assert len(inflated("gzip", gzip.compress(b"x" * 500) * 2, most=1000)) == 1000

    @pytest.mark.parametrize(
        ("encoding", "body"),
        [
            ("gzip", gzip.compress(LONG)[:-1]),
            ("gzip", gzip.compress(LONG)[:5]),
            ("gzip", gzip.compress(LONG) + gzip.compress(LONG)[:20]),
            ("deflate", zlib.compress(LONG)[:-1]),
            ("deflate", RAW[:-1]),
            ("gzip, gzip", gzip.compress(gzip.compress(LONG)[:-9])),
        ],
        ids=["last byte", "all but the head", "second member", "last byte of zlib", "last byte raw", "inner tail"],
    )
    def test_notices_what_is_missing(self, encoding, body):
        with pytest.raises(BrokenBody, match="incomplete"):
            inflated(encoding, body)

    @pytest.mark.parametrize("encoding", ["br", "zstd", "compress", "gzip, br", "gzip, gzip, gzip", "utf-8"])
    def test_refuses_other_encodings(self, encoding):
        with pytest.raises(HandlerFailed, match="was not asked for"):
            Inflater(encoding, 10)

    @given(st.binary(max_size=200), st.sampled_from(["gzip", "deflate", "gzip, deflate"]), st.integers(1, 50))
    def test_any_bytes_are_read_or_refused(self, body, encoding, size):
        try:
            assert len(inflated(encoding, body, most=300, size=size)) <= 301
        except (BrokenBody, HandlerFailed):
            pass

    @given(st.lists(st.binary(max_size=50), min_size=1, max_size=5), st.integers(1, 50))
    def test_members_are_one_body(self, parts, size):
        assert inflated("gzip", b"".join(map(gzip.compress, parts)), size=size) == b"".join(parts)


CHARSETS = {
    "gb2312": ("北京是首都", "gb2312", "gb2312"),
    "gb2312 with more than it has": ("镕基", "gbk", "gb2312"),
    "gb18030": ("𠀀北", "gb18030", "GB18030"),
    "shift_jis": ("東京は首都", "shift_jis", "Shift_JIS"),
    "shift_jis of Windows": ("①髙", "cp932", "x-sjis"),
    "euc-jp": ("東京は首都", "euc_jp", "EUC-JP"),
    "iso-2022-jp": ("東京は首都", "iso2022_jp", "iso-2022-jp"),
    "euc-kr": ("서울은 수도", "euc_kr", "euc-kr"),
    "euc-kr of Windows": ("똠방", "cp949", "ks_c_5601-1987"),
    "big5": ("臺北是首都", "big5", "Big5"),
    "latin1 is windows-1252": ("“Zoë”", "cp1252", "iso-8859-1"),
    "latin9": ("Zoë €", "iso8859_15", "latin9"),
    "latin2": ("Łódź", "iso8859_2", "ISO-8859-2"),
    "windows-1251": ("Москва", "cp1251", "windows-1251"),
    "koi8-r": ("Москва", "koi8_r", "KOI8-R"),
    "greek": ("Αθήνα", "iso8859_7", "iso-8859-7"),
    "turkish": ("Şişli", "cp1254", "iso-8859-9"),
    "thai": ("กรุงเทพ", "cp874", "tis-620"),
    "utf-16 without a mark": ("Łódź 北京", "utf-16-le", "utf-16"),
    "utf-16be": ("Łódź 北京", "utf-16-be", "utf-16BE"),
    "utf8": ("Łódź 北京", "utf-8", "UTF8"),
}


class TestDecoding:
    @pytest.mark.parametrize(("text", "codec", "label"), CHARSETS.values(), ids=CHARSETS)
    def test_by_the_header(self, text, codec, label):
        assert decoded(text.encode(codec), f'text/html; Charset = "{label}"') == text
        assert decoded(text.encode(codec), f"text/html;charset={label};x=y") == text

    @pytest.mark.parametrize(
        ("text", "codec", "label"), [each for each in CHARSETS.values() if "16" not in each[2]], ids=str
    )
    @pytest.mark.parametrize(
        "form", ['<meta charset="{}">', '<meta http-equiv=content-type content="text/html; charset={}">']
    )
    def test_by_the_page(self, text, codec, label, form):
        head = form.format(label)
        assert decoded(head.encode() + text.encode(codec), "text/html; charset=nonsense") == head + text

    @pytest.mark.parametrize(
        "head",
        [
            "<!-- <meta charset=big5> -->",
            "<!-- <meta charset=big5>",
            '<meta name="description" content="pages with charset=big5">',
            "<meta charset=nonsense><meta charset=utf-8>",
            '<?xml version="1.0" encoding="utf-8"?><meta charset=big5>',
            "<metadata charset=big5>",
        ],
    )
    def test_what_does_not_declare_a_character_set(self, head):
        assert decoded(f"{head}<p>Łódź".encode()) == f"{head}<p>Łódź"

    @pytest.mark.parametrize(
        "header", ["", "text/html; charset=iso-8859-1", "text/html; charset=gb2312", "charset=utf-16be"]
    )
    @pytest.mark.parametrize("codec", ["utf-8-sig", "utf-16"])
    def test_a_byte_order_mark_counts_most(self, codec, header):
        text = '<meta charset="big5">Łódź 北京'
        assert decoded(text.encode(codec), header) == text

    @pytest.mark.parametrize(
        "label", ["base64", "rot13", "idna", "undefined", "hex", "zlib", "utf-7", "\ud800", "cp437x"]
    )
    def test_codecs_that_are_no_character_sets_do_not_count(self, label):
        assert decoded("Łódź".encode(), f"text/html; charset={label}") == "Łódź"

    def test_a_page_that_can_be_read_is_not_in_utf_16(self):
        assert decoded('<meta charset="utf-16">Łódź'.encode()) == '<meta charset="utf-16">Łódź'

    @given(st.binary(max_size=300), st.text(max_size=40), st.sampled_from([label for *_, label in CHARSETS.values()]))
    def test_any_bytes_are_text(self, body, noise, label):
        for header in (noise, f"text/html; charset={label}", f"text/html; charset={noise}"):
            text = decoded(body, header)
            assert text.encode() is not None and "\0" not in text

    @given(st.binary(max_size=400) | st.text(max_size=400).map(lambda text: text.encode("utf-8", "replace")))
    def test_any_bytes_are_a_page_or_refused(self, body):
        html = article("@@").encode().replace(b"@@", body)
        answer = Answer("http://host/", 200, {"content-type": "text/html"}, html)
        text = answer.text()
        answer.refresh()
        assert isinstance(parse(without_refresh(text)), Fetched) and parse(text) == parse(without_refresh(text))


def answer_of(url: str = "http://host/wiki/a", status: int = 200, body: str = "", **headers: str) -> Answer:
    return Answer(url, status, {name.replace("_", "-"): value for name, value in headers.items()}, body.encode())


class TestLeading:
    @pytest.mark.parametrize(
        ("location", "target"),
        [
            ("/wiki/b", "http://host/wiki/b"),
            ("b#part", "http://host/wiki/b"),
            (" ?x=1 ", "http://host/wiki/a?x=1"),
            ("//other/x", "http://other/x"),
            ("/wiki/Łódź".encode().decode("latin-1"), "http://host/wiki/%C5%81%C3%B3d%C5%BA"),
            ("/wiki/北京".encode().decode("latin-1"), "http://host/wiki/%E5%8C%97%E4%BA%AC"),
            ("/wiki/Zo\xeb", "http://host/wiki/Zo%EB"),
            ("/wiki/%C5%81", "http://host/wiki/%C5%81"),
            ("/wiki/a b", "http://host/wiki/a%20b"),
            ('/wiki/"<>"', "http://host/wiki/%22%3C%3E%22"),
            ("/w/index.php?title=a&b=c'(d)", "http://host/w/index.php?title=a&b=c'(d)"),
            ("//[x", "//[x"),
            ("/wi\tki/b\r\n", "http://host/wiki/b"),
            ("\\wiki\\b?c=\\", "http://host/wiki/b?c=%5C"),
            ("\\\\other/x", "http://other/x"),
        ],
    )
    def test_redirects(self, location, target):
        assert answer_of(status=302, location=location).location == target
        assert answer_of(status=200, location=location).location is None

    @pytest.mark.parametrize(
        "meta",
        [
            '<meta http-equiv="refresh" content="0; url=/wiki/b">',
            "<META HTTP-EQUIV=Refresh CONTENT=0;URL=/wiki/b>",
            "<meta http-equiv='refresh' content=\"0;url='/wiki/b'\">",
            '<meta content="0, /wiki/b" http-equiv="REFRESH"/>',
            '<meta http-equiv="refresh" content="0 /wiki/b">',
            '<meta http-equiv="refresh" content=".5; url = b#part">',
            '<meta http-equiv="refresh" content="0.9;http://host/wiki/b">',
            '<meta name="a" http-equiv="refresh" content="0;url=/wiki/&#98;">',
            '<meta\nhttp-equiv = "refresh"\ncontent = "0;\nurl=/wiki/b">',
            '<noscript><meta http-equiv="refresh" content="0; url=/wiki/b"></noscript>',
            '<!-- a --><meta http-equiv="refresh" content="0; url=/wiki/b"><!-- b -->',
            '<meta charset=utf-8><meta http-equiv="refresh" content="0; url=/wiki/b">',
        ],
    )
    def test_pages_that_lead_on(self, meta):
        assert answer_of(body=article("Here.", head=meta)).refresh() == "http://host/wiki/b"

    @pytest.mark.parametrize(
        "meta",
        [
            '<meta http-equiv="refresh" content="5; url=/wiki/b">',
            '<meta http-equiv="refresh" content="1;/wiki/b">',
            '<meta http-equiv="refresh" content="0">',
            '<meta http-equiv="refresh">',
            '<meta http-equiv="refresh" content="0; url=">',
            '<meta http-equiv="refresh" content="0; url=/wiki/a">',
            '<meta http-equiv="refresh" content="now; url=/wiki/b">',
            '<meta name="refresh" content="0; url=/wiki/b">',
            '<meta http-equiv="refresh" content="; url=/wiki/b">',
            '<!-- <meta http-equiv="refresh" content="0; url=/wiki/b"> -->',
            '<script>"<meta http-equiv=refresh content=0;url=/wiki/b>"</script>',
            '<title><meta http-equiv="refresh" content="0; url=/wiki/b"></title>',
            '&lt;meta http-equiv="refresh" content="0; url=/wiki/b"&gt;',
            '<meta http-equiv="refresh" content="0; url=/wiki/b"',
        ],
    )
    def test_pages_that_stay(self, meta):
        assert answer_of(body=article("Here.", head=meta)).refresh() is None

    @given(st.text(alphabet="<>\"'= ;,0.refresh meta url/http-equivcontent&#x\n", max_size=200))
    def test_any_text_leads_somewhere_or_not(self, text):
        target = answer_of(body=f"<meta http-equiv=refresh content={text}").refresh()
        assert target is None or target.isascii()

    @given(st.binary(max_size=80))
    def test_any_bytes_are_an_address_in_ascii(self, location):
        found = answer_of(status=302, location=location.decode("latin-1")).location
        assert found is not None and found.isascii() and not set(found) & set(" \r\n\0")

    @given(st.text(max_size=40))
    def test_any_text_is_a_wait(self, demand):
        assert seconds_to_wait(demand) >= 0.0

    def test_a_page_full_of_beginnings_is_read_at_once(self):
        for text in ("<meta ", '<meta "', "<meta '\"", "<!--", "<script>", '<meta a="b" '):
            assert answer_of(body="refresh" + text * 100_000).refresh() is None


# -- the same over HTTP and in a browser -----------------------------------------------------------------------------

QUICK = WebSettings(timeout_s=60.0, attempts=1, backoff_s=0.0, requests_per_s=float("inf"))
BACKENDS = [
    pytest.param(HttpBackend, id="http"),
    pytest.param(
        lambda url, **options: BrowserBackend(url, max_browsers=1, **options), id="browser", marks=needs_chromium
    ),
]


def page(text: str) -> Fetched:
    return Fetched(Page("Trap", (text,)))


def searches(site: HostileSite) -> list[str]:
    """The searches that the site was asked; a browser may also ask for an icon."""
    return [each for each in site.asked if "search=" in each]


#: What a reader sees of markup, broken or hidden: the first paragraph.
MARKUP = {
    "soft hyphens": ("so&shy;ft and so\u00adft", "soft and soft"),
    "marks of width 0": ("a\u200bb\u2060c\ufeffd", "abcd"),
    "marks of direction": ("1990&lrm; in \u202aTarn\u202c", "1990 in Tarn"),
    "joiners": ("می\u200cخواهم", "می\u200cخواهم"),
    "a hard space": ("a&nbsp;b", "a b"),
    "hidden": ("a<span hidden>b</span>c", "ac"),
    "not displayed": ('Born <span style="display:none">(1990-01-02)</span>in 1990', "Born in 1990"),
    "not visible": ('a<span style="color: red; Visibility: Hidden">b</span>c', "ac"),
    "displayed": ('a<span style="display:inline; border:none">b</span>c', "abc"),
    "a table": ("a<table><tr><td>b</td></tr></table>", "a"),
    "bare cells": ("a<td>b</td>c", "a"),
    "a second body": ("a<body class=x>b", "a"),
    "an early end": ("a</body></html>b", "a"),
    "frames": ("a<frameset><frame></frameset>b", "a"),
    "a line break that ends": ("a</br>b", "ab"),
    "links in links": ("a<b>b<a>c<a>d</a></a></b>", "abcd"),
    "a dialog": ("a<dialog>b</dialog>c", "abc"),
    "tags that overlap": ("<b>a<i>b</b>c</i>d", "abcd"),
    "no tags": ("a <3 b & c &notit; d", "a <3 b & c ¬it; d"),
    "a section of XML": ("a<![CDATA[b]]>c", "ac"),
    "unknown tags": ("a<my-tag>b</my-tag><o:p>c</o:p>", "abc"),
    "no script": ("a<noscript>b</noscript>c", "ac"),
}


def pages() -> dict[str, tuple[Any, Fetched]]:
    """By the text of a search: how the site answers, and what is to be read."""
    found: dict[str, tuple[Any, Fetched]] = {}

    def add(text: str, wanted: str, body: str | bytes = "", **headers: Any) -> None:
        found[text] = (lambda request: send(request, body, **headers), page(wanted))

    for name, (text, codec, label) in CHARSETS.items():
        add(f"header {name}", text, article(text).encode(codec), kind=f"text/html; charset={label}")
        if "16" not in label:
            meta = article(text, head=f'<meta charset="{label}">')
            add(f"page {name}", text, meta.encode(codec), kind="text/html")
    for codec in ("utf-8-sig", "utf-16"):
        add(f"mark {codec}", "Łódź", article("Łódź").encode(codec), kind="text/html; charset=windows-1252")
    for name, (encoding, body) in ENCODED.items():
        if encoding and "behind" not in name and encoding not in ("identity", "None"):
            whole = article(LONG.decode().strip()).encode()
            body = gzip.compress(whole[:900]) + gzip.compress(whole[900:]) if encoding == "gzip" else body
            if encoding == "gzip":
                add(f"encoded {name}", LONG.decode().strip(), body, Content_Encoding=encoding)
    target = search_path("target")
    add("target", "The target.", article("The target."))
    add("refresh", "The target.", article("x", head=f'<meta http-equiv="refresh" content="0; url={target}">'))
    add("refresh later", "Here.", article("Here.", head=f'<meta http-equiv="refresh" content="1; url={target}">'))
    add("refresh forever", "Here.", article("Here.", head='<meta http-equiv="refresh" content="0">'))
    add(
        "refresh elsewhere",
        "Here.",
        article("Here.", head='<meta http-equiv="refresh" content="0; url=http://x.test/">'),
    )
    location = "/wiki/Łódź".encode().decode("latin-1")
    add("raw utf-8", "Łódź.", "", status=302, Location=location)
    add("changed by a proxy", "Here.", article("Here."), status=203)
    add("bytes", "a\N{REPLACEMENT CHARACTER}b", article("a\0b"))
    for name, (markup, text) in MARKUP.items():
        add(f"markup {name}", text, article(markup))
    add("line break", "Born 1990 in Tarn", article("Born<br>1990<br/>in<wbr> Tarn"))
    return found


@pytest.mark.parametrize("make", BACKENDS)
def test_pages_are_read_alike(make):
    answers = {search_path(text): answer for text, (answer, _) in pages().items()}
    answers["/wiki/%C5%81%C3%B3d%C5%BA"] = lambda request: send(request, article("Łódź."))
    with HostileSite(answers) as site, make(site.url, settings=QUICK) as backend:
        for text, (_, wanted) in pages().items():
            assert ask(backend, text) == wanted, text


@pytest.mark.parametrize("make", BACKENDS)
def test_what_leads_nowhere_is_given_up_alike(make):
    def loop(number: int) -> Any:
        return lambda request: send(request, "", status=302, Location=search_path(f"loop {1 - number}"))

    def after(url: str) -> str:
        return article("x", head=f'<meta http-equiv="refresh" content="0; url={url}">')

    answers = {search_path(f"loop {number}"): loop(number) for number in range(2)}
    answers[search_path("meta 0")] = lambda request: send(request, after(search_path("meta 1")))
    answers[search_path("meta 1")] = lambda request: send(request, after(search_path("meta 0")))
    for bound in (0, 3):
        settings = WebSettings(attempts=1, requests_per_s=float("inf"), max_redirects=bound)
        with HostileSite(answers) as site, make(site.url, settings=settings) as backend:
            for text in ("loop 0", "meta 0"):
                with pytest.raises(HandlerFailed, match=f"more than {bound} redirects"):
                    ask(backend, text)
                assert len(searches(site)) == bound + 1
                site.asked.clear()


@pytest.mark.parametrize("make", BACKENDS)
def test_an_encoding_that_was_not_asked_for_is_refused_alike(make):
    """A browser alone would announce "br" and "zstd" too; the requests of both backends announce gzip, and no other."""
    announced: set[str] = set()

    def encoded(name: str) -> Any:
        def answer(request: Any) -> None:
            announced.add(request.headers["Accept-Encoding"])
            send(request, article("x"), Content_Encoding=name)

        return answer

    names = ["br", "zstd", "compress", "gzip, br", "exi"]
    answers = {search_path(name): encoded(name) for name in names}
    with HostileSite(answers) as site, make(site.url, settings=QUICK) as backend:
        for name in names:
            with pytest.raises(HandlerFailed, match=f"answered in the encoding '{name}', which was not asked for"):
                ask(backend, name)
    assert announced == {"gzip"}


WAITS = [
    "100000",
    "61",
    "9" * 400,
    email.utils.formatdate(time.time() + 7200, usegmt=True),
    "Fri, 31 Dec 9999 23:59:59 GMT",
]


@pytest.mark.parametrize("make", BACKENDS)
def test_a_wait_that_is_too_long_fails_at_once(make):
    demand = ""
    answers = {search_path("x"): lambda request: send(request, "busy", status=503, Retry_After=demand)}
    settings = WebSettings(attempts=3, requests_per_s=float("inf"))
    with HostileSite(answers) as site, make(site.url, settings=settings) as backend:
        for demand in WAITS:
            with pytest.raises(
                HandlerFailed, match=r"status 503, and asks to wait longer than 60 s \(Retry-After"
            ) as caught:
                ask(backend, "x")
            assert demand[:90] in str(caught.value)
        assert len(searches(site)) == len(WAITS)


@pytest.mark.parametrize(
    "demand", ["0", "", "soon", "-1", "1.5", "٣", "Thu, 01 Jan 1970 00:00:00 GMT", "Fri, 99 Nop 1 x", "\xe9"]
)
def test_other_waits_are_none(demand):
    statuses = iter([503, 200])
    answers = {
        search_path("x"): lambda request: send(request, article("Here."), status=next(statuses), Retry_After=demand)
    }
    settings = WebSettings(attempts=2, backoff_s=0.0, requests_per_s=float("inf"))
    if not demand.isascii():
        answers = {search_path("x"): lambda request: send(request, article("Here."), status=next(statuses))}
    with HostileSite(answers) as site, HttpBackend(site.url, settings=settings) as backend:
        assert ask(backend, "x") == page("Here.")


@pytest.mark.parametrize("make", BACKENDS)
def test_a_page_that_drips_costs_one_attempt(make):
    closing: list[HostileSite] = []

    def drip(request) -> None:
        request.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while not closing[0].closing.wait(0.05):
            request.wfile.write(b"x")

    settings = WebSettings(timeout_s=0.5, attempts=1, requests_per_s=float("inf"))
    with HostileSite({search_path("x"): drip}) as site, make(site.url, settings=settings) as backend:
        closing.append(site)
        with pytest.raises(HandlerFailed, match=r"gave up after 1 attempts: .* took longer than 0.5 s"):
            ask(backend, "x")
        assert len(searches(site)) <= 1  # on a busy machine the time is over before the site is asked


@pytest.mark.parametrize("make", BACKENDS)
def test_a_page_that_is_too_deep_is_given_up_in_time(make):
    body = article("<div>" * 199_000 + "deep" + "</div>" * 199_000)
    answers = {
        search_path("deep"): lambda request: send(request, body),
        search_path("next"): lambda request: send(request, article("Here.")),
    }
    settings = WebSettings(timeout_s=5.0, attempts=1, requests_per_s=float("inf"))
    with HostileSite(answers) as site, make(site.url, settings=settings) as backend:
        start = time.monotonic()
        with pytest.raises(HandlerFailed, match="levels deep|the browser took longer than 5 s to show"):
            ask(backend, "deep")
        assert time.monotonic() - start < 60  # it was minutes; the browser itself takes seconds to start
        assert ask(backend, "next") == page("Here.")
