"""The closed forms of "Speculative Actions" (arXiv 2510.04371) against the simulation runtime.

The actor's latency is ``A`` (mean 1/beta), the guesser's ``G`` (mean 1/alpha); each guess is right with probability
``p``. An episode is one chain of ``T`` calls, each of which depends on all responses before it. Everything is seeded;
"within sampling error" is five standard errors, from the episodes themselves.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import random
import statistics
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import pytest

from spec_envs import Call, CallEnv, CancelToken, Guess, Usage
from spec_envs.wrappers import Limits, SpeculativeWrapper
from spec_envs.wrappers.latency import exponential

T = 6
#: The forms speak of a machine that starts everything, and of guessers that are taken at their word.
FREELY = Limits(min_probability=0.0, selectivity=0.0, calibrate=False)
DEPTH_1 = dataclasses.replace(FREELY, max_depth=1, windows_ahead=False, max_inflight=16)
UNLIMITED = dataclasses.replace(FREELY, max_inflight=10_000, max_nodes=100_000)


class Chain(CallEnv[int, int]):
    """One step is the whole chain: ``T`` calls, each with the responses so far in its query."""

    observation_space: gym.spaces.Discrete[Any] = gym.spaces.Discrete(2)
    action_space: gym.spaces.Discrete[Any] = gym.spaces.Discrete(1)
    shared_on_fork = frozenset({"handlers"})

    def __init__(self, actor: Callable[..., Any]) -> None:
        super().__init__({"actor": actor})
        self._episode = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        super().reset(seed=seed)
        self._episode = int(self.np_random.integers(2**62))
        return 0, {}

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        responses: tuple[int, ...] = ()
        for _ in range(T):
            responses += (self.ask(Call("actor", (self._episode, responses))),)
        return 1, 0.0, True, False, {}


def rng(query: Any, purpose: str) -> random.Random:
    return random.Random(repr((query, purpose)))


@functools.cache  # the runs that are compared make the same calls
def truth(query: Any) -> int:
    return rng(query, "truth").randrange(10**6)


@functools.cache
def draws(query: Any) -> tuple[float, ...]:
    source = rng(query, "rank")
    return tuple(source.random() for _ in range(5))


@dataclasses.dataclass
class Model:
    """An actor, and a guesser whose ``m``-th guess is right with probability ``confidences[m]``, if none before was."""

    confidences: tuple[float, ...]
    actor_s: Callable[[Any], float]
    guesser_s: Callable[[Any], float] = lambda query: 0.0
    money: float = 0.0

    def act(self, query: Any, cancel: CancelToken) -> int:
        cancel.sleep(self.actor_s(query), Usage(money=self.money))
        return truth(query)

    def rank(self, query: Any) -> int | None:
        """Which guess is right."""
        return next((m for m, p in enumerate(self.confidences) if draws(query)[m] < p), None)

    def probability(self, m: int) -> float:
        """That the ``m``-th guess is the right one: those before it were wrong."""
        return math.prod(1 - p for p in self.confidences[:m]) * self.confidences[m]

    def guess(self, call: Call, k: int, cancel: CancelToken) -> list[Guess]:
        cancel.sleep(self.guesser_s(call.query))
        right = self.rank(call.query)
        responses = [truth(call.query) if m == right else -1 - m for m in range(len(self.confidences))]
        return [Guess(response, self.probability(m)) for m, response in enumerate(responses)]

    def episodes(self, count: int, limits: Limits, k: int | None = None) -> list[dict[str, float]]:
        """Per episode: hits, the time waited, and the time one after the other."""
        guessers, k = {"actor": self}, k or len(self.confidences)
        env = SpeculativeWrapper(Chain(self.act), guessers=guessers, k=k, limits=limits, runtime="simulation")
        rows, before = [], env.statistics
        with env:
            for seed in range(count):
                env.reset(seed=seed)
                env.step(0)
                now = env.statistics
                names = ("hits", "windows", "waited_s", "sequential_s")
                rows.append({name: getattr(now, name) - getattr(before, name) for name in names})
                rows[-1]["saved_s"] = rows[-1]["sequential_s"] - rows[-1]["waited_s"]
                before = now
        return rows


def assert_mean(values: list[float], expected: float) -> None:
    error = statistics.stdev(values) / math.sqrt(len(values))
    mean = statistics.fmean(values)
    assert abs(mean - expected) < 5 * error, f"{mean:.4f} is not {expected:.4f} within 5 x {error:.4f}"
    assert error < 0.05 * max(1.0, abs(expected)), "too few episodes to say anything"


def expected_hits(n: int, p: float) -> float:
    """S_n: a hit's next call was started ahead, and opens no window."""
    return p * n / (1 + p) + p**2 * (1 - (-p) ** n) / (1 + p) ** 2


