"""A client of ``spec-envs mcp-proxy`` gives up calls: some that the server runs, some that wait for equal ones."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from spec_envs import Effect
from spec_envs.integrations.mcp_proxy.config import ProxyConfig, ServerConfig
from spec_envs.integrations.mcp_proxy.memory import Memory
from spec_envs.integrations.mcp_proxy.session import Session
from spec_envs.wrappers.tools import ToolLimits, ToolRule
from tests.integrations.test_mcp_proxy_bytes import Wire, run

#: Answers each call with its argument, but holds those back whose argument is "slow" until it is told to let go. Tells
#: in a notification of each call and of each that was given up.
SERVER = r"""
import json, sys
def result(text):
    return {"content": [{"type": "text", "text": text}], "structuredContent": {"id": text}}
def say(**message):
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()
held = {}
for line in sys.stdin:
    message = json.loads(line)
    method, params = message.get("method"), message.get("params", {})
    if method == "notifications/cancelled":
        say(method="told", params={"given up": params["requestId"]})
        if params["requestId"] in held:
            del held[params["requestId"]]
            say(id=params["requestId"], error={"code": 0, "message": "given up"})
    elif method == "let go":
        for number, text in held.items():
            say(id=number, result=result(text))
        held.clear()
    elif method == "tools/list":
        schema = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
        tools = [{"name": name, "inputSchema": schema} for name in ("first", "second")]
        say(id=message["id"], result={"tools": tools})
    elif method == "tools/call":
        name, text = params["name"], params["arguments"].get("text", "nothing")
        say(method="told", params={"called": name, "text": text})
        if name == "second" and text.startswith("slow"):
            held[message["id"]] = text
            say(id="roots", method="roots/list")  # as servers may ask at any time
        else:
            say(id=message["id"], result=result(text))
"""


class Talk:
    """A client, and what it has got."""

    def __init__(self, wire: Wire, receive: Callable[[Any, None], None]) -> None:
        self.wire, self.receive = wire, receive

    def call(self, number: int, name: str, text: str) -> None:
        params = {"name": name, "arguments": {"text": text}}
        self.receive({"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}, None)

    def tell(self, method: str, **params: Any) -> None:
        self.receive({"jsonrpc": "2.0", "method": method, "params": params}, None)

    async def until(self, found: Callable[[Any], bool]) -> None:
        while not any(found(message) for message in self.wire.sent):
            await self.wire.heard(len(self.wire.sent) + 1)

    async def answer(self, number: int | str) -> Any:
        await self.until(lambda message: message.get("id") == number)
        [answer] = [message for message in self.wire.sent if message.get("id") == number]
        return answer

    def told(self, **params: Any) -> int:
        return sum(message.get("params") == params for message in self.wire.sent)


@asynccontextmanager
async def talking(folder: Path) -> AsyncIterator[Talk]:
    config = ProxyConfig(
        servers=[ServerConfig(name="one", command=[sys.executable, "-S", "-c", SERVER])],
        rules={"first": ToolRule(effect=Effect.READ), "second": ToolRule(effect=Effect.READ)},
        limits=ToolLimits(min_latency_s=0.0),
        state=folder,
    )
    wire, memory = Wire(), Memory(config)
    session = asyncio.create_task(Session(config, wire, memory).run())
    try:
        yield Talk(wire, await wire.receive)
        await wire.close()
        await session
    finally:
        await asyncio.to_thread(memory.close)


def talk(folder: Path, main: Callable[[Talk], Awaitable[None]]) -> None:
    async def within() -> None:
        async with talking(folder) as client:
            client.receive({"jsonrpc": "2.0", "id": "list", "method": "tools/list", "params": {}}, None)
            await client.answer("list")
            await main(client)

    run(within)


def test_a_call_that_the_server_runs_is_given_up(tmp_path: Path) -> None:
    async def main(client: Talk) -> None:
        client.call(1, "second", "slow")
        await client.until(lambda message: message.get("params") == {"called": "second", "text": "slow"})
        client.tell("notifications/cancelled", requestId=1)
        # As some servers do, this one answers all the same, and the client gets the answer as it would from the server.
        assert (await client.answer(1))["error"] == {"code": 0, "message": "given up"}
        assert client.told(**{"given up": 1}) == 1
        client.call(2, "second", "slow")  # nothing is left of the first one
        await client.until(lambda _: client.told(called="second", text="slow") == 2)
        client.tell("let go")
        assert (await client.answer(2))["result"]["content"][0]["text"] == "slow"

    talk(tmp_path, main)


def test_a_call_that_is_under_way_already_is_given_up(tmp_path: Path) -> None:
    async def teach(client: Talk) -> None:
        for number in range(16):
            client.call(number, ("first", "second")[number % 2], f"item-{number // 2}")
            await client.answer(number)

    async def main(client: Talk) -> None:
        client.call(100, "first", "slow-99")
        await client.until(lambda _: client.told(called="second", text="slow-99") == 1)  # made ahead of time
        await client.until(lambda message: message.get("method") == "roots/list")
        client.call(101, "second", "slow-99")
        for _ in range(20):
            await asyncio.sleep(0)  # the call waits for the one that is under way
        client.tell("notifications/cancelled", requestId=101)
        client.call(102, "second", "slow-99")
        client.call(103, "second", "quick")
        assert (await client.answer(103))["result"]["content"][0]["text"] == "quick"
        answered = asyncio.create_task(client.answer(102))
        while not answered.done():
            client.tell("let go")  # also a call that is made anew
            await asyncio.sleep(0.01)
        answer = await answered
        assert answer["result"]["content"][0]["text"] == "slow-99"
        assert not [message for message in client.wire.sent if message.get("id") == 101 and "result" in message]

    talk(tmp_path, teach)  # what was learned is there for certain once the proxy has ended
    talk(tmp_path, main)
