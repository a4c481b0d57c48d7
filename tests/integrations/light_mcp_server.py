"""The tools of ``mcp_server`` without the SDK, for tests that do not need it: with ``-S`` it starts in a moment."""

from __future__ import annotations

import itertools
import json
import os
import sys
from typing import Any

TOOLS = {
    "read_ticket": ["ticket"],
    "read_customer": ["customer"],
    "clock": [],
    "write_note": ["customer", "note"],
    "ask_client": ["question"],
    "die": [],
}
WRITES = ("write_note", "die")
ticks = itertools.count()
cells: dict[str, str] = {}


def log(*words: str) -> None:
    with open(os.environ["LOG"], "a", encoding="utf-8") as file:
        file.write(" ".join(words) + "\n")


def listed() -> list[dict[str, Any]]:
    def schema(names: list[str]) -> dict[str, Any]:
        return {"type": "object", "properties": {name: {"type": "string"} for name in names}, "required": names}

    hints = {name: {} if name in WRITES else {"annotations": {"readOnlyHint": True}} for name in TOOLS}
    return [{"name": name, "inputSchema": schema(names), **hints[name]} for name, names in TOOLS.items()]


def called(name: str, given: dict[str, str]) -> dict[str, Any]:
    if TOOLS[name] != list(given):
        return {"content": [{"type": "text", "text": "an argument is missing"}], "isError": True}
    log(name, *given.values())
    match name, *given.values():
        case "read_ticket", ticket:
            found: Any = {"ticket": ticket, "customer": f"C-{ticket}"}
        case "read_customer", customer:
            found = {"customer": customer, "name": f"name of {customer}", "note": cells.get(customer, "")}
        case "write_note", customer, note:
            cells[customer] = note
            found = {"result": "written"}
        case ("die",):
            sys.exit(3)
        case _:
            found = {"result": next(ticks)}
    return {"content": [{"type": "text", "text": json.dumps(found)}], "structuredContent": found}


def answer(method: str, params: dict[str, Any]) -> dict[str, Any]:
    if method == "initialize":
        about = {"capabilities": {"tools": {}}, "serverInfo": {"name": "records", "version": "1"}}
        return {"result": {"protocolVersion": params["protocolVersion"], **about}}
    if method == "tools/list":
        return {"result": {"tools": listed()}}
    if method == "tools/call":
        return {"result": called(params["name"], params.get("arguments") or {})}
    return {"error": {"code": -32601, "message": f"there is no {method}"}}


if __name__ == "__main__":
    for line in sys.stdin:
        message = json.loads(line)
        if "id" in message:
            outcome = answer(message["method"], message.get("params") or {})
            print(json.dumps({"jsonrpc": "2.0", "id": message["id"], **outcome}), flush=True)  # noqa: T201
