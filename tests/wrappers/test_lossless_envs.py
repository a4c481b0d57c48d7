"""The same promise over real environments: chess, and Gymnasium's own, with every kind of guesser."""

from __future__ import annotations

import zlib
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spec_envs import Call, Guess
from spec_envs.agents import BuiltinChessGuesser, FrequencyGuesser, RandomChessPolicy
from spec_envs.chess.opponents import RandomOpponent
from spec_envs.chess.position import Position
from tests.wrappers import guessers_for_tests as kinds
from tests.wrappers.loops import RUNTIMES, certify_on, shows_no_difference


def number(value: Any, below: int) -> int:
    """A hash that is the same in every process."""
    return zlib.crc32(repr(value).encode()) % below


class Illegal:
    """Guesses moves that are illegal, unreadable, or no moves at all."""

    def guess(self, call: Call, k: int) -> list[Guess]:
        return [Guess(move, 0.3) for move in ("e1e8", "not a move", 7)][:k]


class Random:
    """Seeded: its choice is a function of the observation, and looks random."""

    def __init__(self, seed: int, num_actions: int, failing: bool) -> None:
        self._seed, self._num_actions, self._failing = seed, num_actions, failing

    def __call__(self, observation: Any) -> int:
        seen = np.asarray(observation).round(3).tolist()
        if self._failing and number((seen, "fails"), 15) == 0:
            raise ConnectionError(f"no answer to {seen}")
        return number((self._seed, seen), self._num_actions)


def chess_guessers(kind: str, opponent: RandomOpponent, policy: Any) -> dict[str, Any]:
    if kind == "illegal":
        return {"policy": Illegal(), "opponent": Illegal()}
    if kind == "builtin":
        return {"policy": BuiltinChessGuesser(), "opponent": BuiltinChessGuesser()}
    make = getattr(kinds, kind)
    return {
        "policy": make(lambda call: policy(call.query, None)),
        "opponent": make(lambda call: opponent(Position.of(call.query), None)),
    }


@pytest.mark.parametrize("runtime", [*RUNTIMES, "loop"])
@settings(max_examples=12, deadline=None)
@given(
    kind=st.sampled_from(["illegal", "builtin", "perfect", "empty", "duplicate", "hanging", "raising", "impossible"]),
    color=st.sampled_from(["white", "black"]),
    index=st.booleans(),
    seed=st.integers(0, 1000),
    max_inflight=st.integers(0, 5),
)
def test_chess(runtime: Any, kind: str, color: str, index: bool, seed: int, max_inflight: int) -> None:
    opponent = RandomOpponent()
    policy = RandomChessPolicy(seed, action_format="index" if index else "uci")
    action_format = "index" if index else "uci"
    certificate = certify_on(
        runtime,
        lambda: gym.make(
            "SpecChess-v0", opponent=opponent, color=color, action_format=action_format, max_plies=10, opening="random"
        ),
        policy,
        chess_guessers(kind, opponent, policy),
        [seed],
        max_inflight=max_inflight,
    )
    assert certificate, str(certificate)


@pytest.mark.parametrize("runtime", ["simulation", "threads", "loop"])
@pytest.mark.parametrize(("name", "num_actions"), [("FrozenLake-v1", 4), ("CartPole-v1", 2)])
@settings(max_examples=10, deadline=None)
@given(
    kind=st.sampled_from(["perfect", "wrong", "empty", "duplicate", "hanging", "raising", "absurd", "learning"]),
    seed=st.integers(0, 1000),
    failing=st.booleans(),
    max_inflight=st.integers(0, 4),
)
def test_environments_that_do_not_ask(
    runtime: Any, name: str, num_actions: int, kind: str, seed: int, failing: bool, max_inflight: int
) -> None:
    policy = Random(seed, num_actions, failing)
    sure = Random(seed, num_actions, failing=False)
    guesser = FrequencyGuesser() if kind == "learning" else getattr(kinds, kind)(lambda call: sure(call.query))
    certificate = certify_on(
        runtime,
        lambda: gym.make(name),
        policy,
        {"policy": guesser},
        [seed],
        max_inflight=max_inflight,
        max_steps=12,
    )
    assert shows_no_difference(certificate), str(certificate)
