"""Environments whose steps change context variables, or settings of the process: told by name, and set back."""

from __future__ import annotations

import contextvars
import decimal
import gc
import locale
import os
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from spec_envs import Call, CallEnv, Guess
from spec_envs.errors import NotForkable
from spec_envs.wrappers.handlers import with_latency
from spec_envs.wrappers.speculation.trust import rehearsal
from tests.wrappers.loops import RUNTIMES, VIRTUAL, make

COUNT: contextvars.ContextVar[int] = contextvars.ContextVar("count", default=0)


@pytest.fixture(autouse=True)
def no_hurry(monkeypatch):
    """A rehearsal that is never too slow, also on a slow machine."""
    monkeypatch.setattr(rehearsal, "BUDGET_S", 1e9)


@pytest.fixture(autouse=True)
def set_back():
    """Whatever a test does to the process ends with it."""
    environ, directory, limit = dict(os.environ), os.getcwd(), sys.getrecursionlimit()
    place, context, errors = locale.setlocale(locale.LC_ALL), decimal.getcontext().copy(), np.geterr()
    yield
    os.environ.clear()
    os.environ.update(environ)
    time.tzset()
    os.chdir(directory)
    sys.setrecursionlimit(limit)
    locale.setlocale(locale.LC_ALL, place)
    decimal.setcontext(context)
    np.seterr(**errors)
    gc.enable()


def act(observation: Any) -> int:
    return int(observation[0] * 1000) % 2


class Both:
    def guess(self, call: Any, k: int) -> list[Guess]:
        return [Guess(0, 0.5), Guess(1, 0.4)]


class Uses(gym.Env[Any, int]):
    """Does ``use`` in each step from a certain one on, and returns what that returns."""

    observation_space: Any = gym.spaces.Box(-1e9, 1e9, (2,))
    action_space: Any = gym.spaces.Discrete(2)

    def __init__(self, use: Callable[[int], float], first: int = 1) -> None:
        self.use, self.first = use, first

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.t, self.x = 0, 0.25
        return np.array([self.x, 0.0]), {}

    def step(self, action: int) -> Any:
        self.t += 1
        self.x = (1.3 * self.x + 0.37 * action + (self.use(self.t) if self.t >= self.first else 0.0)) % 97
        return np.array([self.x, self.t]), self.x, self.t >= 20, False, {}


class Asks(CallEnv[Any, int]):
    """The same with a call in each step."""

    observation_space: Any = gym.spaces.Box(-1e9, 1e9, (2,))
    action_space: Any = gym.spaces.Discrete(2)

    def __init__(self, use: Callable[[int], float], seconds: float = 0.0) -> None:
        super().__init__({"world": with_latency(lambda query: query % 3, seconds)})
        self.use = use

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.t, self.x = 0, 0.25
        return np.array([self.x, 0.0]), {}

    def step(self, action: int) -> Any:
        response = self.ask(Call("world", 7 * self.t + int(action)))
        self.t += 1
        self.x = (1.3 * self.x + response + self.use(self.t)) % 97
        return np.array([self.x, self.t]), self.x, self.t >= 12, False, {}


def set_variable(t: int) -> float:
    COUNT.set(COUNT.get() + 1)
    return COUNT.get()


def set_environ(t: int) -> float:
    os.environ["SPEC_ENVS_TEST"] = os.environ.get("SPEC_ENVS_TEST", "") + "x"
    return 0.0


def set_time_zone(t: int) -> float:
    os.environ["TZ"] = f"X{t}"
    time.tzset()
    return 0.0


def leave(t: int) -> float:
    os.chdir("/")
    return 0.0


def set_precision(t: int) -> float:
    decimal.getcontext().prec += 1
    return 0.0


def set_limit(t: int) -> float:
    sys.setrecursionlimit(sys.getrecursionlimit() + 1)
    return 0.0


def stop_collecting(t: int) -> float:
    gc.disable()
    return 0.0


def set_numpy(t: int) -> float:
    np.seterr(divide="ignore")
    return 0.0


PROCESS: dict[str, tuple[Callable[[int], float], str]] = {
    "environment variable": (set_environ, r"change os\.environ, which all of the program shares"),
    "time zone": (set_time_zone, r"change os\.environ"),
    "directory": (leave, "change the working directory"),
    "precision": (set_precision, "change the context of decimal"),
    "recursion": (set_limit, "change the limit of recursion"),
    "garbage": (stop_collecting, "change whether the garbage collector runs"),
}
CONTEXT: dict[str, tuple[Callable[[int], float], str]] = {
    "variable": (set_variable, "the context variable 'count'; keep it in the environment"),
    "numpy's errors": (set_numpy, "the context variable 'numpy.ufunc.extobj'"),
}


