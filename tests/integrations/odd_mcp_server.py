"""A server that does what servers should not do, for ``test_mcp_proxy_odd``: its first argument says what."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

ODD_LIST: list[Any] = [
    7,
    None,
    {"name": 5},
    {"inputSchema": {}},
    {"name": "read", "inputSchema": 3, "annotations": [1]},
]
LISTS: dict[str, Any] = {
    "odd tools": {"tools": ODD_LIST},
    "a list that is a text": {"tools": "read"},
    "a list that is null": {"tools": None},
    "no result": None,
}
READ_ONLY = {"inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": True}}
ODD_MESSAGES: list[dict[str, Any]] = [
    {"method": 7},
    {"method": None, "params": 3},
    {"method": "notifications/progress", "params": [1]},
    {"method": "notifications/progress", "params": "x"},
    {"method": "notifications/tools/list_changed", "params": 4},
    {"id": "spec-envs/odd/99", "result": {}},
    {"id": [1], "result": {}},
    {"id": {"a": 1}, "error": "x"},
]
RESULTS: dict[str, Any] = {
    "a text": {"result": "text"},
    "odd parts": {"result": {"content": [1, None, {"type": "text"}, {"type": "resource", "resource": None}]}},
    "an odd structure": {"result": {"content": [], "structuredContent": [1]}},
    "an error that is a text": {"error": "bad"},
    "nothing": {},
    "both": {"result": {"content": []}, "error": None},
}


def send(message: dict[str, Any]) -> None:
    print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)  # noqa: T201


def main(odd: str, log: Path, bomb: Path) -> None:
    """Serve until standard input ends. A ``bomb`` goes off with the request that follows a call of ``lay``, once."""
    is_laid = False
    for line in sys.stdin:
        message = json.loads(line)
        method, params = message["method"], message.get("params") or {}
        if "id" not in message:
            continue
        if is_laid:
            bomb.unlink()
            os._exit(3)
        outcome: dict[str, Any] = {"error": {"code": -32601, "message": "there is no such method"}}
        if method == "initialize":
            about = {"capabilities": {"tools": {}}, "serverInfo": {"name": "odd", "version": "1"}}
            outcome = {"result": {"protocolVersion": params["protocolVersion"], **about}}
        elif method == "tools/list":
            tools = [{"name": name, **READ_ONLY} for name in ("read", "lay", "next")] + [{"name": "write"}]
            outcome = {"result": LISTS.get(odd, {"tools": tools})}
        elif method == "tools/call":
            with log.open("a", encoding="utf-8") as file:
                file.write(f"{params['name']} {json.dumps(params.get('arguments'))}\n")
            if params["name"] == "lay" and bomb.exists():
                is_laid = True
                continue
            for each in ODD_MESSAGES if odd == "odd messages" else ():
                send(each)
            outcome = RESULTS.get(odd, {"result": {"content": [{"type": "text", "text": params["name"]}]}})
        send({"id": message["id"], **outcome})


if __name__ == "__main__":
    main(sys.argv[1], Path(os.environ["LOG"]), Path(os.environ["LOG"] + ".bomb"))
