"""Policies and handlers that use more than their query: the environment itself, or variables of the thread."""

from __future__ import annotations

import functools
import threading
import warnings
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from spec_envs import Guess
from spec_envs.testing import FakeEnv, pure_response
from spec_envs.wrappers import AsyncSpeculativeWrapper, SpeculativeWrapper
from spec_envs.wrappers.handlers import with_latency


class Walk(gym.Env[Any, int]):
    observation_space: Any = gym.spaces.Box(-1e9, 1e9, (1,))
    action_space: Any = gym.spaces.Discrete(2)
    x = 0.0
    sides = 2

    def __init__(self) -> None:
        self.words = ("a", "b")

    @property
    def twice(self) -> float:
        return 2 * self.x

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        return np.array([self.x]), {}

    def step(self, action: int) -> Any:
        self.x += action
        return np.array([self.x]), 0.0, False, False, {}


class Both:
    def guess(self, call: Any, k: int) -> list[Guess]:
        return [Guess(0, 0.5), Guess(1, 0.4)]


HELD: dict[str, Any] = {}
LOCAL = threading.local()
ENV: Any = None


class Holder:
    def __init__(self, env: Any) -> None:
        self.env = env

    def __call__(self, observation: Any) -> int:
        return int(self.env.unwrapped.x) % 2


class Chooser(Holder):
    def choose(self, observation: Any) -> int:
        return int(self.env.x) % 2


class HoldsSpace(Holder):
    def __call__(self, observation: Any) -> int:
        return int(self.env.action_space.n) - 1


class Model(Holder):
    """As of a library, which keeps the environment in which it has learnt."""

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = False
    ) -> Any:
        return 0, None


class Learner(Holder):
    """Keeps the environment in which it learns, and counts the episodes; plays without."""

    def learn(self) -> None:
        self.env.reset()

    def report(self) -> float:
        return float(self.env.x)

    def score(self, observation: Any) -> int:
        return len(observation)

    def __call__(self, observation: Any) -> int:
        return self.score(observation) % 2


class Asks(Learner):
    """Its helper looks."""

    def score(self, observation: Any) -> int:
        return int(self.report())


class Numbers(Holder):
    """Looks at what is set when the environment is made."""

    def __call__(self, observation: Any) -> int:
        return len(self.env.unwrapped.words) % self.env.unwrapped.sides + self.env.unwrapped.sides - 2


def by_global(env: Any) -> Callable[[Any], int]:
    global ENV
    ENV = env
    return lambda observation: int(ENV.x) % 2


def by_dict(env: Any) -> Callable[[Any], int]:
    HELD["env"] = env
    return lambda observation: int(HELD["env"].x) % 2


def with_helper(env: Any) -> Callable[[Any], int]:
    def look() -> float:
        return float(env.x)

    return lambda observation: int(look()) % 2


def with_inner(env: Any) -> Callable[[Any], int]:
    def policy(observation: Any) -> int:
        return max(range(2), key=lambda action: env.x * action)

    return policy


LOOKS: dict[str, Callable[[Any], Any]] = {
    "closure": lambda env: lambda observation: int(env.x) % 2,
    "layer": lambda env: lambda observation: int(env.unwrapped.x) % 2,
    "passed on": lambda env: lambda observation: int(len(str(env))) % 2,
    "global": by_global,
    "dict of the module": by_dict,
    "helper": with_helper,
    "inner function": with_inner,
    "default": lambda env: lambda observation, env=env: int(env.x) % 2,
    "partial": lambda env: functools.partial(lambda env, observation: int(env.x) % 2, env),
    "object": Holder,
    "method that is called": Asks,
    "property": lambda env: lambda observation: int(env.unwrapped.twice) % 2,
    "method": lambda env: Chooser(env).choose,
    "list": lambda env: functools.partial(lambda envs, observation: int(envs[0].x) % 2, [env]),
    "with latency": lambda env: with_latency(Holder(env), 0.0),
}


def looking(env: gym.Env[Any, Any], name: str) -> Any:
    return LOOKS[name](env.unwrapped if name != "layer" else env)


@pytest.mark.parametrize("runtime", ["simulation", "threads"])
@pytest.mark.parametrize("name", LOOKS)
def test_a_policy_that_looks_at_the_environment_is_told_of(name: str, runtime: Any) -> None:
    for env in (gym.wrappers.TimeLimit(Walk(), 9), Walk()):
        with pytest.warns(RuntimeWarning, match="the policy looks at .*Walk.* depend on its observation alone"):
            SpeculativeWrapper(env, looking(env, name), guessers={"policy": Both()}, runtime=runtime).close()


