"""Many wrappers in one process, each with many sleeping calls in flight: are limits kept, and do all threads end?"""

import sys
import threading
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from spec_envs.benchmarks.overhead import Measured
from spec_envs.calls import Call
from spec_envs.guesses import Guess
from spec_envs.handling import CancelToken
from spec_envs.testing import FakeEnv
from spec_envs.wrappers import Limits, SpeculativeWrapper

_NUM_ACTIONS = 4


class _Gauge:
    """A sleeping handler that counts its calls in flight, and the threads of the process: the most at once."""

    def __init__(self, seconds: float) -> None:
        self._lock = threading.Lock()
        self._seconds = seconds
        self._now = 0
        self.most = self.most_threads = 0

    def __call__(self, query: Any, cancel: CancelToken) -> int:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
            self.most_threads = max(self.most_threads, threading.active_count())
        try:
            cancel.sleep(self._seconds)
        finally:
            with self._lock:
                self._now -= 1
        return 0


class _Uniform:
    """Guesses every possible response, at once."""

    def guess(self, call: Call, k: int) -> list[Guess]:
        return [Guess(response, 1 / _NUM_ACTIONS) for response in range(_NUM_ACTIONS)]


def crowd(num_wrappers: int = 200, max_inflight: int = 50, seconds: float = 5.0, steps: int = 1) -> Iterator[Measured]:
    """Run ``num_wrappers`` episodes at once, each on a thread of its own, with calls that take ``seconds``."""
    # Thousands of threads wait for the interpreter's lock, and each wakes up every switch interval only to wait again.
    interval = sys.getswitchinterval()
    sys.setswitchinterval(0.05)
    before, start = set(threading.enumerate()), time.perf_counter()
    gauges = [_Gauge(seconds) for _ in range(num_wrappers)]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with ThreadPoolExecutor(num_wrappers) as pool:
            list(pool.map(lambda gauge: _episode(gauge, max_inflight, steps), gauges))
    left = _threads_left(before)
    sys.setswitchinterval(interval)
    took, most = time.perf_counter() - start, [gauge.most - 1 for gauge in gauges]
    # For each wrapper its user, its calls, its guesses (one more than calls) and one thread that learns.
    max_threads = len(before) + num_wrappers * (2 * max_inflight + 3)
    name = f"{num_wrappers} wrappers at once"
    yield Measured(f"{name}: speculative calls in flight, of one", "", max(most), max_inflight)
    yield Measured(f"{name}: the same, of the one that had the fewest", "", min(most))
    yield Measured(f"{name}: threads", "", max(gauge.most_threads for gauge in gauges), max_threads)
    yield Measured(f"{name}: those whose close() did not wait for all their threads", "", len(caught), 0)
    yield Measured(f"{name}: threads left after close", "", left, 0)
    yield Measured(f"{name}: one step, with calls of 5 s", "s", took)


def _episode(gauge: _Gauge, max_inflight: int, steps: int) -> None:
    env = FakeEnv({"world": gauge}, num_actions=_NUM_ACTIONS, length=100)
    guessers = {"policy": _Uniform(), "world": _Uniform()}
    limits = Limits(max_inflight=max_inflight, min_probability=0.0)
    with SpeculativeWrapper(
        env, policy=gauge, guessers=guessers, k=_NUM_ACTIONS, limits=limits, guard=False
    ) as wrapper:
        observation, _ = wrapper.reset(seed=0)
        for _ in range(steps):
            observation, *_ = wrapper.step(wrapper.act(observation))


def _threads_left(before: set[threading.Thread], patience_s: float = 5.0) -> int:
    """How many threads are new since ``before``; waits for those that have ended and still count for a moment."""
    until = time.perf_counter() + patience_s
    while (left := set(threading.enumerate()) - before) and time.perf_counter() < until:
        time.sleep(0.01)
    return len(left)
