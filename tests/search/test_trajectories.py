"""Recorded episodes: what is read, that the real environment shows it again, and who replays it at what speed."""

from __future__ import annotations

import json
import statistics
from pathlib import Path

import pytest

from spec_envs import CancelToken
from spec_envs.errors import InvalidConfiguration
from spec_envs.search.actions import read_action
from spec_envs.search.env import SearchEnv
from spec_envs.search.pages import Fetched, FetchQuery
from spec_envs.search.recordings import fetched_of, load_episodes
from spec_envs.search.replay import RecordedAgent, RecordedSite
from spec_envs.wrappers import SimulationRuntime

from .episodes import PAGE, record, step

RECORDS = Path(__file__).parents[2] / ".." / "shared" / "data" / "hotpotqa_react" / "trajectories.json"
needs_records = pytest.mark.skipif(not RECORDS.is_file(), reason="the recorded episodes are not here")


def load(tmp_path, *entries):
    path = tmp_path / "episodes.json"
    path.write_text(json.dumps(entries), encoding="utf-8")
    return load_episodes(path)


@pytest.fixture
def episode(tmp_path):
    (loaded,) = load(tmp_path, record())
    return loaded


class TestLoading:
    def test_reads_what_is_recorded(self, episode):
        assert (episode.name, episode.agent, episode.guesser, episode.k) == ("one", "actor", "guesser", 3)
        assert episode.question.answer == "1921"
        assert episode.steps[1].guessed_actions == ("Search[Ada Fenwick]", "Finish[1921]")
        assert episode.finished and episode.max_steps == 7

    def test_time_of_guessing_that_is_not_recorded_is_the_median_of_the_others(self, episode):
        assert [each.guess_seconds for each in episode.steps] == [2.0, 1.0, 1.5, 1.5, 1.5, 1.5]

    def test_leaves_out_episodes_without_steps_and_steps_after_the_end(self, tmp_path):
        longer = record(steps=[*record()["steps"], step("Search[more]", "more")])
        (loaded,) = load(tmp_path, record(steps=[]), longer)
        assert len(loaded.steps) == 6

    def test_an_episode_without_an_answer_ends_where_the_record_does(self, tmp_path):
        (loaded,) = load(tmp_path, record(steps=record()["steps"][:2]))
        assert not loaded.finished and loaded.max_steps == 2

    def test_takes_what_is_missing_for_nothing(self, tmp_path):
        bare = {"action": "Finish[x]", "observation": "", "thought": None, "guessed_actions": None}
        (loaded,) = load(tmp_path, record(steps=[bare]))
        assert loaded.steps[0].guessed_actions == () and loaded.steps[0].thought == ""

    @pytest.mark.parametrize(
        ("entry", "what"),
        [
            (3, "episode 0: expected an object"),
            ({**record(), "question": 7}, "'question' must be text, not 7"),
            ({name: value for name, value in record().items() if name != "answer"}, "'answer' is missing"),
            (record(k=0), "k must be an integer of at least 1"),
            (record(steps=[step("Finish[x]", "", env_seconds=-1)]), "'env_seconds' must be a number of at least 0"),
            (record(steps=[step("Finish[x]", "", guessed_actions=[3])]), "'guessed_actions' must be a list of texts"),
            (record(steps=[step("x" * 3000, "")]), "at most 2000 characters"),
            (record(steps=[5]), "a step is an object"),
        ],
    )
    def test_says_what_is_wrong_and_where(self, tmp_path, entry, what):
        with pytest.raises(InvalidConfiguration, match=what):
            load(tmp_path, entry)

    @pytest.mark.parametrize(("text", "what"), [("[", "cannot be read as JSON"), ("{}", "expected a list of episodes")])
    def test_refuses_other_files(self, tmp_path, text, what):
        path = tmp_path / "other.json"
        path.write_text(text)
        with pytest.raises(InvalidConfiguration, match=what):
            load_episodes(path)