@pytest.mark.parametrize("p", [0.2, 0.55, 0.9, 1.0])
def test_hits(p):
    rows = Model((p,), lambda query: 1.0).episodes(300, DEPTH_1)
    if p == 1.0:
        assert {row["hits"] for row in rows} == {T / 2}
        assert expected_hits(T, p) == T / 2
    else:
        assert_mean([row["hits"] for row in rows], expected_hits(T, p))


@pytest.mark.parametrize("k", [1, 2, 4])
def test_hits_with_k_guesses(k):
    """k guesses, each right with probability p: p(k) = 1 - (1 - p)^k in the place of p."""
    p = 0.3
    rows = Model((p,) * 4, lambda query: 1.0).episodes(120, DEPTH_1, k)
    assert_mean([row["hits"] for row in rows], expected_hits(T, 1 - (1 - p) ** k))


ALPHA, BETA = 2.0, 0.5
ACTOR, GUESSER = exponential(1 / BETA, seed=1), exponential(1 / ALPHA, seed=2)


@pytest.mark.parametrize("p", [0.3, 0.8])
def test_breadth_at_depth_1_in_the_papers_accounting(p):
    """saved = (1/T) alpha/(alpha+beta) S_(T-1), under two assumptions of the paper's derivation.

    It counts a right guess as a hit also when it comes after the response; such a hit saves nothing, and its next call
    opens no window. So here a late guess comes at the last moment before the response. And a hit saves all that is left
    of the actor's latency, E[(A - G)+] = alpha/(alpha+beta) / beta: that is so where the next call takes at least as
    long as that, as it does here, where all calls of an episode take equally long.
    """

    def actor_s(query: Any) -> float:
        return ACTOR(query[0])

    def in_time(query: Any) -> float:
        return min(GUESSER(query), actor_s(query) * (1 - 1e-9))

    rows = Model((p,), actor_s, in_time).episodes(150, DEPTH_1)
    share = ALPHA / (ALPHA + BETA) * expected_hits(T - 1, p) / T
    # In units of the mean episode, as the paper's is a ratio of means.
    assert_mean([row["saved_s"] * BETA / T for row in rows], share)


@pytest.mark.parametrize("p", [0.3, 0.8])
def test_breadth_at_depth_1_with_independent_latencies(p):
    """saved = S_(T-1)(q) / 2T with q = p alpha/(alpha+beta).

    A guess that comes after the response is none, and the next call opens a window: so the hits are those of q. And a
    hit saves what is left of this call, or all of the next one, whichever is less: E[min] = 1/(2 beta).
    """
    rows = Model((p,), ACTOR, GUESSER).episodes(150, DEPTH_1)
    assert_mean([row["saved_s"] * BETA / T for row in rows], expected_hits(T - 1, p * ALPHA / (ALPHA + BETA)) / (2 * T))


