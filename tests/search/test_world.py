"""The generated wiki: large enough, the same every time, and consistent from page to page."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from spec_envs.agents.search.generated_text import find_fact
from spec_envs.search.episode import excerpt
from spec_envs.search.loading import load_corpus, load_questions
from spec_envs.search.world.questions import make_questions
from spec_envs.search.world.wiki import make_wiki
from spec_envs.search.world.world import make_world

if TYPE_CHECKING:
    from spec_envs.search.corpus import Corpus
    from spec_envs.search.questions import Question

WIKI = load_corpus("embedded")
QUESTIONS = load_questions("embedded")


def text_of(corpus: Corpus, title: str) -> str:
    page = corpus.find(title)
    assert page is not None, title
    return "\n".join(page.paragraphs)


@pytest.fixture(scope="module", params=[1, 2, 3])
def other(request) -> tuple[Corpus, tuple[Question, ...]]:
    """Another world."""
    world = make_world(request.param)
    wiki = make_wiki(world, request.param)
    return wiki, make_questions(world, request.param, wiki)


class TestWiki:
    def test_size(self):
        assert len(WIKI) >= 400
        assert sum(page.disambiguation for page in WIKI) >= 20
        assert len(WIKI.redirects) >= 50

    def test_is_the_same_every_time(self):
        world = make_world(20240)
        again = make_wiki(world, 20240)
        assert list(again) == list(WIKI) and again.redirects == WIKI.redirects
        assert make_questions(world, 20240, again) == QUESTIONS

    def test_links_lead_to_pages(self, other):
        for corpus in (WIKI, other[0]):
            missing = {(page.title, link) for page in corpus for link in page.links if corpus.find(link) is None}
            assert missing == set()

    def test_pages_are_linked_from_other_pages(self):
        linked = {link for page in WIKI for link in page.links}
        assert [page.title for page in WIKI if page.title not in linked and not page.disambiguation] == []

    def test_a_name_of_several_things_leads_to_all_of_them(self):
        for page in WIKI:
            if page.disambiguation:
                named = [each.title for each in WIKI if each.title.startswith(f"{page.title} (")]
                assert len(named) > 1 and set(page.links) == set(named)

    def test_prose_has_no_markup_and_no_gaps(self, other):
        for corpus in (WIKI, other[0]):
            for page in corpus:
                for paragraph in page.paragraphs:
                    assert not re.search(
                        r"\[|\]|\{|\}|\|| {2}|\.\.|\bNone\b|\bthe the\b|\bthe The\b|, \.| ,", paragraph
                    )
                    assert re.match(r"[A-Z]", paragraph)

    def test_articles_fit(self, other):
        for page in (*WIKI, *other[0]):
            text = " ".join(page.paragraphs)
            assert not re.search(r"\ba [aeioAEIO]\w", text), text
            assert not re.search(r"\b[Aa]n [bcdfghjklmnpqrstvwxyzBCDFGHJKLMNPQRSTVWXYZ]", text), text

    def test_prose_varies(self):
        leads = Counter(re.sub(r"[A-Z]\w+|\d+", "_", excerpt(page).partition(". ")[0]) for page in WIKI)
        assert len(leads) > 60
        assert leads.most_common(1)[0][1] < 0.1 * len(WIKI)


class TestFactsAgree:
    """What two pages tell about the same thing is the same, as a reader reads it from the prose."""

    def test_years_in_brackets(self, other):
        # "(born 1921)" and "(1962)" after a link, against the page that is linked.
        for corpus in (WIKI, other[0]):
            checked = 0
            for page in corpus:
                text = "\n".join(page.paragraphs)
                for link in page.links:
                    name = re.sub(r" \(.*\)$", "", link)
                    if sum(each.startswith(f"{name} (") for each in page.links) > 1:
                        continue  # two namesakes
                    for match in re.finditer(rf"{re.escape(name)} \((?:born )?(\d{{4}})\)", text):
                        there = text_of(corpus, link)
                        assert match[1] in there or match[1] in _prize_years(page.title, there), (page.title, link)
                        checked += 1
            assert checked > 300

    @pytest.mark.parametrize(
        ("relation", "back"),
        [
            ("spouse", "spouse"),
            ("founder", ""),
            ("university", ""),
            ("prize", ""),
            ("museum", ""),
            ("climber", ""),
            ("basis", ""),
        ],
    )
    def test_the_other_page_tells_of_it(self, other, relation, back):
        for corpus in (WIKI, other[0]):
            checked = 0
            for page in corpus:
                fact = find_fact(relation, page.paragraphs)
                if fact is None:
                    continue
                (title,) = {link for link in page.links if re.sub(r" \(.*\)$", "", link) == fact.value} - {page.title}
                there = corpus.find(title)
                assert there is not None
                listed = relation in (
                    "university",
                    "prize",
                    "museum",
                )  # where there are many, only the first are listed
                assert listed or page.title in there.links, (page.title, title)
                if back:
                    mutual = find_fact(back, there.paragraphs)
                    assert mutual is not None and mutual.value == re.sub(r" \(.*\)$", "", page.title)
                checked += 1
            assert checked >= 6

    def test_lives_are_possible(self, other):
        for corpus in (WIKI, other[0]):
            for page in corpus:
                lead = page.paragraphs[0].partition(". ")[0]
                dates = [int(year) for year in re.findall(r"\d{1,2} [A-Z][a-z]+ (\d{4})", lead)]
                if not dates or page.disambiguation:
                    continue
                rest = " ".join(page.paragraphs[1:])
                years = [int(year) for year in re.findall(r"\b(?:1[89]|20)\d{2}\b", rest)]
                assert all(dates[0] + 18 <= year for year in years), page.title
                if len(dates) == 2:
                    assert 55 <= dates[1] - dates[0] <= 95
                    assert all(year <= dates[1] for year in years), page.title


def _prize_years(title: str, text: str) -> str:
    """The sentence in which a person's page tells of the prize called ``title``."""
    return " ".join(sentence for sentence in text.split(". ") if title in sentence)


class TestQuestions:
    def test_splits(self):
        counts = Counter(question.id.partition("-")[0] for question in QUESTIONS)
        assert counts == {"train": 200, "dev": 80, "test": 120}
        for split, count in counts.items():
            questions = load_questions("embedded", split)
            assert [question.id for question in questions] == [f"{split}-{number}" for number in range(count)]

    def test_kinds(self):
        kinds = Counter((question.type, len(question.supporting)) for question in QUESTIONS)
        assert kinds["bridge", 2] >= 100 and kinds["bridge", 3] >= 100
        assert kinds["comparison", 2] + kinds["comparison", 4] >= 100
        assert len({question.text for question in QUESTIONS}) == len(QUESTIONS)
        yes_no = Counter(question.answer for question in QUESTIONS if question.answer in ("yes", "no"))
        assert min(yes_no.values()) >= 10

    def test_supporting_titles_lead_to_each_other_and_to_the_answer(self, other):
        for corpus, questions in ((WIKI, QUESTIONS), other):
            for question in questions:
                pages = [page for title in question.supporting if (page := corpus.find(title)) is not None]
                assert [page.title for page in pages] == list(question.supporting)
                if question.type == "bridge":
                    for page, after in zip(pages, pages[1:], strict=False):
                        assert after.title in page.links, question
                    assert question.answer in text_of(corpus, pages[-1].title), question
                    first = re.sub(r" \(.*\)$", "", question.supporting[0])
                    assert first in question.text
