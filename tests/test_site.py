"""The site of docs/: it builds without a warning, its links lead somewhere, and it needs no network."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from tests.browsing import chromium
from tests.commands import succeed
from tests.search.sites import needs_chromium
from tests.sources import MODULES, ROOT

pytest.importorskip("material", reason="needs the extra docs")
pytestmark = [pytest.mark.docs, pytest.mark.timeout(300)]

REFERENCE = sorted(path.stem for path in (ROOT / "docs" / "api").glob("spec_envs*.md"))


class Page(HTMLParser):
    """What a page of the site refers to, and the places that others may refer to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.ids: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.ids |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif tag == "link" and given.get("rel") != "canonical":
            self.loaded.append(given["href"])
        elif "src" in given:
            self.loaded.append(given["src"])


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> dict[Path, Page]:
    """The pages of the site as ``make docs`` builds it."""
    folder = tmp_path_factory.mktemp("site").resolve()
    succeed(sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", folder, cwd=ROOT)
    return {path: Page(path) for path in folder.rglob("*.html") if path.name != "404.html"}


def test_links_lead_somewhere(site):
    broken = []
    for path, page in site.items():
        for link in [*page.links, *page.loaded]:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            anchor = unquote(parts.fragment)
            if not target.is_file() or (anchor and target in site and anchor not in site[target].ids | {"__tabbed"}):
                broken.append(f"{path.name}: {link}")
    assert broken == []


def test_pages_load_nothing_from_the_network(site):
    assert {link for page in site.values() for link in page.loaded if urlsplit(link).netloc} == set()


@pytest.mark.parametrize("module", REFERENCE)
def test_the_reference_has_every_public_name(site, module):
    (page,) = (page for path, page in site.items() if path.name == f"{module}.html")
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    exports = [each for each in tree.body if isinstance(each, ast.Assign) and ast.unparse(each.targets[0]) == "__all__"]
    names = [name for each in exports for name in ast.literal_eval(each.value)]
    # A function that is named like its module is told of by its own path.
    assert [name for name in names if not {f"{module}.{name}", f"{module}.{name}.{name}"} & page.ids] == []


@pytest.fixture(scope="module")
def phone() -> Iterator[webdriver.Chrome]:
    """Chromium, with pages as narrow as on a phone."""
    with chromium(phone_width=390) as found:
        yield found


@needs_chromium
def test_pages_from_disk_fit_a_phone_and_log_no_error(site, phone):
    wrong = []
    for path in site:
        phone.get(path.as_uri())
        wide = phone.execute_script("return document.documentElement.scrollWidth > window.innerWidth")
        logged = [entry["message"] for entry in phone.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]
        if wide or logged:
            wrong.append((path.name, "wider than the screen" if wide else logged))
    assert wrong == []


@needs_chromium
def test_the_search_works_from_disk(site, phone):
    (home,) = (path for path in site if path.name == "index.html" and path.parent.name != "api")
    phone.get(home.as_uri())
    phone.find_element(By.CSS_SELECTOR, "label[for=__search].md-icon").click()
    field = phone.find_element(By.CSS_SELECTOR, ".md-search__input")
    WebDriverWait(phone, 60).until(lambda _: field.is_displayed())
    field.send_keys("selectivity")
    found = WebDriverWait(phone, 60).until(lambda _: phone.find_elements(By.CSS_SELECTOR, ".md-search-result__link"))
    assert any("speculation.html" in (link.get_attribute("href") or "") for link in found)
