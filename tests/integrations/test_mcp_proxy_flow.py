"""``spec-envs mcp-proxy`` between sides that do not read: it keeps little, and nothing is lost or out of order."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path

import psutil

from tests.integrations.test_mcp_proxy_bytes import proxy, run

MEGABYTE = 2**20
#: Pipes, and what the proxy keeps.
MOST_ON_THE_WAY = 8 * MEGABYTE
AMOUNT = 64 * MEGABYTE
#: Sends notices, and notes in a file how many bytes it has sent.
TALKATIVE = f"""
import sys
open(sys.argv[1] + ".begun", "w")
for number in range({AMOUNT} // 65536):
    line = '{{"jsonrpc":"2.0","method":"n","params":{{"number":%d,"fill":"%s"}}}}\\n' % (number, "x" * 65536)
    sys.stdout.write(line)
    sys.stdout.flush()
    open(sys.argv[1], "w").write(str(number * 65536))
sys.stdin.read()
"""
#: Reads only once there is the file, and then answers each request.
DEAF = """
import json, os, sys, time
open(sys.argv[1] + ".begun", "w")
while not os.path.exists(sys.argv[1]):
    time.sleep(0.01)
for line in sys.stdin:
    message = json.loads(line)
    print(json.dumps({"id": message["id"], "result": len(message["params"]["fill"])}), flush=True)
"""

#: Answers each call with five megabytes.
GENEROUS = """
import json, sys
open(sys.argv[1] + ".begun", "w")
for line in sys.stdin:
    result = {"content": [{"type": "text", "text": "x" * 5_000_000}]}
    print(json.dumps({"id": json.loads(line)["id"], "result": result}), flush=True)
"""


async def standstill(amount: Callable[[], float]) -> float:
    """The amount, once it is not nothing and does not change for a moment."""
    before = 0.0
    while (now := amount()) == 0 or now != before:
        before = now
        await asyncio.sleep(0.3)
    return now


async def started(folder: Path, code: str, *options: str) -> asyncio.subprocess.Process:
    """A proxy whose server has begun."""
    command = proxy(folder, *options, command=(sys.executable, "-S", "-c", code, str(folder / "file")))
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, limit=16 * MEGABYTE)
    while not (folder / "file.begun").exists():  # noqa: ASYNC110  (another process makes the file)
        await asyncio.sleep(0.01)
    return process


def test_a_client_that_does_not_read_stops_the_server(tmp_path: Path) -> None:
    def sent() -> int:
        file = tmp_path / "file"
        return int(file.read_text() or 0) if file.exists() else 0

    async def main() -> None:
        process = await started(tmp_path, TALKATIVE)
        assert process.stdin is not None and process.stdout is not None
        process.stdout._transport.pause_reading()  # type: ignore[attr-defined]
        assert await standstill(sent) < MOST_ON_THE_WAY
        process.stdout._transport.resume_reading()  # type: ignore[attr-defined]
        for number in range(AMOUNT // 65536):
            assert json.loads(await process.stdout.readline())["params"]["number"] == number
        process.stdin.close()
        assert await process.wait() == 0

    run(main)


def test_a_server_that_does_not_read_stops_the_client(tmp_path: Path) -> None:
    line = b'{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"t","fill":"' + b"y" * 65536 + b'"}}\n'
    count = AMOUNT // 65536

    async def main() -> None:
        process = await started(tmp_path, DEAF)
        assert process.stdin is not None and process.stdout is not None
        for number in range(count):
            process.stdin.write(line % number)
        size: Callable[[], int] = process.stdin.transport.get_write_buffer_size
        assert await standstill(size) > AMOUNT - MOST_ON_THE_WAY
        (tmp_path / "file").touch()
        for number in range(count):
            assert json.loads(await process.stdout.readline()) == {"id": number, "result": 65536}
        process.stdin.close()
        assert await process.wait() == 0

    run(main)


def test_two_sides_that_both_write_before_they_read_are_not_stuck(tmp_path: Path) -> None:
    async def main() -> None:
        process = await started(tmp_path, TALKATIVE.replace(str(AMOUNT), str(AMOUNT // 4)))
        assert process.stdin is not None and process.stdout is not None
        process.stdout._transport.pause_reading()  # type: ignore[attr-defined]
        notice = b'{"jsonrpc":"2.0","method":"n","params":"' + b"z" * 65536 + b'"}\n'
        for _ in range(AMOUNT // 4 // 65536):
            process.stdin.write(notice)
            await process.stdin.drain()
        process.stdout._transport.resume_reading()  # type: ignore[attr-defined]
        for number in range(AMOUNT // 4 // 65536):
            assert json.loads(await process.stdout.readline())["params"]["number"] == number
        process.stdin.close()
        assert await process.wait() == 0

    run(main)


def test_a_client_that_is_gone_is_noticed_while_the_server_does_not_read(tmp_path: Path) -> None:
    async def main() -> None:
        process = await started(tmp_path, DEAF)
        assert process.stdin is not None and process.stdout is not None
        line = b'{"jsonrpc":"2.0","method":"n","params":{"fill":"' + b"y" * 65536 + b'"}}\n'
        for _ in range(AMOUNT // 65536):
            process.stdin.write(line)
        await standstill(process.stdin.transport.get_write_buffer_size)
        servers = psutil.Process(process.pid).children()
        process.stdin.transport.abort()
        process.stdout._transport.close()  # type: ignore[attr-defined]
        assert await process.wait() == 0
        assert servers and not any(each.is_running() for each in servers)

    run(main)


def test_of_long_results_not_all_are_kept(tmp_path: Path) -> None:
    (tmp_path / "rules.toml").write_text('[tools.t]\neffect = "read"\n')

    async def main() -> None:
        process = await started(tmp_path, GENEROUS, "--config", str(tmp_path / "rules.toml"))
        assert process.stdin is not None and process.stdout is not None
        for number in range(60):
            call = {"id": number, "method": "tools/call", "params": {"name": "t", "arguments": {"n": number}}}
            process.stdin.write(json.dumps(call).encode() + b"\n")
            assert len(await process.stdout.readline()) > 5_000_000
        assert psutil.Process(process.pid).memory_info().rss < 60 * 5_000_000
        process.stdin.close()
        assert await process.wait() == 0

    run(main)
