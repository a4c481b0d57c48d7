"""What the adapters of MCP share: results of tools, and hints of servers. This module does not import ``mcp``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from spec_envs.conversation import Tool
from spec_envs.wrappers.tools.proxy import SpeculativeTools
from spec_envs.wrappers.tools.rules import qualified


def content(result: Any) -> Any:
    """Return what guessers see of a ``CallToolResult``: its structured content, or its texts."""
    structured = result.structured_content
    if isinstance(structured, dict):
        return structured["result"] if structured.keys() == {"result"} else structured
    return "\n".join(part.text for part in result.content if part.type == "text")


def usable(result: Any) -> bool:
    """Whether ``result`` answers the call: it is neither an error nor a question of the server to the client."""
    return getattr(result, "is_error", True) is False


def add_schemas(tools: SpeculativeTools, server: str, listed: Iterable[Any], *, trust_annotations: bool) -> None:
    """Add the schemas that a server lists to ``tools``, and, if the server is trusted, what it says about effects."""
    for tool in listed:
        name = qualified(server, tool.name)
        tools.describe(Tool(name, tool.description or "", tool.input_schema))
        if trust_annotations:
            hint = tool.annotations is not None and tool.annotations.read_only_hint is True
            tools.trust(name, read_only=hint)
