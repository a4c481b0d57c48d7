"""The trace of tools: each agent run is an episode of a timeline, beside the plain loop. In virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from spec_envs import Effect
from spec_envs.pages import Timeline, timelines
from spec_envs.wrappers import SpeculativeTools
from spec_envs.wrappers.tools import ToolRule
from tests.virtual_time import run
from tests.wrappers.tools.test_speculative_tools import Table, World, made

READ, SAMPLE, WRITE = Effect.READ, Effect.SAMPLE, Effect.WRITE
#: After the start the agent is expected to read 1, then 2.
CHAIN = {None: [(0.9, "read", 1)], ("read", 1): [(0.8, "read", 2)]}


def episodes(tools: SpeculativeTools) -> list[Timeline]:
    return timelines(event.as_dict() for event in tools.trace)


def shown(episode: Timeline) -> list[tuple[Any, ...]]:
    return [
        (call.handler, round(call.start, 3), round(call.end, 3), call.lane, call.outcome, call.response)
        for call in episode.calls
    ]


def test_a_run_is_an_episode_in_which_the_agent_thinks_and_calls() -> None:
    async def main() -> None:
        async with made(Table(CHAIN), {"read": READ}) as tools:
            world = World(tools, "read", "write")
            async with tools.run("find it"):
                await asyncio.sleep(1.5)
                await world.call("read", 1)  # there since 1.0
                await asyncio.sleep(0.25)
                await world.call("read", 2)  # under way since 1.0, there at 2.0
                await asyncio.sleep(1.0)
                await world.call("write", 3)
        [episode] = episodes(tools)
        assert (episode.view, episode.begin, episode.lanes) == ("transcript", "find it", 2)
        assert shown(episode) == [
            ("read", 0.0, 1.0, 1, "committed", "{name: 'read', a: 1, state: 0}"),
            ("agent", 0.0, 1.5, 0, "committed", "read {a: 1}"),
            ("read", 1.0, 2.0, 1, "committed", "{name: 'read', a: 2, state: 0}"),
            ("agent", 1.5, 1.75, 0, "committed", "read {a: 2}"),
            ("agent", 2.0, 3.0, 0, "committed", "write {a: 3}"),
            ("write", 3.0, 4.0, 0, "committed", None),
        ]
        assert episode.calls[2].path == ['read({"a":1})']
        assert [(each.handler, each.outcome, each.response) for each in episode.commits] == [
            ("agent", "hit", "read {a: 1}"),
            ("read", "hit", "{name: 'read', a: 1, state: 0}"),
            ("agent", "hit", "read {a: 2}"),
            ("read", "hit", "{name: 'read', a: 2, state: 0}"),
            ("agent", "unguessed", "write {a: 3}"),
            ("write", "unguessed", "written"),
        ]
        # Plainly: 1.5 s of thinking, 1 for a read, 0.25, 1, 1, and 1 for the write.
        assert (episode.seconds, episode.plain_seconds) == (4.0, 5.75)

    run(main)


def test_calls_of_one_turn_go_on_side_by_side_in_the_plain_loop_too() -> None:
    async def main() -> None:
        async with made(Table({}), {"read": READ}) as tools:
            world = World(tools, "read")
            async with tools.run():
                await asyncio.sleep(0.5)
                await asyncio.gather(world.call("read", 1), world.call("read", 2))
                await world.call("read", 3)
        [episode] = episodes(tools)
        assert [(bar.handler, bar.start, bar.end) for bar in episode.plain] == [
            ("agent", 0.0, 0.5),
            ("read", 0.5, 1.5),
            ("read", 0.5, 1.5),
            ("agent", 1.5, 1.5),
            ("read", 1.5, 2.5),
        ]
        assert (episode.seconds, episode.plain_seconds) == (2.5, 2.5)
        assert [call.lane for call in episode.calls if call.handler == "read"] == [0, 1, 0]

    run(main)


def test_runs_that_overlap_are_episodes_of_their_own() -> None:
    async def main() -> None:
        async with made(Table(CHAIN), {"read": ToolRule(effect=READ, shared=True)}) as tools:
            world = World(tools, "read")

            async def agent(late: float) -> None:
                await asyncio.sleep(late)
                async with tools.run():
                    await asyncio.sleep(1.5)
                    await world.call("read", 1)

            await asyncio.gather(agent(0.0), agent(1.25))
        one, two = episodes(tools)
        assert (one.name, two.name) == ("episode 1", "episode 2")
        # The second agent uses what was read ahead for the first, at a time when the second had not begun.
        read = [call for call in two.calls if call.handler == "read" and call.outcome == "committed"]
        assert [(call.start, call.end, call.ahead) for call in read] == [(0.0, 0.0, True)]
        assert (one.seconds, two.seconds) == (1.5, 1.5)

    run(main)


def test_failures_and_calls_in_vain_are_told_and_private_arguments_are_not() -> None:
    async def main() -> None:
        rules = {"read": READ, "fail": SAMPLE, "secret": ToolRule(effect=READ, private=True)}
        async with made(Table(CHAIN), rules) as tools:
            world = World(tools, "read", "fail", "secret")
            async with tools.run():
                await asyncio.sleep(0.5)
                with pytest.raises(RuntimeError, match="broken"):
                    await world.call("fail", 5)
                await world.call("secret", "my key")
            await tools.settle()
        [episode] = episodes(tools)
        outcomes = {(call.handler, call.query): (call.outcome, call.error) for call in episode.calls}
        assert outcomes["fail", "{a: 5}"] == ("failed", "RuntimeError('broken')")
        assert outcomes["read", "{a: 1}"] == ("wasted", None)
        assert outcomes["secret", "(private)"] == ("committed", None)
        assert "my key" not in str([event.as_dict() for event in tools.trace])
        # A failed call is not among the plain loop's bars twice, and the agent goes on after it.
        assert [bar.handler for bar in episode.plain] == ["agent", "fail", "agent", "secret"]

    run(main)


def test_calls_outside_of_runs_leave_no_trace() -> None:
    async def main() -> None:
        async with made(Table({}), {"read": READ}) as tools:
            world = World(tools, "read")
            await world.call("read", 1)
            assert len(tools.trace) == 0

    run(main)
