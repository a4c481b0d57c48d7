"""All tools of the two benchmarks' retail domains, with their names, arguments, outputs and errors."""

import dataclasses
import functools
from collections.abc import Iterable, Mapping
from typing import Any

from spec_envs.calls import Effect
from spec_envs.retail.store.notation import Dialect
from spec_envs.retail.store.snapshot import StoreSnapshot
from spec_envs.retail.tools import functions
from spec_envs.retail.tools.tau3 import TAU3_TOOLS
from spec_envs.retail.tools.tool import Tool, ToolResponse


@dataclasses.dataclass(frozen=True)
class ToolSet:
    """The tools of a benchmark."""

    tools: Mapping[str, Tool]  # by name, sorted
    unknown: str  # the answer to a call of a tool that does not exist, with a place for its name
    terminal: frozenset[str]  # the names of the tools that end an episode

    @functools.cached_property
    def schemas(self) -> tuple[dict[str, Any], ...]:
        """The descriptions of the tools that OpenAI's chat models expect, sorted by name. They must not be changed."""
        return tuple(tool.schema() for tool in self.tools.values())

    @functools.cached_property
    def reads(self) -> frozenset[str]:
        """The names of the tools that change nothing."""
        return frozenset(tool.name for tool in self.tools.values() if tool.effect is Effect.READ)


def _by_name(tools: Iterable[Tool]) -> Mapping[str, Tool]:
    return {tool.name: tool for tool in sorted(tools, key=lambda tool: tool.name)}


_TRANSFER = "transfer_to_human_agents"
#: The tools of each benchmark. In τ³-bench the customer ends the episode, also after a transfer.
TOOL_SETS: Mapping[Dialect, ToolSet] = {
    "tau-bench": ToolSet(
        _by_name(value for value in vars(functions).values() if isinstance(value, Tool)),
        "Unknown action {}",
        frozenset({_TRANSFER}),
    ),
    "tau3": ToolSet(_by_name(TAU3_TOOLS), "Error: Tool '{}' not found.", frozenset()),
}
#: All tools of tau-bench by name, sorted.
TOOLS: Mapping[str, Tool] = TOOL_SETS["tau-bench"].tools
#: The descriptions of tau-bench's tools that OpenAI's chat models expect, sorted by name. They must not be changed.
SCHEMAS: tuple[dict[str, Any], ...] = TOOL_SETS["tau-bench"].schemas
#: The names of tau-bench's tools that change nothing.
READS = TOOL_SETS["tau-bench"].reads
#: The names of the tools that change the shop, or have a person take over; the same in both benchmarks.
WRITES = frozenset(tool.name for tool in TOOLS.values() if tool.effect is Effect.WRITE)
#: The names of tau-bench's tools that end an episode.
TERMINAL = TOOL_SETS["tau-bench"].terminal


def effect_of(name: str) -> Effect:
    """Return the effect of calling a tool: ``READ`` for a tool that does not exist, since it changes nothing."""
    return Effect.WRITE if name in WRITES else Effect.READ


def run_tool(store: StoreSnapshot, name: str, arguments: Mapping[str, Any]) -> ToolResponse:
    """Return what a tool answers to ``arguments``, and what it would change; a pure function that never raises.

    A tool can therefore run in any thread or process and on any branch, and its changes can be made later. The tools
    are those of the benchmark whose form the data have (``store.dialect``). The answer to a wrong call begins with
    "Error: " (or "Unknown action " for a tool that tau-bench does not have), and changes nothing.
    """
    known = TOOL_SETS[store.dialect]
    tool = known.tools.get(name) if isinstance(name, str) else None
    return ToolResponse(known.unknown.format(name)) if tool is None else tool.run(store, arguments)
