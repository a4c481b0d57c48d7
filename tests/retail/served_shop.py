"""Episodes in a shop that is served over HTTP, and whether its database agrees with them."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

import gymnasium as gym

from spec_envs.retail.tools.table import WRITES

if TYPE_CHECKING:
    from spec_envs.retail.shop import ShopDatabase

#: The first test task: cancel an order that is still pending.
CANCEL = 0


def made(tools: Any, **options: Any) -> Any:
    return gym.make("SpecRetail-v0", tools=tools, **options)


def cancelling(tools: Any) -> tuple[Any, dict[str, Any]]:
    """An episode under way, and the write that it is about."""
    env = made(tools, task_index=CANCEL).unwrapped
    env.reset(seed=0)
    action = env.episode.task.actions[-1]
    return env, {"name": action.name, "arguments": dict(action.arguments)}


def play(env: Any, act: Any, seed: int) -> float:
    observation, _ = env.reset(seed=seed)
    done = False
    while not done:
        observation, reward, terminated, truncated, _ = env.step(act(observation))
        done = terminated or truncated
    return float(reward)


def written(env: Any) -> list[tuple[str, Any, str]]:
    """The writes of the episode's dialogue, each with the answer that the agent saw."""
    dialogue = env.unwrapped.dialogue
    return [
        (call["function"]["name"], json.loads(call["function"]["arguments"]), answer["content"])
        for message, answer in itertools.pairwise(dialogue)
        for call in message.get("tool_calls", ())
        if call["function"]["name"] in WRITES
    ]


def check_agreement(database: ShopDatabase, env: Any) -> None:
    """The shop's log shows each write of the episode once, and its data are those that the episode ended with."""
    episode = env.unwrapped.episode
    log = database.writes(episode.name)
    assert [(write.name, write.arguments, write.output) for write in log] == written(env)
    assert database.snapshot(episode.name) == episode.store
    assert database.snapshot(episode.name).tau_hash() == episode.store.tau_hash()