def test_a_policy_that_looks_at_an_environment_that_asks_is_told_of() -> None:
    env = FakeEnv()
    with pytest.warns(RuntimeWarning, match="the policy looks at"):
        SpeculativeWrapper(env, lambda observation: env._steps % 4, runtime="simulation")
    with pytest.warns(RuntimeWarning, match="the policy looks at"):
        AsyncSpeculativeWrapper(env, lambda observation: env._steps % 4)


FINE: dict[str, Callable[[Any], Any]] = {
    "its space": lambda env: lambda observation: int(env.action_space.n) - 1,
    "both spaces": lambda env: lambda observation: int(env.action_space.n) - int(env.observation_space.shape[0]),
    "object with the space": HoldsSpace,
    "model": Model,
    "learner": Learner,
    "method of a learner": lambda env: Learner(env).score,
    "constants": Numbers,
    "a constant of a variable": lambda env: lambda observation: env.unwrapped.sides - env.sides,
    "another environment": lambda env: Holder(Walk()),
    "class": lambda env: lambda observation: int(Walk.x),
    "nothing": lambda env: lambda observation: 0,
}


@pytest.mark.parametrize("name", FINE)
def test_what_does_not_change_may_be_looked_at(name: str) -> None:
    env = Walk()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SpeculativeWrapper(env, FINE[name](env), guessers={"policy": Both()}, runtime="simulation").close()


@pytest.mark.parametrize("options", [{"max_inflight": 0}, {"guessers": None}])
def test_where_nothing_is_called_ahead_a_policy_may_look(options: dict[str, Any]) -> None:
    env = Walk()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        given = {"guessers": {"policy": Both()}, **options}
        SpeculativeWrapper(env, LOOKS["closure"](env), runtime="simulation", **given).close()


class Connections(threading.local):
    """One resource for each thread."""

    def __init__(self) -> None:
        self.connection = object()


CONNECTIONS = Connections()


def by_thread(observation: Any) -> int:
    return int(getattr(LOCAL, "bias", 0))


class Reads:
    def __init__(self) -> None:
        self.local = threading.local()
        self.local.temperature = 0.5

    def __call__(self, observation: Any) -> int:
        return int(2 * getattr(self.local, "temperature", 0))


def makes_its_own(observation: Any) -> int:
    """Sets what it uses, in each thread once."""
    if not hasattr(LOCAL, "bias"):
        LOCAL.bias = 1
    return int(LOCAL.bias)


async def awaited(observation: Any) -> int:
    return by_thread(observation)


@pytest.fixture
def bias():
    LOCAL.bias = 1
    yield
    del LOCAL.bias


@pytest.mark.parametrize(("policy", "name"), [(by_thread, "bias"), (Reads(), "temperature")])
def test_settings_of_a_thread_are_told_of_where_calls_run_on_other_threads(policy: Any, name: str, bias: None) -> None:
    message = rf"'policy' uses variables of the thread \({name}\).*use a context variable"
    with pytest.warns(RuntimeWarning, match=message):
        SpeculativeWrapper(Walk(), policy, guessers={"policy": Both()}).close()
    with pytest.warns(RuntimeWarning, match=message):
        AsyncSpeculativeWrapper(Walk(), policy, guessers={"policy": Both()})
    with pytest.warns(RuntimeWarning, match=message.replace("policy", "world")):
        SpeculativeWrapper(FakeEnv({"world": policy}), lambda observation: 0).close()


def test_resources_of_a_thread_and_calls_on_the_same_thread_are_fine(bias: None) -> None:
    def uses_connection(observation: Any) -> int:
        return int(CONNECTIONS.connection is None)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SpeculativeWrapper(Walk(), uses_connection, guessers={"policy": Both()}).close()
        SpeculativeWrapper(Walk(), makes_its_own, guessers={"policy": Both()}).close()
        SpeculativeWrapper(Walk(), by_thread, guessers={"policy": Both()}, runtime="simulation").close()
        AsyncSpeculativeWrapper(Walk(), awaited, guessers={"policy": Both()})
        SpeculativeWrapper(FakeEnv({"world": pure_response}), lambda observation: 0).close()
