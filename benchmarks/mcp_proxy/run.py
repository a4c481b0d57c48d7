"""A client of the ``mcp`` package, side by side: with ``spec-envs mcp-proxy`` in front of its server, and without."""

from __future__ import annotations

import asyncio
import contextlib
import random
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import RenderableType

from spec_envs.benchmarks.mcp_proxy import McpProxySettings
from spec_envs.benchmarks.reports import config_of, progress, table_of
from spec_envs.benchmarks.tools.server import PROGRAM, TOOLS
from spec_envs.extras import require

_SIDES = ("plain", "proxied")


def run(settings: McpProxySettings) -> dict[str, Any]:
    """The report of the tasks with and without the proxy.

    Raises:
        DependencyNotInstalled: The extra ``mcp`` is missing.
    """
    require("bench mcp-proxy", "mcp")
    return asyncio.run(_measure(settings))


async def _measure(settings: McpProxySettings) -> dict[str, Any]:
    rng = random.Random(settings.seed)
    tickets = [f"T-{rng.randbytes(4).hex()}" for _ in range(settings.tasks)]
    seconds: dict[str, list[float]] = {side: [] for side in _SIDES}
    seen: dict[str, list[Any]] = {side: [] for side in _SIDES}
    with tempfile.TemporaryDirectory() as folder, progress("tasks", 2 * settings.tasks) as advance:
        async with _clients(settings.tool_s, Path(folder)) as clients:
            for ticket in tickets:
                for side in _SIDES:
                    begin = time.perf_counter()
                    seen[side].append(await _task(clients[side], ticket, settings.model_s))
                    seconds[side].append(time.perf_counter() - begin)
                    advance()
        async with _clients(0.0, Path(folder)) as clients:
            call_s = await _instant_calls(clients, settings.calls)
    plain, proxied = (sum(seconds[side][settings.learning :]) for side in _SIDES)
    medians = {side: 1000 * statistics.median(call_s[side]) for side in _SIDES}
    return {
        "config": config_of(settings),
        "plain_s": plain,
        "proxied_s": proxied,
        "saved": 1 - proxied / plain,
        "same_results": seen["plain"] == seen["proxied"],
        "call_ms": medians,
        "added_ms": medians["proxied"] - medians["plain"],
        "seconds_by_task": seconds,
    }


@contextlib.asynccontextmanager
async def _clients(tool_s: float, folder: Path) -> AsyncIterator[dict[str, Any]]:
    """A client of the server itself, and a client of the proxy in front of another such server."""
    server = [sys.executable, *PROGRAM, str(tool_s)]
    rules = folder / "proxy.toml"
    rules.write_text("".join(f'[tools.{tool}]\neffect = "read"\n' for tool in TOOLS), encoding="utf-8")
    begin = [sys.executable, "-m", "spec_envs.benchmarks.cli", "mcp-proxy"]
    proxy = [*begin, "--config", str(rules), "--state", str(folder), "--", *server]
    async with contextlib.AsyncExitStack() as stack:
        yield {
            side: await stack.enter_async_context(_client(command))
            for side, command in zip(_SIDES, (server, proxy), strict=True)
        }


@contextlib.asynccontextmanager
async def _client(command: Sequence[str]) -> AsyncIterator[Any]:
    from mcp import Client
    from mcp.client.stdio import StdioServerParameters, stdio_client

    async with Client(stdio_client(StdioServerParameters(command=command[0], args=list(command[1:])))) as client:
        await client.list_tools()
        yield client


async def _task(client: Any, ticket: str, model_s: float) -> list[Any]:
    """Read the record of each tool, each of which names the next one."""
    seen, record_id = [], ticket
    for tool, leads_to in TOOLS.items():
        await asyncio.sleep(model_s)
        result = await client.call_tool(tool, {"record_id": record_id})
        seen.append(result.model_dump())
        record_id = result.structured_content.get(f"{leads_to}_id", "")
    return seen


async def _instant_calls(clients: dict[str, Any], count: int) -> dict[str, list[float]]:
    """How long calls take that the server answers at once, in turns."""
    tool = next(iter(TOOLS))
    taken: dict[str, list[float]] = {side: [] for side in _SIDES}
    for number in range(count):
        for side in _SIDES:
            begin = time.perf_counter()
            await clients[side].call_tool(tool, {"record_id": f"X-{number}"})
            taken[side].append(time.perf_counter() - begin)
    return taken


_COLUMNS = {
    "": "{side}",
    "tasks": "{seconds:.2f} s",
    "a call that is answered at once (median)": "{call_ms:.2f} ms",
}


def show(report: dict[str, Any], settings: McpProxySettings) -> Iterator[RenderableType]:
    """Both sides, and what is saved."""
    rows = [{"side": side, "seconds": report[f"{side}_s"], "call_ms": report["call_ms"][side]} for side in _SIDES]
    yield table_of("An MCP client with and without the proxy", _COLUMNS, rows)
    same = "the same" if report["same_results"] else "NOT the same"
    yield f"saved {report['saved']:.1%}; {report['added_ms']:+.2f} ms a call; results are {same}"
