"""Observations and actions for which ``==`` gives no truth value: arrays of any shape, and what holds them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import pytest

from spec_envs import Call, Guess
from tests.wrappers.loops import RUNTIMES, certify_on, make


class Pair(NamedTuple):
    place: Any
    speed: Any


#: How an environment or a policy may put a number into a value.
SHAPES: dict[str, Callable[[float], Any]] = {
    "two numbers": lambda number: np.array([number, -number], np.float32),
    "eight numbers": lambda number: np.full(8, number),
    "nine numbers": lambda number: np.full(9, number),
    "a square": lambda number: np.full((2, 2), number),
    "no number but a place": lambda number: np.full((1, 0), number),
    "one number without axes": lambda number: np.array(number),
    "integers": lambda number: np.array([int(number), 7], np.uint8),
    "truths": lambda number: np.array([number > 2, True]),
    "texts": lambda number: np.array([f"{number:.0f}", "b"]),
    "a record": lambda number: np.array([(number, 1)] * 2, [("x", float), ("n", int)]),
    "objects": lambda number: np.array([number, "text"], object),
    "a dict": lambda number: {"place": np.full(2, number), "speed": np.full(3, number)},
    "a tuple": lambda number: (np.full(2, number), 3),
    "a list": lambda number: [np.full(2, number), np.full(2, 1.0)],
    "a named tuple": lambda number: Pair(np.full(2, number), np.full(2, 1.0)),
    "not a number": lambda number: np.array([np.nan, number]),
    "masked": lambda number: np.ma.masked_array([number, 1.0], [False, True]),
}


def number_in(value: Any) -> float:
    """Any number that depends on all of ``value``, as a policy or an environment computes it."""
    match value:
        case dict():
            return sum(number_in(each) for each in value.values()) % 7
        case list() | tuple():
            return sum(number_in(each) for each in value) % 7
        case np.ndarray() if value.dtype.names:
            return number_in([value[name] for name in value.dtype.names])
        case np.ndarray() if value.dtype.kind in "OU":
            return float(sum(len(str(each)) for each in value.ravel()) % 7)
    return float(np.nansum(np.asarray(value, float)) % 7)


class Echo(gym.Env[Any, Any]):
    """Shows the sum of all actions, in one of ``SHAPES``."""

    def __init__(self, shape: str) -> None:
        self.observation_space = self.action_space = gym.spaces.Discrete(2)  # any: nobody draws from them
        self.shape, self.sum, self.num_steps = shape, 0.0, 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.sum, self.num_steps = float(self.np_random.integers(5)), 0
        return SHAPES[self.shape](self.sum), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.num_steps += 1
        self.sum = (self.sum + number_in(action) + 1) % 7
        return SHAPES[self.shape](self.sum), self.sum, self.num_steps == 5, False, {}


class Guesser:
    """Guesses what ``policy`` would say to the call before or to this one, in turns."""

    def __init__(self, policy: Callable[[Any], Any]) -> None:
        self.policy, self.turn = policy, 0

    def guess(self, call: Call, k: int) -> list[Guess]:
        self.turn += 1
        right = self.policy(call.query)
        return [Guess(right, 0.9)] if self.turn % 3 else [Guess("wrong", 0.5), Guess(right, 0.4)]


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("shape", SHAPES)
def test_episodes_are_those_of_the_plain_loop(shape: str, runtime: str) -> None:
    def policy(observation: Any) -> Any:
        return SHAPES[shape](number_in(observation) + 1)

    certificate = certify_on(
        runtime, lambda: Echo(shape), policy, {"policy": Guesser(policy)}, [0, 1], guard=False, k=2, max_inflight=3
    )
    assert certificate, certificate


@pytest.mark.parametrize("shape", SHAPES)
def test_the_trace_tells_what_was_chosen(shape: str) -> None:
    def policy(observation: Any) -> Any:
        return SHAPES[shape](number_in(observation) + 1)

    env = make(Echo(shape), policy, guessers={"policy": Guesser(policy)})
    observation, _ = env.reset(seed=0)
    env.step(env.act(observation))
    env.close()
    ends = [event for event in env.trace if event.kind == "end" and event.handler == "policy"]
    assert ends and all(event.response for event in ends if event.outcome == "done")
