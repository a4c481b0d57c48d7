"""Environments that draw from the global generators only late, or only after some actions: no rehearsal finds it."""

from __future__ import annotations

import contextlib
import copy
import random
import threading
import warnings
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from spec_envs import Call, CallEnv, Effect, Guess
from spec_envs.values import key_of
from spec_envs.wrappers import SpeculativeWrapper, ThreadRuntime
from spec_envs.wrappers.handlers import with_latency
from tests.wrappers.loops import VIRTUAL, Answers, make

DRAWS: dict[str, Callable[[], float]] = {
    "random": lambda: random.random(),
    "choice": lambda: random.choice([1.0, 2.0, 3.0]),
    "gauss": lambda: random.gauss(0, 1),
    "np.random": lambda: np.random.rand(),
    "np.randn": lambda: np.random.randn(),
    "both": lambda: np.random.rand() + random.random(),
}


class DrawsLate(gym.Env[Any, Any]):
    """Draws from a global generator in its tenth step, and from then on in every third."""

    observation_space, action_space = gym.spaces.Box(-1e9, 1e9, (2,)), gym.spaces.Discrete(4)

    def __init__(self, draw: Callable[[], float]) -> None:
        self.draw = draw

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.t, self.x = 0, float(self.np_random.random())
        return np.array([self.x, 0.0]), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.t += 1
        if self.t >= 10 and self.t % 3 == 1:
            self.x += self.draw()
        self.x += self.np_random.random() * (1 + action)
        return np.array([self.x, self.t]), self.x, self.t >= 25, False, {}


def act(observation: Any) -> int:
    return int(observation[0] * 1000) % 4


def episode(env: gym.Env[Any, Any], choose: Callable[[Any], Any], odd: bool = False) -> Any:
    """All that is seen of an episode, and the state of the global generators after it."""
    random.seed(1)
    np.random.seed(1)
    if odd:
        random.gauss(0, 1)
        np.random.randn()  # it has made two numbers, and keeps one
    observation, done = env.reset(seed=3)[0], False
    seen = [key_of(observation)]
    while not done:
        observation, reward, done, *_ = env.step(choose(observation))
        seen.append(key_of((observation, reward)))
    return seen, random.getstate(), key_of(np.random.get_state())


@pytest.mark.parametrize("odd", [False, True], ids=["fresh", "with a number kept"])
@pytest.mark.parametrize("right", [True, False], ids=["right guesses", "wrong guesses"])
@pytest.mark.parametrize("name", DRAWS)
@pytest.mark.parametrize("runtime", VIRTUAL)
def test_a_late_draw_changes_nothing_and_ends_speculation(name: str, right: bool, odd: bool, runtime: str) -> None:
    guesser = Answers(act if right else lambda observation: 3 - act(observation))
    expected = episode(DrawsLate(DRAWS[name]), act, odd)
    options: dict[str, Any] = {"guessers": {"policy": guesser}, "max_inflight": 5, "runtime": runtime}
    env = make(DrawsLate(DRAWS[name]), with_latency(act, 1.0), **options)
    with env, pytest.warns(RuntimeWarning, match="draws from the global generator .*random"):
        assert episode(env, env.act, odd) == expected
        assert env.statistics.fork_failures == 1


