"""Environments with handlers that can be pickled: a worker gets an equal one, which goes on independently."""

from __future__ import annotations

import pickle
from typing import Any

import cloudpickle
import gymnasium as gym
import pytest

import spec_envs

ACTIONS: dict[str, list[Any]] = {
    "SpecChess-v0": ["e2e4", "d2d4", "g1f3"],
    "SpecRetail-v0": ["Hello.", "What is your order?", "Is that all?"],
    "SpecSearch-v0": ["search[Tallow]", "lookup[a]", "finish[x]"],
    "SpecTuning-v0": [{"slice_ms": 5.0}, {"slice_ms": 8.0}, {"slice_ms": 2.0}],
}


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("steps", [0, 1, 2])
@pytest.mark.parametrize("name", ACTIONS)
def test_an_unpickled_environment_goes_on_as_the_original_does(name, steps, protocol):
    with gym.make(name) as env:
        env.reset(seed=0)
        for action in ACTIONS[name][:steps]:
            env.step(action)
        with pickle.loads(pickle.dumps(env, protocol)) as twin:
            forked = spec_envs.fork(twin)
            for action in ACTIONS[name][steps:]:
                expected = str(env.step(action))
                assert str(twin.step(action)) == str(forked.step(action)) == expected
            forked.close()
            assert str(twin.reset(seed=3)) == str(env.reset(seed=3))
            assert twin.action_space.sample() in twin.action_space


@pytest.mark.parametrize("library", [pickle, cloudpickle], ids=lambda library: library.__name__)
@pytest.mark.parametrize("name", ACTIONS)
def test_an_environment_can_be_pickled_before_its_first_episode(name, library):
    with gym.make(name) as env, pickle.loads(library.dumps(env)) as twin:
        assert str(twin.reset(seed=1)) == str(env.reset(seed=1))
