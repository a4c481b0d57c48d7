"""What the tests of ``SpeculativeWrapper`` share: slow environments, guessers that are right, and the plain loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym

from spec_envs import Call, Guess
from spec_envs.calls import key_of
from spec_envs.testing import FakeEnv, pure_response
from spec_envs.wrappers import SpeculativeWrapper
from spec_envs.wrappers.handlers import with_latency


class Answers:
    """Guesses what ``function(query)`` says, with certainty."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self._function = function

    def guess(self, call: Call, k: int) -> list[Guess]:
        return [Guess(self._function(call.query), 1.0)]


def choose(observation: Any) -> int:
    return pure_response(("policy", observation))


PERFECT = {"world": Answers(pure_response), "policy": Answers(choose)}


def slow_fake(seconds: float = 1.0, **options: Any) -> FakeEnv:
    return FakeEnv({"world": with_latency(pure_response, seconds)}, **options)


def make(env: gym.Env | None = None, policy: Any = choose, **options: Any) -> SpeculativeWrapper[Any, Any]:
    options.setdefault("runtime", "simulation")
    return SpeculativeWrapper(slow_fake() if env is None else env, policy, **options)


def play(env: gym.Env, act: Callable[[Any], Any], seed: int | None = 0, steps: int = 100) -> list[Any]:
    """One episode; everything that can be seen of it, as keys."""
    observation, info = env.reset(seed=seed)
    seen = [key_of((observation, plain(info)))]
    for _ in range(steps):
        action = act(observation)
        observation, reward, terminated, truncated, info = env.step(action)
        seen.append(key_of((action, observation, float(reward), terminated, truncated, plain(info))))
        if terminated or truncated:
            break
    return seen


def plain(info: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in info.items() if name != "speculation"}


class Counter:
    """A policy that remembers how often it was called; ``fork`` copies it."""

    def __init__(self, count: int = 0) -> None:
        self.count = count

    def __call__(self, observation: Any) -> int:
        self.count += 1
        return (self.count + choose(observation)) % 4

    def fork(self) -> Counter:
        return Counter(self.count)
