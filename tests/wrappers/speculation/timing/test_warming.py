"""A cold start under the guard, in virtual time: guessers get ready beside plain steps, which lose nothing by it."""

from __future__ import annotations

from typing import Any

import pytest

from spec_envs import Call, Guess
from spec_envs.handling import CancelToken
from spec_envs.testing import pure_response
from spec_envs.wrappers.handlers import with_latency
from tests.wrappers.loops import choose, make, play, slow_fake

_STEP_S, _STEPS, _COLD_S = 0.03, 400, 5.0


class Cold:
    """Guesses right; starts an engine for its first guess, which takes long."""

    def __init__(self, function: Any) -> None:
        self._function = function
        self.guesses = 0

    def guess(self, call: Call, k: int, cancel: CancelToken) -> list[Guess]:
        self.guesses += 1
        cancel.sleep(_COLD_S if self.guesses == 1 else 1e-4)
        return [Guess(self._function(call.query), 1.0)]


@pytest.fixture(scope="module")
def played() -> Any:
    guessers = {"world": Cold(pure_response), "policy": Cold(choose)}
    env = make(slow_fake(_STEP_S / 2, length=_STEPS), with_latency(choose, _STEP_S / 2), guessers=guessers, guard=True)
    with env:
        play(env, env.act, 0, _STEPS)
    return env


def ahead(env: Any) -> list[float]:
    return [event.time_s for event in env.trace if event.kind == "start" and event.speculative]


def test_nothing_is_tried_before_guessers_are_ready(played: Any) -> None:
    assert _COLD_S < min(ahead(played)) < _COLD_S + 10 * _STEP_S


def test_plain_steps_go_on_meanwhile(played: Any) -> None:
    before = [event for event in played.trace if event.kind == "commit" and event.time_s <= _COLD_S]
    assert len(before) >= 2 * (_COLD_S / _STEP_S - 1)


def test_hardly_a_step_is_lost(played: Any) -> None:
    """The steps after the start are as quick as without one: two calls at once, so half of the time."""
    plain_s = _STEPS * _STEP_S
    best_s = _COLD_S + (plain_s - _COLD_S) / 2
    assert played.statistics.inside_s < best_s + 20 * _STEP_S


def test_what_is_learned_meanwhile_is_learned_before_the_first_try() -> None:
    learned: list[Any] = []

    class Learns(Cold):
        def observe(self, call: Call, response: Any) -> None:
            learned.append((call.query, response))

    seen = []

    def policy(observation: Any) -> int:
        seen.append((observation, choose(observation)))
        return seen[-1][1]

    env = make(slow_fake(0.5), policy, guessers={"policy": Learns(choose)}, guard=True)
    with env:
        play(env, env.act, 0, _STEPS)
    assert learned[:1] == seen[:1]  # the first step was made plainly
