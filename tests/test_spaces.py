"""Text of any characters within Gymnasium's own machinery: it is never laid out as an array of the greatest length."""

from __future__ import annotations

import gc
import pickle
from copy import deepcopy
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces.utils import unflatten
from gymnasium.vector.utils import (
    concatenate,
    create_empty_array,
    create_shared_memory,
    read_from_shared_memory,
    write_to_shared_memory,
)
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


ACTIONS = {
    "SpecChess-v0": "e2e4",
    "SpecRetail-v0": "Hello, ☃.",
    "SpecSearch-v0": "search[Tallow]",
    "SpecTuning-v0": {"slice_ms": 5.0},
}


@pytest.mark.parametrize("copy", [True, False])
@pytest.mark.parametrize("name", ACTIONS)
def test_processes_give_what_one_process_gives(name, copy):
    single: Any = gym.make_vec(name, 2, "sync")
    several: Any = gym.make_vec(name, 2, "async", vector_kwargs={"copy": copy})
    try:
        expected, seen = single.reset(seed=[1, 2])[0], several.reset(seed=[1, 2])[0]
        first = deepcopy(seen)
        assert equal(first, expected)
        actions = batched(single.single_action_space, [ACTIONS[name]] * 2)
        expected, after = single.step(actions)[:3], several.step(actions)[:3]
        assert equal(deepcopy(after[0]), expected[0])
        assert not copy or equal(deepcopy(seen), first)  # an earlier observation stays
    finally:
        several.close()
        single.close()


def batched(space, actions):
    if not isinstance(actions[0], dict):
        return tuple(actions)
    empty: Any = create_empty_array(space, 2)
    return concatenate(space, actions, empty)


def equal(one, other):
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, np.ndarray):
        return np.array_equal(one, other)
    return tuple(one) == tuple(other)


@pytest.mark.parametrize(
    "text", ["", "a" * 3_000_000, "\r\n\n\r", "\x00", "☃ 🙂", "\ud800", " \t", "ä\u0308", "}{", "a\nb\n"]
)
def test_shared_texts_are_any_texts(text):
    space = AnyText()
    memory: Any = create_shared_memory(space, n=3)
    texts: Any = read_from_shared_memory(space, memory, n=3)
    write: Any = write_to_shared_memory
    write(space, 1, "before", memory)
    write(space, 1, text, pickle.loads(pickle.dumps(memory)))
    assert deepcopy(texts) == ("", text, "") == texts[:] and texts[-2] == text and len(texts) == 3
    folder = Path(memory._folder)
    assert folder.exists()
    del memory, texts
    gc.collect()
    assert not folder.exists()


def test_without_shared_memory_processes_work():
    envs = gym.make_vec("SpecSearch-v0", 2, "async", vector_kwargs={"shared_memory": False})
    try:
        observations, _ = envs.reset(seed=0)
        assert observations["question"][0] == gym.make("SpecSearch-v0").reset(seed=0)[0]["question"]
        assert envs.step(("search[Tallow]",) * 2)[0]["steps_left"].tolist() == [9, 9]
    finally:
        envs.close()
