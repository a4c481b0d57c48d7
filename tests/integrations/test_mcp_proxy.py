"""``spec-envs mcp-proxy`` between a client of the ``mcp`` package and real servers."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from click.testing import CliRunner

pytest.importorskip("mcp", reason="needs the extra mcp")

import anyio
from mcp import Client, MCPError
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.types import CreateMessageResult, ListRootsResult, Root, TextContent

from spec_envs import Call, CancelToken
from spec_envs.benchmarks.cli import main as command_line
from spec_envs.conversation import Conversation, ToolCall, UserMessage
from spec_envs.errors import InvalidConfiguration
from spec_envs.integrations.mcp_proxy import read_config, server_name
from spec_envs.integrations.mcp_proxy.channels import Streams
from spec_envs.integrations.mcp_proxy.config import ProxyConfig, ServerConfig
from spec_envs.integrations.mcp_proxy.learn import proposal
from spec_envs.integrations.mcp_proxy.memory import Lesson, Memory
from spec_envs.integrations.mcp_proxy.server import RpcError, Server
from spec_envs.integrations.mcp_proxy.session import Session
from spec_envs.pages import timelines
from spec_envs.wrappers.tools import ToolStatistics
from tests import commands

ROOT = Path(__file__).parents[2]
#: The server of the SDK, and one with the same tools that starts in a tenth of the time.
SDK_SERVER = [sys.executable, "-m", "tests.integrations.mcp_server"]
SERVER = [sys.executable, "-S", str(Path(__file__).parent / "light_mcp_server.py")]
#: A call that is never made ahead of time fails the test after so long; a call that is made ends the wait at once.
PATIENCE_S = 60.0

RULES = """
[tools.read_ticket]
effect = "read"
[tools.read_customer]
effect = "read"
[tools.clock]
effect = "sample"
[tools.ask_client]
effect = "sample"
[tools.write_note]
touches = ["read_customer"]
[limits]
min_latency_s = 0
"""


class Bench:
    """The files of one test, and ways to its server."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "calls.log"
        self.log.touch()
        (folder / "rules.toml").write_text(RULES)

    def lines(self) -> list[str]:
        return self.log.read_text("utf-8").splitlines()

    async def until(self, line: str, times: int = 1) -> None:
        """Wait until the server has been called so."""
        async with asyncio.timeout(PATIENCE_S):
            while self.lines().count(line) < times:  # noqa: ASYNC110  (another process writes the lines)
                await asyncio.sleep(0.01)

    def command(self, *options: str, server: Sequence[str] = SERVER) -> list[str]:
        """The command of a proxy."""
        begin = [sys.executable, "-m", "spec_envs.benchmarks.cli", "mcp-proxy", "--state", str(self.folder / "state")]
        return [*begin, "--config", str(self.folder / "rules.toml"), *options, *(["--", *server] if server else [])]

    @asynccontextmanager
    async def client(self, command: Sequence[str], **options: Any) -> AsyncIterator[Client]:
        """A client of a server or of a proxy that runs as a process of its own."""
        start = StdioServerParameters(
            command=command[0], args=list(command[1:]), env={"LOG": str(self.log)}, cwd=str(ROOT)
        )
        async with Client(stdio_client(start), **options) as client:
            await client.list_tools()
            yield client

    @asynccontextmanager
    async def proxied(
        self, *, server: Sequence[str] = SERVER, given: Mapping[str, Any] | None = None, **options: Any
    ) -> AsyncIterator[Client]:
        """A client of a proxy that runs here, which is the quick way; ``given`` goes to the proxy's configuration."""
        found = {"state": self.folder / "state", **read_config(self.folder / "rules.toml"), **(given or {})}
        if server:
            found["servers"].append(ServerConfig(name=server_name(server), command=server))
        found["servers"] = [
            dataclasses.replace(each, env={"LOG": str(self.log)}) if each.command else each for each in found["servers"]
        ]
        async with Client(proxy_here(ProxyConfig(**found)), **options) as client:
            await client.list_tools()
            yield client

    def status(self) -> dict[str, Any]:
        done = CliRunner().invoke(
            command_line, ["mcp-proxy", "status", "--state", str(self.folder / "state"), "--json", "-"]
        )
        assert done.exit_code == 0, done.output
        [server] = json.loads(done.stdout)["servers"]
        return server


