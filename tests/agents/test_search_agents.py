"""The scripted reader solves every generated question from what it has read; one who errs does not."""

from __future__ import annotations

import json
from typing import Any

import gymnasium as gym
import pytest

from spec_envs.agents import ScriptedSearchPolicy, SolutionReplay
from spec_envs.errors import InvalidConfiguration
from spec_envs.search.env import SearchEnv
from spec_envs.search.world.questions import make_questions
from spec_envs.search.world.wiki import make_wiki
from spec_envs.search.world.world import make_world


def play(env: Any, policy: Any, question: int) -> tuple[float, list[str]]:
    observation, _ = env.reset(seed=0, options={"question": question})
    done = False
    while not done:
        observation, reward, terminated, truncated, _ = env.step(policy(observation))
        done = terminated or truncated
    return reward, [entry["action"] for entry in json.loads(observation["transcript"])]


def make(split: str | None = "test") -> Any:
    return gym.make("SpecSearch-v0", split=split).unwrapped


def test_solves_every_question():
    env = make(None)
    policy = ScriptedSearchPolicy()
    lost = [question.id for index, question in enumerate(env.questions) if play(env, policy, index)[0] != 1.0]
    assert lost == []


@pytest.mark.parametrize("seed", [1, 2])
def test_solves_those_of_another_world(seed):
    world = make_world(seed)
    wiki = make_wiki(world, seed)
    env = SearchEnv(corpus=wiki, questions=make_questions(world, seed, wiki)[::4])
    policy = ScriptedSearchPolicy()
    lost = [question.text for index, question in enumerate(env.questions) if play(env, policy, index)[0] != 1.0]
    assert lost == []


def test_reads_before_it_answers():
    env = make()
    for index, question in enumerate(env.questions[:40]):
        _, actions = play(env, ScriptedSearchPolicy(), index)
        assert len([action for action in actions if action.startswith("search")]) >= len(question.supporting)
        assert len(actions) == len(set(actions)) or any(action.startswith("lookup") for action in actions)


def test_depends_on_the_observation_alone():
    # What it answers comes from the pages: with other pages it answers otherwise.
    env = make()
    observation, _ = env.reset(options={"question": 0})
    name = ScriptedSearchPolicy()(observation).removeprefix("search[").removesuffix("]")
    entry = {"action": f"search[{name}]", "observation": "It is something that nobody has written about."}
    told = {**observation, "transcript": json.dumps([entry])}
    assert ScriptedSearchPolicy()(told).startswith(("lookup[", "finish[unknown]"))


def test_gives_up_on_questions_it_does_not_understand():
    observation = {"question": "Why?", "transcript": "[]", "observation": "", "steps_left": 5}
    assert ScriptedSearchPolicy()(observation) == "finish[unknown]"
    observation = {"question": "Who wrote the novel Nothing?", "transcript": "[]", "observation": "", "steps_left": 5}
    assert ScriptedSearchPolicy()(observation) == "search[Nothing]"
    entry = {"action": "search[Nothing]", "observation": "Could not find Nothing. Similar: []."}
    assert ScriptedSearchPolicy()({**observation, "transcript": json.dumps([entry])}) == "finish[unknown]"


def test_slips_cost_questions():
    env = make()
    policies = {rate: ScriptedSearchPolicy(rate) for rate in (0.0, 0.3, 1.0)}
    won = {rate: sum(play(env, policy, index)[0] for index in range(60)) for rate, policy in policies.items()}
    assert won[0.0] == 60
    assert 25 <= won[0.3] <= 50
    assert won[1.0] == 0


def test_slips_depend_on_seed_and_observation_alone():
    def actions(policy: ScriptedSearchPolicy) -> list[list[str]]:
        env = make()
        return [play(env, policy, index)[1] for index in range(20)]

    first = ScriptedSearchPolicy(0.5, seed=1)
    same, other = ScriptedSearchPolicy(0.5, seed=1), ScriptedSearchPolicy(0.5, seed=2)
    assert actions(first) == actions(first) == actions(same) != actions(other)


@pytest.mark.parametrize("rate", [-0.1, 1.1])
def test_error_rate_is_a_probability(rate):
    with pytest.raises(InvalidConfiguration, match="error_rate"):
        ScriptedSearchPolicy(rate)


def test_the_supporting_titles_and_the_answer_are_a_solution():
    env = make()
    for index, question in enumerate(env.questions):
        reward, actions = play(env, SolutionReplay(question), index)
        assert reward == 1.0 and actions[:-1] == [f"search[{title}]" for title in question.supporting]
