"""An MCP server for the tests of the proxy. Every call of a tool is a line in the file that ``LOG`` names."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Any

from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.types import SamplingMessage, TextContent, ToolAnnotations

READ_ONLY = ToolAnnotations(read_only_hint=True)
LOG = Path(os.environ["LOG"])
server = MCPServer("records")
ticks = itertools.count()
cells: dict[str, str] = {}


def log(line: str) -> None:
    with LOG.open("a", encoding="utf-8") as file:
        file.write(line + "\n")


@server.tool(annotations=READ_ONLY)
def read_ticket(ticket: str) -> dict[str, str]:
    """Read a ticket: who has it."""
    log(f"read_ticket {ticket}")
    return {"ticket": ticket, "customer": f"C-{ticket}"}


@server.tool(annotations=READ_ONLY)
def read_customer(customer: str) -> dict[str, str]:
    """Read a customer."""
    log(f"read_customer {customer}")
    return {"customer": customer, "name": f"name of {customer}", "note": cells.get(customer, "")}


@server.tool(annotations=READ_ONLY)
def clock() -> int:
    """Say how often the clock was read."""
    log("clock")
    return next(ticks)


@server.tool()
def write_note(customer: str, note: str) -> str:
    """Write a note on a customer."""
    log(f"write_note {customer} {note}")
    cells[customer] = note
    return "written"


@server.tool(annotations=READ_ONLY)
async def ask_client(question: str, ctx: Context) -> str:
    """Ask the client's model, before the answer."""
    log(f"ask_client {question}")
    try:
        asked = SamplingMessage(role="user", content=TextContent(type="text", text=question))
        said: Any = await ctx.session.create_message([asked], max_tokens=5)
        return f"{question}: {said.content.text}"
    except Exception as error:
        return f"{question}: refused ({error})"


@server.tool()
def die() -> str:
    """End the server in the middle of a call."""
    log("die")
    os._exit(3)


if __name__ == "__main__":
    server.run("stdio")
