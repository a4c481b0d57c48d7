"""``spec-envs bench tools``: what ``SpeculativeTools`` saves an agent whose loop the OpenAI Agents SDK runs.

Four agents do the same kind of task side by side, in one run on the wall clock: two follow a procedure (a ticket leads
to its customer, that to its account, and so on), and two call the same tools in an order and with ids that nobody can
foresee. Of each two, one calls its tools plainly and one through ``SpeculativeTools``. Their models are one
``ModelServer``'s, and each has an MCP server over stdio of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import random
import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gymnasium.error import DependencyNotInstalled

from spec_envs.agents import PatternGuesser
from spec_envs.agents.llm import ChatRequest, Completion, ToolRequest
from spec_envs.benchmarks.reports import console, progress, table, versions, write_json
from spec_envs.benchmarks.serving.behaviour import Pace
from spec_envs.benchmarks.serving.server import ModelServer
from spec_envs.benchmarks.tools.server import TOOLS
from spec_envs.calls import Effect
from spec_envs.wrappers.tools import SpeculativeTools, ToolLimits, ToolStatistics
from spec_envs.wrappers.tools.openai_agents import speculative_server

if TYPE_CHECKING:
    from collections.abc import Callable

_TICKET = re.compile(r"Report on ticket (T-\w+), (by the book|at random)\.")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """What is done.

    Args:
        tasks: Tasks, one after the other.
        learning: Of them, the first ones, which are not counted.
        model_s: How long the model takes for each answer.
        tool_s: How long a tool takes.
        max_inflight: Calls made ahead of time that are in flight at once.
        seed: Of the tasks.
    """

    tasks: int = 20
    learning: int = 10
    model_s: float = 1.0
    tool_s: float = 0.3
    max_inflight: int = 4
    seed: int = 0

    def questions(self, kind: str) -> list[str]:
        """What the user says in each task."""
        rng = random.Random(f"{self.seed} {kind}")
        return [f"Report on ticket T-{rng.randbytes(4).hex()}, {kind}." for _ in range(self.tasks)]


@dataclasses.dataclass(frozen=True, slots=True)
class Run:
    """What one agent said and how long each of its tasks took; ``steps`` are its calls and their results."""

    answers: list[str]
    steps: list[Any]
    seconds: list[float]
    statistics: ToolStatistics | None


def records_model(request: ChatRequest) -> Completion:
    """Reads a record with each of the five tools, then reports the names in them."""
    question = next(_text(m["content"]) for m in request.messages if m["role"] == "user")
    match = _TICKET.search(question)
    assert match is not None, question
    results = [json.loads(_text(m["content"])) for m in request.messages if m["role"] == "tool"]
    if len(results) == len(TOOLS):
        return Completion(text=f"{match[1]}: {', '.join(result['name'] for result in results)}.")
    tools, record_id = list(TOOLS), match[1]
    if match[2] == "at random":
        rng = random.Random(question)
        rng.shuffle(tools)
        record_id = [f"X-{rng.randbytes(4).hex()}" for _ in tools][len(results)]
    elif results:
        record_id = results[-1][f"{TOOLS[tools[len(results) - 1]]}_id"]
    call = ToolRequest(tools[len(results)], json.dumps({"record_id": record_id}))
    return Completion(tool_calls=(call,), finish_reason="tool_calls")


def _text(content: Any) -> str:
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


def run(json_file: Path | None, **options: Any) -> None:
    """Measure and report.

    Raises:
        DependencyNotInstalled: One of the extras ``openai-agents`` and ``servers`` is missing.
    """
    settings = Settings(**options)
    report = asyncio.run(_measure(settings, shown=json_file is None))
    if json_file is not None:
        write_json(report, json_file)
    else:
        _print(report, settings)


async def _measure(settings: Settings, shown: bool) -> dict[str, Any]:
    kinds = {"learnable": "by the book", "shuffled": "at random"}
    done = 0
    with ModelServer(records_model, pace=Pace(first_token_s=settings.model_s)) as model:
        with progress("tasks", 4 * settings.tasks, shown) as show:

            def one_more() -> None:
                nonlocal done
                done += 1
                show(done)

            runs = await asyncio.gather(
                *(
                    _work(settings, kind, model.base_url, ahead, one_more)
                    for kind in kinds.values()
                    for ahead in (False, True)
                )
            )
    pairs = dict(zip(kinds, zip(runs[::2], runs[1::2], strict=True), strict=True))
    config = {**dataclasses.asdict(settings), "versions": versions()}
    return {"config": config} | {name: _figures(*pair, settings) for name, pair in pairs.items()}


async def _work(settings: Settings, kind: str, base_url: str, ahead: bool, done: Callable[[], None]) -> Run:
    """All tasks of one agent."""
    try:
        from agents.mcp import MCPServerStdio

        from agents import Agent, OpenAIChatCompletionsModel, RunConfig, Runner
    except ImportError as error:
        raise DependencyNotInstalled(f"{error}; install it: pip install 'spec-envs[openai-agents]'") from error
    from openai import AsyncOpenAI

    quiet = RunConfig(tracing_disabled=True)
    program = {"command": sys.executable, "args": ["-m", "spec_envs.benchmarks.tools.server", str(settings.tool_s)]}
    answers, steps, seconds = [], [], []
    async with contextlib.AsyncExitStack() as stack:
        client = await stack.enter_async_context(AsyncOpenAI(base_url=base_url, api_key="none"))
        server, tools = MCPServerStdio(program, name="records", cache_tools_list=True), None
        if ahead:
            rules = dict.fromkeys(TOOLS, Effect.READ)
            limits = ToolLimits(max_inflight=settings.max_inflight)
            tools = await stack.enter_async_context(SpeculativeTools(rules, PatternGuesser(), limits=limits))
            server = speculative_server(tools, server)
        await stack.enter_async_context(server)
        agent = Agent("clerk", model=OpenAIChatCompletionsModel("model", client), mcp_servers=[server])
        for question in settings.questions(kind):
            start = time.perf_counter()
            async with contextlib.nullcontext() if tools is None else tools.run(question):
                result = await Runner.run(agent, question, run_config=quiet)
            seconds.append(time.perf_counter() - start)
            answers.append(result.final_output)
            steps.append([_step(item) for item in result.to_input_list() if item.get("type", "message") != "message"])
            done()
        statistics = None
        if tools is not None:
            await tools.close()
            statistics = tools.statistics
    return Run(answers, steps, seconds, statistics)


def _step(item: Any) -> tuple[Any, ...]:
    return tuple(item.get(key) for key in ("type", "name", "arguments", "output"))


def _figures(plain: Run, ahead: Run, settings: Settings) -> dict[str, Any]:
    counted = slice(settings.learning, None)
    plain_s, ahead_s = sum(plain.seconds[counted]), sum(ahead.seconds[counted])
    assert ahead.statistics is not None
    figures = dataclasses.asdict(ahead.statistics) | {"hit_rate": ahead.statistics.hit_rate}
    return {
        "plain_s": plain_s,
        "speculative_s": ahead_s,
        "saved": 1 - ahead_s / plain_s,
        "same_results": plain.answers == ahead.answers and plain.steps == ahead.steps,
        "statistics": figures,
        "seconds_by_task": {"plain": plain.seconds, "speculative": ahead.seconds},
    }


def _print(report: dict[str, Any], settings: Settings) -> None:
    title = (
        f"Tasks {settings.learning + 1} to {settings.tasks} of an agent with 5 tools of {settings.tool_s:g} s "
        f"and a model of {settings.model_s:g} s"
    )
    columns = ("order of the tools", "plain", "speculative", "saved", "calls foreseen", "made in vain", "same results")
    rows = []
    for name in ("learnable", "shuffled"):
        figures, counts = report[name], report[name]["statistics"]
        rows.append(
            [
                name,
                f"{figures['plain_s']:.2f} s",
                f"{figures['speculative_s']:.2f} s",
                f"{figures['saved']:.1%}",
                f"{counts['hits']} of {counts['calls']}",
                f"{counts['started'] - counts['hits']}",
                "yes" if figures["same_results"] else "NO",
            ]
        )
    console().print(table(title, columns, rows))