class TestPages:
    def test_the_environment_shows_what_was_recorded(self, episode):
        shown = [each["observation"] for each in episode.observations[1:]]
        assert shown[:3] == [each.observation for each in episode.steps[:3]]
        assert shown[4:] == [each.observation for each in episode.steps[4:]]
        assert episode.differences == (3,)  # the environment has words of its own for what it cannot read

    def test_page_missing_page_and_list_of_meanings(self):
        assert fetched_of("Fenwick", "Could not find Fenwick. Similar: ['Ada'].") == Fetched(None, ("Ada",))
        listed = fetched_of("Tallow", "Could not find [Tallow]. Similar: ['Tallow (town)'].").page
        assert listed is not None and listed.disambiguation and listed.links == ("Tallow (town)",)
        ada = fetched_of("Ada", PAGE).page
        assert ada is not None and ada.title == "Ada"

    def test_a_lookup_is_added_only_where_it_does_not_show_in_the_search(self, tmp_path):
        short = [step("Search[A]", "A b c."), step("Lookup[prize]", "(Result 1 / 1) A prize."), step("Finish[x]", "")]
        (loaded,) = load(tmp_path, record(steps=short))
        assert loaded.observations[1]["observation"] == "A b c."
        assert 1 in loaded.differences

    def test_of_equal_searches_the_first_counts(self, tmp_path):
        twice = [step("Search[A]", "A b c.", env_seconds=1.0), step("Search[ A ]", "D e f.", env_seconds=2.0)]
        (loaded,) = load(tmp_path, record(steps=twice))
        assert list(loaded.fetched) == ["A"] and loaded.fetched["A"][1] == 1.0
        assert loaded.differences == (1,)

    @needs_records
    def test_real_episodes_are_shown_as_recorded_but_for_lookups_in_another_text(self):
        episodes = load_episodes(RECORDS)
        different = [episode.steps[number].action for episode in episodes for number in episode.differences]
        # The source looked these words up in the page that its guesser had made up.
        assert all(action.startswith("Lookup") for action in different)
        assert len(different) <= 0.02 * sum(len(episode.steps) for episode in episodes)
        assert all(
            episode.observations[-1]["observation"] == episode.steps[-1].observation
            for episode in episodes
            if episode.finished
        )


class TestAgent:
    def test_acts_as_recorded_after_seconds_that_are_drawn(self, episode):
        agent = RecordedAgent(episode)
        for observation, recorded in zip(episode.observations, episode.steps, strict=False):
            token = SimulationRuntime().token()
            assert agent(observation, token) == str(read_action(recorded.action))
            assert token.elapsed_s == agent.seconds(observation)

    def test_draws_are_lognormal_and_depend_on_seed_and_observation(self, episode):
        start = episode.observations[0]
        draws = [RecordedAgent(episode, median_s=4.0, seed=seed).seconds(start) for seed in range(400)]
        assert statistics.median(draws) == pytest.approx(4.0, rel=0.1)
        assert RecordedAgent(episode, median_s=4.0, seed=3).seconds(dict(start)) == draws[3]
        assert len({RecordedAgent(episode).seconds(each) for each in episode.observations}) == 7

    def test_is_as_quick_as_asked_and_charges_about_what_it_reads_and_writes(self, episode):
        token = SimulationRuntime().token()
        agent = RecordedAgent(episode, speed=10.0)
        agent(episode.observations[0], token)
        assert token.elapsed_s == pytest.approx(agent.seconds(episode.observations[0]) / 10)
        _, usage = token.usage(at=1e9)
        assert usage.tokens_in == pytest.approx((len(episode.question.text) + len("[]")) / 4)

    def test_off_the_record_it_does_what_it_has_not_done_yet(self, episode):
        agent = RecordedAgent(episode, speed=1e9)

        def after(*actions):
            transcript = json.dumps([{"action": action, "observation": "?"} for action in actions])
            return agent({"question": episode.question.text, "transcript": transcript}, CancelToken())

        assert after("search[elsewhere]") == "search[Fenwick]"
        assert after("search[Fenwick]") == "search[Ada Fenwick]"
        done = [str(read_action(each.action)) for each in episode.steps]
        assert after(*done) == "finish[1921]"

    @pytest.mark.parametrize("wrong", [{"median_s": 0}, {"speed": -1}])
    def test_refuses_impossible_times(self, episode, wrong):
        with pytest.raises(InvalidConfiguration, match="must be above 0"):
            RecordedAgent(episode, **wrong)


class TestSite:
    def test_answers_as_recorded_after_the_recorded_seconds(self, episode):
        site, token = RecordedSite(episode, speed=2.0), SimulationRuntime().token()
        assert site(FetchQuery("Ada Fenwick"), token) == episode.fetched["Ada Fenwick"][0]
        assert token.elapsed_s == 0.125

    def test_off_the_record_it_answers_as_another_episode_or_finds_nothing(self, episode, tmp_path):
        (other,) = load(tmp_path, record(steps=[step("Search[Merrow]", "Merrow is a country.")]))
        site = RecordedSite(episode, [other], speed=1e9)
        assert site(FetchQuery("Merrow"), CancelToken()) == other.fetched["Merrow"][0]
        assert site(FetchQuery("Nowhere"), CancelToken()) == Fetched(None)
        assert site.seconds("Nowhere") == RecordedSite(episode).seconds("Nowhere") != 0.5

    def test_the_episode_can_be_played_in_the_environment(self, episode):
        site, agent = RecordedSite(episode, speed=1e9), RecordedAgent(episode, speed=1e9)
        env = SearchEnv(backend=site, questions=[episode.question], max_steps=episode.max_steps)
        observation, _ = env.reset()
        done = False
        while not done:
            observation, reward, terminated, truncated, _ = env.step(agent(observation, CancelToken()))
            done = terminated or truncated
        assert observation == episode.observations[-1] and reward == 1.0
