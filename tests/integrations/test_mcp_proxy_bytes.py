"""``spec-envs mcp-proxy`` between a client and a server that both see every byte. Neither needs the ``mcp`` package."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from spec_envs.integrations.mcp_proxy.config import ProxyConfig, ServerConfig
from spec_envs.integrations.mcp_proxy.lines import Message, Receive
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


def proxy(folder: Path, *options: str, command: Sequence[str] = COMMAND) -> list[str]:
    begin = [sys.executable, "-m", "spec_envs.benchmarks.cli", "mcp-proxy", "--state", str(folder / "state")]
    return [*begin, *options, "--", *command]


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


#: Answers with the result that the name of the tool is, and with all other lines in the form of a result.
TELLING = r"""
import json, sys
for line in sys.stdin.buffer:
    number, result = b"0", json.dumps(line.decode("latin-1")).encode()
    try:
        message = json.loads(line)
        number = json.dumps(message["id"]).encode()
        result = message["params"]["name"].encode("latin-1")
    except Exception:
        pass
    sys.stdout.buffer.write(b'{ "result" :%s,"id": %s ,"jsonrpc":"2.0"}\r\n' % (result, number))
    sys.stdout.buffer.flush()
"""
RESULTS = {
    "numbers": "[1e400, NaN, -Infinity, -0, 1.50, 9007199254740993, 0.1000000000000000055511151231257827]",
    "a name twice": '{"content": [], "content": [1], "id": 77}',
    "half a surrogate pair": r'{"content": [{"type": "text", "text": "\ud800 \/ \u0000 \ud83d\ude00"}]}',
    "no UTF-8": '{"content": [{"type": "text", "text": "caf\xe9"}]}',
    "no JSON": '{"content": "a\ttab"}',
    "nested deeply": "[" * 5000 + "]" * 5000,
    "a long number": "9" * 5000,
    "long": '{"content": [{"type": "text", "text": "' + "x" * 3_000_000 + '"}]}',
    "kinds of content": '{"content": [{"type": "image", "data": "AA=="}, {"type": "new"}, 7], "_meta": {"a/b": [0]}}',
    "no object": '"text"',
}


def called(number: str, result: str) -> bytes:
    """A call with the answer ``result``, also where the name cannot be read as the proxy reads lines."""
    name = json.dumps(result)
    return f'{{"jsonrpc":"2.0","id":{number},"method":"tools/call","params":{{"name":{name}}}}}\n'.encode()


def test_what_json_does_not_hold_and_what_is_no_message_goes_through(tmp_path: Path) -> None:
    """Also where the answer is that of an equal call before."""
    numbers = iter(range(1, 100))
    lines = [called(str(next(numbers)), result) for _ in range(2) for result in RESULTS.values()]
    lines += [called(number, "{}") for number in ("1.0", "-1", "1e2", '"s"', r'"\ud800"', "9007199254740993", "null")]
    lines += [b'{"id":5,"method":"x","params":{"a":1,"a":2e0,"b":"\xe9"}}\n', b'{"id":6,"method":"x"}\r\n']
    lines += [b"[]\n", b"no message\n", b"17\n", b"[" * 5000 + b"]" * 5000 + b"\n"]
    lines += [b'[{"id":1,"method":"tools/call","params":{"name":"{}"}},{"id":2,"method":"ping"}]\n']
    rules = "".join(
        f'[tools.{json.dumps(result)}]\neffect = "read"\n' for result in RESULTS.values() if len(result) < 999
    )
    (tmp_path / "rules.toml").write_text(rules)

    async def answers(command: Sequence[str]) -> list[bytes]:
        async with talking_to(command) as (send, receive):
            found = []
            for line in lines:
                send(line)
                found.append(await receive())
            return found

    async def main() -> None:
        telling = (sys.executable, "-S", "-c", TELLING)
        plain = await answers(telling)
        rules = ("--config", str(tmp_path / "rules.toml"))
        for line, one, other in zip(lines, plain, await answers(proxy(tmp_path, *rules, command=telling)), strict=True):
            assert one == other, line[:100]

    run(main)


@asynccontextmanager
async def talking_to(
    command: Sequence[str],
) -> AsyncIterator[tuple[Callable[[bytes], None], Callable[[], Awaitable[bytes]]]]:
    """What sends a line to a process, and what receives one."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, limit=2**24)
    assert process.stdin is not None and process.stdout is not None
    yield process.stdin.write, process.stdout.readline
    process.stdin.close()
    assert await process.wait() == 0


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
        self.on_flow: Callable[[], None] = lambda: None
        self.backlog = 0

    def hold(self, held: bool) -> None:
        pass

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
