"""No stale result is ever served: agents read and write a store, and see every change made before they ask."""

from __future__ import annotations

import asyncio
import collections
import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spec_envs import Effect, Guess
from spec_envs.wrappers import SpeculativeTools
from spec_envs.wrappers.tools import ToolLimits, ToolRule
from tests.virtual_time import run

RULES: dict[str, Effect | ToolRule] = {
    "s:a": Effect.READ,
    "s:b": Effect.READ,
    "t:c": ToolRule(effect=Effect.READ, shared=True),
    "t:d": ToolRule(effect=Effect.READ, touches={"orders", "users"}),
    "s:fixed": ToolRule(effect=Effect.READ, touches=set()),
    "s:write_all": ToolRule(),
    "s:write_a": ToolRule(touches=frozenset({"a"})),
    "s:write_c": ToolRule(touches=frozenset({"t:c", "b"})),
    "s:write_orders": ToolRule(touches="orders"),
}
READS = ("s:a", "s:b", "t:c", "t:d", "s:fixed")
CHANGES = {
    "s:write_all": ("s:a", "s:b"),
    "s:write_a": ("s:a",),
    "s:write_c": ("t:c", "s:b"),
    "s:write_orders": ("t:d",),
}
TTL_S = 30.0


class Store:
    """Counts the changes that each tool should see. A write that fails, or is given up, makes its change later."""

    def __init__(self, tools: SpeculativeTools) -> None:
        self.versions: collections.Counter[str] = collections.Counter()
        self.late: set[asyncio.Task[None]] = set()
        for name in READS:
            tools.add(name, self._read(name))
        for name in CHANGES:
            tools.add(name, self._write(name))

    def _read(self, name):
        async def read(before, after, fails=False):
            await asyncio.sleep(before)
            seen = self.versions[name]
            await asyncio.sleep(after)
            if fails:
                raise RuntimeError("busy")
            return {"version": seen}

        return read

    def _write(self, name):
        async def change(before):
            await asyncio.sleep(before)
            self.versions.update(CHANGES[name])

        async def write(before, after, fails=False):
            changing = asyncio.create_task(change(before))
            self.late.add(changing)
            if fails:
                await asyncio.sleep(before / 2)
                raise TimeoutError("no answer")
            await asyncio.shield(changing)
            await asyncio.sleep(after)

        return write


class Eager:
    """Guesses all that is ever read."""

    async def guess(self, call, k):
        arguments = [{"before": before, "after": 1.0} for before in (0.5, 3.0)]
        return [Guess({"name": name, "arguments": each}, 0.15) for name in READS for each in arguments]


class Clueless:
    """Guesses nothing."""

    async def guess(self, call, k):
        return []


OPERATION = st.tuples(
    st.sampled_from([*READS, *READS, *CHANGES]),
    st.sampled_from([0.5, 3.0]),  # before and after the moment that counts
    st.booleans(),  # fails, if it is a write or not guessed
    st.sampled_from([None, None, 0.4, 2.0]),  # given up after
    st.sampled_from([0.0, 0.5, 1.0, 4.0]),  # thinking
)


async def agent(tools, store, operations, in_a_run):
    async with contextlib.AsyncExitStack() as stack:
        if in_a_run:
            await stack.enter_async_context(tools.run())
        for name, before, fails, patience_s, thinking_s in operations:
            await asyncio.sleep(thinking_s)
            arguments = {"before": before, "after": 1.0} | ({"fails": True} if fails else {})
            expected = store.versions[name]
            with contextlib.suppress(RuntimeError, TimeoutError):
                async with asyncio.timeout(patience_s):
                    result = await tools.call(name, arguments)
                    assert name not in READS or result["version"] >= expected


@pytest.mark.parametrize(
    ("write", "stale"),
    [
        pytest.param(ToolRule(), {"s:get", "s:list"}, id="all of its server"),
        pytest.param(ToolRule(touches=set()), set(), id="nothing"),
        pytest.param(ToolRule(touches={"get"}), {"s:get"}, id="a tool of its server"),
        pytest.param(ToolRule(touches={"t:get"}), {"t:get"}, id="a tool of another server"),
        pytest.param(ToolRule(touches="orders"), {"s:list", "t:list"}, id="what tools have declared"),
        pytest.param(ToolRule(touches={"users", "t:get"}), {"t:get", "t:list"}, id="several parts"),
        pytest.param(ToolRule(touches="fixed"), {"s:fixed"}, id="the part of a tool that declares nothing else"),
    ],
)
def test_a_write_makes_stale_what_reads_one_of_its_parts(write, stale):
    rules: dict[str, Effect | ToolRule] = {
        "s:get": Effect.READ,
        "s:list": ToolRule(effect=Effect.READ, touches="orders"),
        "s:fixed": ToolRule(effect=Effect.READ, touches=set()),
        "t:get": Effect.READ,
        "t:list": ToolRule(effect=Effect.READ, touches={"orders", "users"}),
    }

    async def main():
        called: collections.Counter[str] = collections.Counter()
        async with SpeculativeTools({**rules, "s:write": write}, Clueless()) as tools:
            for name in (*rules, "s:write"):

                async def call(name=name):
                    called[name] += 1

                tools.add(name, call)
            async with tools.run():
                for name in (*rules, "s:write", *rules):
                    await tools.call(name, {})
        assert {name for name in rules if called[name] == 2} == stale

    run(main)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.lists(OPERATION, max_size=8), st.sampled_from([True, True, False])), min_size=1, max_size=3)
)
def test_agents_see_every_change_that_was_made_before_they_ask(agents):
    async def main():
        limits = ToolLimits(max_inflight=6, k=6, min_probability=0.1, min_latency_s=0.0, ttl_s=TTL_S, doubt_s=TTL_S)
        async with SpeculativeTools(RULES, Eager(), limits=limits) as tools:
            store = Store(tools)
            await asyncio.gather(*(agent(tools, store, operations, in_a_run) for operations, in_a_run in agents))
            await asyncio.gather(*store.late)

    run(main)
