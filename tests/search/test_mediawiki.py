from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spec_envs.errors import HandlerFailed
from spec_envs.search.loading import load_corpus
from spec_envs.search.local_wiki import page_html
from spec_envs.search.pages import Fetched, Page
from spec_envs.search.web.mediawiki import parse, search_path, title_path

# Marked up as Wikipedia does today (skin Vector 2022): what is not the article's text stands all around and in it.
ARTICLE = """<!DOCTYPE html>
<html class="client-nojs vector-feature-language-in-header-enabled" lang="en" dir="ltr">
<head><meta charset="UTF-8"><title>Ada Quill - Wikipedia</title>
<script>document.documentElement.className="client-js";</script></head>
<body class="skin--responsive skin-vector mediawiki ltr ns-0 ns-subject page-Ada_Quill rootpage-Ada_Quill">
<a class="mw-jump-link" href="#bodyContent">Jump to content</a>
<nav><ul><li><a href="/wiki/Main_Page">Main page</a></li></ul></nav>
<main id="content" class="mw-body">
<header class="mw-body-header"><h1 id="firstHeading" class="firstHeading mw-first-heading"><span
 class="mw-page-title-main">Ada Quill</span></h1></header>
<div id="bodyContent"><div id="siteSub" class="noprint">From Wikipedia, the free encyclopedia</div>
<div id="contentSub"><div id="mw-content-subtitle"><span class="mw-redirectedfrom">(Redirected from
<a class="mw-redirect" href="/w/index.php?title=A._Quill&amp;redirect=no" title="A. Quill">A. Quill</a>)</span></div>
</div>
<div id="mw-content-text" class="mw-body-content"><div class="mw-content-ltr mw-parser-output" lang="en" dir="ltr">
<div class="shortdescription nomobile noexcerpt noprint searchaux" style="display:none">Writer (1901–1977)</div>
<style data-mw-deduplicate="TemplateStyles:r1">.mw-parser-output .hatnote{font-style:italic}</style>
<div role="note" class="hatnote navigation-not-searchable">For the ship, see <a href="/wiki/Ada_Quill_(ship)"
 title="Ada Quill (ship)">Ada Quill (ship)</a>.</div>
<p class="mw-empty-elt">
</p>
<table class="infobox vcard"><tbody><tr><th>Born</th><td><a href="/wiki/Infobox_town">Infobox town</a></td></tr></tbody>
</table>
<p><b>Ada Quill</b> (<span class="rt-commentedText"><a href="/wiki/Help:IPA/English" title="Help:IPA/English">/kwɪl/</a>
</span>) was a <a href="/wiki/Welsh_people" title="Welsh people">Welsh</a> novelist<sup id="cite_ref-1"
 class="reference"><a href="#cite_note-1"><span class="cite-bracket">[</span>1<span class="cite-bracket">]</span></a>
</sup> from <a href="/wiki/Llan_%26_Mawr" title="Llan &amp; Mawr">Llan&nbsp;&amp;&nbsp;Mawr</a>.<sup
 class="noprint Inline-Template">[<i><a href="/wiki/Wikipedia:Citation_needed">citation needed</a></i>]</sup></p>
<figure class="mw-default-size" typeof="mw:File/Thumb"><a href="/wiki/File:Quill.jpg" class="mw-file-description"><img
 src="//upload.wikimedia.org/quill.jpg"></a><figcaption>Quill in <a href="/wiki/Caption">1930</a></figcaption></figure>
<meta property="mw:PageProp/toc" />
<div class="mw-heading mw-heading2"><h2 id="Works">Works</h2><span class="mw-editsection"><span>[</span><a
 href="/w/index.php?title=Ada_Quill&amp;action=edit&amp;section=1">edit</a><span>]</span></span></div>
<ul><li><i><a href="/wiki/The_Heron" title="The Heron">The Heron</a></i> (1931)
<ul><li>Its sequel, <a href="/w/index.php?title=The_Egret&amp;action=edit&amp;redlink=1" class="new"
 title="The Egret (page does not exist)">The Egret</a></li></ul></li>
<li>Poems, with <a href="https://cy.wikipedia.org/wiki/Bardd" class="extiw" title="cy:Bardd">a bard</a></li></ul>
<table class="wikitable"><tbody><tr><td><p>A table's paragraph</p></td></tr></tbody></table>
<div class="mw-heading mw-heading2"><h2 id="See_also">See also</h2></div>
<ul><li><a href="/wiki/Mission:_Impossible" title="Mission: Impossible">Mission: Impossible</a></li></ul>
<div class="mw-heading mw-heading2"><h2 id="References">References</h2></div>
<div class="mw-references-wrap"><ol class="references"><li id="cite_note-1"><span class="reference-text">A book by <a
 href="/wiki/Cited" title="Cited">Cited</a></span></li></ol></div>
<div class="navbox"><ul><li><a href="/wiki/Navigation" title="Navigation">Navigation</a></li></ul></div>
</div><div class="printfooter">Retrieved from "<a href="https://en.wikipedia.org/w/index.php?title=Ada_Quill">…</a>"</div>
</div><div id="catlinks" class="catlinks"><ul><li><a href="/wiki/Category:Writers">Writers</a></li></ul></div>
</div></main></body></html>
"""
RESULTS = """<html><body><h1 id="firstHeading">Search results</h1><div id="mw-content-text">
<form id="search"><div id="mw-search-top-table"></div></form>
<div class="searchresults mw-searchresults-has-iw"><p class="mw-search-createlink"><i>The page "<b><a
 href="/w/index.php?title=Quil&amp;action=edit&amp;redlink=1" class="new">Quil</a></b>" does not exist.</i></p>
<div id="mw-interwiki-results"><ul class="iw-results"><li class="iw-resultset"><div class="mw-search-result-heading"><a
 href="https://en.wiktionary.org/wiki/quill" class="extiw" title="wikt:quill">quill</a></div></li></ul></div>
<div class="mw-search-results-container"><ul class="mw-search-results">
<li class="mw-search-result mw-search-result-ns-0"><table class="searchResultImage"><tr><td
 class="searchResultImage-text"><div class="mw-search-result-heading"><a href="/wiki/Quill" title="Quill"
 data-serp-pos="0"><span class="searchmatch">Quill</span></a>    </div><div class="searchresult">A quill is …</div></td>
</tr></table></li>
<li class="mw-search-result"><div class="mw-search-result-heading"><a href="/wiki/Ada_Quill" title="Ada Quill">Ada
 <span class="searchmatch">Quill</span></a> <span class="mw-search-result-redirect">(redirect from <a
 href="/w/index.php?title=A._Quill&amp;redirect=no" class="mw-redirect" title="A. Quill">A. Quill</a>)</span></div></li>
</ul></div></div></div></body></html>
"""


