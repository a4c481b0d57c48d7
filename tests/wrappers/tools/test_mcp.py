"""``SpeculativeClient`` with real servers: over stdio, over streamable HTTP, and in process."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path

import pytest
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.server.mcpserver import MCPServer
from mcp.types import ToolAnnotations

from spec_envs import Effect, Guess
from spec_envs.agents import NGramGuesser
from spec_envs.errors import InvalidConfiguration
from spec_envs.wrappers import SpeculativeTools
from spec_envs.wrappers.tools import ToolLimits
from spec_envs.wrappers.tools.mcp import SpeculativeClient
from tests.wrappers.tools.directory_server import make_server

PROGRAM = Path(__file__).with_name("directory_server.py")
LIMITS = ToolLimits(min_latency_s=0.0)  # the tools here answer at once
READS = {"find_person": Effect.READ, "get_city": Effect.READ, "get_calls": Effect.SAMPLE}


@contextlib.asynccontextmanager
async def over_http():
    """The address of a server of streamable HTTP, in this event loop."""
    import uvicorn

    app = make_server().streamable_http_app()
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, lifespan="on", ws="none"))
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110  (it has nothing to wait for)
        await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/mcp"
    finally:
        server.should_exit = True
        await serving


@contextlib.asynccontextmanager
async def over_stdio():
    yield stdio_client(StdioServerParameters(command=sys.executable, args=[str(PROGRAM), "0.0"]))


@contextlib.asynccontextmanager
async def in_process():
    yield make_server()


SERVERS = pytest.mark.parametrize("server", [over_stdio, over_http, in_process], ids=lambda each: each.__name__)


async def work(client: Client, name: str, tools: SpeculativeTools) -> list:
    """What an agent does: finds somebody, waits for its model, asks for the city."""
    async with tools.run(f"Where does {name} live?"):
        found = await client.call_tool("find_person", {"name": name})
        await tools.settle()
        city = await client.call_tool("get_city", found.structured_content)
        return [found, city]


@SERVERS
def test_results_are_those_of_a_plain_client_and_are_read_ahead(server):
    async def main():
        async with server() as where, Client(where) as client:
            await client.list_tools()
            plain = [
                await client.call_tool("find_person", {"name": "ann"}),
                await client.call_tool("get_city", {"person_id": "p-nna"}),
            ]
        async with server() as where, SpeculativeTools(READS, NGramGuesser(), limits=LIMITS) as tools:
            async with SpeculativeClient(where, tools=tools) as client:
                await client.list_tools()
                first = await work(client, "ann", tools)
                await tools.settle()
                second = await work(client, "ann", tools)
                assert tools.statistics.hits >= 1
                assert [entry.outcome for entry in tools.audit].count("used") == tools.statistics.hits
                await tools.close()
        assert [each.content for each in first] == [each.content for each in second] == [e.content for e in plain]
        assert [each.structured_content for each in second] == [each.structured_content for each in plain]

    asyncio.run(main())


@SERVERS
def test_a_write_makes_what_was_read_stale(server):
    async def main():
        async with server() as where, SpeculativeTools(READS, NGramGuesser(), limits=LIMITS) as tools:
            async with SpeculativeClient(where, tools=tools) as client, tools.run():
                city = {"person_id": "p"}
                first = await client.call_tool("get_city", city)
                again = await client.call_tool("get_city", city)
                await client.call_tool("move", {"person_id": "p", "city": "Rome"})
                moved = await client.call_tool("get_city", city)
                calls = await client.call_tool("get_calls", {})
                await tools.close()
        assert first.structured_content == again.structured_content == {"city": "city of p"}
        assert moved.structured_content == {"city": "Rome"}
        assert calls.structured_content == {"result": ["get_city p", "move p", "get_city p"]}

    asyncio.run(main())


def test_annotations_count_only_where_the_server_is_trusted():
    async def main():
        for trusted in (False, True):
            async with SpeculativeTools({}, NGramGuesser(), limits=LIMITS) as tools:
                async with SpeculativeClient(make_server(), tools=tools, trust_annotations=trusted) as client:
                    await client.list_tools()
                    for _ in range(2):
                        await work(client, "ann", tools)
                        await tools.settle()
                    assert (tools.statistics.started > 0) is trusted
                    assert not any("move" in entry.tool for entry in tools.audit)
                    await tools.close()

    asyncio.run(main())


def test_errors_of_calls_made_ahead_are_not_seen():
    async def main():
        async with SpeculativeTools(READS, NGramGuesser(), limits=LIMITS) as tools:
            server = make_server()
            async with SpeculativeClient(server, tools=tools, name="people") as client:
                for _ in range(2):
                    async with tools.run("Who?"):
                        await tools.settle()
                        result = await client.call_tool("find_person", {"name": "nobody"})
                        assert result.is_error
                    await tools.settle()
                (entry,) = tools.audit
                assert (entry.tool, entry.outcome) == ("people:find_person", "failed")
                calls = (await client.call_tool("get_calls", {})).structured_content
                assert calls == {"result": ["find_person nobody"] * 3}  # the second time ahead and again
                await tools.close()

    asyncio.run(main())


def test_two_clients_with_a_tool_of_one_name_are_refused_and_one_after_the_other_are_not():
    async def main():
        async with SpeculativeTools(READS, NGramGuesser(), limits=LIMITS) as tools:
            for _ in range(2):
                async with SpeculativeClient(make_server(), tools=tools) as client:
                    await client.call_tool("get_calls", {})
                    async with SpeculativeClient(make_server(), tools=tools) as other:
                        with pytest.raises(InvalidConfiguration, match="has the name 'get_calls' already"):
                            await other.list_tools()
                    async with SpeculativeClient(make_server(), tools=tools, name="other") as other:
                        await other.list_tools()

    asyncio.run(main())


def test_what_is_under_way_ends_with_its_client():
    class Foresees:
        async def guess(self, call, k):
            return [Guess({"name": "get_city", "arguments": {"person_id": "p"}}, 0.9)]

    async def main():
        async with SpeculativeTools(READS, Foresees(), limits=LIMITS) as tools, tools.run():
            async with SpeculativeClient(make_server(60.0), tools=tools) as client:
                await client.list_tools()
                await client.call_tool("get_calls", {})
                await asyncio.sleep(0.05)
            await tools.settle()
            assert [(entry.outcome, entry.why) for entry in tools.audit] == [("cancelled", "removed")]

    asyncio.run(main())


def test_a_client_that_was_closed_is_not_called_ahead():
    async def main():
        async with SpeculativeTools(READS, NGramGuesser(), limits=LIMITS) as tools:
            for _ in range(3):
                async with SpeculativeClient(make_server(), tools=tools) as client:
                    await client.list_tools()
                    await work(client, "ann", tools)
                    await tools.settle()
            async with tools.run("Where does ann live?"):
                await tools.settle()
            assert tools.statistics.failed == 0 and tools.statistics.started > 0

    asyncio.run(main())


class Always:
    """Guesses that a clock is read."""

    async def guess(self, call, k):
        return [Guess({"name": "now", "arguments": {}}, 0.9)]


def test_a_clock_with_a_hint_is_read_anew_by_each_poll_and_an_unlisted_name_touches_nothing():
    server = MCPServer("clock")
    times = []

    @server.tool(annotations=ToolAnnotations(read_only_hint=True))
    async def now() -> int:
        """The time."""
        times.append(1)
        return len(times)

    async def main():
        limits = ToolLimits(min_latency_s=0.0, doubt_s=600.0)
        async with SpeculativeTools({}, Always(), limits=limits) as tools:
            async with SpeculativeClient(server, tools=tools, trust_annotations=True) as client:
                await client.list_tools()
                answers = []
                async with tools.run():
                    for number in range(4):
                        await tools.settle()
                        if number == 2:
                            assert (await client.call_tool("nwo", {})).is_error
                        answers.append((await client.call_tool("now", {})).structured_content)
                assert answers == [{"result": number} for number in range(1, 5)]
                assert tools.statistics.hits == 4
                await tools.close()

    asyncio.run(main())
