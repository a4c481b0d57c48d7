"""The pages of the local wiki in HTML, with MediaWiki's markup. All text is escaped here."""

import re
import textwrap
from collections.abc import Iterable, Sequence
from html import escape
from urllib.parse import urlencode

from spec_envs.search.pages import Page
from spec_envs.search.web.mediawiki import title_path

_STYLE = """
:root { color-scheme: light; --line: #c8ccd1; --link: #36c; --quiet: #54595d; }
* { box-sizing: border-box; }
body { margin: 0; background: #f8f9fa; color: #202122; font: 16px/1.6 system-ui, "Liberation Sans", sans-serif; }
header { background: #fff; border-bottom: 1px solid var(--line); }
header > div { display: flex; flex-wrap: wrap; gap: 1rem 2rem; align-items: center; }
header > div, main, footer { max-width: 60rem; margin: 0 auto; padding: .8rem 1.5rem; }
.wordmark { font: 1.5rem Georgia, "Liberation Serif", serif; color: inherit; letter-spacing: .02em; }
form { display: flex; flex: 1; max-width: 32rem; }
input, button { font: inherit; padding: .35rem .7rem; border: 1px solid var(--line); min-width: 0; }
input { flex: 1; border-radius: 3px 0 0 3px; border-right: 0; }
button { border-radius: 0 3px 3px 0; background: #fff; cursor: pointer; }
main { background: #fff; border: 1px solid var(--line); border-top: 0; padding-bottom: 2.5rem; min-height: 60vh; }
h1, h2 { font-family: Georgia, "Liberation Serif", serif; font-weight: normal; line-height: 1.3; }
h1, h2 { border-bottom: 1px solid var(--line); }
h1 { font-size: 1.9rem; margin: .6rem 0 .3rem; } h2 { font-size: 1.4rem; margin-top: 1.6rem; }
a { color: var(--link); text-decoration: none; } a:hover { text-decoration: underline; }
#siteSub, #contentSub, footer, .quiet { color: var(--quiet); font-size: .85rem; }
p { margin: .7rem 0; } li { margin: .25rem 0; }
.dmbox { border-top: 1px solid var(--line); margin-top: 1.5rem; padding-top: .5rem; font-style: italic; }
.mw-search-results { list-style: none; padding: 0; } .mw-search-result-heading { font-size: 1.1rem; }
.searchresult { color: var(--quiet); } .columns { columns: 15rem; padding-left: 1.2rem; }
"""
_BACK_MATTER = "See also"
_SNIPPET = 200


def article(page: Page, *, name: str) -> str:
    """The page of an article that was opened under ``name``, which is its title or the name of a redirect to it."""
    source = "From the local wiki, a generated encyclopedia"
    sub = ""
    if name != page.title:
        link = "/w/index.php?" + urlencode({"title": name.replace(" ", "_"), "redirect": "no"})
        sub = (
            f'<span class="mw-redirectedfrom">(Redirected from <a href="{escape(link)}" class="mw-redirect" '
            f'title="{escape(name)}">{escape(name)}</a>)</span>'
        )
    paragraphs, rest = _linked(page)
    text = "\n".join(map(_block, paragraphs))
    if page.disambiguation:
        text += (
            '\n<div id="disambigbox" class="metadata plainlist dmbox dmbox-disambig" role="note">'
            "This page lists articles associated with the same title.</div>"
        )
    if rest:
        entries = "\n".join(f"<li>{_link(title)}</li>" for title in rest)
        text += f'\n<div class="mw-heading"><h2 id="See_also">{_BACK_MATTER}</h2></div>\n<ul>{entries}</ul>'
    body = f'<div class="mw-content-ltr mw-parser-output" lang="en" dir="ltr">\n{text}\n</div>'
    canonical = f'<link rel="canonical" href="{escape(title_path(page.title))}">'
    return _document(page.title, body, site_sub=source, content_sub=sub, head=canonical)


def missing(name: str) -> str:
    """The page that says that there is no article called ``name``."""
    body = (
        '<div class="noarticletext"><p><b>There is no article of this name.</b> '
        f'<a href="/w/index.php?{escape(urlencode({"search": name}))}">Search for it</a> in other articles.</p></div>'
    )
    return _document(name, body)