def test_an_article_is_read_without_what_is_not_its_text():
    assert parse(ARTICLE) == Fetched(
        Page(
            "Ada Quill",
            (
                "Ada Quill (/kwɪl/ ) was a Welsh novelist from Llan & Mawr.",
                "The Heron (1931)\nIts sequel, The Egret\nPoems, with a bard",
            ),
            ("Welsh people", "Llan & Mawr", "The Heron", "Mission: Impossible"),
        )
    )


def test_a_search_gives_the_titles_of_the_wiki_itself():
    assert parse(RESULTS) == Fetched(None, ("Quill", "Ada Quill"))


def test_a_search_without_results_gives_none():
    html = '<h1 id="firstHeading">Search results</h1><p class="mw-search-nonefound">There were no results.</p>'
    assert parse(html) == Fetched(None)


def test_a_missing_article_is_none():
    html = '<h1 id="firstHeading">Nope</h1><div id="mw-content-text"><div class="noarticletext"><p>No.</p></div></div>'
    assert parse(html) == Fetched(None)


@pytest.mark.parametrize(
    ("box", "first", "expected"),
    [
        ('<div id="disambigbox" class="metadata plainlist dmbox dmbox-disambig">This page lists …</div>', "Ada:", True),
        ("", "Ada may refer to:", True),
        ("", "Ada may also refer to:", True),
        ("", "The word may refer to a person.", False),
    ],
)
def test_disambiguation_is_known_by_its_box_or_its_words(box, first, expected):
    html = f'<h1 id="firstHeading">Ada</h1><div class="mw-parser-output"><p>{first}</p><ul><li>A</li></ul>{box}</div>'
    assert parse(html) == Fetched(Page("Ada", (first, "A"), (), expected))


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>Born<br>1990</p>", "Born 1990"),
        ("<p>Born<br/>1990<br />in Tarn</p>", "Born 1990 in Tarn"),
        ("<p>Born <br> 1990</p>", "Born 1990"),
        ("<p>in<b>separ</b>able<wbr>words<sup>2</sup></p>", "inseparablewords2"),
        ("<ul><li>Born<div>1990</div>in Tarn</li></ul>", "Born 1990 in Tarn"),
        ("<ul><li>Born<br>1990</li></ul>", "Born 1990"),
        ("<ul><li><p>One.</p><p>Two.</p></li></ul>", "One. Two."),
        ("<ul><li>a<blockquote>b</blockquote>c<pre>d</pre>e</li></ul>", "a b c d e"),
        ("<ul><li>Town<ul><li>Street</li></ul>of Tarn</li></ul>", "Town of Tarn\nStreet"),
        ("<dl><dt>Born<br>on</dt><dd><div>1</div><div>May</div></dd></dl>", "Born on\n1 May"),
        ("<ol><li><span>a<br></span>b<i><br></i>c</li></ol>", "a b c"),
        ("<ul><li>a<h3>b</h3>c<hr>d</li></ul>", "a b c d"),
    ],
)
def test_lines_that_break_are_words_apart(html, text):
    found = parse(f'<h1 id="firstHeading">A<br>da</h1><div class="mw-parser-output">{html}</div>')
    assert found == Fetched(Page("A da", (text,)))


