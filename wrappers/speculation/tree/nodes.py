"""What the speculation tree is made of, and what it tells its driver to do. Data only."""

from __future__ import annotations

import dataclasses
import enum
import math
from collections.abc import Hashable, Iterator
from typing import Any, Protocol

from spec_envs.calls import Call
from spec_envs.handling import Handler, Usage
from spec_envs.values import key_of


def response_key(response: Any) -> Hashable:
    """The key of a response, by which responses are compared; one that has none is like no other."""
    try:
        return key_of(response)
    except Exception:  # of a guess, anything is to be expected: one that holds itself, or cannot be hashed
        return ("object", id(response))


class Process(Protocol):
    """A snapshot of an episode: what it waits for, and what it becomes with a response.

    Immutable: ``advance`` leaves it as it is. An ended episode has ``call`` ``None``.
    """

    @property
    def call(self) -> Call | None:
        """The call that the episode waits for."""

    @property
    def handler(self) -> Handler | None:
        """What makes the call, where it is not the environment's handler of that name."""

    def advance(self, response: Any) -> Process:
        """The episode after ``response``, at its next call. May raise what the environment raises."""

    def aside(self) -> Process | None:
        """Where the reads of actions can be made ahead while the episode waits; ``None`` if they cannot.

        Waits for an action (a call that is never made), then for that action's reads, then for the next action.
        """


class RunState(enum.Enum):
    """Of one execution of a call."""

    RUNNING = "running"
    CANCELLED = "cancelled"  # told to stop, has not returned yet
    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"  # was cancelled, and has returned


@dataclasses.dataclass(slots=True, eq=False, repr=False)
class Run:
    """One execution of a call, for one node, or for several when it is a shared ``READ``.

    ``speculative`` while it is not the authoritative call; ``early`` if it was not when it started; ``ahead`` if it
    started before the response was known that led to it; ``prefetch`` if a side branch began it.
    """

    id: int
    call: Call
    process: Process
    speculative: bool
    started_at: float
    ahead: bool
    nodes: list[Node] = dataclasses.field(default_factory=list)
    early: bool = dataclasses.field(init=False)
    prefetch: bool = dataclasses.field(init=False)
    state: RunState = RunState.RUNNING
    response: Any = None
    key: Hashable = None
    error: BaseException | None = None
    ended_at: float = math.nan
    usage: Usage = Usage()
    charge: Usage = Usage()
    committed: bool = False
    shadow_of: Run | None = None

    def __post_init__(self) -> None:
        self.early = self.speculative
        self.prefetch = any(node.named is not None for node in self.nodes)

    def __repr__(self) -> str:
        return f"<Run {self.id} of {self.call.handler!r}, {self.state.value}>"

    @property
    def in_flight(self) -> bool:
        """Whether the handler has not returned yet."""
        return self.state in (RunState.RUNNING, RunState.CANCELLED)


@dataclasses.dataclass(slots=True, eq=False, repr=False)
class Node:
    """A point of an episode, reached by guessed and known responses, with one outstanding call.

    ``score`` is the logarithm of the probability of the path from the first root there was. Every path to a live node
    leads through the present root, so ``score - root.score`` is that of now, and moving the root changes no order.
    ``unasked``: it is not to be guessed, because the guess would come too late.

    ``aside`` is the side branch on which reads are prefetched while the node waits. The nodes of one side branch share
    ``named``, the calls that were named for it; it is ``None`` elsewhere.
    """

    id: int
    parent: Node | None
    response: Any
    probability: float
    process: Process | None
    score: float
    level: int
    rank: float = 0.0
    run: Run | None = None
    children: dict[Hashable, Node] = dataclasses.field(default_factory=dict)
    aside: Node | None = None
    named: set[Call] | None = None
    asked: bool = False
    unasked: bool = False
    asking: bool = False
    guessed: frozenset[Hashable] | None = None
    hit: bool = False
    alive: bool = True
    lossy: bool = False

    @property
    def call(self) -> Call | None:
        """What the node waits for; ``None`` at the end of an episode, or where the environment refused the response."""
        return None if self.process is None else self.process.call

    @property
    def answered(self) -> bool:
        """Whether the real response, given this branch, is known."""
        return self.run is not None and self.run.state is RunState.DONE

    def probability_from(self, root: Node) -> float:
        """Probability that the episode comes here, seen from ``root``."""
        return math.exp(min(0.0, self.score - root.score))

    def __repr__(self) -> str:
        return f"<Node {self.id} at {self.call.handler!r}>" if self.call else f"<Node {self.id}, no call>"

    def ancestors(self) -> Iterator[Node]:
        """From the parent to the root."""
        node = self.parent
        while node is not None:
            yield node
            node = node.parent

    def subtree(self) -> Iterator[Node]:
        """The node and all its descendants, side branches too, parents first."""
        stack = [self]
        while stack:
            node = stack.pop()
            yield node
            stack.extend(node.children.values())
            if node.aside is not None:
                stack.append(node.aside)


@dataclasses.dataclass(frozen=True, slots=True)
class Start:
    """Make the call of ``run``; report with ``responded``, ``failed`` or, if it was cancelled, ``stopped``."""

    run: Run


@dataclasses.dataclass(frozen=True, slots=True)
class Cancel:
    """Nobody waits for ``run`` any more: tell its handler; it still reports when it has returned."""

    run: Run


@dataclasses.dataclass(frozen=True, slots=True)
class Ask:
    """Guess the response of the node's call; report with ``guessed``."""

    node: Node


@dataclasses.dataclass(frozen=True, slots=True)
class Unask:
    """The node's guesses are of no use any more; its guesser still reports when it has returned."""

    node: Node


@dataclasses.dataclass(frozen=True, slots=True)
class Committed:
    """The root's response became final; the episode has moved on to the root's child.

    ``used``: it is the response that the root's own call gave (and not an action that the user chose instead).
    """

    node: Node
    child: Node
    response: Any
    used: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Discarded:
    """The node cannot be reached any more."""

    node: Node


Command = Start | Cancel | Ask | Unask | Committed | Discarded
