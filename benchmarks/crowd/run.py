"""Many episodes at once on one event loop, each with a tree of its own: are limits kept, is anything left?"""

import asyncio
import contextlib
import dataclasses
import gc
import hashlib
import multiprocessing
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import psutil
from rich.console import RenderableType

from spec_envs.benchmarks.crowd import CrowdSettings
from spec_envs.benchmarks.episodes import tokens_of
from spec_envs.benchmarks.reports import config_of, mean_of_rows, percent, progress, table
from spec_envs.calls import Call
from spec_envs.guesses import Guess
from spec_envs.handling import CancelToken, Usage
from spec_envs.testing import FakeEnv
from spec_envs.wrappers import AsyncSpeculativeWrapper, Limits

_WAYS = 4
_WATCH_S = 0.05
#: What a call costs.
_USAGE = Usage(tokens_out=100)


@dataclasses.dataclass(frozen=True, slots=True)
class CrowdResult:
    """The figures of all episodes together."""

    seconds: float  # from the first reset to the last close
    waited_s: float  # how long an episode waited for its calls, in the mean
    peak_tasks: int  # the most asyncio tasks at once in the process; each episode runs in one of them
    max_tasks: int  # the limit of ``peak_tasks``: for each episode its own task, its calls and its guesses
    most_inflight: int  # the most calls in flight at once in one episode, the authoritative call included
    fewest_inflight: int  # the same for the episode that had the fewest
    mb_per_episode: float  # the most by which the process grew, in MB for each episode
    slowest_turn_s: float  # the most by which the event loop was late
    tasks_left: int  # after all episodes were closed
    threads_left: int  # after all episodes were closed
    hit_rate: float  # share of the calls whose response was guessed
    tokens_partial: float  # in the mean of the episodes, relative to no speculation
    tokens_full: float  # the same with cancelled calls charged in full
    tokens_pooled: float  # in full, of all episodes together
    observations: str  # a digest of the last observations of all episodes


class _Slow:
    """A slow handler whose answers and times follow from its seed and the query; counts its calls in flight."""

    def __init__(self, seed: int, seconds: float) -> None:
        self._seed = seed
        self._seconds = seconds
        self._now = 0
        self.most = 0

    async def __call__(self, query: Any, cancel: CancelToken) -> int:
        cancel.spend(_USAGE)
        self._now += 1
        self.most = max(self.most, self._now)
        try:
            digest = hashlib.blake2b(repr((self._seed, query)).encode(), digest_size=4).digest()
            await asyncio.sleep(self._seconds * (0.5 + int.from_bytes(digest, "big") / 2**32))
        finally:
            self._now -= 1
        return digest[0] % _WAYS


class _Uniform:
    """Guesses every possible response."""

    async def guess(self, call: Call, k: int) -> list[Guess]:
        return [Guess(response, 1 / _WAYS) for response in range(_WAYS)]


