"""The queries of the environment's calls, as immutable values, and the default handler of tool calls."""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

from spec_envs.brief import own_form
from spec_envs.calls import Effect
from spec_envs.retail.store.notation import Dialect
from spec_envs.retail.tasks import Task
from spec_envs.retail.tools.table import run_tool
from spec_envs.retail.tools.tool import ToolResponse
from spec_envs.retail.tools.visible import StoreView

#: The greeting that the customer hears first; not a message of the agent.
GREETING = "Hi! How can I help you today?"
#: The environment ends the episode when a message of the customer contains this text.
STOP = "###STOP###"
#: All texts in a message of the customer that end an episode.
_STOPS: Mapping[Dialect, tuple[str, ...]] = {
    "tau-bench": (STOP,),
    "tau3": (STOP, "###TRANSFER###", "###OUT-OF-SCOPE###"),
}


def hangs_up(message: str, dialect: Dialect) -> bool:
    """Return whether a message of the customer ends the episode."""
    return any(stop in message for stop in _STOPS[dialect])


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class CustomerQuery:
    """The query of a ``user`` call: what does the customer say next?

    Attributes:
        said: What was said so far, in turns: ``GREETING``, customer, agent, customer, …, agent. A customer does not see
            tool calls, so two episodes that differ only in tool calls have equal queries.
        task: The customer's part; a model that plays the customer reads ``task.instruction``.
        seed: The seed of the episode, for a customer that draws.
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
    """The query of a ``tool`` call: what does the tool answer?

    Queries are equal if ``name``, ``text`` and ``store`` are equal, since the answer depends on nothing else.

    Attributes:
        name: The name of the tool, which may not exist.
        text: The arguments as JSON text.
        store: The part of the data that the tool reads; all data are in ``store.snapshot``.
        arguments: The arguments; in the environment's own queries they cannot be changed.
        episode: The episode's name, for a shop that keeps the data of many episodes.
        step: The number of actions before this call, of which each tool call is one; so ``episode`` and ``step``
            identify a write.
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


@dataclasses.dataclass(frozen=True, slots=True)
class JudgeQuery:
    """The query of a ``judge`` call: which of the assertions are true of the dialogue?

    The response is a sequence with a bool for each assertion, in their order.

    Attributes:
        messages: The whole dialogue, from ``GREETING`` on: chat messages in OpenAI's form, each as JSON text.
        assertions: The sentences to judge.
    """

    messages: tuple[str, ...]
    assertions: tuple[str, ...]


class _InstantTools:
    """Answers ``tool`` calls at once, from the data in the query. Nothing outside the episode changes."""

    # The changes stay in the fork that makes the call, so even a tool that writes may be called ahead of time.
    effect: ClassVar[Effect] = Effect.READ

    def __call__(self, query: ToolQuery) -> ToolResponse:
        return run_tool(query.store.snapshot, query.name, query.arguments)


instant_tools = _InstantTools()
"""The handler that answers ``tool`` calls at once, from the data in the query. Nothing outside the episode changes."""


@own_form.register
def _(query: CustomerQuery) -> str:
    return query.said[-1]


@own_form.register
def _(query: ToolQuery) -> str:
    return f"{query.name} {query.text}"


@own_form.register
def _(query: JudgeQuery) -> str:
    return "; ".join(query.assertions)


@own_form.register
def _(response: ToolResponse) -> str:
    return response.output
