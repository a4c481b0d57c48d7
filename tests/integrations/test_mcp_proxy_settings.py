"""What a person writes for ``spec-envs mcp-proxy``, and gets wrong: settings, names, commands and addresses."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

pytest.importorskip("mcp", reason="needs the extra mcp")

from mcp import MCPError

from spec_envs.benchmarks.cli import main as command_line
from spec_envs.calls import Effect
from spec_envs.conversation import Conversation
from spec_envs.errors import InvalidConfiguration
from spec_envs.integrations.mcp_proxy import read_config
from spec_envs.integrations.mcp_proxy.config import ProxyConfig, ServerConfig
from spec_envs.integrations.mcp_proxy.learn import proposal
from spec_envs.integrations.mcp_proxy.memory import Lesson, Memory
from spec_envs.integrations.mcp_proxy.names import Names
from spec_envs.integrations.mcp_proxy.report import read_status
from spec_envs.wrappers.tools import ToolRule
from tests import commands
from tests.integrations.test_mcp_proxy import ROOT, SERVER, Bench, run, structured


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


WRONG = {
    "a variable that is a number": (
        "[servers.a]\ncommand = 'x'\nenv = { PORT = 8080 }",
        'PORT must be a text, such as "8080"',
    ),
    "variables that are no table": ("[servers.a]\ncommand = 'x'\nenv = 'A=1'", "env must be a table of texts"),
    "a header that is a bool": ("[servers.a]\nurl = 'http://a/'\nheaders = { X = true }", "headers.X must be a text"),
    "headers for a command": (
        "[servers.a]\ncommand = 'x'\nheaders = { X = 'y' }",
        "headers is only for a server that has a url",
    ),
    "a folder for a url": ("[servers.a]\nurl = 'http://a/'\ncwd = '/'", "cwd is only for a server that has a command"),
    "a folder that is a number": ("[servers.a]\ncommand = 'x'\ncwd = 7", "cwd must be the path"),
    "a name for a url": ("[servers.a]\nurl = 'tickets'", "url must begin with http:// or https://"),
    "a url without a host": ("[servers.a]\nurl = 'http:///mcp'", "url must begin with http:// or https:// and a host"),
    "a url that is a list": ("[servers.a]\nurl = ['http://a/']", "url must begin with"),
    "both": ("[servers.a]\nurl = 'http://a/'\ncommand = 'x'", "either a command or a url, and has both"),
    "cmd": ("[servers.a]\ncmd = ['x']", r"cmd is unknown; known are .*did you mean command\?"),
    "a slip": ("[servers.a]\nheader = {}", r"did you mean headers\?"),
    "a command that is a number": ("[servers.a]\ncommand = 1.5", "command must be a program and its arguments"),
    "a word that is a number": ("[servers.a]\ncommand = ['x', 5]", "command must be a program and its arguments"),
    "an open quote": ('[servers.a]\ncommand = "x \'y"', "cannot be split into words"),
    "arguments as a text": ("[servers.a]\ncommand = 'x'\nargs = '-v'", "args must be a list"),
    "private": ("[tools.x]\nprivate = 'no'", "private must be True or False, not 'no'"),
    "shared": ("[tools.x]\neffect = 'read'\nshared = 0", "shared must be True or False, not 0"),
    "an effect that is a list": ("[tools.x]\neffect = ['read']", "effect must be one of"),
    "parts that are numbers": ("[tools.x]\ntouches = [[1]]", "touches must name parts"),
    "a slip in a quota": (
        "[tools.x]\nmax_call = 3",
        r"known are .*max_calls, max_inflight, per_s.*did you mean max_calls\?",
    ),
    "the field of Python": ("[tools.x]\nmetered = 3", "metered is unknown"),
    "limits that are a number": ("limits = 4", r"\[limits\] must be a table"),
    "a slip in a limit": ("[limits]\nquiet = 1", r"did you mean quiet_s\?"),
    "a slip at the top": ("trust_anotations = true", r"did you mean trust_annotations\?"),
}


@pytest.mark.parametrize(("text", "message"), WRONG.values(), ids=WRONG)
def test_a_wrong_value_is_named_with_what_is_right(tmp_path, text, message):
    (tmp_path / "settings.toml").write_text(text)
    with pytest.raises(InvalidConfiguration, match=message) as caught:
        read_config(tmp_path / "settings.toml")
    assert str(caught.value).startswith(f"{tmp_path / 'settings.toml'}: ")


@pytest.mark.parametrize("name", ["private", "shared"])
@pytest.mark.parametrize("value", ["yes", 1, None])
def test_a_rule_in_python_takes_bools_alone(name, value):
    with pytest.raises(InvalidConfiguration, match=f"{name} must be True or False"):
        ToolRule(effect=Effect.READ, **{name: value})


# -- names that nobody knows -----------------------------------------------------------------------------------------

READ = ToolRule(effect=Effect.READ)
LISTED = {"shop": {"get_order", "cancel_order", "a:b"}, "wiki": {"search"}}


def problems(rules: dict[str, ToolRule], *listed: str) -> list[str]:
    names = Names(rules, list(LISTED))
    for server in listed:
        names.see(server, LISTED[server])
    return names.problems


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        ({"get_order": READ, "shop:get_order": READ, "wiki:search": READ, "shop:a:b": READ}, None),
        ({"get_ordr": READ}, r"names no tool of the servers \(did you mean get_order\?\)"),
        ({"shop:search": READ}, r"shop:search\"\] names no tool of the servers"),
        ({"shp:get_order": READ}, "there is no server 'shp', only shop, wiki"),
        ({"cancel_order": ToolRule(touches={"get_order", "shop:get_order", "wiki:search", "a:b"})}, None),
        ({"cancel_order": ToolRule(touches={"get_oder"})}, 'touches "get_oder".*did you mean get_order'),
        ({"shop:cancel_order": ToolRule(touches={"search"})}, 'touches "search"'),  # which is of the other server
        (
            {"cancel_order": ToolRule(touches="orders"), "get_order": ToolRule(effect=Effect.READ, touches="orders")},
            None,
        ),
        (
            {"cancel_order": ToolRule(touches="orders"), "get_order": ToolRule(effect=Effect.READ, touches="order")},
            "orders",
        ),
        ({"cancel_order": ToolRule(touches=set())}, None),
    ],
)
def test_names_that_no_server_has_listed_are_told_once_all_lists_are_there(rules, told):
    found = problems(rules, "shop", "wiki")
    if told is None:
        assert found == []
    else:
        [problem] = found
        assert re.search(told, problem), problem
    assert problems(rules) == []


def test_a_server_that_has_not_listed_its_tools_may_know_a_name():
    rules = {"find": READ, "shop:find": READ, "wiki:find": READ}
    assert problems(rules) == []
    assert [each[:20] for each in problems(rules, "shop")] == ['[tools."shop:find"] ']
    assert len(problems(rules, "shop", "wiki")) == 3
    write = Names({"cancel_order": ToolRule(touches="get_order")}, ["shop"])
    assert write.is_doubtful("shop", "cancel_order") and not write.is_doubtful("shop", "get_order")
    write.see("shop", None)
    assert write.is_doubtful("shop", "cancel_order")
    write.see("shop", LISTED["shop"])
    assert not write.is_doubtful("shop", "cancel_order")


@pytest.mark.parametrize("touches", ["raed_customer", "reed_ticket", "other:read_customer"])
def test_a_write_that_touches_what_nobody_knows_leaves_no_old_result(bench, touches, capfd):
    text = (bench.folder / "rules.toml").read_text().replace('touches = ["read_customer"]', f'touches = ["{touches}"]')
    (bench.folder / "rules.toml").write_text(text)

    async def main() -> None:
        async with bench.proxied() as client:
            for number in range(3):
                assert (await structured(client, "read_customer", customer="C"))["note"] == str(number or "")
                await structured(client, "write_note", customer="C", note=str(number + 1))
            assert (await structured(client, "read_customer", customer="C"))["note"] == "3"

    run(main)
    told = [line for line in capfd.readouterr().err.splitlines() if touches in line]
    assert len(told) == 1 and "write_note" in told[0]
    [problem] = bench.status()["problems"]
    assert problem in told[0]
    shown = CliRunner().invoke(command_line, ["mcp-proxy", "status", "--state", str(bench.folder / "state")])
    assert touches in "".join(shown.output.split())


# -- servers that are not there --------------------------------------------------------------------------------------


def test_one_of_several_servers_whose_program_is_not_there_is_left_out(bench, capfd):
    tables = "".join(
        f"[servers.{name}]\ncommand = {json.dumps(command)}\n"
        for name, command in {"good": SERVER, "bad": ["no-such-program"]}.items()
    )
    (bench.folder / "rules.toml").write_text(tables)

    async def main() -> None:
        async with bench.proxied(server=()) as client:
            assert {tool.name.partition("__")[0] for tool in (await client.list_tools()).tools} == {"good"}
            assert (await structured(client, "good__read_ticket", ticket="T"))["customer"] == "C-T"
            with pytest.raises(MCPError, match="no-such-program"):
                await client.call_tool("bad__x", {})

    run(main)
    assert "'bad' cannot be started: no-such-program" in capfd.readouterr().err


@pytest.mark.parametrize("servers", [["no-such-program"], ["no-such-program", "neither-this"]])
def test_where_no_server_can_be_started_the_proxy_says_so_and_leaves_nothing(bench, servers):
    (bench.folder / "rules.toml").write_text(
        "".join(f"[servers.s{number}]\ncommand = '{name}'\n" for number, name in enumerate(servers))
    )
    done = commands.run(*bench.command(server=()), cwd=ROOT)
    assert done.returncode == 2 and "no-such-program" in done.stderr and "Traceback" not in done.stderr
    assert not (bench.folder / "state").exists()


def test_an_address_where_nobody_listens_is_named_and_no_traceback_is_shown(bench):
    (bench.folder / "rules.toml").write_text("[servers.far]\nurl = 'http://127.0.0.1:9/mcp'\n")
    hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    greeting = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}

    async def main() -> tuple[bytes, bytes]:
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *bench.command(server=()), cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe
        )
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(json.dumps(greeting).encode() + b"\n")
        answer = await process.stdout.readline()
        _, said = await process.communicate(b"")
        return answer, said

    answer, said = asyncio.run(main())
    error: Any = json.loads(answer)["error"]["message"]
    assert "http://127.0.0.1:9/mcp" in error
    assert b"Traceback" not in said and b"127.0.0.1:9" in said


def test_a_port_that_is_taken_is_named(bench):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = commands.run(*bench.command("--http", str(port)), cwd=ROOT)
    assert done.returncode == 2 and f"cannot serve at 127.0.0.1:{port}" in done.stderr
    assert "serving" not in done.stderr and not (bench.folder / "state").exists()


# -- what people read ------------------------------------------------------------------------------------------------


def test_a_proxy_that_served_nobody_leaves_no_file(tmp_path):
    Memory(ProxyConfig(servers=[ServerConfig(name="shop", command=("shop",))], state=tmp_path / "state")).close()
    done = CliRunner().invoke(command_line, ["mcp-proxy", "status", "--state", str(tmp_path / "state")])
    assert "no proxy has served a client yet" in " ".join(done.output.split())


@pytest.mark.parametrize("learns", [True, False])
def test_later_sessions_know_which_servers_answer_one_call_at_a_time(tmp_path, learns, capfd):
    config = ProxyConfig(servers=[ServerConfig(name="shop", command=("shop",))], state=tmp_path, learns=learns)
    memory = Memory(config)
    one = memory.estimates.of("shop")
    for seconds in (0.3, 0.3, 0.6):  # which was 0.3 from the end of the call before
        one.took("shop:look", [seconds, 0.3, seconds, seconds, seconds, 0.45])
    assert one.at_once == 1
    memory.count_call("shop:look", 0.3, ahead=False)
    memory.close()
    later = Memory(config)
    assert later.estimates.of("shop").at_once == (1 if learns else 2)
    later.close()
    data = json.loads(later.file.read_text())
    later.file.write_text(json.dumps(data | {"estimates": {"servers": {"shop": 7}}}))
    assert Memory(config).estimates.of("shop").at_once == 2
    assert ("the estimates cannot be read" in capfd.readouterr().err) is learns


def test_of_two_proxies_at_once_one_may_have_found_out_what_a_server_is_like(tmp_path):
    config = ProxyConfig(servers=[ServerConfig(name="shop", command=("shop",))], state=tmp_path)
    memories = Memory(config), Memory(config)
    for memory, last in zip(memories, (0.6, 0.3), strict=True):  # only the first one sees a call that has to wait
        for seconds in (0.3, 0.3, last):
            memory.estimates.of("shop").took("shop:look", [seconds, 0.3, seconds, seconds, seconds, 0.45])
    for memory in memories:
        memory.count_call("shop:look", 0.3, ahead=False)
        memory.close()
    assert Memory(config).estimates.of("shop").at_once == 1


def test_text_that_is_no_unicode_costs_nothing_that_was_learned(tmp_path, capfd):
    config = ProxyConfig(servers=[ServerConfig(name="shop", command=("shop",))], state=tmp_path)
    for number in range(2):
        memory = Memory(config)
        memory.teach(Lesson(Conversation(), "shop:look", {"a": "\ud800"}, lambda tool: False))
        memory.count_call("shop:look", 0.3, ahead=False)
        memory.close()
        [status] = read_status(tmp_path)["servers"]
        assert status["tools"][0]["called"] == number + 1
    assert "cannot be read" not in capfd.readouterr().err


def test_the_help_of_the_proxy_has_the_options_that_stand_before_the_command():
    shown = CliRunner().invoke(command_line, ["mcp-proxy", "--help"]).output
    for option in ("--config", "--trust-annotations", "--http", "--record", "--trace", "--no-learn", "status", "learn"):
        assert option in shown


def test_the_proposal_has_the_time_of_tools_and_not_how_long_a_client_waited_for_what_was_ready(tmp_path):
    entries = []
    for number, (took, ready) in enumerate([(0.5, False), (0.0, True), (0.0, True), (0.25, True), (0.7, False)]):
        call = {"id": number, "method": "tools/call", "params": {"name": "look", "arguments": {"at": number}}}
        entries.append({"at": float(number), "from": "client", "message": call})
        answer = {"at": number + took, "from": "server", "message": {"id": number, "result": {"content": []}}}
        entries.append({**answer, "ready": True} if ready else answer)
    record = tmp_path / "record.jsonl"
    record.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    assert "5 calls, about 0.7 s each" in proposal([record])
    record.write_text("".join(json.dumps(entry) + "\n" for entry in entries[2:8]))
    assert "3 calls. " in proposal([record])


def test_what_was_ready_is_recorded_so(bench):
    record = bench.folder / "traffic.jsonl"

    async def main() -> None:
        async with bench.proxied(given={"record": record}) as client:
            for _ in range(2):
                await structured(client, "read_customer", customer="C")

    run(main)
    answers = [json.loads(line) for line in record.read_text().splitlines()]
    assert [each.get("ready") for each in answers if "structuredContent" in str(each)] == [None, True]