def results(text: str, found: Iterable[Page]) -> str:
    """The page with the results of a search for ``text``."""
    items = "\n".join(
        f'<li class="mw-search-result"><div class="mw-search-result-heading">{_link(page.title)}</div>'
        f'<div class="searchresult">{escape(_snippet(page))}</div></li>'
        for page in found
    )
    body = f'<ul class="mw-search-results">{items}</ul>'
    if not items:
        body = '<p class="mw-search-nonefound">There were no results matching the query.</p>'
    note = f'<p class="mw-search-createlink">There is no article called “{escape(text)}”.</p>' if text.strip() else ""
    return _document("Search results", f'<div class="searchresults">{note}{body}</div>', search=text)


def main_page(titles: Sequence[str], *, shown: int = 120) -> str:
    """The main page, with the number of articles and links to about ``shown`` of them."""
    step = max(1, len(titles) // shown)
    links = "".join(f"<li>{_link(title)}</li>" for title in sorted(titles[::step]))
    body = (
        f"<p>An encyclopedia of a world of its own, with {len(titles):,} articles. Search above, or begin here:</p>"
        f'<ul class="columns">{links}</ul>'
    )
    return _document("The local wiki", body)


def _linked(page: Page) -> tuple[list[str], list[str]]:
    """The paragraphs in HTML, with links where the titles of linked pages are mentioned; and the remaining links.

    Links keep their order, so that a reader of the HTML finds them in the page's order. So the remaining links begin
    with the first link that is not mentioned behind the link before it.
    """
    parts: list[list[str]] = [[] for _ in page.paragraphs]
    at, start = 0, 0
    rest = list(page.links)
    while rest:
        found = _find(page.paragraphs, rest[0], at, start)
        if found is None:
            break
        number, match = found
        for skipped in range(at, number):
            parts[skipped].append(escape(page.paragraphs[skipped][start:]))
            start = 0
        parts[number].append(escape(page.paragraphs[number][start : match.start()]))
        parts[number].append(_link(rest.pop(0), match[0]))
        at, start = number, match.end()
    for number in range(at, len(parts)):
        parts[number].append(escape(page.paragraphs[number][start if number == at else 0 :]))
    return ["".join(part) for part in parts], rest


def _find(paragraphs: Sequence[str], title: str, at: int, start: int) -> tuple[int, re.Match[str]] | None:
    """The next mention of ``title``, with or without the brackets at its end: paragraph number and match."""
    short = re.sub(r" \([^()]*\)$", "", title)
    pattern = re.compile(rf"(?<!\w)(?:{re.escape(title)}|{re.escape(short)})(?!\w)")
    for number in range(at, len(paragraphs)):
        match = pattern.search(paragraphs[number], start if number == at else 0)
        if match is not None and match[0]:
            return number, match
    return None


def _block(paragraph: str) -> str:
    """A paragraph in HTML; a paragraph of several lines becomes a list."""
    lines = paragraph.split("\n")
    return f"<p>{paragraph}</p>" if len(lines) == 1 else f"<ul>{''.join(f'<li>{line}</li>' for line in lines)}</ul>"


def _link(title: str, shown: str | None = None) -> str:
    return f'<a href="{escape(title_path(title))}" title="{escape(title)}">{escape(shown or title)}</a>'


def _snippet(page: Page) -> str:
    return textwrap.shorten(" ".join(page.paragraphs), _SNIPPET, placeholder=" …")


def _document(
    title: str, body: str, *, site_sub: str = "", content_sub: str = "", head: str = "", search: str = ""
) -> str:
    return f"""<!DOCTYPE html>
<html lang="en" dir="ltr">
<head>
<meta charset="UTF-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="spec-envs">
<title>{escape(title)} – The local wiki</title>
<link rel="icon" href="data:,">
{head}
<style>{_STYLE}</style>
</head>
<body class="mediawiki ltr">
<header class="noprint"><div>
<a class="wordmark" href="/">The local wiki</a>
<form action="/w/index.php" role="search">
<input type="search" name="search" value="{escape(search)}" placeholder="Search the wiki" aria-label="Search the wiki">
<button>Search</button>
</form>
</div></header>
<main id="content" class="mw-body">
<h1 id="firstHeading" class="firstHeading"><span class="mw-page-title-main">{escape(title)}</span></h1>
<div id="siteSub" class="noprint">{site_sub}</div>
<div id="contentSub">{content_sub}</div>
<div id="mw-content-text" class="mw-body-content">
{body}
</div>
</main>
<footer class="noprint">Generated by spec-envs. Any resemblance to real persons and places is a coincidence.</footer>
</body>
</html>
"""
