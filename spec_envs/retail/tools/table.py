"""All tools of tau-bench's retail domain, with its names, arguments, outputs and errors."""

from collections.abc import Mapping
from typing import Any

from spec_envs.calls import Effect
from spec_envs.retail.store.snapshot import StoreSnapshot
from spec_envs.retail.tools import functions
from spec_envs.retail.tools.tool import Tool, ToolResponse

_ALL = [value for value in vars(functions).values() if isinstance(value, Tool)]

#: All tools by name, sorted.
TOOLS: Mapping[str, Tool] = {tool.name: tool for tool in sorted(_ALL, key=lambda tool: tool.name)}
#: The descriptions of the tools that OpenAI's chat models expect, sorted by name. They must not be changed.
SCHEMAS: tuple[dict[str, Any], ...] = tuple(tool.schema() for tool in TOOLS.values())
#: The names of the tools that change nothing.
READS = frozenset(tool.name for tool in _ALL if tool.effect is Effect.READ)
#: The names of the tools that change the shop, or have a person take over.
WRITES = frozenset(tool.name for tool in _ALL if tool.effect is Effect.WRITE)
#: The names of the tools that end an episode.
TERMINAL = frozenset({"transfer_to_human_agents"})


def effect_of(name: str) -> Effect:
    """Return the effect of calling a tool: ``READ`` for a tool that does not exist, since it changes nothing."""
    return Effect.WRITE if name in WRITES else Effect.READ


def run_tool(store: StoreSnapshot, name: str, arguments: Mapping[str, Any]) -> ToolResponse:
    """Return what a tool answers to ``arguments``, and what it would change; a pure function that never raises.

    A tool can therefore run in any thread or process and on any branch, and its changes can be made later. The answer
    to a wrong call begins with "Error: " (or "Unknown action " for a tool that does not exist), and changes nothing.
    """
    tool = TOOLS.get(name) if isinstance(name, str) else None
    return ToolResponse(f"Unknown action {name}") if tool is None else tool.run(store, arguments)
