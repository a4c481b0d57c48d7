"""What is not called ahead of time, for how long and why; and what the user is told, once."""

from __future__ import annotations

import asyncio
import re
import warnings

import pytest

from spec_envs import Effect, Guess
from spec_envs.conversation import ToolCall
from spec_envs.errors import InvalidConfiguration
from spec_envs.usage import Usage
from spec_envs.wrappers import HandlerLimit, SpeculativeTools
from spec_envs.wrappers.tools import Port, ToolLimits, ToolRule, ToolStatistics
from spec_envs.wrappers.tools._mcp_results import ServerTools
from tests.virtual_time import run

READ, SAMPLE, WRITE = Effect.READ, Effect.SAMPLE, Effect.WRITE


def guess(name, probability=0.9, **arguments):
    return Guess({"name": name, "arguments": arguments}, probability)


class Always:
    """Guesses the same calls again and again, and may cost something."""

    def __init__(self, *guesses, usage=None):
        self._guesses = guesses
        self._usage = usage

    async def guess(self, call, k, cancel):
        if self._usage is not None:
            cancel.spend(self._usage)
        return list(self._guesses)


def counting(seconds=1.0, fails=lambda n: False):
    """A tool that counts its calls, and the list of them."""
    calls = []

    async def tool(**arguments):
        calls.append(arguments)
        number = len(calls)
        await asyncio.sleep(seconds)
        if fails(number):
            raise RuntimeError("broken")
        return {"number": number}

    return tool, calls


class Listed:
    """A tool as an MCP server lists it."""

    def __init__(self, name, read_only=None):
        self.name, self.description, self.input_schema = name, "", {}
        self.annotations = None if read_only is None else self
        self.read_only_hint = read_only


# -- hints ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pause_s", [0.0, 0.1, 0.5, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("server", ["", "clock"])
def test_each_poll_of_a_tool_that_is_hinted_to_be_read_only_gets_an_answer_of_its_own(server, pause_s):
    async def main():
        name = f"{server}:now" if server else "now"
        async with SpeculativeTools({}, Always(guess(name))) as tools:
            ServerTools(tools, server, None, trust_annotations=True).read_list([Listed("now", True)])
            tool, calls = counting()
            tools.add(name, tool)
            answers = []
            async with tools.run():
                for _ in range(4):
                    await asyncio.sleep(pause_s)
                    answers.append((await tools.call(name, {}))["number"])
            assert len(set(answers)) == 4 and answers == sorted(answers)
            assert tools.statistics.shared == 0 and len(calls) >= 4
            assert tools.statistics.hits > 0 or pause_s == 0.0

    run(main)


@pytest.mark.parametrize(
    ("hint", "trusted", "declared", "distinct"),
    [
        (True, True, {}, 4),
        (True, True, {"now": READ}, 1),
        (True, True, {"clock:now": ToolRule(effect=READ)}, 1),
        (True, True, {"now": SAMPLE}, 4),
        (True, True, {"now": WRITE}, 4),
        (True, False, {}, 4),
        (False, True, {}, 4),
        (None, True, {}, 4),
        (None, False, {"now": READ}, 1),
        (False, True, {"now": READ}, 1),
    ],
)
def test_what_is_declared_counts_more_than_a_hint(hint, trusted, declared, distinct):
    async def main():
        async with SpeculativeTools(declared, Always(guess("clock:now"))) as tools:
            ServerTools(tools, "clock", None, trust_annotations=trusted).read_list([Listed("now", hint)])
            tool, _ = counting()
            tools.add("clock:now", tool)
            async with tools.run():
                answers = []
                for _ in range(4):
                    await asyncio.sleep(2)
                    answers.append((await tools.call("clock:now", {}))["number"])
            assert len(set(answers)) == distinct
            is_ahead = (hint is True and trusted) if not declared else WRITE not in declared.values()
            assert (tools.statistics.started > 0) == is_ahead

    run(main)


# -- names that no server has listed, and writes that fail -------------------------------------------------------------


async def runs_with(tools, odd_call, runs=5):
    """Runs in which the agent also makes an odd call that fails; returns the hits of each run."""
    hits = []
    for _ in range(runs):
        before = tools.statistics.hits
        async with tools.run():
            for number in range(5):
                if number == 1:
                    with pytest.raises(RuntimeError, match="no such tool"):
                        await odd_call()
                await asyncio.sleep(2)
                await tools.call("s:read", {"a": number})
        hits.append(tools.statistics.hits - before)
    return hits


