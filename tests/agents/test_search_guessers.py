"""Guessers for ``SpecSearch-v0``: what they read, what they rank first, what they learn, and how well they do."""

from __future__ import annotations

import json

import pytest

from spec_envs import Call, Effect
from spec_envs.agents import UnionGuesser
from spec_envs.agents.search.action_guesser import SearchGuesser
from spec_envs.agents.search.action_model import ActionModel
from spec_envs.agents.search.page_guesser import PageGuesser
from spec_envs.agents.search.recorded_guesser import RecordedSearchGuesser
from spec_envs.agents.search.scripted_policy import ScriptedSearchPolicy
from spec_envs.agents.search.situation import Situation
from spec_envs.agents.search.spans import spans_of
from spec_envs.errors import InvalidConfiguration
from spec_envs.search.env import SearchEnv
from spec_envs.search.pages import Fetched, FetchQuery, Page
from spec_envs.search.recordings import load_episodes
from spec_envs.wrappers import SimulationRuntime

from ..search.episodes import record

COMPARED = "Were Alice Munro and Lillian Hellman both writers?"
MUNRO = "Alice Ann Munro (10 July 1931 – 13 May 2024) was a Canadian short story writer. She was born in Wingham.."


def ask(question, *steps):
    """A call of the policy after ``steps``: pairs of action and observation."""
    transcript = [{"action": action, "observation": observation} for action, observation in steps]
    observation = steps[-1][1] if steps else "Answer."
    query = {"question": question, "transcript": json.dumps(transcript), "observation": observation, "steps_left": 5}
    return Call("policy", query)


def guesses(guesser, call, k=3):
    return [guess.response for guess in guesser.guess(call, k)]


class TestSpans:
    @pytest.mark.parametrize(
        ("text", "wanted"),
        [
            (COMPARED, {"Alice Munro", "Lillian Hellman"}),
            ("Are both Days of the New and TV on the Radio from New York?", {"Days of the New", "TV on the Radio"}),
            (
                "A Pair of Brown Eyes and Wild Mountain Thyme is based on",
                {"A Pair of Brown Eyes", "Wild Mountain Thyme"},
            ),
            ("The Battle of Nanchang was fought", {"The Battle of Nanchang", "Battle of Nanchang"}),
            ('the star of "I Love Lucy" as what?', {"I Love Lucy"}),
            ("Para Hills West, South Australia lies in", {"Para Hills West, South Australia"}),
            ("the Rabi cycle won what award?", {"Rabi cycle"}),
            ("led by Chief Justice Roger B. Taney until", {"Roger B. Taney"}),
            ("Was it Shakespeare's play?", {"Shakespeare"}),
        ],
    )
    def test_names(self, text, wanted):
        assert wanted <= {span.text for span in spans_of(text)}

    def test_words_that_only_begin_a_sentence_and_dates_are_no_names(self):
        names = {
            span.text
            for span in spans_of("Which author, born on 4 March 1861, wrote it? The end.")
            if span.kind == "name"
        }
        assert not names & {"Which", "The", "March", "4 March 1861"}

    def test_figures(self):
        found = {(span.kind, span.text) for span in spans_of("It made $60 million on April 6, 2014.")}
        assert {("number", "$60 million"), ("date", "April 6, 2014"), ("year", "2014")} <= found


class TestSituation:
    def test_reads_what_each_step_brought(self):
        missing = "Could not find [Tallow]. Similar: ['Tallow (town)', \"Tallow's End\"]."
        query = ask(
            COMPARED,
            ("search[Alice Munro]", MUNRO),
            ("lookup[born]", "(Result 1 / 1) She was born in Wingham."),
            ("lookup[prize]", "No more results.\n"),
            ("search[Tallow]", missing),
            ("nonsense", "Invalid action: …"),
        ).query
        situation = Situation(query)
        assert [step.kind for step in situation.steps] == ["page", "sentence", "nothing", "missing", "mistake"]
        assert situation.steps[3].similar == ("Tallow (town)", "Tallow's End")
        assert situation.form == "yesno"
        assert len(situation.pages) == 1