@asynccontextmanager
async def proxy_here(config: ProxyConfig) -> AsyncIterator[tuple[Any, Any]]:
    """The client's end of a proxy in this process."""
    from_client, at_proxy = anyio.create_memory_object_stream[Any](0)
    from_proxy, at_client = anyio.create_memory_object_stream[Any](0)
    memory = Memory(config)
    session = asyncio.create_task(Session(config, Streams(at_proxy, from_proxy), memory).run())
    try:
        async with at_proxy, from_proxy:
            async with at_client, from_client:
                yield at_client, from_client
            await session
    finally:
        await asyncio.to_thread(memory.close)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    # A proxy ends when it has finished its lessons and written its file. The client would kill it after two seconds.
    monkeypatch.setattr("mcp.client.stdio.PROCESS_TERMINATION_TIMEOUT", PATIENCE_S)
    return Bench(tmp_path)


def run(main: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(main())  # type: ignore[arg-type]


async def structured(client: Client, tool: str, **arguments: Any) -> Any:
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result
    return result.structured_content


async def teach(client: Client, count: int, first: int = 0) -> None:
    """Read tickets, and the customer of each."""
    for number in range(first, first + count):
        found = await structured(client, "read_ticket", ticket=f"T{number}")
        await structured(client, "read_customer", customer=found["customer"])


def test_no_result_outlives_a_sleep_of_the_machine(bench, monkeypatch):
    """The clock of the process stands meanwhile, so that a result looks young."""
    real, made = time.time, []

    async def main() -> None:
        async with bench.proxied() as client:
            for slept_s in (0.0, 0.0, 60.0, 60.0):
                monkeypatch.setattr(time, "time", lambda slept_s=slept_s: real() + slept_s)
                await structured(client, "read_ticket", ticket="T77")
                made.append(sum("T77" in line for line in bench.lines()))

    run(main)
    assert made == [1, 1, 2, 2]


def test_the_next_read_is_made_while_the_client_thinks_and_later_sessions_know_it(bench):
    async def main() -> None:
        async with bench.proxied() as client:
            await teach(client, 8)
        async with bench.client(bench.command()) as client:
            await structured(client, "read_ticket", ticket="T77")
            await bench.until("read_customer C-T77")
            found = await structured(client, "read_customer", customer="C-T77")
            assert found == {"customer": "C-T77", "name": "name of C-T77", "note": ""}

    run(main)
    assert bench.lines().count("read_customer C-T77") == 1
    figures = bench.status()
    assert figures["hits"] >= 1
    assert {"after", "then", "times"} <= figures["sequences"][0].keys()
    assert any(each["tool"].endswith(":read_customer") and each["ready"] for each in figures["tools"])


def test_every_answer_is_the_plain_one_and_every_write_is_made_once(bench, tmp_path):
    async def play(client: Client) -> list[Any]:
        seen: list[Any] = [client.server_info, client.server_capabilities, (await client.list_tools()).model_dump()]

        async def call(tool: str, **arguments: Any) -> None:
            try:
                seen.append((await client.call_tool(tool, arguments)).model_dump())
            except MCPError as error:
                seen.append(error.error)

        for number in range(4):
            await call("read_ticket", ticket=f"T{number}")
            await call("read_customer", customer=f"C-T{number}")
            await call("clock")
            await call("write_note", customer=f"C-T{number}", note=f"note {number}")
            await call("read_customer", customer=f"C-T{number}")  # must see the note
            await asyncio.sleep(0.1)  # thinks; calls are made ahead meanwhile
        await call("read_ticket")  # an argument is missing
        await call("no_such_tool")
        await call("ask_client", question="q")
        with pytest.raises(MCPError):
            await client.read_resource("file:///none")
        return seen

    async def roots(*_: Any) -> ListRootsResult:
        return ListRootsResult(roots=[Root(uri="file:///a"), Root(uri="file:///b")])  # type: ignore[arg-type]

    async def main() -> None:
        async with bench.client(SDK_SERVER, list_roots_callback=roots) as client:
            plain = await play(client)
        bench.log.write_text("")
        async with bench.client(bench.command(server=SDK_SERVER), list_roots_callback=roots) as client:
            proxied = await play(client)
        for one, other in zip(plain, proxied, strict=True):
            assert _without_ticks(one) == _without_ticks(other)
        ticks = [each for each in map(_tick, proxied) if each is not None]
        assert ticks == sorted(set(ticks))  # the clock moves, and no reading is used twice

    run(main)
    writes = [line for line in bench.lines() if line.startswith("write_note")]
    assert writes == [f"write_note C-T{number} note {number}" for number in range(4)]


def _tick(result: Any) -> int | None:
    structured = result.get("structured_content") if isinstance(result, dict) else None
    tick = (structured or {}).get("result")
    return tick if isinstance(tick, int) else None


def _without_ticks(result: Any) -> Any:
    return "a tick" if _tick(result) is not None else result


def test_a_server_that_asks_during_a_call_ahead_is_refused_and_the_client_is_not_asked(bench):
    asked = []

    async def say(*_: Any) -> CreateMessageResult:
        asked.append(1)
        return CreateMessageResult(role="assistant", content=TextContent(type="text", text="this"), model="m")

    async def main() -> None:
        # With the protocol of 2026 no server asks during a call: its answer is the question.
        async with bench.proxied(server=SDK_SERVER, sampling_callback=say, mode="legacy") as client:
            async with asyncio.timeout(PATIENCE_S):
                calls = 0
                while bench.lines().count("ask_client which") == calls:  # until it is called ahead of time
                    await client.call_tool("clock", {})
                    await asyncio.sleep(0.2)
                    result = await client.call_tool("ask_client", {"question": "which"})
                    assert result.content[0].text == "which: this"
                    calls += 1
            assert len(asked) == calls

    run(main)


def test_a_server_that_has_died_is_started_again(bench):
    async def main() -> None:
        async with bench.proxied() as client:
            await structured(client, "write_note", customer="C", note="lost with the process")
            with pytest.raises(MCPError, match="has ended"):
                await client.call_tool("die", {})
            assert (await structured(client, "read_customer", customer="C"))["note"] == ""
            await structured(client, "read_ticket", ticket="T1")

    run(main)


ONE_ERA = """
import json, sys
era = None
for line in sys.stdin:
    message = json.loads(line)
    era = era or message["method"]
    if message["method"] == "die":
        break
    fits = (message["method"] == "initialize") == (era == "initialize")
    answer = {"result": era} if fits else {"error": {"code": -32022, "message": "the other protocol"}}
    print(json.dumps({"jsonrpc": "2.0", "id": message["id"], **answer}), flush=True)
"""


def test_a_handshake_that_a_server_has_refused_is_not_made_again_when_it_is_started_again():
    """A client whose first question has timed out tries the older handshake, too."""

    async def main() -> None:
        command = (sys.executable, "-S", "-c", ONE_ERA)
        server = Server(ServerConfig(name="one", command=command), lambda message, line: None, lambda: None)
        await server.start()
        try:
            assert await server.request({"id": 1, "method": "server/discover"}) == "server/discover"
            for number, method in enumerate(("initialize", "die"), start=2):
                with pytest.raises(RpcError):
                    await server.request({"id": number, "method": method})
            assert await server.request({"id": 4, "method": "tools/call"}) == "tools/call"
        finally:
            await server.close()

    run(main)


def test_private_arguments_and_with_no_learn_anything_at_all_stay_out_of_the_file(bench):
    rules = bench.folder / "rules.toml"
    rules.write_text(RULES.replace('[tools.read_ticket]\neffect = "read"', "[tools.read_ticket]\nprivate = true"))

    async def main(learns: bool) -> None:
        async with bench.proxied(given={"learns": learns}) as client:
            await teach(client, 3)
            await structured(client, "write_note", customer="C-open", note="open")

    run(lambda: main(learns=True))
    [file] = (bench.folder / "state").glob("*.json")
    assert "C-open" in file.read_text()
    assert "read_ticket" in file.read_text()
    assert not any(f'\\"T{number}' in file.read_text() or f'"T{number}' in file.read_text() for number in range(3))
    file.unlink()
    run(lambda: main(learns=False))
    [file] = (bench.folder / "state").glob("*.json")
    assert "C-open" not in file.read_text()
    assert bench.status()["calls"] == 7


def test_proxies_of_one_server_add_to_the_same_figures(bench):
    async def main() -> None:
        async with bench.proxied() as early:
            await structured(early, "clock")
            async with bench.proxied() as late:
                for _ in range(2):
                    await structured(late, "clock")
            assert bench.status()["calls"] == 2
        async with bench.proxied() as last:
            await structured(last, "clock")

    run(main)
    assert bench.status()["calls"] == 4


def test_proxies_of_one_server_join_what_they_have_learned(tmp_path):
    config = ProxyConfig(
        servers=[ServerConfig(name="shop", command=("python", "shop.py"))], trust_annotations=True, state=tmp_path
    )
    asked = Conversation((UserMessage("Go"),))

    def after(*calls: str) -> Conversation:
        return Conversation((*asked.events, *(ToolCall(name, {}, f"{n}") for n, name in enumerate(calls))))

    one, other = Memory(config), Memory(config)
    one.teach(Lesson(after("a"), "b", {}, lambda tool: False))
    other.teach(Lesson(after("c"), "d", {}, lambda tool: False))
    one.close()
    other.close()  # the last proxy to end
    known = Memory(config)
    for before, then in (("a", "b"), ("c", "d")):
        [guess, *_] = known.guesser.guess(Call("policy", after(before)), 1, CancelToken(), None)
        assert guess.response["name"] == then
    known.close()
    done = CliRunner().invoke(command_line, ["mcp-proxy", "status", "--state", str(tmp_path)])
    assert "1x a {} -> b {}" in done.output


def test_several_servers_are_joined(bench, tmp_path):
    tables = "".join(f"[servers.{name}]\ncommand = {json.dumps(SERVER)}\n" for name in ("one", "two"))
    (bench.folder / "rules.toml").write_text(tables + RULES)

    async def main() -> None:
        async with bench.proxied(server=()) as client:
            names = [tool.name for tool in (await client.list_tools()).tools]
            assert len(names) == 12 and {"one__clock", "two__clock"} <= set(names)
            await structured(client, "one__write_note", customer="C", note="here")
            assert (await structured(client, "one__read_customer", customer="C"))["note"] == "here"
            assert (await structured(client, "two__read_customer", customer="C"))["note"] == ""
            with pytest.raises(MCPError, match="names begin with one of one__, two__"):
                await client.call_tool("clock", {})

    run(main)


def test_several_servers_are_joined_though_one_knows_only_the_handshake_and_one_cannot_start(bench):
    commands = {"light": SERVER, "sdk": SDK_SERVER, "gone": [sys.executable, "-S", "-c", ""]}
    tables = "".join(f"[servers.{name}]\ncommand = {json.dumps(command)}\n" for name, command in commands.items())
    (bench.folder / "rules.toml").write_text(tables + RULES)

    async def main() -> None:
        # The client asks for the protocol of 2026 first, which one of the servers speaks from then on.
        async with bench.proxied(server=()) as client:
            assert {tool.name.partition("__")[0] for tool in (await client.list_tools()).tools} == {"light", "sdk"}
            for name in ("light", "sdk"):
                found = await structured(client, f"{name}__read_ticket", ticket="T")
                assert found == {"ticket": "T", "customer": "C-T"}
            tools = client.server_capabilities.tools
            assert tools is not None
            assert client.server_capabilities.prompts is not None  # of the one

    run(main)


@pytest.mark.parametrize("name", ["a__b", "a_"])
def test_names_of_several_servers_can_be_told_from_those_of_their_tools(name):
    servers = [ServerConfig(name=each, command=("x",)) for each in (name, "a")]
    assert ProxyConfig(servers=servers[:1]).servers == servers[:1]
    with pytest.raises(InvalidConfiguration, match="two underscores in a row"):
        ProxyConfig(servers=servers)


def test_clients_by_http_have_servers_of_their_own(bench):
    async def main() -> None:
        port = free_port()

        async def started() -> asyncio.subprocess.Process:
            (bench.folder / "rules.toml").write_text(RULES)
            command, env = bench.command("--http", str(port)), os.environ | {"LOG": str(bench.log)}
            process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=env)
            await reachable(port)
            return process

        process = await started()
        try:
            address = f"http://127.0.0.1:{port}/mcp"
            with pytest.raises(urllib.error.HTTPError, match="400"):  # and no server is started for a browser
                await asyncio.to_thread(urllib.request.urlopen, address)
            assert psutil.Process(process.pid).children() == []
            async with Client(address) as one, Client(address) as two:
                await structured(one, "write_note", customer="C", note="of one")
                assert (await structured(one, "read_customer", customer="C"))["note"] == "of one"
                assert (await structured(two, "read_customer", customer="C"))["note"] == ""
                # The clients have asked for the protocol of 2026 first: what was opened for that is closed again.
                await serving(process.pid, servers=2)
            await serving(process.pid, servers=0)
            (bench.folder / "rules.toml").write_text(f'[servers.far]\nurl = "{address}"\n' + RULES)
            async with bench.proxied(server=()) as client:  # a server that is reached by HTTP
                assert (await structured(client, "read_customer", customer="C"))["note"] == ""
                assert (await client.call_tool("read_ticket", {})).is_error
                process.terminate()
                await process.wait()
                process = await started()  # and knows no session any more
                assert (await structured(client, "read_ticket", ticket="T"))["customer"] == "C-T"
        finally:
            process.terminate()
            await process.wait()

    run(main)
    done = CliRunner().invoke(
        command_line, ["mcp-proxy", "status", "--state", str(bench.folder / "state"), "--json", "-"]
    )
    own, served = sorted(each["calls"] for each in json.loads(done.stdout)["servers"])
    assert own == 3 and served >= 6  # what the first proxy calls ahead is a call of the second


