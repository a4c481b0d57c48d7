from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import threading

import psutil
import pytest
from gymnasium.error import DependencyNotInstalled

from spec_envs.errors import CallCancelled, EnvClosed, HandlerFailed, InvalidConfiguration
from spec_envs.handling import CancelToken
from spec_envs.search.local_wiki.server import WikiSite
from spec_envs.search.pages import Fetched, Page
from spec_envs.search.web.backends import BrowserBackend
from spec_envs.search.web.chromium import find_chromium
from spec_envs.search.web.client import WebSettings
from spec_envs.search.web.mediawiki import search_path
from tests.search.sites import LOOKUPS, QUICK, HostileSite, article, ask, corpus, needs_chromium, send, trap


@needs_chromium
def test_a_site_says_what_its_corpus_says():
    with WikiSite(corpus()) as site, BrowserBackend(site.url, settings=QUICK) as backend:
        backend.prepare()
        for text in LOOKUPS:
            assert ask(backend, text) == corpus().fetch(text), text


@needs_chromium
def test_harmful_pages_do_no_harm():
    """One site with a page for each harm, so that one browser meets them all, one after the other."""
    with trap() as (url, seen):
        parts = (
            f'<img src="{url}/a"><script src="{url}/b"></script><iframe src="{url}/c"></iframe>'
            f'<object data="{url}/e"></object><video src="{url}/f" autoplay></video>'
            '<iframe src="file:///etc/hostname"></iframe><form action="/w/index.php?search=me" method="post"></form>'
            f"<script>document.forms[0].submit(); fetch('/w/index.php?search=me', {{method: 'POST'}})</script>"
            '<img name="documentElement"><form name="URL"></form>'
        )
        styles = f'<link rel="stylesheet" href="{url}/d"><link rel="preconnect" href="{url}"><base href="{url}">'
        after = article("Here.", head='<meta http-equiv="refresh" content="0; url=file:///etc/hostname">')
        away = article("Here.", head=f'<meta http-equiv="refresh" content="0; url={url}">')
        answers = {
            search_path("parts"): lambda request: send(request, article(f"Fine.{parts}", head=styles)),
            search_path("off"): lambda request: send(request, "", status=302, Location=f"{url}/wiki/x"),
            search_path("file"): lambda request: send(request, "", status=302, Location="file:///etc/hostname"),
            search_path("refresh"): lambda request: send(request, after),
            search_path("leave"): lambda request: send(request, away),
            search_path("huge"): lambda request: send(request, b"x" * 100_001),
            search_path("png"): lambda request: send(request, b"\x89PNG", kind="image/png"),
            search_path("zip"): lambda request: send(
                request, b"PK", kind="application/zip", Content_Disposition="attachment"
            ),
            search_path("empty"): lambda request: send(request, "", status=204),
            search_path("ban"): lambda request: send(request, article("No."), status=403),
            search_path("busy"): lambda request: send(request, article("No."), status=503),
            search_path("loop"): lambda request: send(request, "", status=302, Location=search_path("loop")),
        }
        refused = {
            "off": "is not on one of the allowed sites",
            "file": "'file:///etc/hostname' is not on one of the allowed sites",
            "huge": "is larger than 100000 bytes",
            "png": "is 'image/png', not an HTML page",
            "zip": "is 'application/zip', not an HTML page",
            "empty": "answered with status 204",
            "ban": "answered with status 403",
            "busy": "gave up after 2 attempts: .* answered with status 503",
            "loop": "more than 5 redirects; the last leads to",
        }
        settings = WebSettings(attempts=2, backoff_s=0.0, requests_per_s=float("inf"), max_bytes=100_000)
        with HostileSite(answers) as site, BrowserBackend(site.url, settings=settings, max_browsers=1) as backend:
            assert ask(backend, "parts") == Fetched(Page("Trap", ("Fine.",)))
            pids = backend.pids()
            for text, message in refused.items():
                with pytest.raises(HandlerFailed, match=message):
                    ask(backend, text)
            assert ask(backend, "refresh") == Fetched(Page("Trap", ("Here.",)))
            with contextlib.suppress(HandlerFailed):  # it may be read before it leaves
                assert ask(backend, "leave") == Fetched(Page("Trap", ("Here.",)))
            assert backend.pids() == pids  # none of it cost a browser
            assert {line.partition(" ")[0] for line in site.asked} == {"GET"}
        assert not seen


