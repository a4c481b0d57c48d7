"""Rules for tools, proposed from recorded traffic. A person has to check the rules, and knows what a tool does."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from spec_envs.conversation import canonical
from spec_envs.errors import InvalidConfiguration
from spec_envs.integrations.mcp_proxy.routes import tool_of
from spec_envs.wrappers.tools._mcp_results import changes_nothing

_READING = (
    "get",
    "list",
    "read",
    "search",
    "find",
    "fetch",
    "show",
    "query",
    "describe",
    "lookup",
    "view",
    "count",
    "status",
)


@dataclasses.dataclass
class _Seen:
    """Facts about one tool in the traffic."""

    hint: bool = False
    calls: int = 0
    failed: int = 0
    seconds: list[float] = dataclasses.field(default_factory=list)
    results: dict[str, tuple[str, int]] = dataclasses.field(default_factory=dict)  # the last result, writes before it
    same: int = 0
    changed: int = 0
    changed_by: dict[str, int] = dataclasses.field(default_factory=dict)


class _Traffic:
    """Reads messages, and collects facts about tools."""

    def __init__(self) -> None:
        self.tools: dict[str, _Seen] = {}
        self._open: dict[tuple[str, str], tuple[float, dict[str, Any]]] = {}  # requests by session and id
        self._others: list[str] = []  # calls of tools without the hint, in order
        self._servers: dict[str, list[str]] = {}  # behind the proxy, by session

    def read(self, at: float, session: str, source: str, message: dict[str, Any], ready: bool) -> None:
        """Read one message; an answer may have been ``ready`` when the client asked."""
        place = session, json.dumps(message.get("id"))
        if source == "proxy":
            self._servers[session] = list(message["servers"])
        elif source == "client" and "method" in message and "id" in message:
            self._open[place] = (at, message)
        elif source == "server" and "method" not in message and place in self._open:
            begun, request = self._open.pop(place)
            result = message.get("result")
            if request["method"] == "tools/list" and isinstance(result, dict):
                for tool in result.get("tools") or ():
                    if isinstance(tool, dict) and isinstance(tool.get("name"), str):
                        seen = self._of(self._named(session, tool["name"]))
                        seen.hint = changes_nothing(tool.get("annotations"))
            elif request["method"] == "tools/call" and isinstance(params := request.get("params"), dict):
                seconds = None if ready else at - begun  # for how long the client waited is not what the tool takes
                self._called(self._named(session, params.get("name")), params, seconds, result)

    def _named(self, session: str, tool: Any) -> str:
        """The name of a tool in rules, from the name by which the client calls it."""
        servers = self._servers.get(session, ())
        return tool_of(servers, tool) if len(servers) > 1 else str(tool)

    def _of(self, tool: str) -> _Seen:
        return self.tools.setdefault(tool, _Seen())

    def _called(self, name: str, params: dict[str, Any], seconds: float | None, result: Any) -> None:
        tool = self._of(name)
        tool.calls += 1
        if seconds is not None:
            tool.seconds.append(seconds)
        if not isinstance(result, dict) or result.get("isError"):
            tool.failed += 1
            return
        if not tool.hint:
            self._others.append(name)
        key, text = canonical(params.get("arguments") or {}), canonical(result)
        known = tool.results.get(key)
        if known is not None and known[0] == text:
            tool.same += 1
        elif known is not None:
            between = [other for other in self._others[known[1] :] if other != name]
            tool.changed += not between
            for other in dict.fromkeys(between):
                tool.changed_by[other] = tool.changed_by.get(other, 0) + 1
        tool.results[key] = (text, len(self._others))


def proposal(files: Sequence[Path]) -> str:
    """Rules as TOML, with the evidence for each in comments.

    Raises:
        InvalidConfiguration: A file holds no recorded traffic.
    """
    traffic = _Traffic()
    for file in files:
        for entry in _messages(file):
            traffic.read(*entry)
    if not traffic.tools:
        raise InvalidConfiguration(f"{', '.join(map(str, files))}: no tool was listed or called in this traffic")
    head = [
        "# Proposed from recorded traffic by `spec-envs mcp-proxy learn`. Read every line before you use this file:",
        "# a tool that is declared read or sample is called ahead of time, also when nobody asks for it.",
        "# read: equal calls may share a result. sample: each result is used once. write (the default): never ahead.",
        "",
    ]
    return "\n".join([*head, *(line for name in sorted(traffic.tools) for line in _rule(name, traffic))]).rstrip()


def _rule(name: str, traffic: _Traffic) -> Iterator[str]:
    tool = traffic.tools[name]
    effect, why = _effect(name, tool)
    median = f", about {sorted(tool.seconds)[len(tool.seconds) // 2]:.3g} s each" if tool.seconds else ""
    failures = f", {tool.failed} failed" if tool.failed else ""
    yield f"# {tool.calls} calls{median}{failures}. {why}"
    table = f"[tools.{json.dumps(name)}]"
    changed = sorted(other for other, seen in traffic.tools.items() if name in seen.changed_by)
    if effect is None:
        yield f"# {table}"
        yield '# effect = "write"'
    else:
        yield table
        yield f'effect = "{effect}"'
    if effect is None and changed:
        yield f"# Calls of it came between different results of equal calls of {', '.join(changed)}."
        yield f"# touches = {json.dumps(changed)}"
    yield ""


def _effect(name: str, tool: _Seen) -> tuple[str | None, str]:
    """The effect to propose, and the reason; ``None`` for a tool that stays a write."""
    seen = f"equal calls: {tool.same} with equal results, {tool.changed} that changed by themselves."
    if tool.hint:
        if tool.changed:
            return "sample", f"The server hints that it only reads; {seen}"
        if tool.same >= 2:
            return "read", f"The server hints that it only reads; {seen}"
        return "sample", f"The server hints that it only reads; too few {seen}"
    if name.lower().replace("-", "_").split("_")[0] in _READING and not tool.changed:
        return None, f"The server gives no hint. Its name sounds like reading: is it? {seen.capitalize()}"
    return None, f"The server gives no hint that it only reads. {seen.capitalize()}"


def _messages(file: Path) -> Iterable[tuple[float, str, str, dict[str, Any], bool]]:
    """The time of each message, its session, who has sent it, the message, and whether it was ready when asked for."""
    with file.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            try:
                entry = json.loads(line)
                source, message = str(entry["from"]), dict(entry["message"])
                yield float(entry["at"]), entry.get("session", ""), source, message, entry.get("ready") is True
            except (ValueError, KeyError, TypeError) as error:
                if not line.endswith("\n") and number > 1:
                    return  # the proxy was killed, or the disk was full
                raise InvalidConfiguration(
                    f"{file}, line {number} is no recorded message ({error!r}); `spec-envs mcp-proxy --record` records"
                ) from None
