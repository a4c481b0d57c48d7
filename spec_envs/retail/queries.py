"""What the environment asks: the customer what to say next, and a tool what it answers. Immutable values."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from spec_envs.calls import Effect
from spec_envs.retail.tools.table import run_tool

if TYPE_CHECKING:
    from spec_envs.retail.tasks import Task
    from spec_envs.retail.tools.tool import ToolResult
    from spec_envs.retail.tools.visible import StoreView

#: What the customer is greeted with; not a message of the agent.
GREETING = "Hi! How can I help you today?"
#: In a message of the customer: that was all. The environment ends the episode.
STOP = "###STOP###"


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class CustomerQuery:
    """What does this customer say next?

    Attributes:
        said: All that was said between the two so far, in turns: ``GREETING``, customer, agent, customer, …, agent.
            A customer does not see tool calls, so they are not in it: paths that differ in them alone ask the same.
        task: The customer's part; a model that plays it reads ``task.instruction``.
        seed: Of the episode; for a customer that draws.
    """

    said: tuple[str, ...]
    task: Task
    seed: int

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, CustomerQuery):
            return NotImplemented
        same_task = self.task is other.task or self.task == other.task
        return self.seed == other.seed and self.said == other.said and same_task

    def __hash__(self) -> int:
        return hash((self.said, self.seed, self.task.split, self.task.index))


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class ToolQuery:
    """What does this tool answer?

    Attributes:
        name: The tool, which may not exist.
        text: The arguments as JSON text.
        store: The data, of which only the part counts that the tool looks at; ``store.snapshot`` has all.
        arguments: The arguments. Never to be changed.
        episode: The episode's name, for a shop that keeps the data of many episodes.
        step: The actions before it. An episode makes at most one write in a step, so the two name it. Neither counts
            when queries are compared: the answer depends on the data, the same wherever and whenever they are.
    """

    name: str
    text: str
    store: StoreView
    arguments: Mapping[str, Any]
    episode: str
    step: int

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ToolQuery):
            return NotImplemented
        return self.name == other.name and self.text == other.text and self.store == other.store

    def __hash__(self) -> int:
        return hash((self.name, self.text, self.store))


class _InstantTools:
    # What they change is private to the fork that asks, so also those that write may run ahead.
    effect: ClassVar[Effect] = Effect.READ

    def __call__(self, query: ToolQuery) -> ToolResult:
        return run_tool(query.store.snapshot, query.name, query.arguments)


#: The handler of tools that work on the data in the query, and change nothing outside the episode.
instant_tools = _InstantTools()
