"""The cost of copies of values that cross a border, and of proofs of steps that forks have made.

All times are processor times.
"""

import collections
import contextlib
import statistics
import sys
import time
import types
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import gymnasium as gym

from spec_envs.agents import ScriptedRetailPolicy
from spec_envs.benchmarks.episodes import steps_of
from spec_envs.benchmarks.overhead import Measured, Right
from spec_envs.values import own_copy
from spec_envs.wrappers import SpeculativeWrapper

#: How often the copies of a step are made, and how many pairs of episodes with and without proofs are played.
COPIES, EPISODES = 200, 20

_STEPS = 10
_PROVE_EVERY = 100  # the default of the wrapper
_THINKING_MS = 1.0


def figures(chess: Callable[[], gym.Env[Any, Any]], chess_policy: Callable[[Any], Any]) -> Iterator[Measured]:
    """Copies in three environments, and proofs in two; ``chess`` makes an environment that ``chess_policy`` plays."""
    for name, make, policy in (
        ("chess, text", chess, chess_policy),
        ("retail", lambda: gym.make("SpecRetail-v0"), ScriptedRetailPolicy()),
        ("CartPole", lambda: gym.make("CartPole-v1"), _balance),
    ):
        with make() as env:
            us = _copies_us(env, policy)
        yield Measured(f"one copy of each value that a step exchanges, {name}", "us", us)
    yield Measured("copies made in a step, chess, every call guessed", "", _num_copies(chess, chess_policy))
    for name, policy in (("CartPole-v1", _balance), (_TAXI, lambda observation: int(observation) % 6)):
        step_ms, proof_ms = _proof_ms(name, policy)
        share = proof_ms / _PROVE_EVERY / (step_ms + _THINKING_MS) * 100
        title = f"proofs of 1 in {_PROVE_EVERY} steps, {name}, share of a step"
        yield Measured(f"{title}, policy takes {_THINKING_MS:g} ms (a proof: {proof_ms:.2f} ms)", "%", share, 1.0)
        yield Measured(f"{title}, policy takes no time", "%", proof_ms / _PROVE_EVERY / step_ms * 100)


_TAXI = "Taxi-v4" if "Taxi-v4" in gym.registry else "Taxi-v3"


def _balance(observation: Any) -> int:
    return int(observation[2] + observation[3] > 0)


# -- copies --------------------------------------------------------------------------------------------------------


def _copies_us(env: gym.Env[Any, Any], policy: Callable[[Any], Any]) -> float:
    """Microseconds to copy what a step exchanges, each value once: action, query, response and observation."""
    values: list[Any] = []
    handlers: dict[str, Any] = getattr(env.unwrapped, "handlers", {})
    for name, handler in handlers.items():
        handlers[name] = _noting(handler, values)
    steps = steps_of(env, policy)
    next(steps)
    values.clear()
    count = 0
    for step, _ in zip(steps, range(_STEPS), strict=False):
        values += (step.action, step.observation)
        count += 1
    times = []
    for _ in range(COPIES):
        start = time.process_time_ns()
        for value in values:
            own_copy(value)
        times.append(time.process_time_ns() - start)
    return statistics.median(times) / count / 1e3


def _num_copies(make: Callable[[], gym.Env[Any, Any]], policy: Callable[[Any], Any]) -> float:
    """How many values a step through the wrapper copies, on the episode and on its branches."""
    counted = collections.Counter[str]()

    def count(frame: types.FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code is own_copy.__code__:
            counted["copies"] += 1

    guessers = {"policy": Right(policy), "opponent": Right(policy)}  # both players play alike
    with SpeculativeWrapper(make(), policy, guessers=guessers, runtime="simulation") as wrapper:
        steps = steps_of(wrapper, wrapper.act)
        next(steps)
        sys.setprofile(count)
        try:
            num_steps = sum(1 for _ in steps)
        finally:
            sys.setprofile(None)
    return counted["copies"] / num_steps


def _noting(handler: Callable[..., Any], values: list[Any]) -> Callable[..., Any]:
    def noting(query: Any, cancel: Any) -> Any:
        response = handler(query, cancel)
        values.extend((query, response))
        return response

    return noting


# -- proofs --------------------------------------------------------------------------------------------------------


class _Times(NamedTuple):
    """Milliseconds of a step through the wrapper, and what a proof adds to the step that it proves."""

    step_ms: float
    proof_ms: float


def _proof_ms(name: str, policy: Callable[[Any], Any]) -> _Times:
    """The times of episodes with no proved step and with every step proved, which take turns."""
    without, proved = [], []
    for _ in range(EPISODES):
        without.append(_step_ms(name, policy, prove_every=0))
        proved.append(_step_ms(name, policy, prove_every=1))
    step_ms = statistics.median(without)
    return _Times(step_ms, max(0.0, statistics.median(proved) - step_ms))


def _step_ms(name: str, policy: Callable[[Any], Any], prove_every: int) -> float:
    guessers = {"policy": Right(policy)}
    env = gym.make(name, max_episode_steps=_STEPS)
    made = SpeculativeWrapper(env, policy, guessers=guessers, runtime="simulation", prove_every=prove_every)
    with contextlib.closing(made) as wrapper:
        steps = steps_of(wrapper, wrapper.act)
        next(steps)
        start = time.process_time_ns()
        count = sum(1 for _ in steps)
        spent = time.process_time_ns() - start
    return spent / count / 1e6
