"""An agent's calls of an MCP server, made while the agent thinks. Here the server runs in this process; any will do.

Needs: pip install "spec-envs[mcp]"
"""

import asyncio

from spec_envs import Effect
from spec_envs.agents import PatternGuesser
from spec_envs.extras import needed
from spec_envs.wrappers import SpeculativeTools

with needed("this example", "mcp", script=True):
    from mcp.server.mcpserver import MCPServer

    from spec_envs.wrappers.tools.mcp import SpeculativeClient

server = MCPServer("weather")


@server.tool()
async def get_weather(city: str) -> str:
    """The weather in a city."""
    await asyncio.sleep(0.1)
    return f"Sun in {city}"


async def main() -> None:
    """Ask five questions; the guesser learns from the first ones, which saves time in the later ones."""
    tools = SpeculativeTools({"get_weather": Effect.READ}, PatternGuesser())
    async with tools, SpeculativeClient(server, tools=tools) as client:
        for city in ("Rome", "Oslo", "Lima", "Bonn", "Cork"):
            async with tools.run(f"What is the weather in {city}?"):
                await asyncio.sleep(0.3)  # stands in for a language model that thinks
                print((await client.call_tool("get_weather", {"city": city})).content)
    print(tools.statistics)
    assert tools.statistics.hits > 0


if __name__ == "__main__":
    asyncio.run(main())