def test_draws_of_the_policy_are_the_policys() -> None:
    def draws(observation: Any) -> int:
        return (act(observation) + random.randrange(4) + int(np.random.rand() * 4)) % 4

    class Many:
        def guess(self, call: Any, k: int) -> list[Guess]:
            return [Guess(number, 0.25) for number in range(4)]

    env = DrawsLate(lambda: 1.0)
    with (
        SpeculativeWrapper(env, guessers={"policy": Many()}, k=4, runtime="simulation") as wrapped,
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("error")
        assert episode(wrapped, draws) == episode(DrawsLate(lambda: 1.0), draws)


def test_draws_of_another_thread_are_not_the_steps() -> None:
    """As of a policy that waits for its model, and draws when to try again, while forks make their steps."""
    drawn = threading.Event()

    def policy(observation: Any) -> int:
        for _ in range(20):
            random.random()
            np.random.rand()
        drawn.set()
        return act(observation)

    env = SpeculativeWrapper(
        DrawsLate(lambda: 1.0), policy, guessers={"policy": Answers(act)}, max_inflight=2, runtime=ThreadRuntime()
    )
    plain = DrawsLate(lambda: 1.0)
    with env, warnings.catch_warnings():
        warnings.simplefilter("error")
        observation, expected = env.reset(seed=3)[0], plain.reset(seed=3)[0]
        done = False
        while not done:
            observation, _, done, *_ = env.step(env.act(observation))
            expected = plain.step(act(expected))[0]
            assert key_of(observation) == key_of(expected)
    assert drawn.is_set()


class DrawsTogether(DrawsLate):
    """Draws in every step, and waits for another step of a fork that does so, if there is one, before it returns."""

    together: threading.Barrier
    drawn: threading.Event

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.t += 1
        self.x += self.draw() * (1 + action)
        if self.forked and not self.together.broken:
            with contextlib.suppress(threading.BrokenBarrierError):
                self.together.wait(0.2)
                self.drawn.set()
        return np.array([self.x, self.t]), self.x, self.t >= 6, False, {}

    forked = False

    def fork(self) -> DrawsTogether:
        twin = copy.copy(self)
        twin.forked = True
        return twin


@pytest.mark.parametrize("name", ["random", "np.randn", "both"])
def test_steps_of_forks_that_draw_side_by_side_change_nothing(name: str) -> None:
    """On threads: none of them may draw after another one has set the generator back, or beside the real step."""

    class Both:
        def guess(self, call: Any, k: int) -> list[Guess]:
            return [Guess(act(call.query), 0.5), Guess(3 - act(call.query), 0.5)]

    def policy(observation: Any) -> int:
        DrawsTogether.drawn.wait(0.5)
        return act(observation)

    DrawsTogether.together, DrawsTogether.drawn = threading.Barrier(2), threading.Event()
    expected = episode(DrawsTogether(DRAWS[name]), act)
    env = SpeculativeWrapper(
        DrawsTogether(DRAWS[name]),
        policy,
        guessers={"policy": Both()},
        k=2,
        max_inflight=4,
        guard=False,
        rehearse=False,
        runtime=ThreadRuntime(),
    )
    with env, pytest.warns(RuntimeWarning, match="draws from the global generator"):
        assert episode(env, env.act) == expected


class AsksAndDraws(CallEnv[int, int]):
    """Draws from a global generator after each call, although a ``CallEnv`` should not."""

    observation_space: Any = gym.spaces.Discrete(1000)
    action_space: Any = gym.spaces.Discrete(4)

    def __init__(self, draw: Callable[[], float], seconds: float = 0.0) -> None:
        super().__init__({"world": with_latency(lambda query: query * 7 % 13, seconds)})
        self.draw = draw

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[int, dict[str, Any]]:
        super().reset(seed=seed)
        self.t = self.x = 0
        return self.x, {}

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        response = self.ask(Call("world", self.x + action, Effect.READ))
        self.t += 1
        self.x = (self.x * 3 + response + int(self.draw() * 1000)) % 1000
        if self.x % 7 == 6:
            raise ValueError("the seventh")
        return self.x, 0.0, self.t == 8, False, {}


@pytest.mark.parametrize("right", [True, False], ids=["right guesses", "wrong guesses"])
@pytest.mark.parametrize("name", DRAWS)
@pytest.mark.parametrize("runtime", VIRTUAL)
def test_a_call_env_that_draws_is_as_it_would_be(name: str, right: bool, runtime: str) -> None:
    def act(observation: int) -> int:
        return observation % 4

    def play(env: gym.Env[Any, Any], choose: Callable[[Any], Any]) -> Any:
        seen: list[Any] = []
        try:
            seen.append(episode(env, choose))
        except ValueError as error:
            seen.append(str(error))
        return [*seen, random.getstate(), key_of(np.random.get_state())]

    guessers = {
        "policy": Answers(act if right else lambda observation: 0),
        "world": Answers(lambda query: query * 7 % 13 if right else 0),
    }
    env = make(
        AsksAndDraws(DRAWS[name], 1.0), with_latency(act, 1.0), guessers=guessers, max_inflight=5, runtime=runtime
    )
    with env, pytest.warns(RuntimeWarning, match="ends here.*draw from the global generator .*random"):
        assert play(env, env.act) == play(AsksAndDraws(DRAWS[name]), act)