class TestSearchGuesser:
    def test_begins_with_what_the_question_names(self):
        assert guesses(SearchGuesser(), ask(COMPARED))[0] == "search[Alice Munro]"

    def test_goes_on_with_what_was_not_searched_for_yet(self):
        assert guesses(SearchGuesser(), ask(COMPARED, ("search[Alice Munro]", MUNRO)))[0] == "search[Lillian Hellman]"

    def test_answers_a_comparison_with_yes_or_no(self):
        call = ask(
            COMPARED, ("search[Alice Munro]", MUNRO), ("search[Lillian Hellman]", "She was an American writer..")
        )
        assert {"finish[yes]", "finish[no]"} <= set(guesses(SearchGuesser(), call))

    def test_tries_the_similar_titles(self):
        call = ask(
            "Are Disturbed and Bright Eyes rock bands?",
            ("search[Disturbed]", "Could not find [Disturbed]. Similar: ['Disturbed', 'Disturbed (band)', 'Noise']."),
        )
        assert "search[Disturbed (band)]" in guesses(SearchGuesser(), call)

    def test_probabilities_fall_and_leave_something_for_the_rest(self):
        made = SearchGuesser().guess(ask(COMPARED), 8)
        probabilities = [guess.probability for guess in made]
        assert probabilities == sorted(probabilities, reverse=True)
        assert 0 < sum(probabilities) < 1

    def test_remembers_what_was_done_on_the_same_question(self):
        guesser, call = SearchGuesser(), ask("What is it?")
        assert "search[Something else]" not in guesses(guesser, call)
        guesser.observe(call, "search[Something else]")
        again = ask("What is it?")
        assert guesses(guesser, again)[0] == "search[Something else]"

    def test_learns_the_habits_of_an_agent(self):
        guesser = SearchGuesser(model=ActionModel())
        names = ["Ann Abel", "Bob Burns", "Carl Cobb", "Dora Dent", "Eve Ems", "Fay Foss", "Gil Gow", "Hal Hud"]
        for one, other in zip(names, names[1:], strict=False):
            guesser.observe(ask(f"Are {one} and {other} both writers?"), f"search[{other}]")
        assert guesses(guesser, ask("Are Ida Ives and Joe Judd both writers?"))[0] == "search[Joe Judd]"

    @pytest.mark.parametrize("response", ["Open the window", "search[]", {"name": "search"}])
    def test_learns_from_what_is_no_action_that_it_may_be_none(self, response):
        guesser = SearchGuesser()
        before = guesser.guess(ask(COMPARED), 1)[0].probability
        for number in range(10):
            guesser.observe(ask(f"Were Ann A{number}s and Bob B{number}s both writers?"), response)
        assert guesser.guess(ask(COMPARED), 1)[0].probability < before

    def test_has_nothing_to_say_of_other_calls(self):
        assert guesses(SearchGuesser(), Call("policy", 3)) == []
        SearchGuesser().observe(Call("policy", 3), "x")

    def test_knows_the_generated_questions(self):
        """At least 60 % of the scripted agent's actions on the test split are among the first three guesses."""
        hits = total = 0
        guesser, policy = SearchGuesser(), ScriptedSearchPolicy()
        env = SearchEnv(split="test")
        for number in range(len(env.questions)):
            observation, _ = env.reset(options={"question": number})
            done = False
            while not done:
                action, call = policy(observation), Call("policy", observation)
                total += 1
                hits += action.lower() in [each.lower() for each in guesses(guesser, call)]
                guesser.observe(call, action)
                observation, _, terminated, truncated, _ = env.step(action)
                done = terminated or truncated
        assert hits / total >= 0.8