async def serving(proxy: int, servers: int) -> None:
    """Wait until the proxy has so many servers."""
    async with asyncio.timeout(PATIENCE_S):
        while len(psutil.Process(proxy).children()) != servers:  # noqa: ASYNC110  (they are processes)
            await asyncio.sleep(0.05)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def reachable(port: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return


def test_a_command_that_cannot_be_started_is_named(bench):
    begin = bench.command(server=["no-such-program", "x"])
    done = commands.run(*begin, cwd=ROOT)
    assert done.returncode == 2
    assert "no-such-program x" in done.stderr


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[tools.x]\neffect = 'reads'", "effect must be one of"),
        ("[tools.x]\nttl = 3", "ttl is unknown; known are"),
        ("[limits]\nk = 0", "limits: k must be"),
        ("[servers.a]\nenv = {}", "needs either a command or a url"),
        ("[servers.'a:b']\ncommand = 'x'", "hold a colon"),
        ("[tool.x]\n", "tool is unknown"),
        ("= 3", "is not TOML"),
    ],
    ids=["effect", "option", "limit", "server", "name", "table", "syntax"],
)
def test_a_wrong_file_says_where_and_what_is_right(tmp_path, text, message):
    (tmp_path / "proxy.toml").write_text(text)
    with pytest.raises(InvalidConfiguration, match=message):
        read_config(tmp_path / "proxy.toml")


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("npx -y @modelcontextprotocol/server-filesystem /tmp", "server-filesystem"),
        ("npx -y @modelcontextprotocol/server-memory@latest", "server-memory"),
        ("uvx mcp-server-git --repository .", "mcp-server-git"),
        ("python -m mcp_server_time", "mcp_server_time"),
        ("/usr/bin/env node build/index.js", "index"),
        ("docker run -i --rm -e KEY=a/b mcp/fetch:latest", "fetch"),
        ("cmd /c npx.cmd -y server-x", "server-x"),
        ("env TOKEN=/dev/null python3.12 server.py", "server"),
        ("node build/main.mjs", "main"),
        ("./my-server.py", "my-server"),
    ],
    ids=lambda text: text.split()[-1].strip("./@").replace("/", "-").replace(":", "-"),
)
def test_a_server_is_named_after_its_package_or_program(command, name):
    assert server_name(command.split()) == name


