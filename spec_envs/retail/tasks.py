"""Tasks: what a customer wants, the actions that fulfil it, and what the agent must say to the customer."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from spec_envs.immutable import frozen
from spec_envs.retail.store.snapshot import StoreSnapshot
from spec_envs.retail.tools.table import run_tool


@dataclasses.dataclass(frozen=True, slots=True)
class Action:
    """A tool call: the tool's name, and its arguments, JSON data that become a ``FrozenDict``."""

    name: str
    arguments: Mapping[str, Any]
    #: The arguments that a call has to have in common with a gold action where τ³-bench compares them; ``None``: those
    #: that the call has.
    compared: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "arguments", frozen(self.arguments))

    def is_made_by(self, name: str, arguments: Mapping[str, Any]) -> bool:
        """Return whether a tool call makes this gold action, by the rule of τ³-bench's score."""
        compared = arguments if self.compared is None else self.compared
        wanted = {key: value for key, value in self.arguments.items() if key in compared}
        return name == self.name and (
            not compared or wanted == {key: value for key, value in arguments.items() if key in compared}
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Identity:
    """Who the customer is, and what the customer answers when the agent asks for it."""

    user_id: str  # the customer's id, which the customer does not tell
    first_name: str
    last_name: str
    zip: str
    email: str
    knows_email: bool  # whether the customer remembers the e-mail address. The customer always knows name and zip code


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """One thing that the customer wants; facts and arguments become ``FrozenDict``."""

    kind: str  # the name of the tool that fulfils the request, or "information"
    goal: str  # what the customer wants, in words that follow "I would like to"
    #: What the customer answers when asked, a phrase by topic: "order", "items", "new items", "payment", "reason",
    #: "address". The customer has nothing to say about a missing topic.
    facts: Mapping[str, str]
    arguments: Mapping[str, Any]  # the arguments that the tool needs; empty for "information"
    confirms: bool = True  # whether the customer says yes when asked to confirm; if not, nothing is to change
    outputs: tuple[str, ...] = ()  # what the customer wants to hear before it is fulfilled, as in ``Task.outputs``

    def __post_init__(self) -> None:
        object.__setattr__(self, "facts", frozen(self.facts))
        object.__setattr__(self, "arguments", frozen(self.arguments))
        object.__setattr__(self, "outputs", tuple(self.outputs))


@dataclasses.dataclass(frozen=True, slots=True)
class Scenario:
    """The customer's part as data: who the customer is, and the requests in the order in which they come up."""

    identity: Identity
    requests: tuple[Request, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "requests", tuple(self.requests))


#: The parts of a score. ``ENV_ASSERTION`` has nothing to check, since the shop has no function for assertions.
Part = Literal["DB", "COMMUNICATE", "NL_ASSERTION", "ACTION", "ENV_ASSERTION"]


@dataclasses.dataclass(frozen=True, slots=True)
class Criteria:
    """What counts for the score of a task of τ³-bench.

    Attributes:
        basis: The parts that count.
        compares_data: Whether the data are compared with those that the gold actions leave; if not, any data are right.
        assertions: Sentences about the dialogue that have to be true, which a judge decides.
    """

    basis: tuple[Part, ...] = ("DB", "COMMUNICATE")
    compares_data: bool = True
    assertions: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Task:
    """A task of tau-bench or τ³-bench, or in their form. A task is immutable, so it is shared and never copied.

    Attributes:
        split: "train", "dev" or "test"; "" for a task that is in no split.
        index: The position in its split; for a task of τ³-bench, the position in its file.
        user_id: The customer's id; "" for a task of τ³-bench, which does not say who the customer is.
        instruction: The customer's part in words, for a language model or a person; the agent never sees it.
        actions: Gold actions. The task is solved if the data are as these actions leave them.
        outputs: Texts that the agent must say to the customer. Upper and lower case count as equal, and commas in the
            agent's messages are ignored.
        scenario: The customer's part as data, for the scripted customer; ``None`` for the tasks of the benchmarks.
        id: The id of a task of τ³-bench; "" for other tasks.
        criteria: What counts for the score of a task of τ³-bench; ``None``: the data and the outputs, as in tau-bench.
    """

    split: str
    index: int
    user_id: str
    instruction: str
    actions: tuple[Action, ...]
    outputs: tuple[str, ...] = ()
    scenario: Scenario | None = None
    id: str = ""
    criteria: Criteria | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "actions", tuple(self.actions))
        object.__setattr__(self, "outputs", tuple(self.outputs))

    def __deepcopy__(self, memo: object) -> Task:
        return self

    @property
    def name(self) -> str:
        """The split and the index: "test-12"; the id of a task of τ³-bench."""
        return self.id or f"{self.split}-{self.index}"


def replay(store: StoreSnapshot, actions: Iterable[Action]) -> tuple[list[str], StoreSnapshot]:
    """Return what the tools answer to the actions, one after the other, and the data after them."""
    outputs = []
    for action in actions:
        result = run_tool(store, action.name, action.arguments)
        outputs.append(result.output)
        if result.patch:
            store = store.patched(result.patch)
    return outputs, store


def customer_in(store: StoreSnapshot, task: Task) -> str:
    """Return the id of a task's customer; if the task does not name it, that of the first gold action's user."""
    if task.user_id:
        return task.user_id
    for action in task.actions:
        given = action.arguments
        order = store.get("orders", str(given.get("order_id")))
        found = order["user_id"] if order is not None else given.get("user_id")
        if action.name.startswith("find_user_id_by_"):
            found = run_tool(store, action.name, given).output
        if store.get("users", str(found)) is not None:
            return str(found)
    return ""


def was_said(output: str, message: str) -> bool:
    """Return whether a message to the customer contains ``output``, by the rule of tau-bench's score."""
    return output.lower() in message.lower().replace(",", "")
