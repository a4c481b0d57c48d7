"""``spec-envs mcp-proxy`` before servers that do what they should not: the client gets what it would get without it."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mcp", reason="needs the extra mcp")

from tests.integrations.odd_mcp_server import LISTS, RESULTS
from tests.integrations.test_mcp_proxy import PATIENCE_S, ROOT, SERVER, Bench, run

ODD_SERVER = Path(__file__).parent / "odd_mcp_server.py"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    (tmp_path / "calls.log").touch()
    bench = Bench(tmp_path)
    (tmp_path / "rules.toml").write_text("trust_annotations = true\n[limits]\nmin_latency_s = 0\n")
    return bench


class Peer:
    """A client that reads and writes lines, and believes nothing."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._number = 0
        self.others: list[Any] = []  # what answered none of its requests

    @classmethod
    async def of(cls, command: Sequence[str], log: Path) -> Peer:
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *command, cwd=ROOT, env={"LOG": str(log)}, stdin=pipe, stdout=pipe, stderr=None
        )
        peer = cls(process)
        about = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
        await peer.ask("initialize", about)
        return peer

    def send(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")

    async def ask(self, method: str, params: Any) -> Any:
        """The answer without its id."""
        self._number += 1
        self.send(json.dumps({"jsonrpc": "2.0", "id": self._number, "method": method, "params": params}))
        return await self.answer(self._number)

    async def answer(self, number: int) -> Any:
        assert self._process.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            while True:
                line = await self._process.stdout.readline()
                assert line, "the other side has ended"
                message = json.loads(line)
                if message.get("id") == number and "method" not in message:
                    return {name: value for name, value in message.items() if name != "id"}
                self.others.append(message)

    async def call(self, tool: str, **arguments: Any) -> Any:
        return await self.ask("tools/call", {"name": tool, "arguments": arguments})

    async def end(self) -> int:
        assert self._process.stdin is not None
        self._process.stdin.close()
        async with asyncio.timeout(PATIENCE_S):
            return await self._process.wait()


@pytest.mark.parametrize("odd", [*LISTS, *RESULTS, "odd messages"])
def test_odd_lists_messages_and_results_go_through_and_hinder_nothing(bench, odd, capfd):
    async def play(command: Sequence[str]) -> tuple[list[Any], list[Any]]:
        peer = await Peer.of(command, bench.log)
        seen = [await peer.ask("tools/list", {})]
        for number in range(4):
            seen.append(await peer.call("read", a=number))
            seen.append(await peer.call("next", a=number))
            await asyncio.sleep(0.1)  # thinks
        assert await peer.end() == 0
        return seen, peer.others

    async def main() -> None:
        server = [sys.executable, "-S", str(ODD_SERVER), odd]
        plain, others = await play(server)
        proxied, more = await play(bench.command(server=server))
        assert plain == proxied
        assert all(message in more for message in others if not str(message.get("id")).startswith("spec-envs/"))

    run(main)
    assert "calls ahead of time failed" not in capfd.readouterr().err


class Bomb:
    """What kills the server with the request that follows a call of ``lay``."""

    def __init__(self, bench: Bench) -> None:
        self._file = Path(f"{bench.log}.bomb")

    def arm(self) -> None:
        self._file.touch()

    @property
    def is_armed(self) -> bool:
        return self._file.exists()


@pytest.mark.parametrize("is_given_up", [False, True])
def test_a_server_that_dies_of_a_call_ahead_of_time_costs_the_client_no_answer(bench, is_given_up):
    """The client's own read, which was under way, is made anew; and the tool is not called ahead any more."""
    server, bomb = [sys.executable, "-S", str(ODD_SERVER), "bombs"], Bomb(bench)
    (bench.folder / "rules.toml").write_text(
        "[limits]\nmin_latency_s = 0\n[tools.lay]\neffect = 'sample'\n"
        "[tools.next]\neffect = 'sample'\nprivate = true\n"  # private: only the client itself calls it
    )

    async def main() -> None:
        peer = await Peer.of(bench.command(server=server), bench.log)
        await peer.ask("tools/list", {})
        for _ in range(4):
            await peer.call("next")
            await peer.call("lay")
        bomb.arm()
        async with asyncio.timeout(PATIENCE_S):
            while bomb.is_armed:
                if is_given_up:
                    peer.send('{"jsonrpc": "2.0", "method": "notifications/roots/list_changed"}')
                assert (await peer.call("next"))["result"]["content"][0]["text"] == "next"
                await asyncio.sleep(0.1)  # thinks
        bomb.arm()
        for tool in ("next", "read", "next", "write", "next"):
            assert (await peer.call(tool))["result"]["content"][0]["text"] == tool
            await asyncio.sleep(0.1)
        assert bomb.is_armed
        assert await peer.end() == 0

    run(main)
    assert bench.lines().count("write {}") == 1


# -- clients ---------------------------------------------------------------------------------------------------------

BAD_LINES = [
    "{",
    "nonsense",
    "[]",
    "7",
    '"x"',
    "null",
    '{"jsonrpc": "2.0"}',
    '{"jsonrpc": "2.0", "id": null, "method": "tools/call", "params": {"name": "clock"}}',
    '{"jsonrpc": "2.0", "id": [1], "method": "tools/call", "params": {"name": "clock"}}',
    '{"jsonrpc": "2.0", "id": true, "method": 7}',
    '{"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": [1]}}',
    '{"jsonrpc": "2.0", "method": "notifications/cancelled", "params": [1]}',
    '{"jsonrpc": "2.0", "method": "notifications/cancelled"}',
    '{"jsonrpc": "2.0", "id": "no-such-request", "result": {}}',
    "[" * 5000,
]
ODD_CALLS: list[Any] = [
    None,
    [],
    "clock",
    {"name": 7},
    {"name": None, "arguments": {}},
    {"name": "clock", "arguments": [1]},
    {"name": "clock", "arguments": "x"},
    {"name": "clock", "arguments": []},
    {"name": "clock", "arguments": False},
    {"name": "clock", "_meta": 7},
    {"name": "clock", "_meta": [1]},
    {"arguments": {}},
    {"name": "clock", "arguments": {"deep": [[[[[[[[1]]]]]]]]}},
    {"name": "clock", "arguments": {"number": float("inf")}},
    {"name": "clock", "arguments": {"half": "\ud800"}},
]


@pytest.mark.parametrize("several", [False, True], ids=["one server", "several"])
def test_lines_and_calls_that_make_no_sense_do_not_end_the_connection(bench, several, capfd):
    echo = [sys.executable, "-S", "-c", ECHO]
    if several:
        tables = "".join(
            f"[servers.{name}]\ncommand = {json.dumps(each)}\n" for name, each in {"one": SERVER, "echo": echo}.items()
        )
        (bench.folder / "rules.toml").write_text(tables)

    async def main() -> None:
        peer = await Peer.of(bench.command(server=() if several else echo), bench.log)
        for lines in ([], BAD_LINES):
            for line in lines:
                peer.send(line)
            for params in ODD_CALLS:
                answer = await peer.ask("tools/call", params)
                assert several or answer["result"] == params
        assert await peer.ask("no/such/method", {}) == {"jsonrpc": "2.0", "result": {}}
        assert await peer.end() == 0

    run(main)
    assert "Traceback" not in capfd.readouterr().err


#: A server that answers every request with the parameters.
ECHO = """
import json, sys
for line in sys.stdin:
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        continue
    if isinstance(message, dict) and isinstance(message.get("id"), int) and "method" in message:
        params = message.get("params")
        if message["method"] == "initialize":
            params = {"protocolVersion": params["protocolVersion"], "capabilities": {}, "serverInfo": {"name": "e"}}
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": params}), flush=True)
"""


#: A server that greets with its first argument, and answers every other request with nothing.
GREETER = """
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    if "id" in message and "method" in message:
        result = json.loads(sys.argv[1]) if message["method"] == "initialize" else {}
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}), flush=True)
"""
USUAL = {"protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": {"name": "x", "version": "1"}}


@pytest.mark.parametrize("greeting", [None, "x", {}, USUAL | {"protocolVersion": 7}, USUAL | {"serverInfo": "x"}])
def test_one_of_several_servers_that_greets_oddly_is_left_out(bench, greeting):
    tables = (
        f"[servers.{name}]\ncommand = {json.dumps([sys.executable, '-S', '-c', GREETER, json.dumps(each)])}\n"
        for name, each in {"odd": greeting, "usual": USUAL}.items()
    )
    (bench.folder / "rules.toml").write_text("".join(tables))

    async def main() -> None:
        peer = await Peer.of(bench.command(server=()), bench.log)
        assert (await peer.ask("tools/list", {}))["result"] == {"tools": []}
        assert "error" in await peer.ask("completion/complete", {"ref": 7})
        assert await peer.end() == 0

    run(main)
