"""Tools: an agent whose loop is not ours, with calls made ahead of time by ``SpeculativeTools``, in virtual time."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from spec_envs.agents import PatternGuesser
from spec_envs.agents.llm import ChatRequest
from spec_envs.benchmarks.all.figures import Figure, Rows, figure, series
from spec_envs.benchmarks.all.here import Here
from spec_envs.benchmarks.all.units import Row, Unit
from spec_envs.benchmarks.episodes import VirtualLoop
from spec_envs.benchmarks.tools import ToolsSettings
from spec_envs.benchmarks.tools.run import questions, records_model
from spec_envs.benchmarks.tools.server import TOOLS, record
from spec_envs.calls import Call, Effect
from spec_envs.guesses import Guess
from spec_envs.handling import CancelToken, as_guess
from spec_envs.wrappers.tools import SpeculativeTools, ToolLimits

HEADLINE = {"order": "by the book", "tool_s": 0.3}
#: What a guess of the guesser of patterns is charged in virtual time.
_GUESS_S = 0.005
_TOOL_S = (0.3, 1.0)
_SEEDS, _QUICK_SEEDS = 5, 2


def plan(here: Here, *, quick: bool, seed: int) -> Iterator[Unit]:
    """The units: all tasks of one seed, since the guesser learns from one to the next."""
    for tool_s in _TOOL_S:
        for order in ("by the book", "at random"):
            for number in range(seed, seed + (_QUICK_SEEDS if quick else _SEEDS)):
                settings = ToolsSettings(tool_s=tool_s, seed=number)
                yield Unit(part="tools", tags={"order": order, "tool_s": tool_s}, settings=settings, cost_s=2.0)


@dataclasses.dataclass(frozen=True, slots=True)
class _Task:
    """What an agent did for one task."""

    answer: str | None
    steps: Sequence[tuple[str, str, str]]
    seconds: float
    calls: int = 0
    hits: int = 0
    started: int = 0


def work(unit: Unit) -> list[Row]:
    """Do all tasks with speculation and without."""
    settings, order = unit.settings, str(unit.tags["order"])
    plain, ahead = (_run(settings, order, ahead=ahead) for ahead in (False, True))
    pairs = list(zip(plain, ahead, strict=True))[settings.learning :]
    return [
        {"episode": f"seed {settings.seed}, task {number}", "clock": "virtual", **_figures(*pair)}
        for number, pair in enumerate(pairs, settings.learning + 1)
    ]


def _figures(plain: _Task, ahead: _Task) -> Row:
    return {
        "saved": 1 - ahead.seconds / plain.seconds,
        "hit_rate": ahead.hits / ahead.calls,
        "tokens_full": None,  # the tools and the guesser use no tokens, and the model is not called ahead of time
        "calls_full": (ahead.calls + ahead.started - ahead.hits) / ahead.calls,
        "lossless": int((plain.answer, plain.steps) == (ahead.answer, ahead.steps)),
        "sequential_s": plain.seconds,
        "speculative_s": ahead.seconds,
    }


def _run(settings: ToolsSettings, order: str, *, ahead: bool) -> list[_Task]:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(_all_tasks(settings, order, ahead))


async def _all_tasks(settings: ToolsSettings, order: str, ahead: bool) -> list[_Task]:
    limits = ToolLimits(max_inflight=settings.max_inflight if ahead else 0)
    async with SpeculativeTools(dict.fromkeys(TOOLS, Effect.READ), _Learner(), limits=limits) as tools:
        for tool in TOOLS:
            tools.add(tool, _reader(tool, settings.tool_s))
        return [await _task(tools, question, settings, ahead) for question in questions(settings, order)]


def _reader(tool: str, seconds: float) -> Any:
    async def read(record_id: str) -> dict[str, str]:
        await asyncio.sleep(seconds)
        return record(tool, record_id)

    return read


async def _task(tools: SpeculativeTools, question: str, settings: ToolsSettings, ahead: bool) -> _Task:
    """One task; without speculation the agent calls its tools directly."""
    begin, before = asyncio.get_running_loop().time(), tools.statistics
    messages: list[dict[str, Any]] = [{"role": "user", "content": question}]
    steps: list[tuple[str, str, str]] = []
    async with tools.run(question):
        while True:
            await asyncio.sleep(settings.model_s)
            chosen = records_model(ChatRequest(messages=messages))
            if not chosen.tool_calls:
                break
            (wanted,) = chosen.tool_calls
            arguments: Mapping[str, Any] = json.loads(wanted.arguments)
            call = tools.call(wanted.name, arguments) if ahead else _reader(wanted.name, settings.tool_s)(**arguments)
            result = json.dumps(await call)
            messages.append({"role": "tool", "content": result})
            steps.append((wanted.name, wanted.arguments, result))
    now, seconds = tools.statistics, asyncio.get_running_loop().time() - begin
    counts = {name: getattr(now, name) - getattr(before, name) for name in ("calls", "hits", "started")}
    return _Task(chosen.text, steps, seconds, **counts)


class _Learner:
    """``PatternGuesser`` on the event loop, whose clock its guesses are charged to."""

    def __init__(self) -> None:
        self._inner = PatternGuesser()

    async def guess(self, call: Call, k: int, cancel: CancelToken) -> Sequence[Guess]:
        """The inner guesses."""
        await asyncio.sleep(_GUESS_S)
        guesses: Sequence[Guess] = as_guess(self._inner.guess)(call, k, cancel)
        return guesses

    def observe(self, call: Call, response: Any) -> None:
        """Learn."""
        self._inner.observe(call, response)


def figures(rows: Rows) -> list[Figure]:
    """The figures of this part."""
    names = {"saved": "time saved", "hit_rate": "calls guessed in time"}
    groups = [(order, tool_s) for order in rows.tags("order") for tool_s in rows.tags("tool_s")]
    shown = [
        series(
            title,
            [rows.where(order=order, tool_s=tool_s).point(f"{order}, {tool_s:g} s", name) for order, tool_s in groups],
            "bars",
        )
        for name, title in names.items()
    ]
    about = (
        "An agent with five tools (of 0.3 s or 1 s a call) and a model of 1 s, after ten tasks of learning. By the "
        "book, one record leads to the next; at random, tools and ids cannot be predicted, and nothing is saved."
    )
    return figure(
        "Tools: time saved",
        about,
        ("order of the calls, seconds of a tool", "share"),
        shown,
        command="spec-envs bench tools",
        categories=True,
    )
