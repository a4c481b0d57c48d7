from __future__ import annotations

import contextlib
import http.client
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request

import pytest

from spec_envs.errors import InvalidConfiguration
from spec_envs.search.local_wiki.server import WikiSite
from spec_envs.search.web.mediawiki import title_path
from tests.search.sites import corpus


@pytest.fixture(scope="module")
def site():
    with WikiSite(corpus()) as site:
        yield site


def get(url: str, method: str = "GET") -> tuple[int, str, str]:
    """Status, address after redirects, and text."""
    request = urllib.request.Request(url, method=method)
    try:
        with urllib.request.urlopen(request) as response:
            return response.status, response.url, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.url, error.read().decode()


def test_a_search_goes_to_the_article(site):
    status, url, text = get(f"{site.url}/w/index.php?search=elin+MARR+%28painter%29")
    assert (status, url) == (200, f"{site.url}/wiki/Elin_Marr_(painter)")
    assert "painter &lt;b&gt;from&lt;/b&gt; Ost &amp; Vall" in text
    assert '<a href="/wiki/Ostvall" title="Ostvall">Ostvall</a>, with' in text


def test_a_redirect_shows_its_target_and_says_so(site):
    status, url, text = get(f"{site.url}/w/index.php?search=E.+Marr")
    assert (status, url) == (200, f"{site.url}/wiki/E._Marr")
    assert "Redirected from" in text and '<link rel="canonical" href="/wiki/Elin_Marr_(painter)">' in text


def test_a_search_without_article_lists_what_is_like_it(site):
    status, url, text = get(f"{site.url}/w/index.php?search=%3Cb%3Epainter")
    assert (status, url.rpartition("?")[0]) == (200, f"{site.url}/w/index.php")
    assert "mw-search-result-heading" in text and "“&lt;b&gt;painter”" in text and "<b>painter" not in text


def test_odd_titles_have_addresses(site):
    title = "AC/DC: a/../b?#%&+ 日本"
    assert get(site.url + title_path(title))[0] == 200


@pytest.mark.parametrize("path", ["/wiki/Nope", "/w/index.php?title=Nope", "/elsewhere", "/wiki/"])
def test_what_is_not_there_is_not_found(site, path):
    status, _, text = get(site.url + path)
    assert status == 404 and "noarticletext" in text


def test_the_entrance_leads_to_articles(site):
    status, _, text = get(site.url)
    assert status == 200 and 'title="Ostvall"' in text and "5 articles" in text


def test_only_reading_is_answered(site):
    assert get(site.url, "POST")[0] == 405
    assert get(site.url, "HEAD")[::2] == (200, "")


def test_closing_does_not_wait_for_a_slow_page():
    asked = threading.Event()

    def slow(title: str) -> float:
        asked.set()
        return 3600.0

    before = set(threading.enumerate())
    with WikiSite(corpus(), latency_s=slow) as site:
        url = f"{site.url}/wiki/Ostvall"

        def read() -> None:
            with contextlib.suppress(OSError, http.client.HTTPException):
                get(url)

        reader = threading.Thread(target=read)
        reader.start()
        assert asked.wait(60)
    reader.join(60)
    assert set(threading.enumerate()) <= before


def test_bad_addresses_are_refused(site):
    with pytest.raises(InvalidConfiguration, match="latency_s must be finite and at least 0"):
        WikiSite(corpus(), latency_s=-1)
    with pytest.raises(InvalidConfiguration, match="has no address before start"):
        _ = WikiSite(corpus()).url
    with pytest.raises(InvalidConfiguration, match=r"cannot listen on port \d+ of 127\.0\.0\.1"):
        WikiSite(corpus(), port=int(site.url.rpartition(":")[2])).start()


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM], ids=lambda end: end.name)
def test_the_command_serves_until_it_is_told_to_end(tmp_path, end):
    (tmp_path / "Tarn.txt").write_text("Tarn is a lake.")
    command = [sys.executable, "-m", "spec_envs.benchmarks.cli", "wiki", "--port", "0", "--corpus", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            assert "Tarn is a lake." in get(f"{url}/wiki/Tarn")[2]
            process.send_signal(end)
            assert process.wait(60) == 0
        finally:
            process.kill()