def test_the_trace_of_a_session_is_that_of_an_agent_run(bench):
    trace = bench.folder / "trace.jsonl"

    async def main() -> None:
        for customer in ("C", "D"):
            async with bench.proxied(given={"trace": trace}) as client:
                await structured(client, "read_customer", customer=customer)
                await structured(client, "clock")

    run(main)
    events = [json.loads(line) for line in trace.read_text().splitlines()]
    one, two = timelines(events)
    assert [commit.handler.rpartition(":")[2] for commit in two.commits] == ["agent", "read_customer", "agent", "clock"]
    # The first session has taught what comes first: the second reads C ahead, in vain.
    reads = {call.query: (call.ahead, call.outcome) for call in two.calls if call.handler.endswith("read_customer")}
    assert reads["{customer: 'D'}"] == (False, "committed")
    assert one.seconds > 0


def test_rules_are_proposed_from_recorded_traffic(bench):
    record = bench.folder / "traffic.jsonl"

    async def main() -> None:
        async with bench.proxied(given={"record": record}) as client:
            for _ in range(3):
                await structured(client, "read_customer", customer="C")
                await structured(client, "clock")
            await structured(client, "write_note", customer="C", note="n")
            await structured(client, "read_customer", customer="C")

    run(main)
    text = proposal([record])
    (bench.folder / "proposed.toml").write_text(text)
    rules = read_config(bench.folder / "proposed.toml")["rules"]
    assert {name: rule.effect.value for name, rule in rules.items()} == {
        "read_customer": "read",
        "clock": "sample",
        "read_ticket": "sample",
        "ask_client": "sample",
    }
    assert '# touches = ["read_customer"]' in text
    with record.open("a") as file:
        file.write('{"at": 1')  # the proxy was killed
    assert proposal([record]) == text
    other = bench.folder / "other.jsonl"
    other.write_text("{}\n")
    with pytest.raises(InvalidConfiguration, match="line 1 is no recorded message"):
        proposal([other])


