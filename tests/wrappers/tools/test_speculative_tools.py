"""``SpeculativeTools`` through its own interface, in virtual time."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import gc
import json
import operator
import re
import sys
import warnings
from typing import Any

import pytest

from spec_envs import Effect, Guess
from spec_envs.agents import NGramGuesser, PatternGuesser
from spec_envs.conversation import Tool, ToolCall, ToolResult, UserMessage
from spec_envs.errors import EnvClosed, InvalidConfiguration
from spec_envs.wrappers import HandlerLimit, SpeculativeTools
from spec_envs.wrappers.tools import Port, ToolLimits, ToolRule
from tests.virtual_time import run

READ, SAMPLE, WRITE = Effect.READ, Effect.SAMPLE, Effect.WRITE


class OnLoop:
    """A plain guesser, asked on the event loop: virtual time knows no threads."""

    def __init__(self, inner):
        self._inner = inner
        self.observe = inner.observe

    async def guess(self, call, k):
        return self._inner.guess(call, k)


class Table:
    """Guesses by the name and arguments of the last call (``None`` at the beginning)."""

    def __init__(self, table):
        self._table = table
        self.asked = []

    async def guess(self, call, k):
        self.asked.append(call.query)
        last = next((e for e in reversed(call.query.events) if hasattr(e, "arguments")), None)
        found = self._table.get(None if last is None else (last.name, *last.arguments.values()), [])
        return [
            Guess({"name": name, "arguments": dict(zip("ab", values, strict=False))}, p) for p, name, *values in found
        ]


class World:
    """Tools that take a second, and what was really called when."""

    def __init__(self, tools, *names):
        self.tools, self.log, self.state = tools, [], 0
        for name in names:
            tools.add(name, self._tool(name))

    def _tool(self, name):
        async def tool(a=0):
            now = asyncio.get_running_loop().time()
            self.log.append((now, name, a))
            seen = self.state
            await asyncio.sleep(1.0)
            if name == "write":
                self.state += 1
                return "written"
            if name == "fail":
                raise RuntimeError("broken")
            return {"name": name, "a": a, "state": seen}

        return tool

    async def call(self, name, a: Any = 0):
        """The result, and how long it took."""
        start = asyncio.get_running_loop().time()
        result = await self.tools.call(name, {"a": a})
        return result, round(asyncio.get_running_loop().time() - start, 3)


def made(guesser, rules, **limits):
    return SpeculativeTools(rules, guesser, limits=ToolLimits(**limits))


def test_a_call_is_there_when_it_was_foreseen_and_half_there_when_it_is_under_way():
    async def main():
        async with made(Table({None: [(0.9, "read", 1)], ("read", 1): [(0.8, "read", 2)]}), {"read": READ}) as tools:
            world = World(tools, "read")
            async with tools.run():
                await asyncio.sleep(1.4)  # the second is under way since 1.0
                assert await world.call("read", 1) == ({"name": "read", "a": 1, "state": 0}, 0.0)
                assert await world.call("read", 2) == ({"name": "read", "a": 2, "state": 0}, 0.6)
                assert await world.call("read", 3) == ({"name": "read", "a": 3, "state": 0}, 1.0)
            assert [entry.outcome for entry in tools.audit] == ["used", "used"]
            assert [entry.after for entry in tools.audit] == [(), ('read({"a":1})',)]
            assert [round(entry.probability, 2) for entry in tools.audit] == [0.9, 0.72]
            statistics = tools.statistics
            assert (statistics.calls, statistics.hits, statistics.started) == (3, 2, 2)
            assert statistics.saved_s == pytest.approx(1.4) and statistics.wasted == 0
            assert len(world.log) == 3

    run(main)


def test_nothing_is_predicted_before_the_agent_has_been_quiet_for_as_long_as_was_set():
    async def main():
        table = Table({None: [(0.9, "read", 1)], ("read", 3): [(0.9, "read", 4)]})
        async with made(table, {"read": READ}, quiet_s=0.5) as tools:
            world = World(tools, "read")
            async with tools.run():
                await asyncio.sleep(0.4)
                for a in (2, 3):  # in a quick row
                    await world.call("read", a)
                    await asyncio.sleep(0.4)
                assert table.asked == []
                await asyncio.sleep(1.2)
                assert await world.call("read", 4) == ({"name": "read", "a": 4, "state": 0}, 0.0)
            assert [(round(at, 3), a) for at, _, a in world.log] == [(0.4, 2), (1.8, 3), (3.3, 4)]

    run(main)


def test_it_learns_from_run_to_run_also_where_no_message_is_known(tmp_path):
    async def work(guesser, message):
        times = []
        async with made(OnLoop(guesser), {"read": READ}) as tools:
            world = World(tools, "read")
            for number in range(6):
                start = asyncio.get_running_loop().time()
                async with tools.run(message and message.format(number)):
                    await asyncio.sleep(2)
                    await world.call("read", number if message else 7)
                    await asyncio.sleep(2)
                    await world.call("read", 8)
                times.append(asyncio.get_running_loop().time() - start)
        return times

    for guesser, message in ((NGramGuesser(), None), (PatternGuesser(), None), (PatternGuesser(), "ticket {}")):
        times = run(functools.partial(work, guesser, message))
        assert times[0] > 5.0 and times[-1] == 4.0
        guesser.save(tmp_path / "learned.json")
        again = type(guesser).load(tmp_path / "learned.json")
        assert run(functools.partial(work, again, message))[0] == 4.0


def test_what_may_not_run_ahead_never_does():
    rules = {
        "write": WRITE,
        "secret": ToolRule(effect=READ, private=True),
        "server:read": READ,  # another server's
    }

    async def main():
        guesser = Table({None: [(0.9, name, 1) for name in ("write", "secret", "read", "unknown")]})
        async with made(guesser, rules) as tools:
            world = World(tools, "write", "secret", "read")
            async with tools.run():
                await asyncio.sleep(5)
                assert world.log == []
                assert (await world.call("secret", 1))[1] == 1.0
                assert (await world.call("secret", 1))[1] == 0.0  # it has left already
            assert list(tools.audit) == []

    run(main)


def test_a_metered_tool_is_called_ahead_only_while_there_is_slack():
    rule = ToolRule(effect=READ, metered=HandlerLimit(max_calls=5, per_s=100.0))

    async def main():
        guesses = [(0.2, "read", number) for number in range(5)]
        async with made(Table({None: guesses}), {"read": rule}, max_inflight=5, k=5) as tools:
            world = World(tools, "read")
            async with tools.run():
                await asyncio.sleep(5)
                assert len(world.log) == 4  # of five; one is the agent's
            async with tools.run():
                await asyncio.sleep(5)
                assert len(world.log) == 4
            await asyncio.sleep(100)
            async with tools.run():
                await asyncio.sleep(5)
                assert len(world.log) == 8

    run(main)


def test_a_write_makes_stale_what_was_read_before_it_ends():
    async def main():
        guesser = Table({None: [(0.9, "read", 1), (0.5, "other", 1)]})
        rules = {"read": READ, "other": READ, "write": ToolRule(touches=frozenset({"read"}))}
        async with made(guesser, rules) as tools:
            world = World(tools, "read", "other", "write")
            async with tools.run():
                await asyncio.sleep(0.5)  # both are under way
                writing = asyncio.create_task(world.call("write"))
                await asyncio.sleep(0.1)
                overtaking = asyncio.create_task(world.call("read", 1))  # it asks while the write is under way
                await writing
                assert (await overtaking)[1] == 1.0
                result, seconds = await world.call("read", 1)
                assert result["state"] == 1 and seconds == 1.0  # what overtook the write is not kept
                assert (await world.call("other", 1))[1] == 0.0
            outcomes = [(entry.tool, entry.outcome, entry.why) for entry in tools.audit]
            assert outcomes[:2] == [("read", "cancelled", "stale"), ("other", "used", None)]

    run(main)


def test_a_sample_is_used_once_and_a_read_by_its_run_alone_unless_shared():
    async def main():
        guesser = Table({None: [(0.9, "draw", 1)]})
        async with made(guesser, {"draw": SAMPLE, "read": READ, "common": ToolRule(effect=READ, shared=True)}) as tools:
            world = World(tools, "draw", "read", "common")
            async with tools.run():
                await asyncio.sleep(2)
                assert [(await world.call("draw", 1))[1] for _ in range(2)] == [0.0, 1.0]
                assert [(await world.call("read"))[1] for _ in range(2)] == [1.0, 0.0]
                assert [(await world.call("common"))[1] for _ in range(2)] == [1.0, 0.0]
                async with tools.run():
                    assert (await world.call("read"))[1] == 1.0
                    assert (await world.call("common"))[1] == 0.0
            assert (await world.call("read"))[1] == 1.0
            assert (await world.call("common"))[1] == 0.0

    run(main)


@pytest.mark.parametrize(
    ("guessed", "called"),
    [(1, 1.0), (1.0, 1), (0.0, -0.0), (10**20, 1e20), (1, True)],
    ids=repr,
)
def test_a_tool_gets_numbers_as_the_agent_has_written_them(guessed, called):
    async def main():
        async with made(Table({None: [(0.9, "read", guessed)]}), {"read": READ}) as tools:
            world = World(tools, "read")
            async with tools.run():
                await asyncio.sleep(5)
                result, _ = await world.call("read", called)
            assert repr(result["a"]) == repr(called) and len(world.log) == 2

    run(main)


def test_results_get_old():
    async def main():
        async with made(Table({None: [(0.9, "read", 1)]}), {"read": READ}, ttl_s=10.0) as tools:
            world = World(tools, "read")
            async with tools.run():
                await asyncio.sleep(11)
                assert (await world.call("read", 1))[1] == 1.0
            assert [(entry.outcome, entry.why) for entry in tools.audit] == [("unused", "expired")]

    run(main)


def test_failures_ahead_of_time_are_made_again_and_only_that_ones_error_is_seen():
    async def main():
        async with made(Table({None: [(0.9, "fail", 1)]}), {"fail": READ}) as tools:
            world = World(tools, "fail")
            for wait_s in (5.0, 0.5):  # it has failed; it is about to
                async with tools.run():
                    await asyncio.sleep(wait_s)
                    with pytest.raises(RuntimeError, match="broken"):
                        await world.call("fail", 1)
            assert [(entry.outcome, entry.why) for entry in tools.audit] == [("failed", "RuntimeError('broken')")]
            assert len(world.log) == 3 and tools.statistics.hits == 0
            assert tools.statistics.held_back == {"failing": 1}  # it failed twice: ahead of time, and for the agent

    run(main)


def test_places_are_for_speculation_alone_and_give_way_to_what_is_likelier():
    async def main():
        table = {None: [(0.3, "read", n) for n in range(1, 4)], ("read", 9): [(0.9, "read", 4), (0.5, "read", 1)]}
        async with made(Table(table), {"read": READ}, max_inflight=2) as tools:
            world = World(tools, "read")
            async with tools.run():
                await asyncio.sleep(0.1)
                assert (await world.call("read", 9))[1] == 1.0  # both places are taken
            assert [a for _, _, a in world.log] == [1, 2, 9]
            log = world.log = []
            async with tools.run():
                await asyncio.sleep(0.5)
                await tools.call("read", {"a": 9}, lambda: asyncio.sleep(0, {}))
                await asyncio.sleep(0.2)
                # 2 is not needed any more and gives way to 4; 1 still is
                assert [a for _, _, a in log] == [1, 2, 4]
            assert "cancelled" in [entry.outcome for entry in tools.audit]

    run(main)


def test_runs_at_once_do_not_see_each_other():
    async def main():
        async with made(OnLoop(NGramGuesser()), {"read": READ}) as tools:
            world = World(tools, "read")

            async def agent(number):
                async with tools.run(f"{number}") as each:
                    for _ in range(3):
                        await asyncio.sleep(1)
                        await world.call("read", number)
                return [event.arguments["a"] for event in each.events if isinstance(event, ToolCall)]

            assert await asyncio.gather(*map(agent, range(20))) == [[number] * 3 for number in range(20)]

    run(main)


def test_calls_at_once_are_a_turn():
    async def main():
        guesser = Table({None: [], ("read", 2): [(0.9, "read", 3)]})
        async with made(guesser, {"read": READ}) as tools:
            world = World(tools, "read")
            async with tools.run("go") as each:
                await asyncio.gather(world.call("read", 1), world.call("read", 1), world.call("read", 2))
                assert len(world.log) == 2
                await asyncio.sleep(1)
                assert (await world.call("read", 3))[1] == 0.0
                each.said("done")
                each.heard("go on")
            assert isinstance(each.events[0], UserMessage) and len(each.events) == 1 + 2 * 4 + 2

    run(main)


def test_an_agent_may_give_up_waiting():
    async def main():
        async with made(Table({None: [(0.9, "read", 1)]}), {"read": READ}) as tools:
            world = World(tools, "read")
            async with tools.run() as each:
                await asyncio.sleep(0.2)
                for a in (1, 2):
                    with pytest.raises(TimeoutError):
                        async with asyncio.timeout(0.5):
                            await world.call("read", a)
                assert (await world.call("read", 1))[1] == 0.0
                assert (await world.call("read", 2))[1] == 1.0
                assert len([event for event in each.events if hasattr(event, "arguments")]) == 2

    run(main)


def test_what_is_served_is_a_copy():
    async def main():
        async with made(Table({None: [(0.9, "read", 1)]}), {"read": READ}) as tools:
            World(tools, "read")
            async with tools.run() as each:
                await asyncio.sleep(2)
                first = await tools.call("read", {"a": 1})
                first["a"] = "changed"
                assert (await tools.call("read", {"a": 1}))["a"] == 1
                made_here = await tools.call("read", {"a": 2})
                made_here["a"] = "changed"
                assert (await tools.call("read", {"a": 2}))["a"] == 2
                assert [e.content["a"] for e in each.events if isinstance(e, ToolResult)] == [1, 1, 2, 2]

    run(main)


def test_what_a_guesser_says_early_is_made_at_once_and_what_it_takes_back_is_not():
    class Hasty:
        async def guess(self, call, k, early):
            if len(call.query.events) > 2:
                return []
            early([Guess({"name": name, "arguments": {"a": 0}}, 0.4) for name in ("soon", "never")])
            await asyncio.sleep(0.5)
            return [Guess({"name": "late", "arguments": {"a": 0}}, 0.95)]

    async def main():
        async with made(Hasty(), {"soon": READ, "late": READ, "never": READ}, max_inflight=1) as tools:
            world = World(tools, "soon", "late", "never")
            async with tools.run("Go."):
                await asyncio.sleep(6)
                assert [name for _, name, _ in world.log] == ["soon", "late"]
                assert (await world.call("late"))[1] == 0.0

    run(main)


def test_guessers_may_be_broken():
    class Broken:
        async def guess(self, call, k):
            raise ValueError("no idea")

        def observe(self, call, response):
            raise ValueError("no memory")

    async def main():
        async with made(Broken(), {"read": READ}) as tools:
            world = World(tools, "read")
            async with tools.run():
                assert (await world.call("read"))[1] == 1.0
                await asyncio.sleep(1)
            statistics = tools.statistics
            assert statistics.failed_guesses == statistics.guesses == 2 and statistics.not_learned == 1
            with pytest.warns(RuntimeWarning, match="guesser Broken failed: ValueError.*no idea"):
                await tools.settle()
            await tools.settle()  # told once
            assert statistics.guess_error == "ValueError('no idea')"
            assert "2 of 2 guesses failed: ValueError('no idea')" in str(statistics)
        async with made(Table({None: [(0.9, "read", {1})]}), {"read": READ}) as tools:  # no JSON data
            world = World(tools, "read")
            async with tools.run():
                await asyncio.sleep(1)
                with pytest.warns(RuntimeWarning, match="guesser Table failed: TypeError"):
                    assert (await world.call("read"))[1] == 1.0
            assert tools.statistics.failed_guesses == 1

    run(main)


def test_quick_tools_are_left_alone():
    async def main():
        guesser = Table({None: [(0.9, "quick", 1)]})
        async with made(guesser, {"quick": READ}) as tools:
            tools.add("quick", lambda a: asyncio.sleep(0, a))
            for _ in range(3):
                async with tools.run():
                    await asyncio.sleep(1)
                    await tools.call("quick", {"a": 1})
            assert tools.statistics.started == 1 and len(guesser.asked) == 1

    run(main)


def test_close_leaves_nothing_and_the_audit_tells(tmp_path):
    async def main():
        tools = made(Table({None: [(0.9, "read", 1)]}), {"read": READ})
        world = World(tools, "read")
        async with tools.run():
            await asyncio.sleep(0.5)
            await tools.close()
            await tools.close()
            with pytest.raises(EnvClosed):
                await world.call("read")
        with pytest.raises(EnvClosed):
            async with tools.run():
                pass
        tools.audit.to_jsonl(tmp_path / "audit.jsonl")
        (entry,) = map(json.loads, (tmp_path / "audit.jsonl").read_text().splitlines())
        assert (entry["tool"], entry["outcome"], entry["why"]) == ("read", "cancelled", "closed")

    run(main)


def test_a_write_that_may_still_take_effect_lets_nothing_be_read_ahead():
    """One that was given up, or has raised, makes its change later."""

    async def main():
        for patience_s in (0.5, 5.0):
            async with made(Table({None: [(0.9, "read", 1)]}), {"read": READ}, ttl_s=20.0, doubt_s=20.0) as tools:
                world = World(tools, "read", "fail")
                async with tools.run():
                    with pytest.raises((TimeoutError, RuntimeError)):
                        async with asyncio.timeout(patience_s):
                            await world.call("fail")
                    await asyncio.sleep(5)
                    assert [(await world.call("read", 1))[1] for _ in range(2)] == [1.0, 1.0]
                    assert len(tools.audit) == 0
                    await asyncio.sleep(20)
                    assert [(await world.call("read", 1))[1] for _ in range(2)] == [1.0, 0.0]

    run(main)


def test_arguments_that_the_caller_changes_later_do_not_matter():
    async def main():
        async with made(OnLoop(NGramGuesser()), {"read": READ}) as tools:
            world = World(tools, "read", "write")
            async with tools.run() as each:
                numbers = [1]
                await world.call("read", numbers)
                numbers.append(2)
                await world.call("write")
                assert (await world.call("read", [1]))[0]["state"] == 1
                first = each.events[0]
                assert isinstance(first, ToolCall) and first.arguments == {"a": [1]}

    run(main)


def test_a_call_that_is_more_than_its_arguments_is_made_and_kept_for_nobody():
    async def main():
        async with made(Table({None: [(0.9, "read", 1)]}), {"read": READ}) as tools:
            world = World(tools, "read")
            async with tools.run():
                await asyncio.sleep(2)
                await tools.call("read", {"a": 1}, fresh=True)
                assert (await world.call("read", 1))[1] == 1.0

    run(main)


def test_what_is_called_ahead_sees_the_context_variables_of_its_run():
    tenant: contextvars.ContextVar[str] = contextvars.ContextVar("tenant", default="nobody")
    seen = []

    async def main():
        guesser = Table({None: [(0.9, "read", 1)], ("read", 1): [(0.9, "read", 2)]})
        async with made(guesser, {"read": READ}) as tools:

            async def read(a):
                seen.append((tenant.get(), a))
                await asyncio.sleep(1)
                return a

            async def agent(name):
                tenant.set(name)
                async with tools.run():
                    tenant.set("inside")
                    await asyncio.sleep(5)
                    await tools.call("read", {"a": 1})

            tools.add("read", read)
            await asyncio.gather(agent("ann"), agent("bob"))

    run(main)
    assert sorted(seen) == [("ann", 1), ("ann", 2), ("bob", 1), ("bob", 2)]


def test_runs_of_several_proxies_are_all_current():
    async def main():
        async with made(Table({}), {"read": READ}) as one, made(Table({}), {"read": READ}) as other:
            for tools in (one, other):
                World(tools, "read")
            async with one.run() as outer, other.run() as inner:
                await one.call("read", {"a": 1})
                await other.call("read", {"a": 2})
                async with one.run() as innermost:
                    await one.call("read", {"a": 3})
                assert [e.arguments["a"] for e in outer.events if isinstance(e, ToolCall)] == [1]
                assert [e.arguments["a"] for e in inner.events if isinstance(e, ToolCall)] == [2]
                assert [e.arguments["a"] for e in innermost.events if isinstance(e, ToolCall)] == [3]

    run(main)


def test_a_run_may_end_in_another_task_and_a_task_after_its_run():
    async def main():
        async with made(Table({}), {"read": READ}) as tools:
            world = World(tools, "read")
            manager = tools.run()
            await asyncio.create_task(manager.__aenter__())
            await asyncio.create_task(manager.__aexit__(None, None, None))

            async def late():
                await asyncio.sleep(1)
                return [(await world.call("read", 1))[1] for _ in range(2)]

            async with tools.run() as each:
                task = asyncio.create_task(late())
            assert await task == [1.0, 1.0]  # as outside of all runs
            assert each.events == ()
            with pytest.raises(EnvClosed, match="the run is over"):
                each.said("too late")

    run(main)


def test_several_may_settle_and_close_at_once():
    async def main():
        tools = made(Table({None: [(0.9, "read", 1)]}), {"read": READ})
        World(tools, "read")
        async with tools.run():
            await asyncio.gather(tools.settle(), tools.settle())
            assert asyncio.get_running_loop().time() == 1.0

        async def stubborn(a):
            try:
                await asyncio.sleep(9)
            except asyncio.CancelledError:
                await asyncio.sleep(1)

        tools = made(Table({None: [(0.9, "stubborn", 1)]}), {"stubborn": READ})
        tools.add("stubborn", stubborn)
        async with tools.run():
            await asyncio.sleep(1)
            before = asyncio.get_running_loop().time()
            settling = asyncio.create_task(tools.settle())
            await asyncio.gather(tools.close(), tools.close())
            assert asyncio.get_running_loop().time() == before + 1.0
            await settling

    run(main)


def test_closing_inside_a_run_leaves_nothing_to_wait_for():
    async def main():
        tools = made(NGramGuesser(), {"read": READ})
        async with tools.run():
            await tools.close()
        await tools.settle()

    asyncio.run(main())


def test_tasks_that_somebody_else_cancels_are_not_seen():
    async def main():
        async with made(Table({None: [(0.9, "read", 1)]}), {"read": READ}) as tools:
            world = World(tools, "read")
            async with tools.run():
                await asyncio.sleep(0.5)
                for task in asyncio.all_tasks() - {asyncio.current_task()}:
                    task.cancel()
                assert (await world.call("read", 1))[1] == 1.0
                assert (await world.call("read", 2))[1] == 1.0

    run(main)


def test_agents_can_clean_up_while_the_loop_is_shut_down():
    done = []

    async def main():
        tools = made(Table({None: [(0.9, "read", 1)]}), {"read": READ})
        world = World(tools, "read")
        tools.add("unlock", lambda: asyncio.sleep(0, done.append("unlocked")))

        async def agent():
            async with tools.run():
                try:
                    await asyncio.sleep(100)
                finally:
                    await asyncio.sleep(0)
                    await tools.call("unlock", {})
                    await world.call("read", 1)
                    done.append("read")

        asyncio.create_task(agent())
        await asyncio.sleep(0.1)

    with asyncio.Runner() as runner:
        runner.run(main())
    assert done == ["unlocked", "read"]


def test_whoever_waits_for_a_tool_that_is_removed_makes_the_call():
    async def main():
        async with made(Table({None: [(0.9, "read", 1)]}), {"read": READ}) as tools:
            world = World(tools, "read")
            async with tools.run():
                await asyncio.sleep(0.5)
                waiting = asyncio.create_task(world.call("read", 1))
                await asyncio.sleep(0.1)
                tools.remove("read")
                assert (await waiting)[1] == 1.1
                with pytest.raises(InvalidConfiguration, match="no tool 'read'"):
                    await world.call("read", 1)

    run(main)


def test_threads_call_through_the_loop():
    async def main():
        async with made(NGramGuesser(), {"read": READ}) as tools:
            tools.add("read", lambda a: asyncio.sleep(0, a))
            loop = asyncio.get_running_loop()

            def plain_code(a):
                return asyncio.run_coroutine_threadsafe(tools.call("read", {"a": a}), loop).result(30)

            async with tools.run() as each:
                assert await asyncio.gather(*(asyncio.to_thread(plain_code, a) for a in range(5))) == list(range(5))
                assert len(each.events) == 10  # it is the same run there
                with pytest.raises(InvalidConfiguration, match="another event loop"):
                    await asyncio.to_thread(lambda: asyncio.run(tools.call("read", {"a": 1})))

    asyncio.run(main())


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
def test_eager_tasks_change_nothing():
    async def main():
        asyncio.get_running_loop().set_task_factory(getattr(asyncio, "eager_task_factory"))  # noqa: B009
        guesser = Table({None: [(0.9, "read", 1), (0.8, "now", 1)], ("read", 1): [(0.9, "read", 2)]})
        async with made(guesser, {"read": READ, "now": READ}, min_latency_s=0.0) as tools:
            world = World(tools, "read", "write")

            async def now(a):  # ends before it has begun to wait
                return a

            tools.add("now", now)
            async with tools.run() as each:
                await asyncio.sleep(2.5)
                calls = [world.call("read", 1), world.call("now", 1), world.call("read", 1)]
                assert [seconds for _, seconds in await asyncio.gather(*calls)] == [0.0] * 3
                await world.call("write")
                assert (await world.call("read", 1))[0]["state"] == 1
                assert len(each.events) == 10
            assert tools.statistics.hits == 2 and tools.statistics.failed == 0

    run(main)


def test_results_are_let_go_of():
    class Page(dict):
        pass

    async def main():
        guesser = Table({None: [(0.9, "draw", 1), (0.8, "read", 1), (0.7, "read", 2)]})
        async with made(guesser, {"draw": SAMPLE, "read": READ}) as tools:
            for name in ("draw", "read"):
                tools.add(name, lambda a: asyncio.sleep(1, Page(a=a)))
            tools.add("write", lambda: asyncio.sleep(1))
            for _ in range(3):
                async with tools.run():
                    await asyncio.sleep(2)
                    await asyncio.gather(*(tools.call(name, {"a": 1}) for name in ("draw", "read", "read")))
                    await tools.call("write", {})
                    await asyncio.sleep(0.5)
            assert len(tools.audit) >= 9
            guesser.asked.clear()
            gc.collect()
            assert not [each for each in gc.get_objects() if isinstance(each, Page)]

    run(main)


def test_bad_input():
    with pytest.raises(InvalidConfiguration, match="'read' must be declared by an Effect or a ToolRule"):
        SpeculativeTools({"read": "read"}, NGramGuesser())  # type: ignore[dict-item]
    with pytest.raises(InvalidConfiguration, match="effect must be Effect.READ, .* not 'read'"):
        ToolRule(effect="read")  # type: ignore[arg-type]
    with pytest.raises(InvalidConfiguration, match="max_calls"):
        ToolRule(effect=READ, metered=HandlerLimit())
    with pytest.raises(InvalidConfiguration, match="READ can be shared"):
        ToolRule(effect=SAMPLE, shared=True)
    with pytest.raises(InvalidConfiguration, match="max_inflight must be an integer of at least 0"):
        ToolLimits(max_inflight=-1)

    class Learner(Table):
        async def observe(self, call, response):
            pass

    with pytest.raises(InvalidConfiguration, match="observe of .* is a coroutine function"):
        SpeculativeTools({}, Learner({}))
    with pytest.raises(InvalidConfiguration, match="has no method guess"):
        SpeculativeTools({}, object())  # type: ignore[arg-type]

    async def main():
        async with SpeculativeTools({}, NGramGuesser()) as tools:
            tools.add("read", asyncio.sleep, schema=Tool("read"))
            tools.add("read", asyncio.sleep)
            for add, message in (
                (lambda: tools.add(3, asyncio.sleep), "named by a text, not by 3"),  # type: ignore[arg-type]
                (lambda: tools.add("look", 3), "'look' must be a coroutine function or a Port, not 3"),  # type: ignore[arg-type]
                (lambda: tools.add("look", asyncio.sleep, schema={"name": "look"}), "schema must be a Tool"),  # type: ignore[arg-type]
                (lambda: tools.describe("look"), "schema must be a Tool, not 'look'"),  # type: ignore[arg-type]
                (lambda: tools.open_run(3), "message must be a str, not 3"),  # type: ignore[arg-type]
            ):
                with pytest.raises(InvalidConfiguration, match=message):
                    add()
            for plain in (done.append, functools.partial(max, 3), operator.itemgetter(0), main.__get__):
                with pytest.raises(
                    InvalidConfiguration, match=r"'plain' must be .*plain function, .*asyncio\.to_thread"
                ):
                    tools.add("plain", plain)  # type: ignore[arg-type]
            with pytest.raises(InvalidConfiguration, match="a tool of another source has the name 'read'"):
                tools.add("read", asyncio.wait_for)
            async with tools.run() as each:
                with pytest.raises(InvalidConfiguration, match="text must be a str, not 5"):
                    each.heard(5)  # type: ignore[arg-type]
                with pytest.raises(InvalidConfiguration, match="arguments of 'read' must be JSON data"):
                    await tools.call("read", {"delay": {1}})
                with pytest.raises(InvalidConfiguration, match="arguments of 'read' must be a mapping .*, not 'W1'"):
                    await tools.call("read", "W1")  # type: ignore[arg-type]
                await tools.call("read", {"delay": 0})
                assert len(each.events) == 2
            tools.remove("read")
            tools.add("read", asyncio.sleep)
            with pytest.raises(InvalidConfiguration, match="no tool 'write'; known are read"):
                await tools.call("write", {})
        return tools

    async def elsewhere():
        used = SpeculativeTools({}, OnLoop(NGramGuesser()))
        async with used.run():
            pass
        return used

    used = run(elsewhere)
    done: list[object] = []
    run(main)
    assert done == []

    async def other_loop():
        with pytest.raises(InvalidConfiguration, match="another event loop"):
            await used.call("read", {})

    asyncio.run(other_loop())


def test_a_plain_function_is_carried_out_once_where_it_is_found_out_only_then():
    async def main():
        orders: list[int] = []

        def order(number: int) -> Any:
            orders.append(number)
            return f"order {number}"

        @functools.wraps(asyncio.sleep)
        def wrapped(*args, **given):
            return asyncio.sleep(*args, **given)

        async with SpeculativeTools({"look": READ}, Table({None: [(0.9, "look", 5)]})) as tools:
            tools.add("order", lambda number: order(number))
            tools.add("port", Port(execute=lambda arguments, context: order(**arguments)))
            tools.add("look", Port(execute=lambda arguments, context: arguments["a"]))
            tools.add("wrapped", wrapped)
            async with tools.run():
                await asyncio.sleep(1)
                assert await tools.call("look", {"a": 5}) == 5
                assert await tools.call("order", {"number": 1}) == "order 1"
                assert await tools.call("port", {"number": 2}) == "order 2"
                assert await tools.call("order", {"number": 3}, lambda: order(4)) == "order 4"
                assert await tools.call("wrapped", {"delay": 0, "result": 6}) == 6
            assert orders == [1, 2, 4] and tools.statistics.hits == 1

    run(main)


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        ({"get_ordr": READ}, r"'get_ordr' is declared, .* \(did you mean 'get_order'\?\)"),
        ({"shop:get_usr": READ}, r"'shop:get_usr' is declared, .* 'shop:get_user'"),
        ({"get_usr": READ}, r"'get_usr' is declared, .* 'get_user'"),
        ({"put": ToolRule(touches={"get_ordr"})}, r"'put' touches 'get_ordr', .* 'get_order'"),
        (
            {"put": ToolRule(touches={"order"}), "get_order": ToolRule(effect=READ, touches="orders")},
            r"'put' touches 'order', .* 'orders'",
        ),
        ({"get_order": READ, "get_user": READ, "get_orders": READ, "other": WRITE}, None),
        ({"shop:get_user": READ, "put": ToolRule(touches={"get_user", "all orders"}), "weather": READ}, None),
    ],
)
def test_a_misspelt_name_in_the_rules_is_told_at_the_end(rules, told):
    async def main():
        tools = SpeculativeTools(rules, Table({}))
        for name in ("get_order", "shop:get_user", "put"):
            tools.add(name, asyncio.sleep)
            if name == "get_order":
                tools.remove(name)
        await tools.close()

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run(main)
    assert [str(each.message) for each in caught if told is None] == []
    if told is not None:
        assert re.match(told, str(caught[0].message)) and len(caught) == 1
