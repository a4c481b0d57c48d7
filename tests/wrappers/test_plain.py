"""The true bypass: with ``max_inflight=0`` the wrapper plays as the plain loop does, with the same books."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from spec_envs import Effect
from spec_envs.agents import NearestGuesser
from spec_envs.errors import EnvClosed
from spec_envs.handling import CancelToken
from spec_envs.testing import FakeEnv
from spec_envs.wrappers import SpeculativeWrapper
from spec_envs.wrappers.estimates import Estimates
from spec_envs.wrappers.speculation.timing import pacing
from spec_envs.wrappers.speculation.transitions import Transition, private_copy
from tests.wrappers.loops import PERFECT, make, play


def count(env: gym.Env[Any, Any], name: str, counts: dict[str, int]) -> None:
    """Count the calls of ``env.name`` in ``counts``."""
    method = getattr(env, name)

    def counted(*args: Any, **options: Any) -> Any:
        counts[name] = counts.get(name, 0) + 1
        return method(*args, **options)

    setattr(env, name, counted)


def test_no_fork_is_made():
    counts: dict[str, int] = {}
    env = FakeEnv()
    count(env, "fork", counts)
    with make(env, guessers=PERFECT, max_inflight=0) as wrapped:
        before = dict(counts)  # when the wrapper is made, it sees whether the environment can be forked
        play(wrapped, wrapped.act)
        assert counts == before


def test_the_books_are_those_of_the_tree():
    played: list[Any] = []
    for max_inflight in (0, 4):
        with make(guessers={}, max_inflight=max_inflight) as wrapped:
            played.append(play(wrapped, wrapped.act))
        statistics = wrapped.statistics
        assert statistics.waited_s == statistics.sequential_s == 10.0
        assert statistics.commits == statistics.calls["committed"]
        kinds = [(event.kind, event.handler) for event in wrapped.trace if event.kind != "discard"]
        played.append((statistics.commits, sorted(kinds)))
    assert played[:2] == played[2:]


def test_a_stream_of_the_trace_has_what_happens_from_then_on(tmp_path):
    with make(guessers={}, max_inflight=0) as wrapped:
        observation, _ = wrapped.reset(seed=0)
        observation, *_ = wrapped.step(wrapped.act(observation))
        wrapped.trace.stream(tmp_path / "trace.jsonl")
        before = len(wrapped.trace)
        wrapped.step(wrapped.act(observation))
        wrapped.trace.stream(None)
        lines = (tmp_path / "trace.jsonl").read_text().splitlines()
        assert 0 < len(lines) == len(wrapped.trace) - before


def test_acting_twice_asks_the_policy_once():
    asked = []

    def policy(observation: Any) -> int:
        asked.append(observation)
        return len(asked) % 2

    with make(policy=policy, max_inflight=0) as wrapped:
        observation, _ = wrapped.reset(seed=0)
        assert wrapped.act(observation) == wrapped.act(observation)
        assert len(asked) == 1


def test_equal_reads_are_made_again():
    queries = []

    def world(query: Any) -> int:
        queries.append(query)
        return 1

    with make(FakeEnv({"world": world}, effects=[Effect.READ]), lambda observation: 0, max_inflight=0) as wrapped:
        play(wrapped, wrapped.act)
        once = len(queries)
        play(wrapped, wrapped.act)
        assert len(queries) == 2 * once
        assert wrapped.statistics.shared == 0


def test_closing_ends_the_call_under_way():
    def policy(observation: Any, cancel: CancelToken) -> int:
        wrapped.close()
        cancel.sleep(1.0)
        return 0

    wrapped = make(policy=policy, max_inflight=0)
    observation, _ = wrapped.reset(seed=0)
    with pytest.raises(EnvClosed):
        wrapped.act(observation)


def test_a_step_costs_little():
    def seconds_per_step(env: gym.Env[Any, Any], act: Any) -> float:
        observation, _ = env.reset(seed=0)
        start = time.perf_counter()
        for _ in range(20):
            observation, *_ = env.step(act(observation))
        return (time.perf_counter() - start) / 20

    def policy(observation: Any) -> Any:
        return np.zeros(1, np.float32)

    plain = gym.make("Pendulum-v1")
    with SpeculativeWrapper(gym.make("Pendulum-v1"), policy, max_inflight=0) as wrapped:
        costs = [seconds_per_step(wrapped, wrapped.act) - seconds_per_step(plain, policy) for _ in range(50)]
    assert min(costs) < 200e-6  # 20 us where nothing else runs; a step through the tree costs 900 us


@pytest.mark.parametrize(("options", "most"), [({"max_inflight": 0}, 52), ({"guard": True}, 57)])
def test_a_plain_step_calls_few_functions(options: dict[str, Any], most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a plain step costs, counted instead of timed, so that a busy machine changes nothing."""
    monkeypatch.setattr(pacing, "_SHORT_S", math.inf)  # a cycle ends by the number of its steps alone

    def calls(env: gym.Env[Any, Any], act: Callable[[Any], int]) -> float:
        observation, _ = env.reset(seed=0)
        for _ in range(20):
            observation, *_ = env.step(act(observation))
        counted = 0

        def count(frame: object, event: str, argument: object) -> None:
            nonlocal counted
            counted += event == "call"

        sys.setprofile(count)
        try:
            for _ in range(100):
                observation, *_ = env.step(act(observation))
        finally:
            sys.setprofile(None)
        return counted / 100

    def balance(observation: Any) -> int:
        return int(observation[2] + 0.3 * observation[3] > 0)

    with gym.make("CartPole-v1") as plain:
        least = calls(plain, balance)
    env = SpeculativeWrapper(
        gym.make("CartPole-v1"), balance, guessers={"policy": NearestGuesser()}, estimates=Estimates(), **options
    )
    with env:
        assert calls(env, env.act) <= least + most


@pytest.mark.parametrize("has_parts", [True, False])
def test_a_private_copy_keeps_what_observation_and_info_share(has_parts: bool) -> None:
    info = {"level": 1}
    shared = private_copy(Transition({"info": info} if has_parts else info, 0.0, False, False, info))
    inside = shared.observation["info"] if has_parts else shared.observation
    assert inside is shared.info is not info
    apart = private_copy(Transition({"level": 1}, 0.0, False, False, info))
    assert apart.observation == apart.info == info
    assert apart.observation is not apart.info is not info
