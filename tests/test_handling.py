"""What users give as handlers and policies: functions of all kinds, and models that predict."""

from __future__ import annotations

import asyncio
import functools
from typing import Any, cast

import gymnasium as gym
import numpy as np
import pytest

from spec_envs import Guess
from spec_envs.errors import InvalidConfiguration
from spec_envs.handling import CancelToken, TaskToken, as_handler, is_async
from spec_envs.wrappers import SpeculativeWrapper, certify
from spec_envs.wrappers.handlers import with_latency


class Model:
    """A stand-in for a model of stable-baselines3: the same signature, and actions as arrays."""

    def __init__(self, wrap=lambda action: np.asarray(action)):
        self._wrap = wrap

    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        return self._wrap(int(observation[2] > 0)), state


class CallableModel(Model):
    """A model that is a torch module too: calling it is not what a policy does."""

    def __call__(self, observation):
        raise AssertionError("called instead of predict")


class ShortModel(Model):
    def predict(self, observation, deterministic=True):  # type: ignore[override]  # what is tested
        return super().predict(observation)


class KeywordModel(Model):
    def predict(self, observation, *, state=None, mask=None):  # type: ignore[override]  # what is tested
        return super().predict(observation)


class BareModel(Model):
    def predict(self, observation):  # type: ignore[override]  # what is tested
        return super().predict(observation)


class ActionModel(Model):
    def predict(self, observation):  # type: ignore[override]  # what is tested
        return super().predict(observation)[0]


class ClassMethodModel:
    @classmethod
    def predict(cls, observation, state=None, deterministic=False):
        return np.int64(observation[2] > 0), None


def _predict(observation, state=None, episode_start=None, deterministic=False):
    return int(observation[2] > 0), None


_predict.__name__ = "predict"

MODELS = {
    "model": Model(),
    "its predict": Model().predict,
    "int actions": Model(int),
    "np.int64 actions": Model(np.int64),
    "int32 arrays": Model(lambda action: np.asarray(action, dtype=np.int32)),
    "callable model": CallableModel(),
    "predict of a callable model": CallableModel().predict,
    "few parameters": ShortModel(),
    "keyword parameters": KeywordModel(),
    "predict with an observation alone": BareModel(),
    "predict that returns the action alone": ActionModel(),
    "class method": ClassMethodModel.predict,
    "class with a class method": ClassMethodModel(),
    "function": _predict,
    "slow model": with_latency(cast(Any, Model()), 0.0),
    "slow predict": with_latency(Model().predict, 0.0),
}


class Right:
    def guess(self, call, k):
        return [Guess(int(call.query[2] > 0), 0.9)]


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_a_model_that_predicts_is_a_policy(model):
    options: dict[str, Any] = {"runtime": "simulation", "max_steps": 10}
    assert certify(lambda: gym.make("CartPole-v1"), model, {"policy": Right()}, [0, 1], **options)
    env = SpeculativeWrapper(
        gym.make("CartPole-v1"), with_latency(model, 1.0), guessers={"policy": Right()}, runtime="simulation"
    )
    observation, _ = env.reset(seed=0)
    for _ in range(5):
        action = env.act(observation)
        assert action == int(observation[2] > 0) and np.ndim(action) == 0 and not isinstance(action, tuple)
        observation = env.step(action)[0]
    assert env.statistics.hits == 5
    env.close()


@pytest.mark.parametrize("returned", [(1, np.zeros(3)), (1, (2, 3)), (1, None, None)], ids=["state", "states", "three"])
def test_a_model_with_a_state_is_refused(returned):
    class Recurrent:
        def predict(self, observation, state=None):
            return returned

    with pytest.raises(InvalidConfiguration, match=r"must return \(action, None\)"):
        as_handler(cast(Any, Recurrent()))(0)


@pytest.mark.parametrize("policy", [3, "model", object(), [Model()], {"predict": 1}])
def test_what_is_no_policy_is_refused(policy):
    with pytest.raises(InvalidConfiguration, match=r"callable as policy\(observation\), or have predict"):
        SpeculativeWrapper(gym.make("CartPole-v1"), policy)


async def by_position(query, cancel):
    return cancel


async def by_name(query, *, cancel):
    return cancel


async def third(query, other=None, cancel=None):
    return cancel


class Callable:
    async def __call__(self, query, cancel):
        return cancel

    async def method(self, query, cancel):
        return cancel


def plain(query, cancel):
    return cancel


def plain_by_name(query, *, cancel):
    return cancel


AWAITED = {
    "by position": by_position,
    "by name": by_name,
    "later parameter": third,
    "object": Callable(),
    "method": Callable().method,
    "partial": functools.partial(by_position),
    "decorated": with_latency(by_position, 0.0),
    "decorated twice": with_latency(with_latency(by_name, 0.0), 0.0),
}


@pytest.mark.parametrize("handler", AWAITED.values(), ids=AWAITED)
def test_a_coroutine_function_called_without_a_token_gets_one_of_the_loop(handler):
    made = as_handler(handler)
    assert is_async(made)
    assert isinstance(asyncio.run(made("query")), TaskToken)  # called before the loop runs

    async def on_the_loop():
        token = await made("query")
        await token.asleep(0.001)
        with pytest.raises(InvalidConfiguration, match="would stop the event loop"):
            token.sleep(0.001)

    asyncio.run(on_the_loop())


@pytest.mark.parametrize("handler", [plain, plain_by_name, with_latency(plain, 0.0)], ids=["position", "name", "late"])
def test_a_plain_function_called_without_a_token_gets_one_of_the_wall_clock(handler):
    async def on_the_loop():
        return as_handler(handler)("query")

    for token in (as_handler(handler)("query"), asyncio.run(on_the_loop())):
        assert type(token) is CancelToken
