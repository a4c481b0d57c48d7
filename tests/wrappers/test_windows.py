"""Rate limits hold in every window, however late a thread or a task begins what it was told to begin."""

from __future__ import annotations

import asyncio
import signal
import warnings
from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spec_envs import CancelToken, Effect, Guess
from spec_envs.conversation import ToolCall
from spec_envs.errors import CallCancelled, NotForkable
from spec_envs.testing import FakeEnv, pure_response
from spec_envs.wrappers import AsyncSpeculativeWrapper, HandlerLimit, Limits, SpeculativeTools, SpeculativeWrapper
from spec_envs.wrappers.handlers import rate_limited
from spec_envs.wrappers.runtimes.asyncio import AsyncioRuntime
from spec_envs.wrappers.runtimes.base import Job
from spec_envs.wrappers.runtimes.simulation import SimulationRuntime, _Due
from spec_envs.wrappers.tools import ToolRule
from tests import virtual_time
from tests.wrappers.loops import Answers, choose, play

DELAYS = st.lists(st.sampled_from([0.0, 0.3, 2.0, 4.9, 5.0, 12.0]), min_size=1, max_size=7)
LIMITS = st.builds(
    HandlerLimit, max_inflight=st.none() | st.integers(1, 3), max_calls=st.integers(1, 5), per_s=st.just(5.0)
)


def assert_windows_hold(begun: list[float], limit: HandlerLimit) -> None:
    assert limit.max_calls is not None
    begun = sorted(begun)
    for first, last in zip(begun, begun[limit.max_calls :], strict=False):
        assert last >= first + limit.per_s


def cycle(values: list[float]) -> Iterator[float]:
    while True:
        yield from values


class LateSimulation(SimulationRuntime):
    """Its jobs begin some time after they were spawned, as on workers that have to wait for the processor."""

    def __init__(self, delays: list[float]) -> None:
        super().__init__()
        self._delays = cycle(delays)

    def spawn(self, job: Job) -> None:
        self._schedule(self.now() + next(self._delays), _Due(job.name, lambda: super(LateSimulation, self).spawn(job)))


class Begins:
    """A handler that takes down when its calls begin."""

    def __init__(self, seconds: float) -> None:
        self.at: list[float] = []
        self._seconds = seconds

    def __call__(self, query: Any, cancel: CancelToken) -> int:
        self.at.append(cancel.now())
        cancel.sleep(self._seconds)
        return pure_response(query)

    async def awaited(self, query: Any, cancel: CancelToken) -> int:
        self.at.append(cancel.now())
        await cancel.asleep(self._seconds)
        return pure_response(query)


GUESSERS = {
    "world": Answers(lambda query: (pure_response(query) + (query[2] % 2)) % 4),
    "policy": Answers(lambda query: choose(query)),
}


@settings(max_examples=30, deadline=None)
@given(delays=DELAYS, limit=LIMITS, seconds=st.sampled_from([0.0, 1.0, 7.0]), seed=st.integers(0, 99))
def test_windows_hold_where_workers_begin_late(
    delays: list[float], limit: HandlerLimit, seconds: float, seed: int
) -> None:
    world = Begins(seconds)
    env = SpeculativeWrapper(
        FakeEnv({"world": world}, calls_per_step=2, length=4),
        choose,
        guessers=GUESSERS,
        limits=Limits(per_handler={"world": limit}),
        runtime=LateSimulation(delays),
    )
    with env:
        assert play(env, env.act, seed) == play(FakeEnv(calls_per_step=2, length=4), choose, seed)
    assert_windows_hold(world.at, limit)


