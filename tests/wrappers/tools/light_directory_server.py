"""The reading tools of ``directory_server`` without the SDK of MCP: with ``-S`` it starts in a moment."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

#: The argument of each tool.
TOOLS = {"find_person": "name", "get_city": "person_id"}


def listed(name: str, argument: str) -> dict[str, Any]:
    schema = {"type": "object", "properties": {argument: {"type": "string"}}, "required": [argument]}
    return {"name": name, "inputSchema": schema, "annotations": {"readOnlyHint": True}}


def called(name: str, given: dict[str, str]) -> dict[str, Any]:
    time.sleep(0.02)
    value = given[TOOLS[name]]
    found = {"person_id": f"p-{value[::-1]}"} if name == "find_person" else {"city": f"city of {value}"}
    return {"content": [{"type": "text", "text": json.dumps(found)}], "structuredContent": found}


def answer(method: str, params: dict[str, Any]) -> dict[str, Any]:
    if method == "initialize":
        about = {"capabilities": {"tools": {}}, "serverInfo": {"name": "directory", "version": "1"}}
        return {"result": {"protocolVersion": params["protocolVersion"], **about}}
    if method == "tools/list":
        return {"result": {"tools": [listed(*each) for each in TOOLS.items()]}}
    if method == "tools/call":
        return {"result": called(params["name"], params["arguments"])}
    return {"error": {"code": -32601, "message": f"there is no {method}"}}


if __name__ == "__main__":
    for line in sys.stdin:
        message = json.loads(line)
        if "id" in message:
            outcome = answer(message["method"], message.get("params") or {})
            print(json.dumps({"jsonrpc": "2.0", "id": message["id"], **outcome}), flush=True)  # noqa: T201
