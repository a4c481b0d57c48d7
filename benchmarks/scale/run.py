"""How many episodes can speculate at once on each runtime, and what breaks first?"""

import asyncio
import contextlib
import gc
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import psutil
from rich.console import RenderableType

from spec_envs.benchmarks.episodes import VirtualLoop, play, play_awaited
from spec_envs.benchmarks.reports import config_of, table_of, weighed_progress
from spec_envs.benchmarks.scale import ScaleSettings, crowd, provider
from spec_envs.benchmarks.scale.workload import Mostly, MostlyAsync, Slow, SlowAsync, env_of, guessers
from spec_envs.calls import Call
from spec_envs.guesses import Guess
from spec_envs.testing import FakeEnv
from spec_envs.wrappers import AsyncSpeculativeWrapper, Limits, SpeculativeWrapper, ThreadRuntime
from spec_envs.wrappers.certify import PlainAsyncLoop, PlainLoop
from spec_envs.wrappers.workers.pool import spawned, worked

Point = dict[str, Any]

#: Calls in flight of each wrapper that is closed.
_SLEEPING = 50
_WATCH_S = 0.05


def point(settings: ScaleSettings, part: str, count: int) -> Point:
    """The figures of ``count`` episodes at once; what broke, where they could not be played."""
    started, cpu = time.perf_counter(), time.process_time()
    watch = _Watch()
    with watch.watching(), warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always", RuntimeWarning)
        try:
            figures = PARTS[part](settings, count)
        except (RuntimeError, MemoryError, OSError) as error:
            figures = {"broke": f"{type(error).__name__}: {error}"}
    given_up = sum("still run after close" in str(each.message) for each in warned)
    return {
        "part": part,
        "episodes": count,
        "mb": watch.grown_mb,
        "kb_per_episode": 1000 * watch.grown_mb / count,
        "threads": watch.threads,
        "given_up": given_up,
        "seconds": time.perf_counter() - started,
        "cpu_s": time.process_time() - cpu,
        **figures,
    }