class LateAsyncio(AsyncioRuntime):
    """Its tasks begin some time after they were spawned, as on a loop that is busy."""

    delays: Iterator[float]

    def __init__(self) -> None:
        super().__init__()
        self._late: set[Job] = set()

    def spawn(self, job: Job) -> None:
        if job.name not in ("world", "lookup"):
            super().spawn(job)
            return
        self._open.add(job)
        self._late.add(job)
        self.own_loop().call_later(next(self.delays), self._begin, job)
        job.token.on_cancel(lambda: self._begin(job))

    def _begin(self, job: Job) -> None:
        if job not in self._late:
            return
        self._late.remove(job)
        if job.token.cancelled:
            self._deliver(job, None, CallCancelled())
        else:
            super().spawn(job)


@settings(max_examples=30, deadline=None)
@given(delays=DELAYS, limit=LIMITS, seconds=st.sampled_from([0.0, 1.0, 7.0]), seed=st.integers(0, 99))
def test_windows_hold_where_tasks_begin_late(
    delays: list[float], limit: HandlerLimit, seconds: float, seed: int
) -> None:
    world = Begins(seconds)

    async def episode() -> None:
        LateAsyncio.delays = cycle(delays)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("spec_envs.wrappers.async_speculative.AsyncioRuntime", LateAsyncio)
            env = AsyncSpeculativeWrapper(
                FakeEnv({"world": world.awaited}, calls_per_step=2, length=4),
                _decide,
                guessers={"world": _Guesses("world"), "policy": _Guesses("policy")},
                limits=Limits(per_handler={"world": limit}),
            )
        observation, _ = await env.reset(seed=seed)
        done = False
        while not done:
            observation, _, done, _, _ = await env.step(await env.act(observation))
        await env.close()

    virtual_time.run(episode)
    assert_windows_hold(world.at, limit)


async def _decide(observation: str) -> int:
    return choose(observation)


class _Guesses:
    def __init__(self, name: str) -> None:
        self._guesser = GUESSERS[name]

    async def guess(self, call: Any, k: int) -> Any:
        return self._guesser.guess(call, k)


class Interrupts(FakeEnv):
    """Ctrl-C is pressed inside of a fork's step, once."""

    after = 4

    def step(self, action: int) -> Any:
        if type(self._answer).__name__ == "Script":
            Interrupts.after -= 1
            if Interrupts.after == 0:
                signal.raise_signal(signal.SIGINT)
        return super().step(action)


@pytest.mark.parametrize("after", range(1, 11))
def test_ctrl_c_makes_no_window_forgotten(after: int) -> None:
    world, limit = Begins(1.0), HandlerLimit(max_calls=3, per_s=60.0)
    Interrupts.after = after
    env = SpeculativeWrapper(
        Interrupts({"world": world}, length=5),
        choose,
        guessers=GUESSERS,
        limits=Limits(per_handler={"world": limit}),
        runtime="simulation",
        rehearse=False,  # its class counts the steps of forks
        prove_every=0,
    )
    with env:
        try:
            play(env, env.act, 3)
        except KeyboardInterrupt:
            pass
        assert play(env, env.act, 4) == play(FakeEnv(length=5), choose, 4)
    assert_windows_hold(world.at, limit)


@settings(max_examples=50, deadline=None)
@given(
    arrivals=st.lists(st.floats(0.0, 20.0), min_size=1, max_size=12),
    lateness=DELAYS,
    max_calls=st.integers(1, 3),
    cancelled=st.sets(st.integers(0, 11)),
)
def test_a_rate_limited_handler_holds_its_windows_where_waiters_wake_late(
    arrivals: list[float], lateness: list[float], max_calls: int, cancelled: set[int]
) -> None:
    limit = HandlerLimit(max_calls=max_calls, per_s=5.0)
    begun: list[float] = []
    late = cycle(lateness)

    class LateToken(CancelToken):
        def _now(self) -> float:
            return asyncio.get_running_loop().time()

        async def asleep(self, seconds: float, spending: Any = None) -> None:
            await asyncio.sleep(seconds + next(late))

    async def handler(query: Any, cancel: CancelToken) -> None:
        begun.append(cancel.now())

    async def calls() -> None:
        limited = rate_limited(handler, max_calls, 5.0)

        async def call(number: int, at: float) -> None:
            await asyncio.sleep(at)
            task = asyncio.ensure_future(limited(number, LateToken()))
            if number in cancelled:
                await asyncio.sleep(1.0)
                task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        await asyncio.gather(*(call(number, at) for number, at in enumerate(arrivals)))

    virtual_time.run(calls)
    assert len(begun) >= len(arrivals) - len(cancelled)
    assert_windows_hold(begun, limit)


