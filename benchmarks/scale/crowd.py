"""Many episodes at once on one event loop that really waits: are limits kept, is anything left, what is saved?"""

import asyncio
import contextlib
import dataclasses
import gc
import hashlib
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import psutil
from rich.console import RenderableType

from spec_envs.benchmarks.episodes import play_awaited
from spec_envs.benchmarks.reports import percent, table
from spec_envs.benchmarks.scale import ScaleSettings
from spec_envs.calls import Call
from spec_envs.guesses import Guess
from spec_envs.handling import CancelToken
from spec_envs.testing import FakeEnv
from spec_envs.wrappers import AsyncSpeculativeWrapper, Limits
from spec_envs.wrappers.workers.pool import spawned, worked

_WAYS = 4
_WATCH_S = 0.05


@dataclasses.dataclass(frozen=True, slots=True)
class CrowdResult:
    """The figures of all episodes together."""

    seconds: float  # from the first reset to the last close
    waited_s: float  # how long an episode waited for its calls, in the mean
    peak_tasks: int  # the most asyncio tasks at once in the process; each episode runs in one of them
    max_tasks: int  # the limit of ``peak_tasks``: for each episode its own task, its calls and its guesses
    most_inflight: int  # the most calls in flight at once in one episode, the authoritative call included
    fewest_inflight: int  # the same, for the episode with the fewest
    mb_per_episode: float  # the most by which the process grew, in MB for each episode
    slowest_turn_s: float  # the most by which the event loop was late
    tasks_left: int  # after all episodes were closed
    threads_left: int  # after all episodes were closed
    hit_rate: float  # share of the calls whose response was guessed
    observations: str  # a digest of the last observations of all episodes


class _Slow:
    """A slow handler whose answers and times follow from its seed and the query; counts its calls in flight."""

    def __init__(self, seed: int, seconds: float) -> None:
        self._seed = seed
        self._seconds = seconds
        self._now = 0
        self.most = 0

    async def __call__(self, query: Any, cancel: CancelToken) -> int:
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


async def crowd(settings: ScaleSettings, *, speculative: bool) -> CrowdResult:
    """Run all episodes at once, with speculation or without it."""
    gc.collect()
    threads, watch = threading.active_count(), _Watch()
    handlers = [_Slow(seed, settings.seconds) for seed in range(settings.most)]
    start = time.perf_counter()
    async with watch.watching():
        played = await asyncio.gather(*(_episode(handler, settings, speculative) for handler in handlers))
    seconds = time.perf_counter() - start
    digest = hashlib.blake2b("\n".join(observation for observation, _ in played).encode(), digest_size=8)
    statistics = [figures for _, figures in played]
    most = [handler.most for handler in handlers]
    return CrowdResult(
        seconds=seconds,
        waited_s=sum(figures.waited_s for figures in statistics) / len(statistics),
        peak_tasks=watch.tasks,
        max_tasks=settings.most * (1 + (2 * (settings.max_inflight + 1) if speculative else 1)),
        most_inflight=max(most),
        fewest_inflight=min(most),
        mb_per_episode=watch.grown / settings.most / 1e6,
        slowest_turn_s=watch.late_s,
        tasks_left=len(asyncio.all_tasks()) - 1,
        threads_left=threading.active_count() - threads,
        hit_rate=sum(figures.hits for figures in statistics) / max(1, sum(figures.windows for figures in statistics)),
        observations=digest.hexdigest(),
    )


async def _episode(handler: _Slow, settings: ScaleSettings, speculative: bool) -> tuple[str, Any]:
    env = FakeEnv({"world": handler}, num_actions=_WAYS, length=settings.steps, random=False)
    guessers = {"policy": _Uniform(), "world": _Uniform()} if speculative else {}
    slots = settings.max_inflight if speculative else 0
    limits = Limits(max_inflight=slots, min_probability=0.0, selectivity=0.0)
    wrapper = AsyncSpeculativeWrapper(env, handler, guessers=guessers, k=_WAYS, limits=limits, guard=False)
    return await play_awaited(wrapper, seed=0), wrapper.statistics


def compared(settings: ScaleSettings) -> dict[str, Any]:
    """The figures of the crowd without speculation and with it, and what was checked."""
    # Each run has a process of its own, so that it cannot reuse the memory of the other run.
    plain, ahead = (_alone(settings, speculative=speculative) for speculative in (False, True))
    return {
        "plain": dataclasses.asdict(plain),
        "speculative": dataclasses.asdict(ahead),
        "saved": 1 - ahead.seconds / plain.seconds,
        "checks": {
            "same_observations": plain.observations == ahead.observations,
            "limits_kept": ahead.most_inflight <= settings.max_inflight + 1
            and all(result.peak_tasks <= result.max_tasks for result in (plain, ahead)),
            "nothing_left": not any(result.tasks_left or result.threads_left for result in (plain, ahead)),
        },
    }


def _alone(settings: ScaleSettings, *, speculative: bool) -> CrowdResult:
    with spawned(1) as pool:
        return pool.submit(worked, _measure, settings, speculative).result()


def _measure(settings: ScaleSettings, speculative: bool) -> CrowdResult:
    return asyncio.run(crowd(settings, speculative=speculative))


def show(report: dict[str, Any], settings: ScaleSettings) -> Iterator[RenderableType]:
    """A table with a column for each run, and what was checked."""
    title = f"{settings.most} episodes at once, {_WAYS} guesses for a call, max_inflight={settings.max_inflight}"
    runs = ("plain", "speculative")
    rows = [[name, *(_text(report[run][name]) for run in runs)] for name in report["plain"]]
    yield table(title, ("", *runs), rows)
    checks = ", ".join(f"{name.replace('_', ' ')}: {'yes' if ok else 'NO'}" for name, ok in report["checks"].items())
    yield f"saved {percent(report['saved'])} of the wall clock; {checks}"


def _text(value: float | str) -> str:
    return f"{value:.4g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else value