def test_what_is_recorded_of_several_servers_leads_to_rules_for_them_without_what_is_private(bench):
    record = bench.folder / "traffic.jsonl"
    tables = "".join(f"[servers.{name}]\ncommand = {json.dumps(SERVER)}\n" for name in ("one", "two"))
    (bench.folder / "rules.toml").write_text(tables + '[tools."two:read_customer"]\nprivate = true\n')

    async def main() -> None:
        async with bench.proxied(server=(), given={"record": record}) as client:
            for _ in range(3):
                for name in ("one", "two"):
                    await structured(client, f"{name}__read_customer", customer=f"C-{name}")

    run(main)
    assert "C-one" in record.read_text() and "C-two" not in record.read_text()
    (bench.folder / "proposed.toml").write_text(proposal([record]))
    rules = read_config(bench.folder / "proposed.toml")["rules"]
    assert rules["one:read_customer"].effect.value == "read" and rules["two:read_customer"].effect.value == "sample"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[" * 10_000,
        '{"version": 1, "figures": 7}',
        '{"version": 1, "sequences": [1], "calls": {"order": 3}}',
        '{"version": 1, "figures": {"held_back": {"no slot": "x"}}}',
        '{"version": 1, "figures": {"calls": 1%s}}' % (400 * "0"),
        '{"version": 1, "figures": {"saved_s": 1e999, "tools": {"shop:buy": {"called_s": ["x"]}}}}',
    ],
)
def test_a_damaged_file_of_state_is_begun_anew(tmp_path, text):
    config = ProxyConfig(servers=[ServerConfig(name="shop", command=("shop",))], state=tmp_path)
    (file,) = [Memory(config).file]
    file.write_text(text)
    status = ["mcp-proxy", "status", "--state", str(tmp_path)]
    assert CliRunner().invoke(command_line, status).exit_code == 0
    memory = Memory(config)
    memory.count_call("shop:buy", 0.1, ahead=False)
    memory.add_statistics(ToolStatistics(calls=1, held_back={"no slot": 1}))
    memory.close()
    assert "shop" in CliRunner().invoke(command_line, status).output