class _Lookups:
    """Guesses the next lookups of an agent that counts up."""

    async def guess(self, call: Any, k: int) -> list[Guess]:
        last = max((event.arguments["n"] for event in call.query.events if isinstance(event, ToolCall)), default=0)
        return [Guess({"name": "lookup", "arguments": {"n": last + step}}, 0.9 / step) for step in range(1, k + 1)]


@settings(max_examples=40, deadline=None)
@given(delays=DELAYS, max_calls=st.integers(2, 6), thinking=st.lists(st.sampled_from([0.1, 3.0, 8.0]), min_size=1))
def test_calls_of_tools_ahead_of_time_keep_the_windows_of_the_tool(
    delays: list[float], max_calls: int, thinking: list[float]
) -> None:
    limit = HandlerLimit(max_calls=max_calls, per_s=5.0)
    ahead: list[float] = []

    async def episode() -> None:
        agent = asyncio.current_task()

        async def lookup(n: int) -> int:
            if asyncio.current_task() is not agent:
                ahead.append(asyncio.get_running_loop().time())
            await asyncio.sleep(1.0)
            return n

        LateAsyncio.delays = cycle(delays)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("spec_envs.wrappers.tools.driver.AsyncioRuntime", LateAsyncio)
            tools = SpeculativeTools({"lookup": ToolRule(effect=Effect.READ, metered=limit)}, _Lookups())
        tools.add("lookup", lookup)
        async with tools, tools.run("count"):
            for n, seconds in zip(range(1, 9), cycle(thinking), strict=False):
                await asyncio.sleep(seconds)
                assert await tools.call("lookup", {"n": n}) == n

    virtual_time.run(episode)
    assert_windows_hold(ahead, limit)


@settings(max_examples=30, deadline=None)
@given(limit=LIMITS, seconds=st.sampled_from([0.0, 1.0, 7.0]), refuses_after=st.integers(0, 6))
def test_windows_hold_where_the_episode_is_played_plainly_from_some_step_on(
    limit: HandlerLimit, seconds: float, refuses_after: int
) -> None:
    class Refuses(FakeEnv):
        """Cannot be forked any more after some steps."""

        def fork(self) -> Any:
            if self._steps > refuses_after:
                raise NotForkable("no more")
            return super().fork()

    world, policy = Begins(seconds), Begins(seconds)
    options: Any = {"limits": Limits(per_handler={"world": limit, "policy": limit}), "guessers": GUESSERS}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        with SpeculativeWrapper(Refuses({"world": world}, length=6), policy, runtime="simulation", **options) as env:
            assert play(env, env.act, 3) == play(FakeEnv(length=6), lambda seen: pure_response(seen), 3)
    assert_windows_hold(world.at, limit)
    assert_windows_hold(policy.at, limit)


def test_the_policy_of_a_plain_environment_keeps_its_window() -> None:
    policy = Begins(0.5)
    limits = Limits(per_handler={"policy": HandlerLimit(max_calls=2, per_s=5.0)})
    with SpeculativeWrapper(gym.make("FrozenLake-v1"), policy, limits=limits, runtime="simulation") as env:
        observation, _ = env.reset(seed=0)
        done = False
        while not done:
            observation, _, terminated, truncated, _ = env.step(env.act(observation))
            done = terminated or truncated
    assert_windows_hold(policy.at, HandlerLimit(max_calls=2, per_s=5.0))