async def no_such_tool():
    await asyncio.sleep(0.1)
    raise RuntimeError("no such tool")


class NextRead:
    async def guess(self, call, k):
        made = [e.arguments["a"] for e in call.query.events if isinstance(e, ToolCall) and e.name == "s:read"]
        return [guess("s:read", a=len(made))]


@pytest.mark.parametrize(
    "name", ["raed", "Read", "read ", "read2", "get-read", "READ", "rread", "s", "s:read", "", "читать", "read\n"]
)
def test_a_name_that_the_server_has_not_listed_touches_nothing(name):
    async def main():
        limits = ToolLimits(doubt_s=60.0)
        async with SpeculativeTools({"s:read": READ}, NextRead(), limits=limits) as tools:
            known = ServerTools(tools, "s", None, trust_annotations=False)
            known.read_list([Listed("read"), Listed("write")])
            tool, _ = counting()
            tools.add("s:read", tool)
            misspelt = f"s:{name}"
            if misspelt == "s:s:read":
                misspelt = "s:read_s"
            known.check(misspelt[2:])
            tools.add(misspelt, Port(execute=lambda arguments, context: no_such_tool()))
            assert await runs_with(tools, lambda: tools.call(misspelt, {})) == [5] * 5
            assert "write in doubt" not in tools.statistics.held_back

    run(main)


@pytest.mark.parametrize("pages", [[True], [True, True], [True, True, True]], ids=["one page", "two", "three"])
@pytest.mark.parametrize("last_page_is_there", [True, False])
def test_a_list_of_tools_counts_once_all_of_its_pages_are_there(pages, last_page_is_there):
    async def main():
        async with SpeculativeTools({"s:read": READ}, NextRead(), limits=ToolLimits(doubt_s=60.0)) as tools:
            known = ServerTools(tools, "s", None, trust_annotations=False)
            for number in range(len(pages)):
                is_last = number == len(pages) - 1 and last_page_is_there
                known.read_list([Listed(f"tool{number}")], is_first=number == 0, is_last=is_last)
            known.check("odd")
            tool, _ = counting()
            tools.add("s:read", tool)
            tools.add("s:odd", Port(execute=lambda arguments, context: no_such_tool()))
            hits = await runs_with(tools, lambda: tools.call("s:odd", {}), runs=1)
            assert hits == ([5] if last_page_is_there else [1])

    run(main)


def test_an_unlisted_tool_that_answers_is_a_write_from_then_on():
    async def main():
        async with SpeculativeTools({"s:read": READ}, Always(guess("s:read"))) as tools:
            known = ServerTools(tools, "s", None, trust_annotations=False)
            known.read_list([Listed("read")])
            known.check("hidden")
            tool, _ = counting()
            hidden, _ = counting()
            tools.add("s:read", tool)
            tools.add("s:hidden", hidden)
            async with tools.run():
                await asyncio.sleep(2)
                assert await tools.call("s:read", {}) == {"number": 1}
                await tools.call("s:hidden", {})
                assert await tools.call("s:read", {}) == {"number": 2}  # the result of before may be stale
                known.check("hidden")
                await asyncio.gather(tools.call("s:hidden", {}), tools.call("s:read", {}))
                assert await tools.call("s:read", {}) != {"number": 2}
            known.read_list([Listed("read"), Listed("hidden")])

    run(main)


@pytest.mark.parametrize("doubt_s", [0.0, 0.5, 1.0, 1.5])
@pytest.mark.parametrize("failure", ["raises", "error result", "given up"])
def test_a_write_that_fails_in_every_run_costs_the_time_of_doubt_alone(doubt_s, failure):
    async def main():
        limits = ToolLimits(doubt_s=doubt_s)
        async with SpeculativeTools({"s:read": READ}, NextRead(), limits=limits) as tools:
            tool, _ = counting(0.3)
            tools.add("s:read", tool)

            async def write(arguments, context):
                await asyncio.sleep(0.2)
                if failure == "raises":
                    raise RuntimeError("no")
                return "error"

            tools.add("s:write", Port(execute=write, usable=lambda result: result != "error"))
            for _ in range(5):
                async with tools.run():
                    for number in range(5):
                        if number == 1:
                            try:
                                async with asyncio.timeout(0.1 if failure == "given up" else None):
                                    await tools.call("s:write", {})
                            except (RuntimeError, TimeoutError):
                                pass
                        await asyncio.sleep(4)
                        await tools.call("s:read", {"a": number})
            held_back = tools.statistics.held_back
            assert tools.statistics.hits >= 20
            assert held_back.get("write in doubt", 0) == (5 if doubt_s else 0)

    run(main)


