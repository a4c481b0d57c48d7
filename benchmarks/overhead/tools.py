"""The time that ``SpeculativeTools`` adds to a call of a tool that answers at once."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Iterator

from spec_envs.agents import PatternGuesser
from spec_envs.benchmarks.overhead.measured import Measured
from spec_envs.calls import Effect
from spec_envs.wrappers import SpeculativeTools, ToolLimits

_RUNS, _CALLS = 10, 20
_THINKING_S = 0.01


def figures() -> Iterator[Measured]:
    """Calls that no guess is right about; the guesser works after each call, and learns after each agent run."""
    yield Measured("call of an instant tool through SpeculativeTools (mean)", "ms", asyncio.run(_call_ms()), 1)


async def _call_ms() -> float:
    async def instant(number: int) -> dict[str, int]:
        return {"number": number}

    times = []
    # By default, calls of tools that answer at once are not predicted; here they are.
    limits = ToolLimits(min_latency_s=0.0)
    async with SpeculativeTools({"instant": Effect.READ}, PatternGuesser(), limits=limits) as tools:
        tools.add("instant", instant)
        for run in range(_RUNS):
            async with tools.run("Count."):
                for call in range(_CALLS):
                    await asyncio.sleep(_THINKING_S)
                    start = time.perf_counter()
                    await tools.call("instant", {"number": run * _CALLS + call})
                    times.append(time.perf_counter() - start)
    return statistics.fmean(times) * 1e3
