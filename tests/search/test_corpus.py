"""Pages are found by title, by redirect, and by what they say; and loaded from files."""

from __future__ import annotations

import copy
import json
import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest

from spec_envs.errors import InvalidConfiguration
from spec_envs.search.corpus import Corpus, page_from_markup
from spec_envs.search.episode import excerpt, found_sentence, not_found, sentences_with
from spec_envs.search.loading import load_corpus
from spec_envs.search.pages import Fetched, FetchQuery, Page

ADA = page_from_markup("Ada Fenwick", "Ada Fenwick was a novelist from [[Tallow]].\n\nShe wrote [[Salt|The Salt]].")
TALLOW = page_from_markup("Tallow", "Tallow is a town by the sea. It has a harbour and a lighthouse.")
SALT = page_from_markup("Salt", "Salt may refer to:\n\n[[Salt (novel)]], a novel\n[[Tallow]], a town of salt")
UPPER = page_from_markup("TALLOW", "TALLOW is an acronym.")
CORPUS = Corpus([ADA, TALLOW, SALT, UPPER], {"A Fenwick": "Ada Fenwick", "Candle town": "Tallow"})


class TestFetch:
    @pytest.mark.parametrize(
        ("text", "page"),
        [
            ("Ada Fenwick", ADA),
            ("ada_fenwick", ADA),
            ("  ADA   Fenwick ", ADA),
            ("A Fenwick", ADA),
            ("candle_TOWN", TALLOW),
            ("Tallow", TALLOW),
            ("TALLOW", UPPER),
            ("tallow", TALLOW),
            ("Salt", SALT),
        ],
    )
    def test_by_name(self, text, page):
        assert CORPUS.fetch(text) == Fetched(page) == CORPUS(FetchQuery(text))

    @pytest.mark.parametrize(
        ("text", "similar"),
        [
            ("Fenwick, novelists", ("Ada Fenwick",)),
            ("lighthouses", ("Tallow",)),
            ("Tallow harbour", ("Tallow", "TALLOW", "Ada Fenwick", "Salt")),
            ("xyzzy", ()),
            ("?! \ud800 \x00", ()),
            ('"NEAR( OR NOT *', ()),
        ],
    )
    def test_by_what_pages_say(self, text, similar):
        assert CORPUS.fetch(text).page is None
        assert set(CORPUS.fetch(text).similar) == set(similar)
        assert CORPUS.fetch(text).similar[:1] == similar[:1]

    def test_at_most_ten_similar_titles(self):
        corpus = Corpus(Page(f"Lamp {number}", ("A lamp.",)) for number in range(30))
        assert corpus.fetch("lamp").similar == tuple(f"Lamp {number}" for number in range(10))

    def test_from_many_threads(self):
        corpus = Corpus(CORPUS, CORPUS.redirects)
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(corpus.fetch, ["lighthouses", "Tallow"] * 50))
        assert found == [Fetched(None, ("Tallow",)), Fetched(TALLOW)] * 50

    def test_copies(self):
        CORPUS.fetch("lighthouses")
        assert copy.deepcopy(CORPUS) is CORPUS
        twin = pickle.loads(pickle.dumps(CORPUS))
        assert list(twin) == list(CORPUS) and twin.redirects == CORPUS.redirects and len(twin) == 4
        assert twin.fetch("lighthouses") == CORPUS.fetch("lighthouses")

    def test_titles_and_redirects_must_make_sense(self):
        with pytest.raises(InvalidConfiguration, match="two pages called 'Tallow'"):
            Corpus([TALLOW, TALLOW])
        with pytest.raises(InvalidConfiguration, match="redirects to 'Nowhere'"):
            Corpus([TALLOW], {"x": "Nowhere"})


class TestReading:
    """Known answers of ReAct's environment."""

    PAGE = Page(
        "X", ("Too short", "One is here. Two is there.", "Three is far. ", "An f. Five. Six is a sixth. Seven ends")
    )

    def test_excerpt(self):
        assert excerpt(self.PAGE) == "One is here. Two is there.. Three is far.. An f. Five."

    def test_lookup(self):
        found = sentences_with(self.PAGE, "IS")
        assert found == ("One is here.", "Two is there..", "Three is far..", "Six is a sixth.")
        assert found_sentence(found, 1) == "(Result 2 / 4) Two is there.."
        assert found_sentence(found, 4) == found_sentence((), 0) == "No more results.\n"

    def test_lines_of_a_list(self):
        assert sentences_with(Page("X", ("one a\ntwo a\n\nthree b",)), "a") == ("one a.", "two a.")

    def test_not_found(self):
        titles = ["It's", "b", "c", "d", "e", "f"]
        assert not_found("x", titles) == """Could not find x. Similar: ["It's", 'b', 'c', 'd', 'e']."""
        assert not_found("x", ()) == "Could not find x. Similar: []."


