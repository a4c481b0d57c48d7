"""``spec-envs mcp-proxy`` between a client and a server that both see every byte. Neither needs the ``mcp`` package."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from spec_envs.integrations.mcp_proxy.channels import Message, Receive
from spec_envs.integrations.mcp_proxy.config import ProxyConfig, ServerConfig
from spec_envs.integrations.mcp_proxy.memory import Memory
from spec_envs.integrations.mcp_proxy.server import RpcError, Server
from spec_envs.integrations.mcp_proxy.session import Session

PATIENCE_S = 60.0
#: Its answers hold the line of the request, and are written as no encoder would write them.
SERVER = r"""
import json, sys
for line in sys.stdin.buffer:
    message = json.loads(line)
    if message.get("method") == "die":
        break
    if "id" in message:
        result = {"got": line.decode(), "fill": "x" * message.get("params", {}).get("fill", 0)}
        answer = b'{"result" :%s,  "id": %s,"more":1.50, "jsonrpc":"2.0"}'
        sys.stdout.buffer.write(answer % (json.dumps(result).encode(), json.dumps(message["id"]).encode()) + b"\n")
        sys.stdout.buffer.write(b'{"method":"notifications/message" , "params":{"n":1e2}}\n')
        sys.stdout.buffer.flush()
"""
COMMAND = (sys.executable, "-S", "-c", SERVER)
CALL = b'{"params":  {"arguments": {"n": 1.0, "n":2}, "name":"t\\u00e9"},"method":"tools/call", "id":%d }\n'
NOTICE = b'{"method":"notifications/message" , "params":{"n":1e2}}\n'


def answer_to(line: bytes, number: int, fill: int = 0) -> bytes:
    result = json.dumps({"got": line.decode(), "fill": "x" * fill}).encode()
    return b'{"result" :%s,  "id": %d,"more":1.50, "jsonrpc":"2.0"}\n' % (result, number)


def request(number: int, **params: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": number, "method": "x/y", "params": params}).encode() + b"\n"


def run(main: Callable[[], Awaitable[None]]) -> None:
    async def patient() -> None:
        async with asyncio.timeout(PATIENCE_S):
            await main()

    asyncio.run(patient())


def proxy(folder: Path) -> list[str]:
    begin = [sys.executable, "-m", "spec_envs.benchmarks.cli", "mcp-proxy", "--state", str(folder)]
    return [*begin, "--", *COMMAND]


def test_every_byte_goes_through_also_while_the_client_does_not_read(tmp_path: Path) -> None:
    async def main() -> None:
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*proxy(tmp_path), stdin=pipe, stdout=pipe, limit=2**24)
        assert process.stdin is not None and process.stdout is not None
        for number in range(2):
            call = CALL % number
            process.stdin.write(call)
            assert await process.stdout.readline() == answer_to(call, number)
            assert await process.stdout.readline() == NOTICE
        size = 3_000_000  # more than pipes and buffers take
        process.stdout._transport.pause_reading()  # type: ignore[attr-defined]
        asked = request(2, fill=size), request(3, long="y" * size)
        for line in asked:
            process.stdin.write(line)
            await process.stdin.drain()
        process.stdout._transport.resume_reading()  # type: ignore[attr-defined]
        for number, line in enumerate(asked, start=2):
            assert await process.stdout.readline() == answer_to(line, number, (size, 0)[number - 2])
            assert await process.stdout.readline() == NOTICE
        process.stdin.close()
        assert await process.wait() == 0

    run(main)


def test_where_there_is_no_client_the_proxy_ends(tmp_path: Path) -> None:
    # An event loop can wait for pipes and sockets, but not for this.
    done = subprocess.run(proxy(tmp_path), stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE_S)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


class Wire:
    """A client in this process."""

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self._heard = asyncio.Event()
        self._over = asyncio.Event()
        self.receive: asyncio.Future[Receive] = asyncio.get_running_loop().create_future()

    def send(self, message: Message, line: bytes | None = None) -> None:
        self.sent.append(message)
        self._heard.set()

    async def read(self, receive: Receive) -> None:
        self.receive.set_result(receive)
        await self._over.wait()

    async def heard(self, count: int) -> None:
        while len(self.sent) < count:
            self._heard.clear()
            await self._heard.wait()

    async def close(self) -> None:
        self._over.set()


def test_messages_that_are_not_as_they_should_be_end_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        config = ProxyConfig(servers=[ServerConfig(name="one", command=COMMAND)], state=tmp_path)
        wire = Wire()
        session = asyncio.create_task(Session(config, wire, Memory(config)).run())
        receive = await wire.receive
        odd: list[Message] = [
            {"method": "tools/call", "id": ["no", "id"], "params": {"name": "t"}},
            {"method": "tools/call", "id": 1, "params": {}},
            {"method": "tools/call", "id": 2, "params": {"name": "t", "arguments": "text", "_meta": {}}},
            {"method": "notifications/cancelled", "params": {"requestId": ["no", "id"]}},
            {"id": {"no": "id"}, "result": 1},
        ]
        for message in odd:
            receive(message, None)
        receive({"method": "tools/call", "id": 3, "params": {"name": "t"}}, None)
        await wire.heard(2 * 4 + 1)  # the server answers what has an id, the last one included, with a notice to each
        answers = [message for message in wire.sent if "result" in message]
        assert [answer["id"] for answer in answers][:4] == [["no", "id"], 1, 2, {"no": "id"}]
        session.cancel()
        await asyncio.gather(session, return_exceptions=True)

    run(main)


def test_what_is_sent_while_a_server_starts_again_keeps_its_order() -> None:
    async def main() -> None:
        got: list[Any] = []
        server = Server(
            ServerConfig(name="one", command=COMMAND), lambda message, line: None, lambda: got.append("new")
        )
        await server.start()
        try:
            try:
                await server.request({"id": 0, "method": "die", "params": {}})
            except RpcError as error:
                got.append(str(error))
            for number in range(1, 4):
                server.ask(
                    {"id": number, "method": "x", "params": {}}, None, lambda answer, _: got.append(answer["id"])
                )
            assert (await server.request({"id": 4, "method": "x", "params": {}}))["fill"] == ""
            assert got == ["the server 'one' has ended", "new", 1, 2, 3]
        finally:
            await server.close()

    run(main)