class _Watch:
    """Looks how big the process is, with its children, and how many threads it has."""

    def __init__(self) -> None:
        gc.collect()
        self._process = psutil.Process()
        self._before_mb = self._mb()
        self.grown_mb, self.threads = 0.0, 0

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Look now and then, in a thread."""
        over = threading.Event()
        thread = threading.Thread(target=self._watch, args=(over,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _watch(self, over: threading.Event) -> None:
        while not over.wait(_WATCH_S):
            self.grown_mb = max(self.grown_mb, self._mb() - self._before_mb)
            self.threads = max(self.threads, threading.active_count() - 2)  # without this thread, and the main one

    def _mb(self) -> float:
        return float(self._process.memory_info().rss) / 1e6


def _wrapper(settings: ScaleSettings, runtime: Literal["threads", "simulation"]) -> SpeculativeWrapper[Any, Any]:
    handler = Slow(settings.seconds)
    limits = Limits(max_inflight=settings.max_inflight)
    # Running ahead from the first step on, which is what is measured.
    return SpeculativeWrapper(
        env_of(handler, settings), handler, guessers=guessers(Mostly()), limits=limits, runtime=runtime, guard=False
    )


def _simulation(settings: ScaleSettings, count: int) -> Point:
    """Episodes that live at once in one thread, a step each in turn."""
    live = [_wrapper(settings, "simulation") for _ in range(count)]
    at = [wrapper.reset(seed=seed)[0] for seed, wrapper in enumerate(live)]
    for _ in range(settings.steps):
        for number, wrapper in enumerate(live):
            at[number] = wrapper.step(wrapper.act(at[number]))[0]
    found = [wrapper.statistics for wrapper in live]
    for wrapper in live:
        wrapper.close()
    plain_s = sum(each.sequential_s for each in found) / count
    ahead_s = sum(each.inside_s for each in found) / count
    return {"clock": "virtual", "plain_s": plain_s, "ahead_s": ahead_s}


def _asyncio(settings: ScaleSettings, count: int) -> Point:
    """Episodes as tasks of one loop, guarded as wrappers are."""
    handler = SlowAsync(settings.seconds)

    def plain() -> Any:
        return PlainAsyncLoop(env_of(handler, settings), handler)

    def ahead() -> Any:
        limits = Limits(max_inflight=settings.max_inflight)
        return AsyncSpeculativeWrapper(
            env_of(handler, settings), handler, guessers=guessers(MostlyAsync()), limits=limits
        )

    return {"clock": "CPU", "plain_s": _on_a_loop(plain, count), "ahead_s": _on_a_loop(ahead, count)}


def _on_a_loop(make: Callable[[], Any], count: int) -> float:
    async def all_of_them() -> None:
        await asyncio.gather(*(play_awaited(make(), seed) for seed in range(count)))

    loop = VirtualLoop(computes=True)
    began = loop.time()
    try:
        loop.run_until_complete(all_of_them())
        return loop.time() - began
    finally:
        loop.close()


def _threads(settings: ScaleSettings, count: int) -> Point:
    """Episodes in a thread each, and their calls ahead in further ones."""
    handler = Slow(settings.seconds)

    def plain(seed: int) -> None:
        env = PlainLoop(env_of(handler, settings), handler, ThreadRuntime())
        play(env, env.act, seed=seed)

    def ahead(seed: int) -> None:
        with contextlib.closing(_wrapper(settings, "threads")) as wrapper:
            play(wrapper, wrapper.act, seed=seed)

    return {"clock": "wall", "plain_s": _in_threads(plain, count), "ahead_s": _in_threads(ahead, count)}


def _in_threads(work: Callable[[int], None], count: int) -> float:
    began = time.perf_counter()
    with ThreadPoolExecutor(count) as pool:
        for _ in pool.map(work, range(count)):
            pass
    return time.perf_counter() - began


class _All:
    """Guesses every response."""

    def guess(self, call: Call, k: int) -> list[Guess]:
        """Return as many guesses as there are responses."""
        return [Guess(response, 1 / _SLEEPING) for response in range(_SLEEPING)]


def _closing(settings: ScaleSettings, count: int) -> Point:
    """Close wrappers all at once, each with many calls in flight that sleep for an hour."""
    begun, handler = threading.Semaphore(0), Slow(3600.0)

    def sleeps(query: Any, cancel: Any) -> int:
        begun.release()
        return handler(query, cancel)

    def wrapper() -> SpeculativeWrapper[Any, Any]:
        env = FakeEnv({"world": sleeps}, num_actions=_SLEEPING)
        limits = Limits(max_inflight=_SLEEPING, min_probability=0.0, selectivity=0.0)
        return SpeculativeWrapper(env, sleeps, guessers={"world": _All()}, k=_SLEEPING, limits=limits, guard=False)

    def begin(each: SpeculativeWrapper[Any, Any]) -> None:
        each.reset(seed=0)
        with contextlib.suppress(Exception):  # it is closed meanwhile
            each.step(0)

    live = [wrapper() for _ in range(count)]
    with ThreadPoolExecutor(count) as playing, ThreadPoolExecutor(count) as closing:
        for each in live:
            playing.submit(begin, each)
        for _ in range(count * (1 + _SLEEPING)):
            begun.acquire(timeout=600)
        began, cpu = time.perf_counter(), time.process_time()
        list(closing.map(lambda each: each.close(), live))
        return {"clock": "wall", "close_s": time.perf_counter() - began, "close_cpu_s": time.process_time() - cpu}


def _processes(settings: ScaleSettings, count: int) -> Point:
    """Episodes in a process each; the memory is that of the processes."""
    from spec_envs import rollouts

    limits = Limits(max_inflight=settings.max_inflight)
    most, handler = 0.0, Slow(settings.seconds)
    options: dict[str, Any] = {"limits": limits, "guard": False, "runtime": "threads", "jobs": max(2, count)}
    began = time.perf_counter()
    for _ in rollouts(_Env(settings), handler, guessers(Mostly()), range(count), **options):
        children = psutil.Process().children(recursive=True)
        sizes = [float(each.memory_full_info().uss) / 1e6 for each in children if each.is_running()]
        most = max(most, sum(sizes) / max(1, len(sizes)) * count)
    ahead_s = time.perf_counter() - began
    return {"clock": "wall", "ahead_s": ahead_s, "mb": most, "kb_per_episode": 1000 * most / count}


class _Env:
    """Makes the environment, in any process."""

    def __init__(self, settings: ScaleSettings) -> None:
        self._settings = settings

    def __call__(self) -> FakeEnv:
        return env_of(Slow(self._settings.seconds), self._settings)


PARTS: dict[str, Callable[[ScaleSettings, int], Point]] = {
    "simulation": _simulation,
    "asyncio": _asyncio,
    "threads": _threads,
    "processes": _processes,
    "closing": _closing,
}


#: Beyond these a part needs more than any machine has, or more time than there is.
_MOST = {"processes": 10, "threads": 1000, "closing": 200}
#: As many episodes take about as long as the beginning of the process that plays them.
_BEGINNING = 200


def run(settings: ScaleSettings) -> dict[str, Any]:
    """The report of all parts that are asked for."""
    parts = [part for part in PARTS if settings.part in ("all", part)]
    due = [(part, count) for part in parts for count in counts(part, settings.most)]
    points = []
    with weighed_progress("measuring", [_BEGINNING + count for _, count in due]) as advance:
        for part, count in due:
            points.append(_alone(settings, (part, count)))
            advance(_BEGINNING + count)
    agents = list(provider.rows(settings)) if settings.part in ("all", "provider") else []
    crowded = crowd.compared(settings) if settings.part in ("all", "crowd") else None
    return {"config": config_of(settings), "points": points, "crowd": crowded, "provider": agents}


def counts(part: str, most: int) -> Sequence[int]:
    """The numbers of episodes of a part: powers of ten, and the most."""
    most = min(most, _MOST.get(part, most))
    return [*(10**power for power in range(len(str(most))) if 10**power < most), most]


def _alone(settings: ScaleSettings, due: tuple[str, int]) -> Point:
    """The figures of one number of episodes, in a process of its own, which reuses the memory of no other."""
    with spawned(1) as pool:
        part, count = due
        return pool.submit(worked, point, settings, part, count).result()


_COLUMNS = {
    "runtime": "{part}",
    "episodes": "{episodes:,}",
    "clock": "{clock}",
    "plain s": "{plain_s:.1f}",
    "ahead s": "{ahead_s:.1f}",
    "CPU s": "{cpu_s:.1f}",
    "MB": "{mb:,.0f}",
    "KB each": "{kb_per_episode:,.0f}",
    "threads": "{threads:,}",
    "close s": "{close_s:.1f}",
    "given up": "{given_up}",
}
_PROVIDER = {
    "demand": "{demand:.0%}",
    "plain": "{plain:.0f} s",
    "first come": "{first come:.0f} s",
    "gives way": "{gives way:.0f} s",
    "20 agents": "{wrappers_plain:.0f} s",
    "ahead": "{wrappers_ahead:.0f} s",
}


def show(report: dict[str, Any], settings: ScaleSettings) -> Iterator[RenderableType]:
    """The tables of episodes at once, of the crowd, and of agents that share a provider."""
    if report["points"]:
        empty = {"clock": None, "plain_s": None, "ahead_s": None, "close_s": None}
        title = (
            f"Episodes at once: {settings.steps} steps, calls of {settings.seconds:g} s, {settings.max_inflight} ahead"
        )
        yield table_of(title, _COLUMNS, [empty | each for each in report["points"]])
        yield from (
            f"{each['part']}, {each['episodes']:,}: {each['broke']}" for each in report["points"] if "broke" in each
        )
    if report["crowd"] is not None:
        yield from crowd.show(report["crowd"], settings)
    if report["provider"]:
        title = f"{settings.agents:,} agents and one rate limit; the last two columns are real wrappers"
        yield table_of(title, _PROVIDER, report["provider"])
