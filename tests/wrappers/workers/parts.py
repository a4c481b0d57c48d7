"""Environments, policies and guessers that other processes can unpickle."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time

from spec_envs.agents import FrequencyGuesser
from spec_envs.calls import Effect
from spec_envs.testing import FakeEnv
from spec_envs.wrappers.handlers import with_latency


def policy(observation: str) -> int:
    return len(observation) % 4


def make() -> FakeEnv:
    return FakeEnv(length=5, random=False, effects=(Effect.READ,))


def make_slow() -> FakeEnv:
    env = make()
    env.handlers["world"] = with_latency(env.handlers["world"], 1.0)
    return env


def make_failing() -> FakeEnv:
    """Fails in the episodes of odd seeds."""
    return FailingEnv(length=5)


class FailingEnv(FakeEnv):
    def reset(self, *, seed=None, options=None):
        self._is_odd = (seed or 0) % 2 == 1
        return super().reset(seed=seed, options=options)

    def step(self, action):
        if self._is_odd:
            raise FailureOfThree(1, 2, 3)
        return super().step(action)


class FailureOfThree(Exception):
    """Cannot be unpickled."""

    def __init__(self, one, two, three):
        super().__init__(f"{one} {two} {three}")


def make_deadly() -> FakeEnv:
    os._exit(3)


def make_stubborn() -> FakeEnv:
    """Of two processes, one does not leave when it is told to, and the other one dies."""
    if multiprocessing.current_process()._identity[-1] % 2:
        time.sleep(0.3)
        os._exit(3)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(600)
    raise AssertionError


def make_hanging() -> FakeEnv:
    time.sleep(600)
    raise AssertionError


def refuse() -> FakeEnv:
    raise ValueError("there is no such environment")


def guessers():
    return {"world": FrequencyGuesser(), "policy": FrequencyGuesser()}
