"""Generated worlds: the same from a seed everywhere, new names, solvable, as hard as they say, and as large."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import subprocess
import sys

import gymnasium as gym
import pytest

from spec_envs.agents import ScriptedSearchPolicy, SolutionReplay
from spec_envs.difficulty import Difficulty
from spec_envs.errors import InvalidConfiguration
from spec_envs.search import Corpus, Page, Question, SearchEnv, load_corpus, load_questions
from spec_envs.search.difficulty import difficulty_of

#: A change of the worlds changes what was learned and measured in them: do so on purpose.
EMBEDDED, GENERATED = "ae79d1b28d9d6bf2", "5c9f9e885ac45a10"


def digest_of(corpus, questions):
    parts = [list(map(dataclasses.asdict, corpus)), dict(corpus.redirects), list(map(dataclasses.asdict, questions))]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def play(env, policy, question):
    observation, _ = env.reset(seed=0, options={"question": question})
    reward, done = 0.0, False
    while not done:
        observation, reward, terminated, truncated, _ = env.step(policy(observation))
        done = terminated or truncated
    return reward


def names_in(corpus):
    """The words that begin with a capital in titles of pages about places and people."""
    return {
        word for page in corpus if re.fullmatch(r"[A-Z]\w+(?: [A-Z]\w+)?", page.title) for word in page.title.split()
    }


class TestWorlds:
    def test_the_embedded_one_stays_as_it_is(self):
        assert digest_of(load_corpus("embedded"), load_questions("embedded")) == EMBEDDED

    def test_are_the_same_bytes_in_every_process(self):
        code = (
            "from spec_envs.search import load_corpus, load_questions; "
            "from tests.search.test_generated import digest_of;"
            "print(digest_of(*(load('generated', world_seed=7) for load in (load_corpus, load_questions))))"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=True)
        assert done.stdout.strip() == GENERATED
        assert digest_of(load_corpus("generated", world_seed=7), load_questions("generated", world_seed=7)) == GENERATED

    def test_have_names_of_their_own(self):
        one, other = names_in(load_corpus("generated", world_seed=1)), names_in(load_corpus("generated", world_seed=2))
        embedded = names_in(load_corpus("embedded"))
        for these, those in ((one, embedded), (other, embedded), (one, other)):
            assert len(these & those) <= 0.05 * len(these)  # organisations have words in common, such as "Press"

    def test_of_several_parts_are_as_many_times_as_large(self):
        small, large = (load_corpus("generated", world_seed=4, size=size) for size in (1, 4))
        assert 3.6 < len(large) / len(small) < 4.4
        assert len(load_questions("generated", "dev", world_seed=4, size=4)) == 320
        missing = {link for page in large for link in page.links if large.find(link) is None}
        assert missing == set()

    def test_prose_has_no_gaps(self):
        for page in load_corpus("generated", world_seed=5):
            for paragraph in page.paragraphs:
                assert not re.search(r"\[|\]|\{|\}|\|| {2}|\.\.|\bNone\b|\bthe the\b|\bthe The\b|, \.| ,", paragraph)
                assert not re.search(r"\ba [aeioAEIO]\w", paragraph)


class TestQuestions:
    @pytest.mark.parametrize("first", range(0, 50, 10))
    def test_are_solved_by_their_solving_actions(self, first):
        # 1,000 questions about 50 worlds, played in the environment.
        for seed in range(first, first + 10):
            env = SearchEnv(corpus="generated", world_seed=seed, split=None)
            for question in env.questions[seed % 20 :: 20]:
                assert play(env, SolutionReplay(question), question) == 1.0, question

    def test_are_solved_by_the_scripted_reader_from_what_the_pages_say(self):
        env = SearchEnv(corpus="generated", world_seed=2, split="dev")
        assert all(play(env, ScriptedSearchPolicy(), question) == 1.0 for question in env.questions)

    def test_are_as_hard_as_they_say(self):
        corpus, questions = load_corpus("generated", world_seed=7), load_questions("generated", world_seed=7)
        found = [difficulty_of(question, corpus) for question in questions]
        assert {each.hops for each in found} == {2, 3, 4} and {each.writes for each in found} == {0}
        assert {each.negations for each in found} == {0, 1} and {each.distractors for each in found} >= {0, 1, 2}
        for question, difficulty in zip(questions, found, strict=True):
            assert len(set(question.supporting)) == difficulty.hops
            in_brackets = [title for title in question.supporting if title.endswith(")")]
            assert (difficulty.distractors > 0) == bool(in_brackets)

    def test_difficulty_of_one_that_is_written_out(self):
        pages = [
            Page("Ash (novel)", ("Ash is a novel by Ada Fenwick.",), ("Ada Fenwick",)),
            Page("Ash (film)", ("Ash is a film.",)),
            Page("Ash", ("Ash may refer to:",), ("Ash (novel)", "Ash (film)"), disambiguation=True),
            Page("Ada Fenwick", ("Ada Fenwick was born in Tallow.",)),
        ]
        question = Question(
            "q", "Where was the author of Ash born?", "Tallow", "bridge", ("Ash (novel)", "Ada Fenwick")
        )
        assert difficulty_of(question, Corpus(pages)) == Difficulty(hops=2, writes=0, distractors=1, negations=0)
        negated = dataclasses.replace(question, text="Who was not born in Tallow?", supporting=("Ada Fenwick",))
        assert difficulty_of(negated, Corpus(pages)) == Difficulty(hops=1, writes=0, distractors=0, negations=1)
        with pytest.raises(InvalidConfiguration, match="does not name the pages"):
            difficulty_of(dataclasses.replace(question, supporting=()), Corpus(pages))
        with pytest.raises(InvalidConfiguration, match="'Elm' of question 'q' is not in this corpus"):
            difficulty_of(dataclasses.replace(question, supporting=("Elm",)), Corpus(pages))


class TestArguments:
    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({"world_seed": 3}, "world_seed=3 is only for \"generated\", not for 'embedded'"),
            ({"size": 3}, "size=3 is only for \"generated\", not for 'embedded'"),
            ({"corpus": "generated", "world_seed": -1}, "world_seed must be an integer of at least 0, not -1"),
            ({"corpus": "generated", "size": 101}, "size must be at most 100, not 101"),
            ({"corpus": "generated", "split": "x"}, "split must be one of train, dev, test, or None, not 'x'"),
        ],
    )
    def test_that_are_wrong(self, given, message):
        with pytest.raises(InvalidConfiguration, match=message):
            SearchEnv(**given)

    def test_of_make(self):
        env = gym.make("SpecSearch-v0", corpus="generated", world_seed=4, size=4, split="dev").unwrapped
        assert isinstance(env, SearchEnv) and len(env.questions) == 320
        assert env.spec is not None
        again = gym.make(env.spec).unwrapped
        assert isinstance(again, SearchEnv) and again.questions == env.questions

    def test_of_questions_about_a_world_that_a_site_serves(self):
        corpus = load_corpus("generated", world_seed=1)
        env = SearchEnv(backend=lambda query: corpus(query), questions="generated", world_seed=1)
        assert play(env, SolutionReplay(env.questions[0]), 0) == 1.0