def test_what_is_no_mediawiki_page_is_refused():
    with pytest.raises(HandlerFailed, match="not a page of a MediaWiki site: 'Welcome to nginx!'"):
        parse("<html><body><p>Welcome to nginx!</p></body></html>")


def test_addresses_name_what_they_should():
    assert search_path("a b&c=d/é") == "/w/index.php?search=a+b%26c%3Dd%2F%C3%A9"
    assert title_path("AC/DC (band)") == "/wiki/AC/DC_(band)"
    assert title_path("C#?") == "/wiki/C%23%3F"
    assert title_path("a/../b") == "/w/index.php?title=a%2F..%2Fb"  # nobody shall shorten it


def test_the_local_site_writes_what_is_read_again():
    for page in load_corpus("embedded"):
        assert parse(page_html.article(page, name=page.title)) == Fetched(page)


# What a parser keeps as it is: no control characters, no halves of pairs, no space but the usual one.
letters = st.characters(exclude_categories=("Cc", "Cs", "Zs", "Zl", "Zp")) | st.sampled_from("<>&\"' ;#/[](){}")
words = st.text(letters, min_size=1, max_size=20).map(lambda text: " ".join(text.split())).filter(bool)
lines = st.lists(words, min_size=1, max_size=3).map("\n".join)


@given(words, st.lists(lines, max_size=4), st.lists(words, max_size=4, unique=True))
def test_any_page_survives_the_way_through_html(title, paragraphs, links):
    page = Page(title, tuple(paragraphs), tuple(links))
    assert parse(page_html.article(page, name=title)) == Fetched(page)