def process() -> list[Any]:
    settings: list[Any] = [dict(os.environ), os.getcwd(), sys.getrecursionlimit(), gc.isenabled()]
    return [*settings, decimal.getcontext().prec, COUNT.get(), np.geterr()]


@pytest.mark.parametrize("name", [*PROCESS, *CONTEXT])
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_rehearsal_finds_it_and_sets_it_back(name: str, runtime: str) -> None:
    use, message = {**PROCESS, **CONTEXT}[name]
    before = process()
    with (
        make(Uses(use), with_latency(act, 0.0), guessers={"policy": Both()}, runtime=runtime) as env,
        pytest.raises(NotForkable, match=message),
    ):
        env.reset(seed=0)
    assert process() == before


@pytest.mark.parametrize("name", ["environment variable", "precision", "recursion"])
@pytest.mark.parametrize("runtime", VIRTUAL)
def test_a_step_that_asks_is_found_by_the_first_proof(name: str, runtime: str) -> None:
    use, message = PROCESS[name]
    env = make(Asks(use, 1.0), with_latency(act, 1.0), guessers={"policy": Both(), "world": Both()}, runtime=runtime)
    with env, pytest.warns(RuntimeWarning, match=f"ends here.*{message}"):
        env.step(env.act(env.reset(seed=0)[0]))


def episode(env: Any, choose: Callable[[Any], int]) -> list[Any]:
    seen, done = list[Any](), False
    observation, _ = env.reset(seed=0)
    while not done:
        observation, reward, done, *_ = env.step(choose(observation))
        seen.append((observation.tolist(), reward))
    return seen


@pytest.mark.parametrize("first", [6, 7, 8, 11, 15, 19])
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_variable_that_is_set_late_changes_nothing(first: int, runtime: str) -> None:
    """Nothing that forks set leaves them, so that the episode is as it would be."""
    expected = contextvars.Context().run(lambda: episode(Uses(set_variable, first), act))

    seen: list[Any] = []

    def speculative() -> None:
        seconds = 0.0 if runtime == "threads" else 1.0
        policy = with_latency(act, seconds)
        env = make(Uses(set_variable, first), policy, guessers={"policy": Both()}, runtime=runtime)
        with env, pytest.warns(RuntimeWarning, match="ends here.*the step with . sets the context variable 'count'"):
            seen.extend(episode(env, env.act))

    contextvars.Context().run(speculative)
    if runtime != "asyncio":  # where each step is made in a task, which has a context of its own
        assert seen == expected


def use_and_set_back(t: int) -> float:
    token = COUNT.set(5)
    with decimal.localcontext() as context, np.errstate(all="ignore"):
        context.prec = 4
        third = float(decimal.Decimal(1) / 3)
    COUNT.reset(token)
    return third


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_what_a_step_sets_back_itself_is_no_change(runtime: str) -> None:
    seconds = 0.0 if runtime == "threads" else 1.0
    for env in (Uses(use_and_set_back), Asks(use_and_set_back, seconds)):
        guessers = {"policy": Both(), "world": Both()} if isinstance(env, Asks) else {"policy": Both()}
        plain = type(env)(use_and_set_back)
        wrapped = make(env, with_latency(act, seconds), guessers=guessers, runtime=runtime)
        with wrapped, warnings.catch_warnings():
            warnings.simplefilter("error")
            assert episode(wrapped, wrapped.act) == episode(plain, act)


@pytest.mark.parametrize("share", ["sequence", "two generators", "one child each"])
def test_generators_that_share_their_seeds_spawn_the_same_children(share: str) -> None:
    def spawns(t: int) -> float:
        raise NotImplementedError

    class Spawns(Uses):
        def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
            self.seeds = np.random.SeedSequence(7)
            self.one = np.random.default_rng(self.seeds)
            self.two = np.random.default_rng(self.seeds if share != "one child each" else self.seeds.spawn(1)[0])
            self.use = self.draw
            return super().reset(seed=seed)

        def draw(self, t: int) -> float:
            from_seeds = np.random.default_rng(self.seeds.spawn(1)[0]).random() if share != "two generators" else 0.0
            return float(from_seeds + self.one.spawn(1)[0].random() + self.two.spawn(2)[1].random())

    with make(Spawns(spawns), with_latency(act, 1.0), guessers={"policy": Both()}, runtime="simulation") as env:
        assert episode(env, env.act) == episode(Spawns(spawns), act)
        assert env.statistics.stopped is None