class _Watch:
    """Measures periodically how many tasks there are, how big the process is, and how late the event loop is."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._before = self._process.memory_info().rss
        self.tasks, self.grown, self.late_s = 0, 0, 0.0

    @contextlib.asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def _watch(self) -> None:
        while True:
            self.tasks = max(self.tasks, len(asyncio.all_tasks()) - 2)  # without this task, and that of the benchmark
            self.grown = max(self.grown, self._process.memory_info().rss - self._before)
            due = time.perf_counter() + _WATCH_S
            await asyncio.sleep(_WATCH_S)
            self.late_s = max(self.late_s, time.perf_counter() - due)


async def crowd(settings: CrowdSettings, *, speculative: bool) -> CrowdResult:
    """Run all episodes at once, with speculation or without it."""
    gc.collect()
    threads, watch = threading.active_count(), _Watch()
    handlers = [_Slow(seed, settings.seconds) for seed in range(settings.episodes)]
    start = time.perf_counter()
    async with watch.watching():
        played = await asyncio.gather(*(_episode(handler, settings, speculative) for handler in handlers))
    seconds = time.perf_counter() - start
    digest = hashlib.blake2b("\n".join(observation for observation, _ in played).encode(), digest_size=8)
    statistics = [figures for _, figures in played]
    most = [handler.most for handler in handlers]
    tokens = mean_of_rows([tokens_of(figures) for figures in statistics])
    return CrowdResult(
        seconds=seconds,
        waited_s=sum(figures.waited_s for figures in statistics) / len(statistics),
        peak_tasks=watch.tasks,
        max_tasks=settings.episodes * (1 + (2 * (settings.max_inflight + 1) if speculative else 1)),
        most_inflight=max(most),
        fewest_inflight=min(most),
        mb_per_episode=watch.grown / settings.episodes / 1e6,
        slowest_turn_s=watch.late_s,
        tasks_left=len(asyncio.all_tasks()) - 1,
        threads_left=threading.active_count() - threads,
        hit_rate=sum(figures.hits for figures in statistics) / max(1, sum(figures.windows for figures in statistics)),
        **{name: tokens[name] for name in ("tokens_partial", "tokens_full", "tokens_pooled")},
        observations=digest.hexdigest(),
    )


async def _episode(handler: _Slow, settings: CrowdSettings, speculative: bool) -> tuple[str, Any]:
    env = FakeEnv({"world": handler}, num_actions=_WAYS, length=settings.steps, random=False)
    guessers = {"policy": _Uniform(), "world": _Uniform()} if speculative else {}
    slots = settings.max_inflight if speculative else 0
    limits = settings.dialled(Limits(max_inflight=slots, min_probability=0.0))
    async with AsyncSpeculativeWrapper(env, handler, guessers=guessers, k=_WAYS, limits=limits, guard=False) as wrapper:
        observation, _ = await wrapper.reset(seed=0)
        done = False
        while not done:
            observation, _, terminated, truncated, _ = await wrapper.step(await wrapper.act(observation))
            done = terminated or truncated
    return observation, wrapper.statistics


def run(settings: CrowdSettings) -> dict[str, Any]:
    """The report of the crowd without speculation and with it."""
    results: dict[str, CrowdResult] = {}
    with progress("running", 2) as advance:
        for name in ("plain", "speculative"):
            # Each run has a process of its own, so that it cannot reuse the memory of the other run.
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
                results[name] = process.submit(_measure, settings, name == "speculative").result()
            advance()
    plain, ahead = results["plain"], results["speculative"]
    checks = {
        "same_observations": plain.observations == ahead.observations,
        "limits_kept": ahead.most_inflight <= settings.max_inflight + 1
        and all(result.peak_tasks <= result.max_tasks for result in results.values()),
        "nothing_left": not any(result.tasks_left or result.threads_left for result in results.values()),
    }
    return {
        "config": config_of(settings),
        **{name: dataclasses.asdict(result) for name, result in results.items()},
        "saved": (saved := 1 - ahead.seconds / plain.seconds),
        "mean": {"saved": saved, **dataclasses.asdict(ahead)},
        "checks": checks,
    }


def show(report: dict[str, Any], settings: CrowdSettings) -> Iterator[RenderableType]:
    """A table with a column for each run, and what was checked."""
    title = f"{settings.episodes} episodes at once, {_WAYS} guesses for a call, max_inflight={settings.max_inflight}"
    runs = ("plain", "speculative")
    rows = [[name, *(_text(report[run][name]) for run in runs)] for name in report["plain"]]
    yield table(title, ("", *runs), rows)
    checks = ", ".join(f"{name.replace('_', ' ')}: {'yes' if ok else 'NO'}" for name, ok in report["checks"].items())
    yield f"saved {percent(report['saved'])} of the wall clock; {checks}"


def _measure(settings: CrowdSettings, speculative: bool) -> CrowdResult:
    return asyncio.run(crowd(settings, speculative=speculative))


def _text(value: float | str) -> str:
    return f"{value:.4g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else value
