"""An agent's calls of an MCP server made while it thinks: no key needed. The server here is in this process."""

import asyncio

from mcp.server.mcpserver import MCPServer

from spec_envs import Effect
from spec_envs.agents import PatternGuesser
from spec_envs.wrappers import SpeculativeTools
from spec_envs.wrappers.tools.mcp import SpeculativeClient

server = MCPServer("shop")


@server.tool()
async def get_order(order_id: str) -> dict[str, str]:
    """Who ordered."""
    await asyncio.sleep(0.1)
    return {"user_id": f"u-{order_id[::-1]}"}


@server.tool()
async def get_user(user_id: str) -> dict[str, str]:
    """Where somebody lives."""
    await asyncio.sleep(0.1)
    return {"city": f"city of {user_id}"}


async def main() -> None:
    """Six orders; what is learned from the first ones saves time in the later ones."""
    rules = {"get_order": Effect.READ, "get_user": Effect.READ}
    async with SpeculativeTools(rules, PatternGuesser()) as tools, SpeculativeClient(server, tools=tools) as client:
        for number in range(6):
            async with tools.run(f"Where does order W{number}7 go?"):
                await asyncio.sleep(0.3)  # stands in for a language model that thinks
                order = await client.call_tool("get_order", {"order_id": f"W{number}7"})
                await asyncio.sleep(0.3)
                print((await client.call_tool("get_user", order.structured_content)).structured_content)
        await tools.close()
        print(tools.statistics)
        assert tools.statistics.hits > 0


if __name__ == "__main__":
    asyncio.run(main())
