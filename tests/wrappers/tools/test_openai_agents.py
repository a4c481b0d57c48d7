"""Function tools and MCP servers of the OpenAI Agents SDK, with a served model."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from agents.mcp import MCPServerStdio
from openai import AsyncOpenAI

from agents import Agent, OpenAIChatCompletionsModel, RunConfig, RunContextWrapper, Runner, function_tool
from spec_envs import Effect
from spec_envs.agents import ChatGuesser, NGramGuesser
from spec_envs.agents.llm import ChatModel
from spec_envs.benchmarks.serving import ModelServer
from spec_envs.errors import InvalidConfiguration
from spec_envs.wrappers import SpeculativeTools
from spec_envs.wrappers.tools import ToolLimits
from spec_envs.wrappers.tools.openai_agents import speculative_server, speculative_tool
from tests.wrappers.tools.models import lookup_model

#: Without the SDK of MCP, which takes a second to import, and an agent sees no difference; ``test_mcp`` has it.
PROGRAM: Any = {"command": sys.executable, "args": ["-S", str(Path(__file__).with_name("light_directory_server.py"))]}
LIMITS = ToolLimits(min_latency_s=0.0)
QUIET = RunConfig(tracing_disabled=True)


@contextlib.asynccontextmanager
async def a_model():
    with ModelServer(lookup_model) as server:
        async with AsyncOpenAI(base_url=server.base_url, api_key="none") as client:
            yield OpenAIChatCompletionsModel(model="model", openai_client=client)


def a_server() -> MCPServerStdio:
    return MCPServerStdio(PROGRAM, name="people")


async def answers(agent: Agent, tools: SpeculativeTools | None, times: int = 1) -> list[str]:
    said = []
    for _ in range(times):
        question = "Where does ann live?"
        async with contextlib.AsyncExitStack() as stack:
            if tools is not None:
                await stack.enter_async_context(tools.run(question, context="the context"))
                await tools.settle()  # the model takes its time
            result = await Runner.run(agent, question, context="the context", run_config=QUIET)
            said.append(result.final_output)
        if tools is not None:
            await tools.settle()
    return said


@pytest.mark.parametrize("trusted", [False, True], ids=["declared", "trusted"])
def test_mcp_server(trusted):
    rules = {} if trusted else {"find_person": Effect.READ, "people:get_city": Effect.READ}

    async def main():
        async with a_model() as model, a_server() as plain:
            expected = await answers(Agent("a", model=model, mcp_servers=[plain]), None)
            async with SpeculativeTools(rules, NGramGuesser(), limits=LIMITS) as tools:
                async with speculative_server(tools, a_server(), trust_annotations=trusted) as server:
                    said = await answers(Agent("a", model=model, mcp_servers=[server]), tools, times=3)
                    assert tools.statistics.hits >= 3
                    assert {entry.tool for entry in tools.audit} == {"people:find_person", "people:get_city"}
                    await tools.close()
        assert said == expected * 3

    asyncio.run(main())


def test_a_chat_model_foresees_the_calls_of_another():
    @function_tool
    def find_person(name: str) -> str:
        """The id of a person."""
        return json.dumps({"person_id": f"p-{name}"})

    @function_tool
    def get_city(person_id: str) -> str:
        """Where a person lives."""
        return json.dumps({"city": f"city of {person_id}"})

    async def main():
        rules = {"find_person": Effect.READ, "get_city": Effect.READ}
        with ModelServer("tools") as server, ChatModel("tools", base_url=server.base_url) as small:
            guesser = ChatGuesser(small, "tools")
            async with (
                AsyncOpenAI(base_url=server.base_url, api_key="none") as client,
                SpeculativeTools(rules, guesser, limits=LIMITS) as tools,
            ):
                model = OpenAIChatCompletionsModel("tools", client)
                functions = [speculative_tool(tools, each) for each in (find_person, get_city)]
                agent = Agent("a", model=model, tools=functions)
                async with tools.run("Where is ann?"):
                    await tools.settle()
                    assert [entry.tool for entry in tools.audit] == ["find_person", "get_city"]
                    result = await Runner.run(agent, "Where is ann?", run_config=QUIET)
            assert json.loads(result.final_output) == {"city": "city of p-ann"}
            assert tools.statistics.hits == tools.statistics.started == 2  # in the first run: it had not to learn
            assert tools.statistics.failed_guesses == 0 and tools.statistics.guessing.tokens_out > 0

    asyncio.run(main())


def test_calls_of_servers_that_need_an_approval_are_never_made_ahead():
    async def main():
        rules = {"find_person": Effect.READ, "get_city": Effect.READ}
        approval: Any = {"always": {"tool_names": ["get_city"]}}
        server = MCPServerStdio(PROGRAM, name="people", require_approval=approval)
        async with SpeculativeTools(rules, NGramGuesser(), limits=LIMITS) as tools:
            async with speculative_server(tools, server) as wrapped:
                await wrapped.call_tool("get_city", {"person_id": "p"})
                for _ in range(3):
                    await wrapped.list_tools()
                    async with tools.run("Where?"):
                        await tools.settle()
                        await wrapped.call_tool("find_person", {"name": "ann"})
                        await wrapped.call_tool("get_city", {"person_id": "p"})
                    await tools.settle()
                assert {entry.tool for entry in tools.audit} == {"people:find_person"}
                await tools.close()

    asyncio.run(main())


def test_two_servers_of_one_name_are_refused_and_one_after_the_other_are_not():
    async def main():
        async with SpeculativeTools({}, NGramGuesser(), limits=LIMITS) as tools:
            for _ in range(2):
                async with speculative_server(tools, a_server()) as one:
                    await one.list_tools()
                    async with speculative_server(tools, a_server()) as other:
                        with pytest.raises(InvalidConfiguration, match="has the name 'people:find_person' already"):
                            await other.list_tools()

    asyncio.run(main())


def test_a_connected_server_is_refused():
    async def main():
        async with SpeculativeTools({}, NGramGuesser()) as tools, a_server() as server:
            with pytest.raises(InvalidConfiguration, match="before connect"):
                speculative_server(tools, server)

    asyncio.run(main())


def test_function_tools():
    contexts = []

    @function_tool
    async def find_person(context: RunContextWrapper[str], name: str) -> str:
        """The id of a person."""
        contexts.append(context.context)
        return json.dumps({"person_id": f"p-{name}"})

    @function_tool
    def get_city(person_id: str) -> str:
        """Where a person lives."""
        return json.dumps({"city": f"city of {person_id}"})

    async def main():
        functions = [find_person, get_city]
        async with a_model() as model:
            expected = await answers(Agent("a", model=model, tools=functions), None)
            rules = {"find_person": Effect.READ, "get_city": Effect.READ}
            async with SpeculativeTools(rules, NGramGuesser(), limits=LIMITS) as tools:
                wrapped = [speculative_tool(tools, each) for each in functions]
                said = await answers(Agent("a", model=model, tools=wrapped), tools, times=3)
            assert tools.statistics.hits == 4 and tools.statistics.wasted == 0
        assert said == expected * 3 == ["ann lives in city of p-ann."] * 3
        assert contexts == ["the context"] * 4

    asyncio.run(main())


def test_failures_of_function_tools_made_ahead_are_made_again_and_told_as_ever():
    calls = []

    @function_tool
    def find_person(name: str) -> str:
        """Fails the first two times."""
        calls.append(name)
        if len(calls) < 3:
            raise RuntimeError("busy")
        return json.dumps({"person_id": "p"})

    async def main():
        from agents.tool_context import ToolContext

        arguments = json.dumps({"name": "ann"})
        context = ToolContext(None, tool_name="find_person", tool_call_id="1", tool_arguments=arguments)
        expected = await find_person.on_invoke_tool(context, arguments)
        guesser = NGramGuesser()
        async with SpeculativeTools({"find_person": Effect.READ}, guesser, limits=LIMITS) as tools:
            wrapped = speculative_tool(tools, find_person)
            async with tools.run():
                assert await wrapped.on_invoke_tool(context, arguments) == expected
                assert json.loads(await wrapped.on_invoke_tool(context, arguments)) == {"person_id": "p"}
            await tools.settle()
            del calls[1:]
            async with tools.run():
                await tools.settle()
                assert len(calls) == 2  # one ahead of time, which failed
                assert json.loads(await wrapped.on_invoke_tool(context, arguments)) == {"person_id": "p"}
            assert tools.statistics.failed == 1
            assert "An error" in await wrapped.on_invoke_tool(context, "[]")

    asyncio.run(main())


@pytest.mark.parametrize(
    "options", [{"needs_approval": True}, {"is_enabled": lambda context, agent: True}], ids=["approval", "enabled"]
)
def test_tools_on_whose_calls_somebody_else_decides_are_never_called_ahead(options):
    @function_tool(**options)
    def find_person(name: str) -> str:
        """The id of a person."""
        return "{}"

    async def main():
        guesser = NGramGuesser()
        async with SpeculativeTools({"find_person": Effect.READ}, guesser, limits=LIMITS) as tools:
            speculative_tool(tools, find_person)
            for _ in range(2):
                async with tools.run():
                    await tools.call("find_person", {"name": "ann"}, lambda: asyncio.sleep(0, "p"))
                await tools.settle()
            assert tools.statistics.started == 0

    asyncio.run(main())
