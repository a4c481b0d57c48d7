"""Warnings name the line of the user's program."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import pytest

from spec_envs.testing import FakeEnv, pure_response
from spec_envs.wrappers import SpeculativeWrapper


class Failing:
    def guess(self, call: Any, k: int) -> Any:
        raise ValueError("no idea")


def wrapped(env: gym.Env[Any, Any]) -> SpeculativeWrapper[Any, Any]:
    return SpeculativeWrapper(env, pure_response, guessers={"world": Failing()}, runtime="simulation")


@pytest.mark.parametrize("around", [lambda env: env, gym.wrappers.OrderEnforcing, gym.wrappers.RecordEpisodeStatistics])
def test_the_line_is_that_of_the_user(around: Callable[..., gym.Env[Any, Any]]) -> None:
    env = around(wrapped(FakeEnv({"world": pure_response}, length=4)))
    env.reset(seed=0)
    with pytest.warns(RuntimeWarning, match="the guesser for 'world' failed: ValueError") as told:
        for _ in range(3):
            env.step(0)
    env.close()
    assert {each.filename for each in told} == {__file__}


def test_where_warnings_are_errors_the_episode_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    with warnings.catch_warnings(), wrapped(FakeEnv({"world": pure_response}, length=4)) as env:
        warnings.simplefilter("error")
        env.reset(seed=0)
        for _ in range(3):
            env.step(0)
    assert caplog.text.count("the guesser for 'world' failed") == 1