# -- reads that fail ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("runs", [3, 5, 10, 20])
@pytest.mark.parametrize("same", [True, False], ids=["same call", "other arguments"])
@pytest.mark.parametrize("effect", [READ, SAMPLE])
def test_what_always_fails_is_not_called_ahead_any_more(runs, same, effect):
    async def main():
        class Next:
            async def guess(self, call, k):
                return [guess("fail", a=0 if same else number)]

        async with SpeculativeTools({"fail": effect}, Next()) as tools:
            tool, calls = counting(fails=lambda n: True)
            tools.add("fail", tool)
            for number in range(runs):
                async with tools.run():
                    await asyncio.sleep(2)
                    with pytest.raises(RuntimeError):
                        await tools.call("fail", {"a": 0 if same else number})
            assert len(calls) <= runs + 2
            assert tools.statistics.held_back["failing"] >= runs - 2

    run(main)


def test_a_tool_that_works_again_is_called_ahead_again():
    async def main():
        async with SpeculativeTools({"fail": READ}, Always(guess("fail"))) as tools:
            tool, _ = counting(fails=lambda n: n <= 4)
            tools.add("fail", tool)
            hits = []
            for _ in range(7):
                async with tools.run():
                    await asyncio.sleep(2)
                    before = tools.statistics.hits
                    try:
                        await tools.call("fail", {})
                    except RuntimeError:
                        hits.append("failed")
                    else:
                        hits.append("hit" if tools.statistics.hits > before else "own")
            assert hits == ["failed"] * 3 + ["own"] + ["hit"] * 3

    run(main)


class Recovers:
    """A tool that fails for a while, and the calls of it."""

    def __init__(self, until_s: float) -> None:
        self.until_s, self.times = until_s, list[float]()

    async def __call__(self, **arguments):
        now = asyncio.get_running_loop().time()
        self.times.append(now)
        await asyncio.sleep(1)
        if now < self.until_s:
            raise RuntimeError("down")
        return {"at": now}


#: For how long the tool fails, and the time to live.
OUTAGES = [(0, 60), (20, 10), (60, 10), (100, 10), (100, 30), (100, 60), (300, 60), (300, 300), (1000, 100), (30, 1)]


@pytest.mark.parametrize(("until_s", "ttl_s"), OUTAGES)
@pytest.mark.parametrize("same", [True, False], ids=["same call", "other arguments"])
def test_a_tool_that_was_down_is_tried_again_ahead_of_time_without_a_call_of_the_agent(until_s, ttl_s, same):
    """The agent itself calls another tool meanwhile, so that nothing tells that the first one works again."""

    async def main():
        class Next:
            def __init__(self):
                self.number = 0

            async def guess(self, call, k):
                self.number += 1
                return [guess("down", a=0 if same else self.number)]

        limits = ToolLimits(ttl_s=ttl_s)
        async with SpeculativeTools({"down": READ, "other": READ}, Next(), limits=limits) as tools:
            tool = Recovers(until_s)
            tools.add("down", tool)
            tools.add("other", counting()[0])
            for _ in range(int((until_s + 2 * ttl_s) / 4) + 3):
                async with tools.run():
                    await asyncio.sleep(2)
                    await tools.call("other", {})
                    await asyncio.sleep(1)
            failed = [at for at in tool.times if at < until_s]
            assert len(failed) <= 5 + 2 * until_s / ttl_s  # a prediction may come before the failure is known
            assert len(tool.times) > len(failed)  # it was tried once more, and works

    run(main)


