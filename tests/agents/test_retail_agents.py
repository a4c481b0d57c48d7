"""The clerk solves every task of the generated shop by the book; one who slips does not."""

from __future__ import annotations

import json
from typing import Any

import gymnasium as gym
import pytest

import spec_envs.agents
from spec_envs.agents import GoldReplay, ScriptedRetailPolicy
from spec_envs.errors import InvalidConfiguration
from spec_envs.retail.tools.table import WRITES


def make(split: str = "test") -> Any:
    return gym.make("SpecRetail-v0", split=split).unwrapped


def play(env: Any, policy: Any, task: int, seed: int = 0) -> float:
    observation, _ = env.reset(seed=seed, options={"task": task})
    done = False
    while not done:
        observation, reward, terminated, truncated, _ = env.step(policy(observation))
        done = terminated or truncated
    return reward


def tool_calls(dialogue: list[dict[str, Any]]) -> list[tuple[int, str]]:
    """Place and name of the tool calls of a dialogue."""
    return [
        (place, call["function"]["name"])
        for place, message in enumerate(dialogue)
        for call in message.get("tool_calls", ())
    ]


@pytest.mark.parametrize(("split", "seed"), [("test", 0), ("test", 1), ("dev", 0), ("train", 2)])
def test_solves_every_task(split, seed):
    env = make(split)
    lost = [task.name for index, task in enumerate(env.tasks) if play(env, ScriptedRetailPolicy(), index, seed) != 1.0]
    assert lost == []


def test_goes_by_the_policy():
    env = make()
    for index in range(len(env.tasks)):
        play(env, ScriptedRetailPolicy(), index)
        dialogue = env.dialogue
        calls = tool_calls(dialogue)
        assert calls[0][1].startswith("find_user_id_by"), "who the customer is comes first"
        assert "(yes/no)" not in dialogue[1]["content"]
        for place, name in calls:
            if name in WRITES - {"transfer_to_human_agents"}:
                assert dialogue[place - 1]["content"].startswith("Yes"), "no change without an explicit yes"
        assert not any(message["content"].startswith("Error") for message in dialogue if message["role"] == "tool")


def test_slips_cost_tasks():
    env = make()
    won = {rate: sum(play(env, ScriptedRetailPolicy(rate), index) for index in range(60)) for rate in (0.0, 0.3, 1.0)}
    assert won[0.0] == 60
    assert 30 <= won[0.3] <= 50
    assert won[1.0] < 15


def test_slips_depend_on_seed_and_observation_alone():
    def won(policy: ScriptedRetailPolicy) -> list[float]:
        return [play(make(), policy, index) for index in range(20)]

    first = ScriptedRetailPolicy(0.5, seed=1)
    assert won(first) == won(first) == won(ScriptedRetailPolicy(0.5, seed=1)) != won(ScriptedRetailPolicy(0.5, seed=2))


@pytest.mark.parametrize("rate", [-0.1, 1.1])
def test_error_rate_is_a_probability(rate):
    with pytest.raises(InvalidConfiguration, match="error_rate"):
        ScriptedRetailPolicy(rate)


@pytest.mark.parametrize(
    ("answers", "last"),
    [
        (["Who are you?", "Me."], "transfer_to_human_agents"),
        (["My e-mail address is nobody@example.com.", "Me."], "transfer_to_human_agents"),
    ],
)
def test_hands_over_what_it_cannot_do(answers, last):
    env: Any = gym.make(
        "SpecRetail-v0", task_index=0, customer=lambda query: ["Hi", *answers][len(query.said) // 2]
    ).unwrapped
    observation, _ = env.reset(seed=0)
    done = False
    while not done:
        observation, _, done, _, info = env.step(ScriptedRetailPolicy()(observation))
    assert (tool_calls(env.dialogue)[-1][1], info["outcome"]) == (last, "transfer")


def test_gold_replay_calls_the_gold_actions_and_says_the_outputs():
    env = make()
    task = env.tasks[3]
    assert play(env, GoldReplay(task), 3) == 1.0
    calls = [call["function"] for message in env.dialogue for call in message.get("tool_calls", ())]
    assert [(call["name"], json.loads(call["arguments"])) for call in calls] == [
        (action.name, action.arguments) for action in task.actions
    ]
    assert task.outputs[0] in env.dialogue[-2]["content"]


def test_names_that_agents_does_not_have():
    with pytest.raises(AttributeError, match="has no attribute 'Clerk'"):
        getattr(spec_envs.agents, "Clerk")  # noqa: B009  # mypy knows that there is none