@pytest.mark.parametrize("place", ["/dev/full", "/proc/none"])
def test_files_that_cannot_be_written_hinder_no_call(bench, place):
    if not Path(place).parent.is_dir():
        pytest.skip(f"there is no {place} on this system")
    given = {"state": Path(place), "record": Path("/dev/full"), "trace": Path("/dev/full")}

    async def main() -> None:
        async with bench.proxied(given=given) as client:
            await teach(client, 2)

    run(main)


ODD_HINTS = [
    {"readOnlyHint": True, "destructiveHint": True},
    {"readOnlyHint": "true"},
    "readOnlyHint",
    ["x"],
    7,
    None,
    {},
]


@pytest.mark.parametrize("annotations", ODD_HINTS)
def test_rules_are_not_proposed_for_hints_that_say_less(tmp_path, annotations):
    tools = [
        {"name": "erase", "annotations": annotations},
        {"name": "look", "annotations": {"readOnlyHint": True}},
        7,
        {},
    ]
    messages: list[Any] = [
        ("client", {"id": 1, "method": "tools/list"}),
        ("server", {"id": 1, "result": {"tools": tools}}),
    ]
    for name in ("erase", "look", None):
        messages.append(("client", {"id": 2, "method": "tools/call", "params": name and {"name": name}}))
        messages.append(("server", {"id": 2, "result": {"content": []}}))
    lines = [json.dumps({"at": at, "from": source, "message": each}) for at, (source, each) in enumerate(messages)]
    (tmp_path / "record.jsonl").write_text("\n".join([*lines, '{"at": 9, "from": "client", "message": {"id": []}}']))
    (tmp_path / "proposed.toml").write_text(proposal([tmp_path / "record.jsonl"]))
    assert list(read_config(tmp_path / "proposed.toml")["rules"]) == ["look"]


@pytest.mark.parametrize("client", ["claude-code", "codex", "cursor", "vscode"])
def test_what_to_add_to_the_settings_of_a_client(client):
    done = CliRunner().invoke(command_line, ["mcp-proxy", "config", client, "--", "npx", "-y", "server-x", "--flag"])
    assert done.exit_code == 0
    assert "server-x" in done.stdout and '"--flag"' in done.stdout and '"mcp-proxy"' in done.stdout
