"""What the tests of ``SpeculativeWrapper`` share: slow environments, guessers that are right, and the plain loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import gymnasium as gym
import pytest

from spec_envs import Call, CallEnv, Guess
from spec_envs.benchmarks.episodes import VirtualLoop
from spec_envs.testing import FakeEnv, pure_response
from spec_envs.values import key_of
from spec_envs.wrappers import (
    AsyncSpeculativeWrapper,
    Certificate,
    SpeculativeWrapper,
    Verdict,
    certify,
    certify_async,
)
from spec_envs.wrappers.handlers import with_latency
from tests import virtual_time
from tests.virtual_time import AsyncGuesser, asynchronous

#: What drives the speculation; "asyncio" is in virtual time, too, with everything that waits made asynchronous.
RUNTIMES = ("simulation", "threads", "asyncio")
VIRTUAL = ("simulation", "asyncio")


class Answers:
    """Guesses what ``function(query)`` says, with certainty."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self._function = function

    def guess(self, call: Call, k: int) -> list[Guess]:
        return [Guess(self._function(call.query), 1.0)]


def choose(observation: Any) -> int:
    return pure_response(("policy", observation))


PERFECT = {"world": Answers(pure_response), "policy": Answers(choose)}


def slow_fake(seconds: float = 1.0, **options: Any) -> FakeEnv:
    return FakeEnv({"world": with_latency(pure_response, seconds)}, **options)


@pytest.fixture(params=VIRTUAL)
def virtual(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Each of ``VIRTUAL`` in turn is what ``make`` makes, where it is not told."""
    monkeypatch.setitem(_default, "runtime", request.param)
    _open.clear()
    yield request.param
    for env in _open:  # those that a test has not closed itself
        env.close()


_default = {"runtime": "simulation"}
_open: list[OnLoop] = []


def make(env: gym.Env | None = None, policy: Any = choose, **options: Any) -> SpeculativeWrapper[Any, Any]:
    options = {"guard": False} | _default | options  # speculates from the first step on, also on threads
    env = slow_fake() if env is None else env
    if options["runtime"] == "asyncio":
        del options["runtime"]
        on_loop: Any = OnLoop(env, policy, **options)
        return on_loop  # it has the same methods
    return SpeculativeWrapper(env, policy, **options)


class OnLoop(gym.Env[Any, Any]):
    """``AsyncSpeculativeWrapper`` on a loop in virtual time, with the methods of ``SpeculativeWrapper``.

    Handlers, policy and guessers are made asynchronous. When it is closed, no task may be left.
    """

    def __init__(self, env: gym.Env, policy: Any, **options: Any) -> None:
        options = {"guard": False} | options
        options["guessers"] = _asynchronous_guessers(options.get("guessers") or {})
        self.wrapper: AsyncSpeculativeWrapper[Any, Any] = AsyncSpeculativeWrapper(
            _asynchronous_env(env), _asynchronous_policy(policy), **options
        )
        self.action_space, self.observation_space = env.action_space, env.observation_space
        _open.append(self)
        self._runner: asyncio.Runner | None = asyncio.Runner(loop_factory=VirtualLoop)

    def _run(self, coroutine: Any) -> Any:
        with virtual_time.without_threads():
            return asyncio.run(coroutine) if self._runner is None else self._runner.run(coroutine)

    @property
    def env(self) -> gym.Env:
        return self.wrapper.env

    @property
    def statistics(self) -> Any:
        return self.wrapper.statistics

    @property
    def trace(self) -> Any:
        return self.wrapper.trace

    def policy(self, observation: Any) -> Any:
        return self.act(observation)

    def reset(self, **options: Any) -> Any:
        return self._run(self.wrapper.reset(**options))

    def step(self, action: Any) -> Any:
        return self._run(self.wrapper.step(action))

    def act(self, observation: Any) -> Any:
        return self._run(self.wrapper.act(observation))

    def close(self) -> None:
        async def close() -> None:
            await self.wrapper.close()
            left = asyncio.all_tasks() - {asyncio.current_task()}
            assert not left, left

        if self._runner is not None:
            self._runner.run(close())
            self._runner.close()
            self._runner = None


def certify_on(
    runtime: str,
    env_factory: Callable[[], gym.Env],
    policy: Any,
    guessers: Mapping[str, Any],
    seeds: Iterable[int],
    **options: Any,
) -> Certificate:
    """``certify`` with any of ``RUNTIMES``, or with "loop": asyncio on the wall clock, plain functions on threads."""
    if runtime == "loop":
        return asyncio.run(certify_async(env_factory, policy, guessers, seeds, **options))
    if runtime != "asyncio":
        return certify(env_factory, policy, guessers, seeds, runtime=runtime, **options)
    return virtual_time.run(
        lambda: certify_async(
            lambda: _asynchronous_env(env_factory()),
            _asynchronous_policy(policy),
            _asynchronous_guessers(guessers),
            seeds,
            **options,
        )
    )


def shows_no_difference(certificate: Certificate) -> bool:
    """Whether nothing was found, also where errors have ended episodes, as some tests want it."""
    return certificate.verdict in (Verdict.LOSSLESS, Verdict.FAILED_ALIKE, Verdict.NOTHING_COMPARED)


def _asynchronous_env(env: gym.Env) -> gym.Env:
    unwrapped = env.unwrapped
    if isinstance(unwrapped, CallEnv):
        unwrapped.handlers = {name: asynchronous(handler) for name, handler in unwrapped.handlers.items()}
    return env


def _asynchronous_policy(policy: Any) -> Any:
    return asynchronous(policy) if callable(policy) else policy


def _asynchronous_guessers(guessers: Mapping[str, Any]) -> dict[str, Any]:
    return {name: AsyncGuesser(guesser) if hasattr(guesser, "guess") else guesser for name, guesser in guessers.items()}


def play(env: gym.Env, act: Callable[[Any], Any], seed: int | None = 0, steps: int = 100) -> list[Any]:
    """One episode; everything that can be seen of it, as keys."""
    observation, info = env.reset(seed=seed)
    seen = [key_of((observation, plain(info)))]
    for _ in range(steps):
        action = act(observation)
        observation, reward, terminated, truncated, info = env.step(action)
        seen.append(key_of((action, observation, float(reward), terminated, truncated, plain(info))))
        if terminated or truncated:
            break
    return seen


def plain(info: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in info.items() if name != "speculation"}


class Counter:
    """A policy that remembers how often it was called; ``fork`` copies it."""

    def __init__(self, count: int = 0) -> None:
        self.count = count

    def __call__(self, observation: Any) -> int:
        self.count += 1
        return (self.count + choose(observation)) % 4

    def fork(self) -> Counter:
        return Counter(self.count)