class TestPageGuesser:
    PAGE = Fetched(Page("Ada Fenwick", ("She was a novelist.",)))

    def test_guesses_what_was_found_before_also_by_its_title(self):
        guesser = PageGuesser()
        assert guesser.guess(self.call("Fenwick"), 3) == []
        guesser.observe(self.call("Fenwick"), self.PAGE)
        assert guesses(guesser, self.call("Fenwick")) == guesses(guesser, self.call("Ada Fenwick")) == [self.PAGE]

    def test_learns_how_often_pages_change(self):
        guesser = PageGuesser()
        guesser.observe(self.call("A"), self.PAGE)
        sure = guesser.guess(self.call("A"), 1)[0].probability
        for number in range(20):
            guesser.observe(self.call("A"), Fetched(None, (str(number),)))
        assert guesser.guess(self.call("A"), 1)[0].probability < 0.5 < sure

    def test_guesses_from_a_copy_what_was_not_seen_yet(self):
        guesser = PageGuesser(copy=lambda query: Fetched(None, (f"copy of {query.text}",)))
        assert guesses(guesser, self.call("Fenwick")) == [Fetched(None, ("copy of Fenwick",))]
        guesser.observe(self.call("Fenwick"), self.PAGE)  # the copy was out of date
        assert guesses(guesser, self.call("Fenwick")) == [self.PAGE]
        before = PageGuesser().guess(self.call("Other"), 1)
        assert before == [] != guesser.guess(self.call("Other"), 1)
        for number in range(20):
            guesser.observe(self.call(f"page {number}"), self.PAGE)
        assert guesser.guess(self.call("Other"), 1)[0].probability < 0.5

    def test_forgets_what_is_not_needed(self):
        guesser = PageGuesser(capacity=2)
        for text in "abc":
            guesser.observe(self.call(text), Fetched(None))
        assert guesser.guess(self.call("a"), 1) == []

    def call(self, text):
        return Call("fetch", FetchQuery(text), Effect.READ)


class TestRecordedGuesser:
    @pytest.fixture
    def episode(self, tmp_path):
        path = tmp_path / "episodes.json"
        path.write_text(json.dumps([record()]), encoding="utf-8")
        return load_episodes(path)[0]

    def test_guesses_actions_as_the_environment_writes_them_after_the_recorded_seconds(self, episode):
        token = SimulationRuntime().token()
        made = RecordedSearchGuesser(episode, speed=2.0).guess(Call("policy", episode.observations[1]), 3, token)
        assert [guess.response for guess in made] == ["search[Ada Fenwick]", "finish[1921]"]
        assert token.elapsed_s == 0.5

    def test_guesses_observations(self, episode):
        token = SimulationRuntime().token()
        guesser = RecordedSearchGuesser(episode)
        (guess,) = guesser.guess(Call("fetch", FetchQuery("Fenwick"), Effect.READ), 3, token)
        assert guess.response == Fetched(Page("Fenwick", ("Fenwick is a name",)))
        assert guess.probability < 0.05 and token.elapsed_s == 2.0
        guesser.observe(Call("fetch", FetchQuery("Fenwick"), Effect.READ), Fetched(None))

    def test_off_the_record_guesses_nothing_at_once(self, episode):
        token = SimulationRuntime().token()
        guesser = RecordedSearchGuesser(episode)
        for call in (ask("Another?"), Call("fetch", FetchQuery("Tallow"), Effect.READ), Call("tool", 1)):
            assert guesser.guess(call, 3, token) == []
            guesser.observe(call, "search[x]")
        assert token.elapsed_s == 0

    def test_joins_a_union(self, episode):
        union = UnionGuesser([SearchGuesser(), RecordedSearchGuesser(episode)])
        call = Call("policy", episode.observations[1])
        made = [guess.response for guess in union.guess(call, 3, SimulationRuntime().token())]
        assert made[0] == "search[Ada Fenwick]" and len(set(made)) == 3
        union.observe(call, "search[Ada Fenwick]")

    def test_refuses_an_impossible_speed(self, episode):
        with pytest.raises(InvalidConfiguration, match="speed"):
            RecordedSearchGuesser(episode, speed=0)
