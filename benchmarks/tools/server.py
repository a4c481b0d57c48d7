"""The MCP server of ``spec-envs bench tools``, on standard input and output: five slow tools that read a record.

Every record holds the id of the next one: a ticket leads to its customer, the customer to an account, and so on.
"""

import asyncio
import hashlib
import sys
from collections.abc import Awaitable, Callable

#: The arguments of Python that run this file as a program. As a module it would import the whole package first.
PROGRAM = ("-P", __file__)
#: The tools, each with the kind of record whose id its own record holds.
TOOLS = {
    "get_ticket": "customer",
    "get_customer": "account",
    "get_account": "plan",
    "get_plan": "region",
    "get_region": "office",
}


def record(tool: str, record_id: str) -> dict[str, str]:
    """The record that ``tool`` returns for ``record_id``."""
    digest = hashlib.sha256(f"{tool} {record_id}".encode()).hexdigest()
    return {"id": record_id, "name": f"N{digest[:6]}", f"{TOOLS[tool]}_id": f"{TOOLS[tool][0].upper()}-{digest[6:14]}"}


def main(delay_s: float) -> None:
    """Serve until standard input ends; every call takes ``delay_s`` seconds."""
    from mcp.server.mcpserver import MCPServer

    server = MCPServer("records")

    def reader(tool: str) -> Callable[[str], Awaitable[dict[str, str]]]:
        async def read(record_id: str) -> dict[str, str]:
            await asyncio.sleep(delay_s)
            return record(tool, record_id)

        return read

    for tool in TOOLS:
        server.add_tool(reader(tool), name=tool, description=f"Read a record, with the id of its {TOOLS[tool]}.")
    server.run("stdio")


if __name__ == "__main__":
    main(float(sys.argv[1]))
