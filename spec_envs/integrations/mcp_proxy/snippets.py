"""Text to add to the settings of MCP clients, so that they start a server through the proxy."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from collections.abc import Callable, Sequence

from spec_envs.integrations.mcp_proxy.config import server_name


def proxied(command: Sequence[str]) -> list[str]:
    """The command that runs ``command`` behind the proxy, with a full path: clients may have another ``PATH``."""
    program = shutil.which("spec-envs")
    start = [program] if program else [sys.executable, "-m", "spec_envs.benchmarks.cli"]
    return [*start, "mcp-proxy", "--trust-annotations", "--", *command]


def snippet(client: str, command: Sequence[str]) -> str:
    """The text to add to the settings of ``client``, and where."""
    return _CLIENTS[client](server_name(command), proxied(command))


def _claude_code(name: str, command: list[str]) -> str:
    once = f"claude mcp add {name} -- {shlex.join(command)}"
    settings = _json("mcpServers", name, command)
    return f"# run once:\n{once}\n\n# or add to .mcp.json in the project:\n{settings}"


def _codex(name: str, command: list[str]) -> str:
    program, *arguments = command
    # Strings and lists in JSON are also valid in TOML.
    return (
        f"# add to ~/.codex/config.toml:\n[mcp_servers.{json.dumps(name)}]\n"
        f"command = {json.dumps(program)}\nargs = {json.dumps(arguments)}"
    )


def _cursor(name: str, command: list[str]) -> str:
    return f"# add to .cursor/mcp.json in the project, or to ~/.cursor/mcp.json:\n{_json('mcpServers', name, command)}"


def _vscode(name: str, command: list[str]) -> str:
    return f"# add to .vscode/mcp.json in the project:\n{_json('servers', name, command, type='stdio')}"


def _json(key: str, name: str, command: list[str], **more: str) -> str:
    program, *arguments = command
    return json.dumps({key: {name: {**more, "command": program, "args": arguments}}}, indent=2, ensure_ascii=False)


_CLIENTS: dict[str, Callable[[str, list[str]], str]] = {
    "claude-code": _claude_code,
    "codex": _codex,
    "cursor": _cursor,
    "vscode": _vscode,
}
