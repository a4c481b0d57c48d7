"""Environments that use their module or class only after the rehearsal: each step of a fork is looked at."""

from __future__ import annotations

import collections
import warnings
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import pytest

from spec_envs import Guess
from spec_envs.wrappers.handlers import with_latency
from spec_envs.wrappers.speculation.trust.watch import Watch
from tests.wrappers.loops import RUNTIMES, make

TOTAL = 0
NOT_MADE: Any = None
HISTORY: list[int] = []
RECENT: collections.deque[int] = collections.deque(maxlen=1000)
MEMO: dict[int, float] = {}
DECIDED = 0


class Late(gym.Env[Any, int]):
    """Uses what its subclasses say from its eleventh step on."""

    observation_space: Any = gym.spaces.Box(-1e9, 1e9, (2,))
    action_space: Any = gym.spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.t, self.x = 0, 0.0
        return np.array([self.x, 0.0]), {}

    def step(self, action: int) -> Any:
        self.t += 1
        self.x += float(self.np_random.random()) + action
        if self.t > 10:
            self.use()
        return np.array([self.x, self.t]), self.x, self.t >= 20, False, {}

    def use(self) -> None: ...


class ModuleNumber(Late):
    def use(self):
        global TOTAL
        TOTAL += 1


class ModuleList(Late):
    def use(self):
        HISTORY.append(self.t)


class ModuleDeque(Late):
    def use(self):
        RECENT.append(self.t)


class ClassNumber(Late):
    count = 0

    def use(self):
        type(self).count += 1


class NumberOfABase(ClassNumber):
    def use(self):
        ClassNumber.count += 1


class ClassList(Late):
    log: ClassVar[list[int]] = []

    def use(self):
        self.log.append(1)


def record() -> None:
    HISTORY.append(0)


class Helper(Late):
    def use(self):
        record()


class Tool:
    used = 0

    def use(self) -> None:
        Tool.used += 1


class Part(Late):
    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.tool = Tool()
        return super().reset(seed=seed, options=options)

    def use(self):
        self.tool.use()


class ClassByName(Late):
    def use(self):
        Tool().use()


class Nested(Late):
    def use(self):
        def inner() -> None:
            [HISTORY.append(number) for number in range(2)]

        inner()


class Property(Late):
    @property
    def counted(self) -> int:
        global TOTAL
        TOTAL += 1
        return TOTAL

    def use(self):
        self.x += self.counted * 0


class Static(Late):
    @staticmethod
    def count() -> None:
        HISTORY.append(1)

    def use(self):
        self.count()


class Wrapped(gym.Wrapper[Any, Any, Any, Any]):
    steps = 0

    def step(self, action: Any) -> Any:
        result = self.env.step(action)
        if result[0][1] > 10:
            Wrapped.steps += 1
        return result


HERE = "tests.wrappers.speculation.trust.test_watch."
CHANGED: dict[Any, str] = {
    ModuleNumber: f"{HERE}TOTAL",
    ModuleList: f"{HERE}HISTORY",
    ModuleDeque: f"{HERE}RECENT",
    ClassNumber: "ClassNumber.count",
    NumberOfABase: "ClassNumber.count",
    ClassList: "ClassList.log",
    Helper: f"{HERE}HISTORY",
    Part: "Tool.used",
    ClassByName: "Tool.used",
    Nested: f"{HERE}HISTORY",
    Property: f"{HERE}TOTAL",
    Static: f"{HERE}HISTORY",
    lambda: Wrapped(Late()): "Wrapped.steps",
}


def act(observation: Any) -> int:
    return int(observation[0] * 1000) % 2


class Both:
    def guess(self, call: Any, k: int) -> list[Guess]:
        return [Guess(0, 0.5), Guess(1, 0.4)]


def play(env: Any) -> int:
    observation, done, steps = env.reset(seed=0)[0], False, 0
    while not done and env.statistics.stopped is None:
        observation, _, done, *_ = env.step(env.act(observation))
        steps += 1
    return steps


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("factory", CHANGED, ids=lambda each: getattr(each, "__name__", "wrapper"))
def test_a_step_of_a_fork_that_changes_what_all_share_is_told_at_once(factory: Any, runtime: str) -> None:
    seconds = 0.0 if runtime == "threads" else 1.0
    env = make(factory(), with_latency(act, seconds), guessers={"policy": Both()}, runtime=runtime, prove_every=10**6)
    name = CHANGED[factory].replace(".", r"\.")
    with env, pytest.warns(RuntimeWarning, match=f"ends here.*: the step with . changes {name}, which is shared"):
        assert play(env) <= 11
    assert env.statistics.rehearsal == "passed"


class Lazy(Late):
    """Makes a thing once, and fills a cache."""

    screen: Any = None

    def use(self):
        global NOT_MADE
        NOT_MADE = NOT_MADE or object()
        type(self).screen = type(self).screen or object()
        MEMO[self.t] = MEMO.get(self.t, 0.5)


class OwnNumber(Late):
    """Its class has the first value of an attribute."""

    count = 0

    def use(self):
        self.count += 1


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("kind", [Late, Lazy, OwnNumber], ids=lambda kind: kind.__name__)
def test_what_nobody_can_see_is_no_change_and_neither_is_what_a_policy_counts(kind: Any, runtime: str) -> None:
    def counts(observation: Any) -> int:
        global DECIDED
        DECIDED += 1
        HISTORY.append(DECIDED)
        return act(observation)

    seconds = 0.0 if runtime == "threads" else 1.0
    env = make(kind(), with_latency(counts, seconds), guessers={"policy": Both()}, runtime=runtime)
    with env, warnings.catch_warnings():
        warnings.simplefilter("error")
        assert play(env) == 20


@pytest.mark.parametrize("name", ["CartPole-v1", "FrozenLake-v1", "Blackjack-v1"])
def test_environments_of_gymnasium_have_nothing_to_look_at(name: str) -> None:
    env = gym.make(name)
    env.reset(seed=0)
    assert Watch(env).marks() == ()
