"""Text of any characters within Gymnasium's own machinery: it is never laid out as an array of the greatest length."""

from __future__ import annotations

import gymnasium as gym
import pytest
from gymnasium.spaces.utils import unflatten
from gymnasium.vector import AsyncVectorEnv
from gymnasium.wrappers import FlattenObservation

from spec_envs.spaces import AnyText

TEXTS = ("SpecRetail-v0", "SpecSearch-v0")


def test_samples_are_short_and_seeded():
    one, other = AnyText(), AnyText()
    one.seed(3)
    other.seed(3)
    samples = [one.sample() for _ in range(50)]
    assert samples == [other.sample() for _ in range(50)]
    assert 1 < len(set(samples)) and max(map(len, samples)) <= 20
    assert all(sample in one for sample in samples)


@pytest.mark.parametrize("name", TEXTS)
def test_flattening_leaves_texts_as_they_are(name):
    env = FlattenObservation(gym.make(name))
    observation, _ = env.reset(seed=0)
    assert observation in env.observation_space
    assert unflatten(env.env.observation_space, observation) == gym.make(name).reset(seed=0)[0]


@pytest.mark.parametrize("name", TEXTS)
def test_processes_need_to_be_told_not_to_share_memory(name):
    makers = [lambda: gym.make(name)] * 2
    with pytest.raises(ValueError, match="shared_memory=False"):
        AsyncVectorEnv(makers)


def test_without_shared_memory_processes_work():
    envs = gym.make_vec("SpecSearch-v0", 2, "async", vector_kwargs={"shared_memory": False})
    try:
        observations, _ = envs.reset(seed=0)
        assert observations["question"][0] == gym.make("SpecSearch-v0").reset(seed=0)[0]["question"]
        assert envs.step(("search[Tallow]",) * 2)[0]["steps_left"].tolist() == [9, 9]
    finally:
        envs.close()