@pytest.mark.parametrize(("a", "b"), [(8.0, 2.0), (8.0, 1.0), (8.0, 7.0)])
@pytest.mark.parametrize("p", [0.5, 1.0])
def test_depth_with_fixed_latencies(p, a, b):
    """saved = (T-1)/T p (1 - b/a).

    The guesser works ahead: it is asked about a call as soon as that is started, also on a branch, and takes b. So the
    next call starts b after this one where the guess is right. Where it is wrong it starts a after this one, when the
    response is there, be it on a branch: known beats guessed. That takes no limit on depth, calls, nodes or
    probability. Each episode agrees exactly with its number of right guesses (the last call has no next one).
    """
    model = Model((p,), lambda query: a, lambda query: b)
    count = 40
    rows = model.episodes(count, UNLIMITED)
    assert all(row["sequential_s"] == T * a for row in rows)
    right = [right_guesses(model, seed) for seed in range(count)]
    assert [row["saved_s"] for row in rows] == [number * (a - b) for number in right]
    if p == 1.0:
        assert rows[0]["saved_s"] / rows[0]["sequential_s"] == pytest.approx((T - 1) / T * p * (1 - b / a))
    else:
        assert_mean([row["saved_s"] / row["sequential_s"] for row in rows], (T - 1) / T * p * (1 - b / a))


def right_guesses(model: Model, seed: int) -> int:
    """Among the first ``T - 1`` calls of the episode."""
    env = Chain(model.act)
    queries: list[Any] = []

    def answer(call: Call) -> int:
        queries.append(call.query)
        return truth(call.query)

    env.reset(seed=seed)
    env.answer_with(answer)
    env.step(0)
    return sum(model.rank(query) is not None for query in queries[:-1])


CONFIDENCES = (0.5, 0.4, 0.4, 0.3, 0.2)


def test_one_more_guess_gains_ever_less():
    """The gain of the m-th branch is (prod_(j<m) (1 - p_j)) p_m, whatever came before it; it never grows with m."""
    model = Model(CONFIDENCES, lambda query: 1.0)
    gains = [model.probability(m) for m in range(len(CONFIDENCES))]
    assert gains == sorted(gains, reverse=True)
    for k in range(1, len(CONFIDENCES) + 1):
        rows = model.episodes(60, DEPTH_1, k)
        windows, expected = sum(row["windows"] for row in rows), sum(gains[:k])
        hit_rate = sum(row["hits"] for row in rows) / windows
        assert abs(hit_rate - expected) < 5 * math.sqrt(expected * (1 - expected) / windows)


@pytest.mark.parametrize("breadth", [1, 2, 3, 4])
@pytest.mark.parametrize("by", ["probability", "money"])
def test_the_best_breadth_is_a_threshold(breadth, by):
    """A branch is worth its cost while its gain is above it: with the cost between two gains, those before are started.

    Either as ``min_probability``, or as what a call of a second costs where a second is worth ``money_per_s``: half of
    the call is expected to be saved if it is not in vain, and its whole cost to be wasted if it is.
    """
    model = Model(CONFIDENCES, lambda query: 1.0)
    gains = [model.probability(m) for m in range(len(CONFIDENCES))]
    cost = (gains[breadth - 1] + gains[breadth]) / 2
    if by == "probability":
        limits = dataclasses.replace(DEPTH_1, min_probability=cost)
    else:
        model.money = cost / (1 - cost) / 2
        limits = dataclasses.replace(DEPTH_1, money_per_s=1.0)
    env = SpeculativeWrapper(Chain(model.act), guessers={"actor": model}, k=5, limits=limits, runtime="simulation")
    with env:
        env.reset(seed=0)
        env.step(0)  # the first call tells what the handler costs
        for seed in range(10):
            env.reset(seed=seed)
            mark = len(env.trace)
            env.step(0)
            starts = [event for event in list(env.trace)[mark:] if event.kind == "start"]
            ahead = [event for event in starts[1:] if event.time_s == starts[0].time_s]
            assert [event.probability for event in ahead] == pytest.approx(gains[:breadth])