# -- the other reasons -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("why", "rule", "limits"),
    [
        ("not allowed", WRITE, {}),
        ("not allowed", ToolRule(effect=READ, private=True), {}),
        ("quota", ToolRule(effect=READ, metered=HandlerLimit(max_calls=1)), {}),
        ("no slot", READ, {"max_inflight": 1}),
        ("budget", READ, {"max_tokens": 5}),
        ("budget", READ, {"max_money": 0.5}),
    ],
)
def test_statistics_say_why_calls_were_held_back(why, rule, limits):
    async def main():
        guesser = Always(guess("tool", a=1), guess("tool", 0.8, a=2), usage=Usage(4, 0, 0.4))
        rules = {"tool": rule, "other": READ}
        async with SpeculativeTools(rules, guesser, limits=ToolLimits(**limits)) as tools:
            for name in rules:
                tools.add(name, counting()[0])
            for _ in range(3):
                async with tools.run():
                    await asyncio.sleep(0.5)
                    await tools.call("tool", {"a": 3})
            assert tools.statistics.held_back[why] > 0
            assert f"{tools.statistics.held_back[why]} {why}" in str(tools.statistics)

    run(main)


def test_a_quick_tool_is_counted():
    async def main():
        async with SpeculativeTools({"quick": READ, "slow": READ}, Always(guess("quick"))) as tools:
            tools.add("quick", counting(0.0)[0])
            tools.add("slow", counting()[0])
            for _ in range(3):
                async with tools.run():
                    await asyncio.sleep(1)
                    await tools.call("quick", {})
            assert tools.statistics.held_back == {"quick": 2}

    run(main)


@pytest.mark.parametrize("most", [0, 3, 4, 10, 11, 12, 40, 1000])
@pytest.mark.parametrize("limit", ["max_tokens", "max_money"])
def test_the_guesser_keeps_to_its_budget(limit, most):
    async def main():
        guesser = Always(guess("read"), usage=Usage(3, 1, 4.0))
        limits = ToolLimits(**{limit: most})
        async with SpeculativeTools({"read": READ}, guesser, limits=limits) as tools:
            tools.add("read", counting()[0])

            async def agent():
                async with tools.run():
                    for _ in range(3):
                        await asyncio.sleep(2)
                        await tools.call("read", {})

            await asyncio.gather(*(agent() for _ in range(5)))
            spent = tools.statistics.guessing
            used = spent.tokens if limit == "max_tokens" else spent.money
            assert used <= max(most, 4)  # the first prediction tells what a prediction costs
            assert used > most - 4 or most == 1000
            over = tools.statistics.over_budget
            assert (over.tokens if limit == "max_tokens" else over.money) == max(0, used - most)
            assert ("budget    passed by" in str(tools.statistics)) == (used > most)

    run(main)


@pytest.mark.parametrize("limits", [{"doubt_s": -1}, {"max_tokens": -1}, {"max_money": float("nan")}])
def test_bad_limits(limits):
    with pytest.raises(InvalidConfiguration, match="must be a number of at least 0"):
        ToolLimits(**limits)


# -- guessers ----------------------------------------------------------------------------------------------------------


def returns(value):
    return lambda: value


def raises(error):
    def guesses():
        raise error

    return guesses


BROKEN = {
    "raises": (raises(ValueError("no idea")), "ValueError.*no idea"),
    "raises KeyError": (raises(KeyError("traj")), "KeyError.*traj"),
    "exits": (raises(SystemExit(3)), "SystemExit"),
    "interrupts": (raises(KeyboardInterrupt()), "KeyboardInterrupt"),
    "ends": (raises(GeneratorExit()), "GeneratorExit"),
    "number": (returns([1]), "returned 1;"),
    "pair": (returns([(1, 0.9)]), r"returned \(1, 0.9\)"),
    "bare guess": (returns(guess("read")), "returned Guess"),
    "none": (returns(None), "returned None"),
    "texts": (returns("read"), "returned 'r'"),
    "mapping": (returns({"name": "read"}), "returned 'name'"),
    "int": (returns(7), "returned 7"),
    "probability": (lambda: [Guess(1, 9)], "probability"),
    "no call": (returns([Guess(1, 0.9)]), "guessed 1;"),
    "no name": (returns([Guess({"arguments": {}}, 0.9)]), "guessed {'arguments'"),
    "name of another kind": (returns([Guess({"name": 3}, 0.9)]), "guessed {'name': 3}"),
    "arguments of another kind": (returns([Guess({"name": "read", "arguments": [1]}, 0.9)]), r"'arguments': \[1\]"),
    "no JSON": (returns([guess("read", a={1})]), "TypeError"),
    "wrong behind right": (returns([guess("read"), 1]), "returned 1;"),
}


