"""What the adapters of MCP share: results and lists of tools. This module does not import ``mcp``."""

from collections.abc import Iterable
from typing import Any

from spec_envs.conversation import Tool
from spec_envs.wrappers.tools.ports import qualified
from spec_envs.wrappers.tools.proxy import SpeculativeTools


def content(result: Any) -> Any:
    """Return what guessers see of a ``CallToolResult``: its structured content, or its texts."""
    structured = result.structured_content
    if isinstance(structured, dict):
        return structured["result"] if structured.keys() == {"result"} else structured
    return "\n".join(part.text for part in result.content if part.type == "text")


def usable(result: Any) -> bool:
    """Whether ``result`` answers the call: it is neither an error nor a question of the server to the client."""
    return getattr(result, "is_error", True) is False


class ToolList:
    """What a server has listed so far.

    Args:
        tools: The proxy.
        server: The name of the server.
        trust_annotations: Whether to believe what the server says about the effects of its tools.
    """

    def __init__(self, tools: SpeculativeTools, server: str, *, trust_annotations: bool) -> None:
        self._tools = tools
        self._server = server
        self._trust_annotations = trust_annotations
        self._names: set[str] = set()
        self._is_complete = False
        self._was_begun = False

    def add(self, listed: Iterable[Any], *, is_first: bool = True, is_last: bool = True) -> None:
        """Add a page of the list: what guessers see of its tools and, from a trusted server, the effects."""
        if is_first:
            self._names.clear()
        for tool in listed:
            self._names.add(tool.name)
            name = qualified(self._server, tool.name)
            self._tools.describe(Tool(name, tool.description or "", tool.input_schema))
            hint = tool.annotations is not None and tool.annotations.read_only_hint is True
            self._tools.trust(name, read_only=hint and self._trust_annotations)
        self._is_complete = is_last and (is_first or self._was_begun)
        self._was_begun = (is_first or self._was_begun) and not is_last

    def check(self, name: str) -> None:
        """The tool ``name`` is called: tell the proxy if the whole list is known and does not have it."""
        if self._is_complete and name not in self._names:
            self._tools.add_unlisted(qualified(self._server, name))
