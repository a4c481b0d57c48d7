"""The proxy in front of servers that others wrote: every answer is the one that the client gets without it."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mcp", reason="needs the extra mcp")

from mcp import Client, MCPError
from mcp.client.stdio import StdioServerParameters, stdio_client

NODE = Path(__file__).parent / "node/node_modules/.bin"
needs_npm = pytest.mark.skipif(
    not (NODE / "mcp-server-everything").exists(),
    reason="the npm packages of tests/integrations/node are not installed (scripts/node-packages installs them)",
)


def needs(module: str) -> Any:
    reason = f"{module} is not installed"
    return pytest.mark.skipif(importlib.util.find_spec(module) is None, reason=reason)


async def call(client: Client, tool: str, **arguments: Any) -> Any:
    try:
        return (await client.call_tool(tool, arguments)).model_dump()
    except MCPError as error:
        return error.error.model_dump()


def compare(folder: Path, server: Sequence[str | Path], play: Any, trusted: bool = True) -> tuple[Any, Any]:
    """What ``play`` sees of the server without the proxy, and with it."""

    async def see(command: Sequence[str]) -> Any:
        start = StdioServerParameters(command=command[0], args=list(command[1:]))
        async with Client(stdio_client(start)) as client:
            listed = (await client.list_tools()).model_dump()
            return [client.server_info, client.server_capabilities, listed, await play(client)]

    plain = [str(word) for word in server]
    hints = ["--trust-annotations"] if trusted else []
    begin = [sys.executable, "-m", "spec_envs.benchmarks.cli", "mcp-proxy", "--state", str(folder), *hints, "--"]

    async def both() -> tuple[Any, Any]:
        return await see(plain), await see([*begin, *plain])

    return asyncio.run(both())


@needs_npm
def test_everything(tmp_path):
    async def play(client: Client) -> Any:
        told: list[Any] = []

        async def report(progress: float, total: float | None, message: str | None) -> None:
            told.append((progress, total, message))

        seen = [
            await call(client, "echo", message="hi"),
            await call(client, "get-sum", a=1, b=2),
            await call(client, "get-sum", a="x"),
            await call(client, "get-tiny-image"),
            await call(client, "get-structured-content", location="New York"),
            await call(client, "get-annotated-message", messageType="error", includeImage=True),
            await call(client, "get-resource-links", count=3),
            await call(client, "no-such-tool"),
            (await client.list_resources()).model_dump(),
            (await client.list_resource_templates()).model_dump(),
            (await client.list_prompts()).model_dump(),
        ]
        prompts = seen[-1]["prompts"]
        seen.append((await client.get_prompt(prompts[0]["name"])).model_dump())
        seen.append((await client.read_resource(seen[8]["resources"][0]["uri"])).model_dump())
        long = {"duration": 0.2, "steps": 2}
        await client.call_tool("trigger-long-running-operation", long, progress_callback=report)
        return [*seen, told]

    plain, proxied = compare(tmp_path, [NODE / "mcp-server-everything", "stdio"], play)
    assert plain == proxied


@needs_npm
def test_files(tmp_path):
    (tmp_path / "files").mkdir()

    async def play(client: Client) -> Any:
        folder = str(tmp_path / "files")
        seen = []
        for number in range(3):
            path = f"{folder}/{number}.txt"
            seen.append(await call(client, "write_file", path=path, content=f"text {number}"))
            seen.append(await call(client, "read_text_file", path=path))
            await asyncio.sleep(0.05)
            seen.append(await call(client, "list_directory", path=folder))
        seen.append(await call(client, "edit_file", path=path, edits=[{"oldText": "text", "newText": "word"}]))
        seen.append(await call(client, "read_text_file", path=path))
        seen.append(await call(client, "read_text_file", path="/etc/hostname"))
        for file in (tmp_path / "files").iterdir():
            file.unlink()
        return seen

    plain, proxied = compare(tmp_path / "state", [NODE / "mcp-server-filesystem", tmp_path / "files"], play)
    assert plain == proxied


@needs_npm
def test_memory(tmp_path):
    async def play(client: Client) -> Any:
        entity = {"name": "Ada", "entityType": "person", "observations": ["wrote programs"]}
        seen = [
            await call(client, "create_entities", entities=[entity]),
            await call(client, "read_graph"),
            await call(client, "add_observations", observations=[{"entityName": "Ada", "contents": ["in 1843"]}]),
            await call(client, "read_graph"),
            await call(client, "search_nodes", query="1843"),
            await call(client, "delete_entities", entityNames=["Ada"]),
            await call(client, "read_graph"),
        ]
        return seen

    file = tmp_path / "memory.jsonl"
    server: list[str | Path] = ["env", f"MEMORY_FILE_PATH={file}", NODE / "mcp-server-memory"]
    plain, proxied = compare(tmp_path / "state", server, play)
    assert plain == proxied


@needs("mcp_server_time")
def test_a_clock_moves(tmp_path):
    async def play(client: Client) -> Any:
        seen = []
        for _ in range(4):
            found = await call(client, "get_current_time", timezone="Etc/UTC")
            seen.append(json.loads(found["content"][0]["text"])["datetime"])
            await asyncio.sleep(1.0)  # the clock of the server tells seconds
        other = await call(
            client, "convert_time", source_timezone="Etc/UTC", time="16:30", target_timezone="Asia/Tokyo"
        )
        return seen, json.loads(other["content"][0]["text"])["time_difference"], await call(client, "nothing")

    server = [sys.executable, "-m", "mcp_server_time", "--local-timezone", "Etc/UTC"]
    plain, proxied = compare(tmp_path, server, play)
    assert plain[:3] == proxied[:3]
    for times, difference, nothing in (plain[3], proxied[3]):
        # A call ahead may be of the same second as the call before: no result is used twice, and none is older.
        assert times == sorted(times) and times[0] < times[-1]
        assert (difference, nothing) == plain[3][1:]


@needs("mcp_server_git")
def test_a_repository(tmp_path):
    def git(*words: str) -> None:
        who = ["-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(["git", "-C", str(tmp_path / "work"), *who, *words], check=True, capture_output=True)

    (tmp_path / "work").mkdir()
    git("init", "-q", "-b", "main")
    (tmp_path / "work/a.txt").write_text("a\n")
    git("add", ".")
    git("commit", "-qm", "first")

    async def play(client: Client) -> Any:
        repo = str(tmp_path / "work")
        seen = []
        for text in ("b\n", "c\n", "a\n"):
            (tmp_path / "work/a.txt").write_text(text)  # behind the server's back
            seen.append(await call(client, "git_add", repo_path=repo, files=["a.txt"]))  # uses nothing from before
            seen.append(await call(client, "git_status", repo_path=repo))
            seen.append(await call(client, "git_diff_staged", repo_path=repo))
            seen.append(await call(client, "git_log", repo_path=repo))
        return seen

    plain, proxied = compare(
        tmp_path, [sys.executable, "-m", "mcp_server_git", "--repository", tmp_path / "work"], play
    )
    assert plain == proxied