@pytest.mark.parametrize(("guesses", "message"), BROKEN.values(), ids=BROKEN)
def test_a_broken_guesser_is_told_of_once_and_printed(guesses, message):
    class Broken:
        async def guess(self, call, k):
            return guesses()

    async def main():
        async with SpeculativeTools({"read": READ}, Broken()) as tools:
            tools.add("read", counting()[0])
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                for _ in range(3):
                    async with tools.run():
                        await asyncio.sleep(1)
                        await tools.call("read", {})
            assert [each.category for each in caught] == [RuntimeWarning]
            text = str(caught[0].message)
            assert "the guesser Broken failed" in text
            statistics = tools.statistics
            assert statistics.failed_guesses == 3  # once in each run
            assert statistics.guess_error is not None and statistics.guess_error in text
            assert statistics.guess_error in str(statistics)
            return text

    assert re.search(message, run(main))


def test_statistics_are_printed():
    assert str(ToolStatistics(calls=4, hits=2)).startswith("calls     4: 2 hits (50.0%), 0 shared")
    assert "held back" not in str(ToolStatistics())
    assert "12 tokens, 0.5 money" in str(ToolStatistics(guessing=Usage(10, 2, 0.5)))


# -- a context that is missing -----------------------------------------------------------------------------------------


def attribute(context):
    return context.user


def item(context):
    return context["user"]


def checked(context):
    if context is None:
        raise RuntimeError("who asks?")
    return context


def asserted(context):
    assert context is not None
    return context


NEEDING = {
    "attribute": attribute,
    "item": item,
    "checked": checked,
    "asserted": asserted,
    "number": lambda context: context + 1,
    "call": lambda context: context(),
    "length": lambda context: len(context),
    "iterated": lambda context: list(context),
    "unpacked": lambda context: (lambda a, b: a)(*context),
    "compared": lambda context: context > 0,
}


@pytest.mark.parametrize("needs", NEEDING.values(), ids=NEEDING)
@pytest.mark.parametrize("effect", [READ, SAMPLE])
def test_a_run_without_the_context_that_a_tool_needs_is_told_of_once(needs, effect):
    async def main():
        async with SpeculativeTools({"mine": effect}, Always(guess("mine"))) as tools:

            async def execute(arguments, context):
                await asyncio.sleep(1)
                return str(needs(context))

            async def by_the_framework():
                await asyncio.sleep(1)
                return "mine"

            tools.add("mine", Port(execute=execute))
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                for _ in range(3):
                    async with tools.run():
                        await asyncio.sleep(2)
                        assert await tools.call("mine", {}, by_the_framework) == "mine"
            (warning,) = caught
            assert "tools.run(message, context=...)" in str(warning.message) and "mine" in str(warning.message)

    run(main)


def test_a_draw_that_hangs_gives_its_slot_back_once_nobody_may_use_its_result():
    async def main():
        async def tool(a):
            await asyncio.sleep(1e6 if a == 0 else 0.1)
            return a

        class InTurn:
            async def guess(self, call, k):
                return [guess("s:read", a=sum(isinstance(event, ToolCall) for event in call.query.events))]

        limits = ToolLimits(max_inflight=1, max_depth=1, ttl_s=5.0)
        async with SpeculativeTools({"s:read": Effect.SAMPLE}, InTurn(), limits=limits) as tools:
            tools.add("s:read", tool)
            async with tools.run():
                await asyncio.sleep(1.0)
                await tools.call("s:read", {"a": 9})  # and not 0, which hangs
                await asyncio.sleep(1.0)
                assert [entry.outcome for entry in tools.audit] == ["open"]
                await asyncio.sleep(4.0)
                await tools.call("s:read", {"a": 9})
                await asyncio.sleep(1.0)
                assert [(entry.outcome, entry.why) for entry in tools.audit] == [
                    ("cancelled", "expired"),
                    ("open", None),
                ]
                assert await tools.call("s:read", {"a": 2}) == 2
            assert tools.statistics.hits == 1

    run(main)
