"""What ``SpeculativeTools`` saves an agent whose loop is run by the OpenAI Agents SDK.

Four agents do the same kind of task side by side on the wall clock. Two follow a procedure (a ticket leads to its
customer, the customer to an account, and so on), and two call the same tools in an order and with ids that cannot be
predicted. Of each two, one calls its tools directly and one through ``SpeculativeTools``. One ``ModelServer`` serves
the models of all, and each agent has an MCP server over stdio of its own.
"""

import asyncio
import contextlib
import dataclasses
import json
import random
import re
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from rich.console import RenderableType

from spec_envs.agents import PatternGuesser
from spec_envs.agents.llm import ChatRequest, Completion, ToolRequest
from spec_envs.benchmarks.reports import config_of, progress, table_of
from spec_envs.benchmarks.serving import ModelServer
from spec_envs.benchmarks.serving.behaviour import Pace
from spec_envs.benchmarks.tools import ToolsSettings
from spec_envs.benchmarks.tools.server import PROGRAM, TOOLS
from spec_envs.calls import Effect
from spec_envs.extras import require
from spec_envs.wrappers.tools import SpeculativeTools, ToolStatistics
from spec_envs.wrappers.tools.openai_agents import speculative_server

#: For how long a server may take to answer, its start on a busy machine included.
_PATIENCE_S = 60
_TICKET = re.compile(r"Report on ticket (T-\w+), (by the book|at random)\.")


@dataclasses.dataclass(frozen=True, slots=True)
class Run:
    """The run of one agent over all its tasks: for each the answer, the calls with their results, and the time."""

    answers: list[str]
    steps: list[Any]
    seconds: list[float]
    statistics: ToolStatistics | None


def records_model(request: ChatRequest) -> Completion:
    """A scripted model: reads a record with each of the five tools, then reports the names in the records."""
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


def questions(settings: ToolsSettings, kind: str) -> list[str]:
    """The user's message in each task."""
    rng = random.Random(f"{settings.seed} {kind}")
    return [f"Report on ticket T-{rng.randbytes(4).hex()}, {kind}." for _ in range(settings.tasks)]


def run(settings: ToolsSettings) -> dict[str, Any]:
    """The report of all agents.

    Raises:
        DependencyNotInstalled: One of the extras ``openai-agents``, ``mcp`` and ``servers`` is missing.
    """
    require("bench tools", "mcp", "openai-agents", "servers")
    return asyncio.run(_measure(settings))


async def _measure(settings: ToolsSettings) -> dict[str, Any]:
    kinds = {"learnable": "by the book", "shuffled": "at random"}
    with (
        ModelServer(records_model, pace=Pace(first_token_s=settings.model_s)) as model,
        progress("tasks", 4 * settings.tasks) as advance,
    ):
        agents = [
            _work(settings, kind, model.base_url, ahead, advance) for kind in kinds.values() for ahead in (False, True)
        ]
        runs = await asyncio.gather(*agents)
    pairs = dict(zip(kinds, zip(runs[::2], runs[1::2], strict=True), strict=True))
    return {"config": config_of(settings)} | {name: _figures(*pair, settings) for name, pair in pairs.items()}


async def _work(settings: ToolsSettings, kind: str, base_url: str, ahead: bool, done: Callable[[], None]) -> Run:
    """Run all tasks of one agent."""
    from agents.mcp import MCPServerStdio, MCPServerStdioParams
    from openai import AsyncOpenAI

    from agents import Agent, OpenAIChatCompletionsModel, RunConfig, Runner

    quiet = RunConfig(tracing_disabled=True)
    program = MCPServerStdioParams(command=sys.executable, args=[*PROGRAM, str(settings.tool_s)])
    answers, steps, seconds = [], [], []
    async with contextlib.AsyncExitStack() as stack:
        client = await stack.enter_async_context(AsyncOpenAI(base_url=base_url, api_key="none"))
        server = MCPServerStdio(
            program, client_session_timeout_seconds=_PATIENCE_S, name="records", cache_tools_list=True
        )
        tools = None
        if ahead:
            rules = dict.fromkeys(TOOLS, Effect.READ)
            made = SpeculativeTools(rules, PatternGuesser(), limits=settings.limits)
            tools = await stack.enter_async_context(made)
            server = speculative_server(tools, server)
        await stack.enter_async_context(server)
        agent = Agent("clerk", model=OpenAIChatCompletionsModel("model", client), mcp_servers=[server])
        for question in questions(settings, kind):
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


def _figures(plain: Run, ahead: Run, settings: ToolsSettings) -> dict[str, Any]:
    counted = slice(settings.learning, None)
    plain_s, ahead_s = sum(plain.seconds[counted]), sum(ahead.seconds[counted])
    assert ahead.statistics is not None
    figures = dataclasses.asdict(ahead.statistics) | {"hit_rate": ahead.statistics.hit_rate}
    return {
        "sequential_s": plain_s,
        "speculative_s": ahead_s,
        "saved": 1 - ahead_s / plain_s,
        "same_results": plain.answers == ahead.answers and plain.steps == ahead.steps,
        "statistics": figures,
        "seconds_by_task": {"plain": plain.seconds, "speculative": ahead.seconds},
    }


def show(report: dict[str, Any], settings: ToolsSettings) -> Iterator[RenderableType]:
    """The table of both kinds of agents."""
    title = (
        f"Tasks {settings.learning + 1} to {settings.tasks} of an agent with 5 tools of {settings.tool_s:g} s "
        f"and a model of {settings.model_s:g} s"
    )
    columns = {
        "order of the tools": "{order}",
        "plain": "{sequential_s:.2f} s",
        "speculative": "{speculative_s:.2f} s",
        "saved": "{saved:.1%}",
        "calls predicted": "{statistics[hits]} of {statistics[calls]}",
        "wasted calls": "{wasted}",
        "same results": "{same}",
    }
    rows = []
    for order in ("learnable", "shuffled"):
        found, counts = report[order], report[order]["statistics"]
        more = {"wasted": counts["started"] - counts["hits"], "same": "yes" if found["same_results"] else "no"}
        rows.append({"order": order, **found, **more})
    yield table_of(title, columns, rows)