class TestLoading:
    def test_markup(self):
        assert Page("Ada Fenwick", ADA.paragraphs, ("Tallow", "Salt")) == ADA
        assert ADA.paragraphs[1] == "She wrote The Salt."
        assert SALT.disambiguation and SALT.links == ("Salt (novel)", "Tallow")
        assert SALT.paragraphs == ("Salt may refer to:", "Salt (novel), a novel\nTallow, a town of salt")

    def test_folder(self, tmp_path):
        (tmp_path / "Ada Fenwick.txt").write_text("Ada lived in [[AC/DC]].", encoding="utf-8")
        (tmp_path / "AC%2FDC.txt").write_text("AC/DC is a town.\n\nIt is old.", encoding="utf-8")
        (tmp_path / "Fenwick.txt").write_text("#redirect [[Ada Fenwick]]\n", encoding="utf-8")
        (tmp_path / "notes.md").write_text("no page", encoding="utf-8")
        corpus = load_corpus(tmp_path)
        assert [page.title for page in corpus] == ["AC/DC", "Ada Fenwick"]
        assert corpus.fetch("fenwick").page == Page("Ada Fenwick", ("Ada lived in AC/DC.",), ("AC/DC",))

    def test_json_lines(self, tmp_path):
        lines = [
            {"title": "A", "text": "A likes [[B]]."},
            {"title": "B", "paragraphs": ["B is b."], "links": ["A", "A"]},
            {"title": "C", "redirect": "B"},
            {"title": "D", "paragraphs": ["D may refer to:", "B"], "disambiguation": False},
        ]
        path = tmp_path / "pages.jsonl"
        path.write_text("\n\n".join(map(json.dumps, lines)), encoding="utf-8")
        corpus = load_corpus(path)
        pages = [
            Page("A", ("A likes B.",), ("B",)),
            Page("B", ("B is b.",), ("A",)),
            Page("D", ("D may refer to:", "B")),
        ]
        assert list(corpus) == pages
        assert corpus.redirects == {"C": "B"}

    def test_a_redirect_in_markup_is_one_in_either_form(self, tmp_path):
        path = tmp_path / "pages.jsonl"
        path.write_text(
            '{"title": "A", "text": "#REDIRECT [[B]]"}\n{"title": "B", "text": "B is b."}', encoding="utf-8"
        )
        assert load_corpus(path).redirects == {"A": "B"}

    @pytest.mark.parametrize(
        "line",
        [
            b'{"text": "x"}',
            b'{"title": "A"}',
            b'{"title": 3, "text": "x"}',
            b'{"title": "B", "paragraphs": "one text"}',
            b'{"title": "B", "paragraphs": ["b"], "links": "A"}',
            b'{"title": "B", "paragraphs": ["b"], "disambiguation": "no"}',
            b'{"title": "B\xe9", "text": "in Latin-1"}',
            b"[" * 100_000,
            b"[]",
            b"{",
        ],
        ids=range(10),
    )
    def test_a_wrong_line_is_named(self, tmp_path, line):
        path = tmp_path / "pages.jsonl"
        path.write_bytes(b'{"title": "A", "text": "a"}\n' + line)
        with pytest.raises(InvalidConfiguration, match="line 2 of .*pages.jsonl"):
            load_corpus(path)

    def test_contexts_of_hotpotqa(self, tmp_path):
        questions = [
            {"context": [["A", ["A is a.", " It is."]], ["B", ["B is b."]]]},
            {"context": [["B", ["B is b."]], ["C", ["C."]]]},
        ]
        path = tmp_path / "hotpot.json"
        path.write_text(json.dumps(questions), encoding="utf-8")
        assert list(load_corpus(path)) == [Page("A", ("A is a. It is.",)), Page("B", ("B is b.",)), Page("C", ("C.",))]
        for text, message in (
            ('[{"question": "?"}]', "question 0 of"),
            ("null", "must hold a list of questions"),
            ("[" * 100_000, "cannot be read as JSON"),
        ):
            path.write_text(text, encoding="utf-8")
            with pytest.raises(InvalidConfiguration, match=message):
                load_corpus(path)

    def test_what_is_no_corpus(self, tmp_path):
        (tmp_path / "broken.json").write_text("{", encoding="utf-8")
        for source, message in (
            (tmp_path, "holds no page"),
            (tmp_path / "nothing", "corpus must be"),
            (tmp_path / "broken.json", "cannot be read as JSON"),
        ):
            with pytest.raises(InvalidConfiguration, match=message):
                load_corpus(source)
