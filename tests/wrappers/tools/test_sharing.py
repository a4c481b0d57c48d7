"""Servers that answer few calls at once: ``SpeculativeTools`` finds out, and then delays no call of the agent."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import functools
import json
import random
from collections.abc import Sequence
from typing import Any

import pytest

from spec_envs import Effect, Guess
from spec_envs.errors import InvalidConfiguration
from spec_envs.pages import timelines
from spec_envs.wrappers import SpeculativeTools
from spec_envs.wrappers.tools import BlockingTools, ToolEstimates, ToolLimits
from spec_envs.wrappers.tools.sharing import Sharing
from spec_envs.wrappers.tools.thoughts import Thoughts
from tests.virtual_time import run

TOOLS = [f"s:t{number}" for number in range(4)]
TOOL_S = 0.3


class Server:
    """A stand-in for a server, whose calls take ``TOOL_S`` alone.

    Args:
        slots: How many calls it answers at once; ``None``: any number; 0: calls share its time equally.
        noise: The standard deviation of the logarithm of what a call takes.
        seed: Of the noise.
        times: How many times as long calls take, for each of ``TOOLS``.
    """

    def __init__(
        self, slots: int | None, noise: float = 0.0, seed: int = 1, times: Sequence[float] = (1.0,) * 4
    ) -> None:
        self._queue = contextlib.nullcontext() if not slots else asyncio.Semaphore(slots)
        self._shares = slots == 0
        self._noise, self._rng = noise, random.Random(seed)
        self._times = dict(zip((each.partition(":")[2] for each in TOOLS), times, strict=True))
        self._number = 0
        self.made: list[tuple[str, int]] = []

    def tool(self, name):
        async def tool(a):
            self.made.append((name, a))
            left = TOOL_S * self._times.get(name, 1.0) * self._rng.lognormvariate(0.0, self._noise)
            async with self._queue:
                self._number += 1
                while self._shares and left > 0.011:
                    await asyncio.sleep(0.01)
                    left -= 0.01 / self._number
                await asyncio.sleep(left)
                self._number -= 1
            return a

        return tool


class Often:
    """Guesses the next call and two others; it is right with a probability."""

    def __init__(self, right: float) -> None:
        self._right, self._rng = right, random.Random(2)

    async def guess(self, call, k):
        number = sum(hasattr(event, "arguments") for event in call.query.events)
        first = number if self._rng.random() < self._right else -1 - number
        others = [Guess({"name": TOOLS[(number + i) % 4], "arguments": {"a": 1000 * i + number}}, 0.2) for i in (1, 2)]
        return [Guess({"name": TOOLS[number % 4], "arguments": {"a": first}}, 0.5), *others]


class Played:
    """An episode: how long the agent waited for each call, and what the proxy says of it."""

    def __init__(self, waits: Sequence[float], total_s: float, tools: SpeculativeTools) -> None:
        self.waits, self.total_s = waits, total_s
        self.statistics = tools.statistics
        self.events = [event.as_dict() for event in tools.trace]
        self.audit = list(tools.audit)


async def play(server, *, think_s, calls=60, right=0.7, ahead=4, estimates=None, side_by_side=1):
    """An agent thinks, and calls one tool after the other, or several at once."""
    rng, loop, waits = random.Random(3), asyncio.get_running_loop(), []
    limits = ToolLimits(max_inflight=ahead, quiet_s=0.01, min_probability=0.05)
    rules = dict.fromkeys(TOOLS, Effect.READ)
    async with SpeculativeTools(rules, Often(right), limits=limits, estimates=estimates) as tools:
        for name in TOOLS:
            tools.add(name, server.tool(name))

        async def call(number):
            begun = loop.time()
            assert await tools.call(TOOLS[number % 4], {"a": number}) == number
            waits.append(loop.time() - begun)

        begun = loop.time()
        async with tools.run():
            for number in range(0, calls, side_by_side):
                await asyncio.sleep(think_s * rng.uniform(0.95, 1.05))
                await asyncio.gather(*(call(number + i) for i in range(side_by_side)))
        return Played(waits, loop.time() - begun, tools)


@pytest.mark.parametrize("think_s", [0.4, 3.0])
@pytest.mark.parametrize(("slots", "at_once"), [(1, 1), (2, 2), (0, 1), (None, None)])
def test_how_many_calls_a_server_answers_at_once_is_found_out(slots, at_once, think_s):
    estimates = ToolEstimates()
    run(lambda: play(Server(slots), think_s=think_s, estimates=estimates))
    assert estimates.of("s").at_once == at_once


@pytest.mark.parametrize("side_by_side", [3, 5, 40])
def test_how_many_it_is_is_found_out_though_a_call_ahead_begins_amid_calls_of_the_agent(side_by_side):
    """One of the agent's calls has its result at once; what then begins comes after the agent's other calls."""
    for slots, at_once in ((1, 1), (None, None)):
        estimates = ToolEstimates()
        given = {"calls": 8 * side_by_side, "estimates": estimates, "side_by_side": side_by_side}
        run(functools.partial(play, Server(slots), think_s=4.0, **given))
        assert estimates.of("s").at_once == at_once


@pytest.mark.parametrize("slots", [1, 0])
def test_once_that_is_known_no_call_of_the_agent_waits_for_a_call_ahead_of_time(slots):
    estimates = ToolEstimates()
    plain = run(lambda: play(Server(slots), think_s=0.4, ahead=0))
    first = run(lambda: play(Server(slots), think_s=0.4, estimates=estimates))
    late = [number for number, wait in enumerate(first.waits) if wait > TOOL_S + 0.02]
    assert len(late) <= 4 and max(late, default=0) < 8
    later = run(lambda: play(Server(slots), think_s=0.4, estimates=estimates))
    assert max(later.waits) <= TOOL_S + 0.02
    assert later.statistics.hits > 20 and later.statistics.held_back["server busy"] > 0
    assert later.total_s < plain.total_s - 6.0


def test_a_server_of_which_nothing_is_known_may_be_given_few_calls_at_first():
    for slots, at_once in ((1, 1), (None, None)):
        estimates = ToolEstimates(at_first=2)
        played = run(functools.partial(play, Server(slots), think_s=0.4, estimates=estimates))
        assert max(played.waits) <= 2 * TOOL_S
        assert estimates.of("s").at_once == at_once


def test_an_agent_that_thinks_for_less_than_a_call_takes_is_left_alone():
    estimates = ToolEstimates()
    run(lambda: play(Server(1), think_s=0.4, estimates=estimates))
    run(lambda: play(Server(1), think_s=0.1, calls=20, estimates=estimates))  # the thoughts on record are short ones
    played = run(lambda: play(Server(1), think_s=0.1, estimates=estimates))
    assert max(played.waits) == pytest.approx(TOOL_S) and played.statistics.started == 0


@pytest.mark.parametrize("noise", [0.2, 0.5, 1.0])
def test_durations_that_vary_are_not_taken_for_calls_that_wait(noise):
    estimates = ToolEstimates()
    for _ in range(3):
        run(lambda: play(Server(None, noise), think_s=0.6, estimates=estimates))
    assert estimates.of("s").at_once is None


@pytest.mark.parametrize(("slots", "at_once"), [(0, 1), (1, 1), (2, 2), (None, None)])
def test_tools_of_one_server_may_take_very_different_times(slots, at_once):
    estimates, times = ToolEstimates(), (0.2, 0.7, 2.5, 10.0)
    plain = run(lambda: play(Server(slots, times=times), think_s=0.5, ahead=0))
    played = run(lambda: play(Server(slots, times=times), think_s=0.5, estimates=estimates))
    assert estimates.of("s").at_once == at_once
    late = [number for number, wait in enumerate(played.waits) if wait > plain.waits[number] + 0.02]
    assert max(late, default=0) < 4


def test_calls_that_an_agent_makes_side_by_side_tell_as_much():
    for slots, at_once in ((1, 1), (None, None)):
        estimates = ToolEstimates()
        server = Server(slots)
        for side_by_side in (1, 3):
            given = {"ahead": 0, "estimates": estimates, "side_by_side": side_by_side}
            run(functools.partial(play, server, think_s=1.0, calls=12, **given))
        assert estimates.of("s").at_once == at_once


@pytest.mark.parametrize("slots", [1, 2, None])
@pytest.mark.parametrize("think_s", [0.2, 0.4, 3.0])
def test_the_seconds_saved_are_those_of_the_clock(slots, think_s):
    estimates = ToolEstimates()
    run(lambda: play(Server(slots), think_s=think_s, calls=20, estimates=estimates))
    plain = run(lambda: play(Server(slots), think_s=think_s, ahead=0))
    played = run(lambda: play(Server(slots), think_s=think_s, estimates=estimates))
    saved_s = plain.total_s - played.total_s
    assert played.statistics.saved_s == pytest.approx(saved_s, abs=0.7)
    [shown] = timelines(played.events)
    assert shown.plain_seconds - shown.seconds == pytest.approx(saved_s, abs=0.7)
    used = [entry.saved_s for entry in played.audit if entry.outcome == "used"]
    assert all(seconds <= TOOL_S + 1e-6 for seconds in used)


def test_a_hit_that_took_longer_than_the_call_alone_is_a_loss():
    """The first guess is wrong, and the second one, which is right, waits behind it."""

    class Two:
        async def guess(self, call, k):
            if call.query.events:
                return []
            return [Guess({"name": "s:t0", "arguments": {"a": a}}, 0.5) for a in (1, 2)]

    async def main():
        estimates = ToolEstimates()
        for _ in range(4):
            estimates.of("s").took("s:t0", [TOOL_S] * 6)
        limits = ToolLimits(min_probability=0.05)
        async with SpeculativeTools({"s:t0": Effect.READ}, Two(), limits=limits, estimates=estimates) as tools:
            tools.add("s:t0", Server(1).tool("t0"))
            async with tools.run():
                await asyncio.sleep(0.1)
                begun = asyncio.get_running_loop().time()
                assert await tools.call("s:t0", {"a": 2}) == 2
                waited_s = asyncio.get_running_loop().time() - begun
            assert waited_s == pytest.approx(0.5)
            assert tools.statistics.saved_s == pytest.approx(TOOL_S - waited_s)
            assert [entry.saved_s for entry in tools.audit] == [0.0, pytest.approx(TOOL_S - waited_s)]

    run(main)


def test_what_a_call_that_was_given_up_leaves_behind_says_nothing():
    """A server goes on with a call that the proxy has cancelled: the next call takes longer, and not for itself."""

    async def main():
        estimates = ToolEstimates()
        queue = asyncio.Lock()

        async def slow(a):
            async def work():
                async with queue:
                    await asyncio.sleep(TOOL_S)

            await asyncio.shield(asyncio.ensure_future(work()))
            return a

        class Wrong:
            async def guess(self, call, k):
                return [Guess({"name": "s:t0", "arguments": {"a": -1 - len(call.query.events)}}, 0.9)]

        async with SpeculativeTools({"s:t0": Effect.READ, "s:w": Effect.WRITE}, Wrong(), estimates=estimates) as tools:
            tools.add("s:t0", slow)
            tools.add("s:w", lambda a: asyncio.sleep(0.001))
            for number in range(8):
                async with tools.run():
                    await asyncio.sleep(0.05)
                    await tools.call("s:w", {"a": 0})  # the call ahead of time is given up
                    await tools.call("s:t0", {"a": number})
        assert estimates.of("s").usual_s("s:t0", unknown=0.0) < 1.5 * TOOL_S

    run(main)


def test_a_server_that_has_become_another_one_is_tried_again():
    estimates = ToolEstimates()
    run(lambda: play(Server(1), think_s=0.4, estimates=estimates))
    assert estimates.of("s").at_once == 1
    for _ in range(8):
        run(lambda: play(Server(None), think_s=0.4, estimates=estimates))
    assert estimates.of("s").at_once is None


def test_servers_are_told_apart():
    """Calls of another server do not make a call longer, however many there are."""

    async def main():
        estimates = ToolEstimates()

        class All:
            async def guess(self, call, k):
                return [
                    Guess({"name": name, "arguments": {"a": len(call.query.events)}}, 0.3)
                    for name in ("one:t", "any:t")
                ]

        rules: dict[str, Any] = dict.fromkeys(("one:t", "any:t"), Effect.READ)
        limits = ToolLimits(min_probability=0.05)
        async with SpeculativeTools(rules, All(), limits=limits, estimates=estimates) as tools:
            tools.add("one:t", Server(1).tool("t"))
            tools.add("any:t", Server(None).tool("t"))
            async with tools.run():
                for number in range(20):
                    await asyncio.sleep(0.1 if number % 3 else 1.0)
                    await asyncio.gather(*(tools.call(name, {"a": 100 + number}) for name in rules))
        assert [estimates.of(name).at_once for name in ("one", "any")] == [1, None]

    run(main)


# -- what is kept ----------------------------------------------------------------------------------------------------


def test_estimates_are_kept_as_json():
    estimates, restored = ToolEstimates(), ToolEstimates()
    run(lambda: play(Server(1), think_s=0.4, estimates=estimates))
    restored.restore(json.loads(json.dumps(estimates.as_dict())))
    assert restored.as_dict() == estimates.as_dict()
    played = run(lambda: play(Server(1), think_s=0.4, estimates=restored))
    assert max(played.waits) <= TOOL_S + 0.02


DAMAGED = {
    "nothing": {},
    "a list": [],
    "other disciplines": {"servers": {"s": Sharing().as_dict() | {"against": [0.0]}}, "thoughts": []},
    "no such discipline": {"servers": {"s": Sharing().as_dict() | {"place": 99}}, "thoughts": []},
    "a patience without end": {"servers": {"s": Sharing().as_dict() | {"patience": 1e999}}, "thoughts": []},
    "calls below 0": {"servers": {"s": Sharing().as_dict() | {"retry_in": -1}}, "thoughts": []},
    "a part of a call": {"servers": {"s": Sharing().as_dict() | {"on_trial": 1.5}}, "thoughts": []},
    "times like eternity": {"servers": {"s": Sharing().as_dict() | {"taken": {"t": [[1e300]] * 6}}}, "thoughts": []},
    "a tool without times": {"servers": {"s": Sharing().as_dict() | {"taken": {"t": [[]] * 6}}}, "thoughts": []},
    "infinite times": {"servers": {"s": Sharing().as_dict() | {"taken": {"t": [[1e999]] * 6}}}, "thoughts": []},
    "thoughts that are texts": {"servers": {}, "thoughts": ["a"]},
    "thoughts without end": {"servers": {}, "thoughts": [1e999]},
    "thoughts that are no numbers": {"servers": {}, "thoughts": [float("nan")]},
}


@pytest.mark.parametrize("held", DAMAGED.values(), ids=DAMAGED)
def test_damaged_estimates_are_refused(held):
    estimates = ToolEstimates()
    with pytest.raises((KeyError, TypeError, ValueError, AttributeError)):
        estimates.restore(held)
    assert estimates.as_dict() == ToolEstimates().as_dict()


@pytest.mark.parametrize("kind", [SpeculativeTools, BlockingTools])
def test_estimates_of_another_kind_are_refused(kind):
    with pytest.raises(InvalidConfiguration, match="estimates must be ToolEstimates"):
        kind({}, Often(1.0), estimates="known.json")
    for at_first in (0, 1.5, "2", True):
        with pytest.raises(InvalidConfiguration, match="at_first must be"):
            ToolEstimates(at_first=at_first)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("thoughts", "elapsed", "seconds", "again"),
    [
        ([1.0, 2.0], 0.0, 0.9, None),
        ([1.0, 2.0], 0.0, 1.1, 1.0),  # the shortest thought is too short
        ([1.0, 2.0], 1.0, 0.9, None),  # which is over
        ([1.0, 2.0], 1.5, 0.9, 2.0),
        ([1.0, 2.0], 2.5, 0.1, 4.0),  # as long as never before
        ([1.0, 2.0], 4.0, 3.9, None),
        ([1.0, 2.0], 4.0, 5.0, 5.0),
        ([], 0.0, 0.5, 0.5),
        ([], 0.5, 0.5, None),
        ([0.001] * 16, 0.01, 0.5, 0.5),  # calls in a quick row
    ],
)
def test_when_the_next_call_may_come(thoughts, elapsed, seconds, again):
    begun = 100.0
    known = Thoughts(thoughts)
    found = known.ask_again_at([begun], begun + elapsed, seconds)
    assert found == (None if again is None else pytest.approx(begun + again))
    # The agent that calls first counts.
    assert known.ask_again_at([begun, begun + elapsed], begun + elapsed, 1e9) is not None
    counts: collections.Counter[Any] = collections.Counter([known.ask_again_at([], begun, seconds)])
    assert counts == {None: 1}