@needs_chromium
def test_killed_browsers_are_replaced_and_nothing_is_left(monkeypatch):
    threads, killed = set(threading.enumerate()), list[int]()
    folder = tempfile.mkdtemp()  # other browsers of this machine have their folders elsewhere
    monkeypatch.setattr(tempfile, "tempdir", folder)

    def kill(title: str) -> float:
        """Kill the browser, and then the driver of the next one, while they load the page."""
        if len(killed) < 2:
            pid = backend.pids()[1 - len(killed)]
            killed.append(pid)
            psutil.Process(pid).kill()
        return 0.0

    with WikiSite(corpus(), latency_s=kill) as site:
        backend = BrowserBackend(site.url, settings=QUICK, max_browsers=1)
        assert ask(backend, "Ostvall") == corpus().fetch("Ostvall")
        processes = [psutil.Process(pid) for pid in backend.pids()]
        processes += [child for process in processes for child in process.children(recursive=True)]
        backend.close()
        backend.close()
        with pytest.raises(EnvClosed):
            ask(backend, "Ostvall")
    assert len(killed) == 2 and len(processes) > 2
    assert not [each for each in processes if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]
    assert set(threading.enumerate()) <= threads
    os.rmdir(folder)  # which is empty


@needs_chromium
def test_a_cancelled_load_gives_its_browser_back():
    asked = threading.Event()

    def wait(request) -> None:
        asked.set()
        request.rfile.read(1)  # until the other side closes

    answers = {search_path("slow"): wait, search_path("next"): lambda request: send(request, article("Here."))}
    with HostileSite(answers) as site, BrowserBackend(site.url, settings=QUICK, max_browsers=1) as backend:
        cancel = CancelToken()
        canceller = threading.Thread(target=lambda: (asked.wait(60), cancel.cancel()))
        canceller.start()
        with pytest.raises(CallCancelled):
            ask(backend, "slow", cancel)
        canceller.join()
        with pytest.raises(CallCancelled):
            ask(backend, "next", cancel)
        assert ask(backend, "next").page is not None


@needs_chromium
def test_closing_ends_a_load_under_way():
    asked = threading.Event()

    def wait(request) -> None:
        asked.set()
        request.rfile.read(1)

    with HostileSite({search_path("slow"): wait}) as site:
        backend = BrowserBackend(site.url, settings=QUICK, max_browsers=1)
        closer = threading.Thread(target=lambda: (asked.wait(60), backend.close()))
        closer.start()
        with pytest.raises(EnvClosed):
            ask(backend, "slow")
        closer.join()


def test_without_chromium_the_way_out_is_named(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(DependencyNotInstalled, match="apt-get install chromium chromium-driver"):
        find_chromium()
    with BrowserBackend("http://127.0.0.1:1") as backend, pytest.raises(DependencyNotInstalled):
        ask(backend, "x")


def test_there_is_at_least_one_browser():
    with pytest.raises(InvalidConfiguration, match="max_browsers must be an integer of at least 1"):
        BrowserBackend("http://127.0.0.1:1", max_browsers=0)


@needs_chromium
def test_a_program_that_ends_without_closing_leaves_nothing():
    program = """if True:
        import sys
        from spec_envs import CancelToken
        from spec_envs.search.web.backends import BrowserBackend
        from spec_envs.search.pages import FetchQuery
        backend = BrowserBackend(sys.argv[1], max_browsers=1)
        backend(FetchQuery("Ostvall"), CancelToken())
        print(*backend.pids())
    """
    # Not tmp_path, which is too long for the socket that Chromium has in its folder.
    with WikiSite(corpus()) as site, tempfile.TemporaryDirectory() as folder:
        ended = subprocess.run(
            [sys.executable, "-c", program, site.url],
            env={**os.environ, "TMPDIR": folder},
            capture_output=True,
            text=True,
        )
        left = os.listdir(folder)
    assert (ended.returncode, ended.stderr) == (0, "")
    pids = [int(pid) for pid in ended.stdout.split()]
    assert len(pids) == 2
    assert not any(map(psutil.pid_exists, pids))
    assert left == []
