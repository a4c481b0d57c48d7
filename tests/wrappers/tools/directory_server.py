"""An MCP server with tools that read, and one that writes; a program of its own, for stdio."""

import asyncio
import sys

from mcp.types import ToolAnnotations

try:
    from mcp.server.mcpserver import MCPServer
except ImportError:  # mcp 1, which versions of openai-agents for openai 2 may bring
    from mcp.server.fastmcp import FastMCP as MCPServer  # type: ignore[attr-defined, import-not-found, no-redef, unused-ignore]

READ_ONLY = ToolAnnotations.model_validate({"readOnlyHint": True})


def make_server(delay_s: float = 0.0) -> MCPServer:
    server = MCPServer("directory")
    cities: dict[str, str] = {}
    calls: list[str] = []

    @server.tool(annotations=READ_ONLY)
    async def find_person(name: str) -> dict[str, str]:
        """The id of a person."""
        calls.append(f"find_person {name}")
        await asyncio.sleep(delay_s)
        if name == "nobody":
            raise ValueError("there is no such person")
        return {"person_id": f"p-{name[::-1]}"}

    @server.tool(annotations=READ_ONLY)
    async def get_city(person_id: str) -> dict[str, str]:
        """Where a person lives."""
        calls.append(f"get_city {person_id}")
        await asyncio.sleep(delay_s)
        return {"city": cities.get(person_id, f"city of {person_id}")}

    @server.tool()
    async def move(person_id: str, city: str) -> str:
        """Have a person move to another city."""
        calls.append(f"move {person_id}")
        cities[person_id] = city
        return "moved"

    @server.tool(annotations=READ_ONLY)
    async def get_calls() -> list[str]:
        """All calls so far."""
        return calls

    return server


if __name__ == "__main__":
    make_server(float(sys.argv[1])).run("stdio")
