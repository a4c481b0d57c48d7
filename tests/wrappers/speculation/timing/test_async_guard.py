"""The guard on an event loop, in virtual time: ahead where calls are long, and not where the loop is late."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from spec_envs.testing import FakeEnv
from spec_envs.wrappers import AsyncSpeculativeWrapper
from spec_envs.wrappers.runtimes.asyncio import AsyncioRuntime
from spec_envs.wrappers.speculation.trace import TraceEvent
from tests import virtual_time
from tests.wrappers.loops import PERFECT, choose, make, play, slow_fake


def test_it_runs_ahead_after_the_first_step() -> None:
    plain = play(FakeEnv(length=20), choose)
    with make(slow_fake(length=20), guessers=PERFECT, runtime="asyncio", guard=True) as env:
        assert play(env, env.act) == plain
        statistics = env.statistics
        assert statistics.guard == "ahead"
        assert statistics.waited_s < 0.5 * statistics.sequential_s
        assert statistics.control is None  # one plain step is not enough to tell


@pytest.mark.parametrize("late", [False, True])
def test_it_gives_way_where_the_loop_is_late(late: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AsyncioRuntime, "is_late", late)
    with make(slow_fake(length=20), guessers=PERFECT, runtime="asyncio", guard=True) as env:
        play(env, env.act)
        ahead = [event for event in env.trace if event.kind == "start" and event.speculative]
        assert bool(ahead) != late


def test_it_gives_way_at_once_where_the_loop_becomes_late_within_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    started_at = list[float]()
    monkeypatch.setattr(AsyncioRuntime, "is_late", property(lambda runtime: bool(started_at)))

    def listen(event: TraceEvent) -> None:
        if event.kind == "start" and event.speculative:
            started_at.append(event.time_s)

    plain = play(FakeEnv(length=20), choose)
    with make(slow_fake(length=20), guessers=PERFECT, runtime="asyncio", guard=True) as env:
        env.trace.listen(listen)
        assert play(env, env.act) == plain
    assert len({*started_at}) == 1


@pytest.mark.parametrize("busy_s", [0.0, 1.0])
def test_a_loop_is_late_that_makes_those_wait_who_were_woken(busy_s: float) -> None:
    async def lateness() -> Any:
        loop = asyncio.get_running_loop()
        runtime = AsyncioRuntime()

        def pass_time() -> None:
            loop.clock += busy_s  # type: ignore[attr-defined]

        loop.call_later(1.0, runtime.wake)
        loop.call_later(1.0, pass_time)
        await runtime.changed(None)
        return runtime.is_late

    assert virtual_time.run(lateness) is (busy_s > 0)


def test_a_wrapper_that_has_not_run_ahead_yet_has_no_tree_and_no_threads() -> None:
    """Thousands of them are made at once, and the garbage collector looks at each object again and again."""

    async def world(query: Any) -> int:
        return 0

    def objects() -> int:
        gc.collect()
        return len(gc.get_objects())

    AsyncSpeculativeWrapper(FakeEnv({"world": world}), world)  # what all wrappers share is there
    envs = [FakeEnv({"world": world}) for _ in range(50)]
    before = objects()
    wrappers = [AsyncSpeculativeWrapper(env, world, guessers=PERFECT) for env in envs]
    assert (objects() - before) / len(wrappers) < 100  # with a tree and threads, there are more than 130
