"""A draw is used or not by its query alone, never by its content or its speed."""

from __future__ import annotations

import collections
import math
import random
from collections.abc import Callable

import pytest

from spec_envs import Call, CancelToken, Guess
from spec_envs.testing import FakeEnv
from spec_envs.wrappers import Limits
from tests.wrappers import guessers_for_tests as kinds
from tests.wrappers.loops import make

EPISODES = 300
LENGTH = 3


class Talkative:
    """A random policy: the greater its answer, the longer it takes. Dropping slow draws would favour small answers."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def __call__(self, observation: str, cancel: CancelToken) -> int:
        answer = self._random.choices(range(4), weights=(4, 3, 2, 1))[0]
        cancel.sleep(1.0 + 10.0 * answer)
        return answer


def uniform(call: Call, k: int) -> list[Guess]:
    return [Guess(value, 0.25) for value in range(k)]


def actions(play: Callable[[FakeEnv, Talkative], list[int]]) -> collections.Counter[tuple[int, int]]:
    """How often each answer was given at each step, over many episodes with draws of their own."""
    counts: collections.Counter[tuple[int, int]] = collections.Counter()
    policy = Talkative(seed=1)
    env = FakeEnv({"world": lambda query, cancel: (cancel.sleep(5.0), 0)[1]}, length=LENGTH)
    for _ in range(EPISODES):
        for step, action in enumerate(play(env, policy)):
            counts[step, action] += 1
    return counts


def speculatively(runtime: str, limits: Limits, k: int) -> Callable[[FakeEnv, Talkative], list[int]]:
    def play(env: FakeEnv, policy: Talkative) -> list[int]:
        guesser = kinds.Scripted(uniform)
        guessers = {"policy": guesser, "world": guesser}
        with make(env.fork(), policy, guessers=guessers, k=k, limits=limits, runtime=runtime) as wrapper:
            observation, _ = wrapper.reset(seed=0)
            answers = []
            for _ in range(LENGTH):
                answers.append(wrapper.act(observation))
                observation, *_ = wrapper.step(answers[-1])
            assert wrapper.statistics.saved > 0  # it really ran ahead
        return answers

    return play


@pytest.mark.parametrize(
    ("runtime", "limits", "k"),
    [
        ("simulation", Limits(max_inflight=2), 4),
        ("simulation", Limits(max_inflight=8), 2),
        ("simulation", Limits(max_inflight=3, max_nodes=6), 4),
        ("asyncio", Limits(max_inflight=2), 4),
    ],
    ids=["few places", "many places", "few nodes", "few places, asyncio"],
)
def test_slow_draws_are_as_frequent_with_speculation_as_without(runtime: str, limits: Limits, k: int) -> None:
    counts = actions(speculatively(runtime, limits, k))
    for step in range(LENGTH):
        for answer, weight in enumerate((4, 3, 2, 1)):
            p = weight / 10
            error = math.sqrt(EPISODES * p * (1 - p))
            assert abs(counts[step, answer] - EPISODES * p) < 4.5 * error, (step, answer, counts)


def test_the_test_would_notice_a_race() -> None:
    """The same figures for a policy that is asked twice and heard once: the quicker answer wins."""

    def raced(env: FakeEnv, policy: Talkative) -> list[int]:
        return [min(policy("", _Instant()), policy("", _Instant())) for _ in range(LENGTH)]

    counts = actions(raced)
    expected, error = EPISODES * 0.1, math.sqrt(EPISODES * 0.09)
    assert abs(counts[0, 3] - expected) > 4.5 * error


class _Instant(CancelToken):
    def _wait(self, seconds: float) -> None:
        pass
