"""What the speculation tree is made of: nodes, side branches, and the executions of their calls. Data only.

All parts of the tree read nodes and runs. Nodes are written by ``branches`` alone, runs by ``runs`` alone; what another
part wants to know about a node it keeps for itself.
"""

from __future__ import annotations

import dataclasses
import enum
import math
from collections.abc import Hashable, Iterator
from typing import Any, Protocol

from spec_envs.calls import Call
from spec_envs.handling import Handler
from spec_envs.usage import Usage


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
        ...

    def aside(self) -> Process | None:
        """A fork on which the reads of actions can be made while the episode waits; ``None`` where that cannot be.

        The fork waits for an action (a call that is never made), then for that action's reads, then for the next
        action.
        """


class RunState(enum.Enum):
    """What has become of one execution of a call."""

    RUNNING = "running"
    CANCELLED = "cancelled"  # told to stop, has not returned yet
    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"  # was cancelled, and has returned

    __hash__ = object.__hash__  # Enum's own hashes the name anew each time


@dataclasses.dataclass(slots=True, eq=False, repr=False)
class Run:
    """One execution of a call, for one node, or for several nodes that share it (a ``READ``)."""

    id: int  # its number
    call: Call  # the call that is made
    process: Process  # the snapshot that waits for it
    speculative: bool  # whether it is not (yet) the authoritative call
    started_at: float  # when it began
    ahead: bool  # whether it began before the response that led to it was known
    nodes: list[Node] = dataclasses.field(default_factory=list)  # the nodes that wait for it, or have its response
    early: bool = dataclasses.field(init=False)  # whether it was speculative when it began
    prefetch: bool = dataclasses.field(init=False)  # whether a side branch began it
    state: RunState = RunState.RUNNING  # what has become of it
    response: Any = None  # what the handler has returned, once it is ``DONE``
    key: Hashable = None  # the key of ``response``
    error: BaseException | None = None  # what the handler has raised, once it has ``FAILED``
    ended_at: float = math.nan  # when the handler returned or raised
    usage: Usage = Usage()  # what it has used until then
    committed: bool = False  # whether the episode has used its response
    shadow_of: Run | None = None  # the run whose loosely matched call it makes again with the true query

    def __post_init__(self) -> None:
        self.early = self.speculative
        self.prefetch = bool(self.nodes) and self.nodes[0].side_branch is not None

    def __repr__(self) -> str:
        return f"<Run {self.id} of {self.call.handler!r}, {self.state.value}>"

    @property
    def in_flight(self) -> bool:
        """Whether the handler has not returned yet."""
        return self.state is RunState.RUNNING or self.state is RunState.CANCELLED

    @property
    def is_under_way(self) -> bool:
        """Whether it has the response of its nodes, or will bring the response."""
        state = self.state
        if state is RunState.RUNNING or state is RunState.DONE:
            return True
        # A speculative call that failed is made again once it is the authoritative one.
        return state is RunState.FAILED and not self.early


@dataclasses.dataclass(slots=True, eq=False)
class SideBranch:
    """The nodes on which reads are prefetched beside one waiting node; see ``Process.aside``."""

    calls: set[Call] = dataclasses.field(default_factory=set)  # the calls that its nodes make: each is made once


@dataclasses.dataclass(slots=True, eq=False, repr=False)
class Node:
    """A point that the episode may come to, with one outstanding call."""

    id: int  # its number
    parent: Node | None  # the node before it; ``None`` for the root
    response: Any  # the guessed or known response to the parent's call that leads here
    probability: float  # of ``response``, given the parent
    process: Process | None  # the snapshot of the episode here; ``None`` where the environment refused the response
    #: The logarithm of the probability of the path from the first root there was. Every path to a live node leads
    #: through the present root, so ``score - root.score`` counts from there, and a move of the root changes no order.
    score: float
    level: int  # how many responses it is away from the first root there was
    key: Hashable = None  # of the response that it was made for; the real one may differ from it (see ``branches``)
    run: Run | None = None  # the execution of its call, once there is one
    #: The nodes after it, by the key of their response.
    children: dict[Hashable, Node] = dataclasses.field(default_factory=dict)
    side_branch: SideBranch | None = None  # that it belongs to; ``None``: the episode may come to the node
    aside: Node | None = None  # the first node of the side branch beside it, if there is one
    guessed: frozenset[Hashable] | None = None  # the keys of all guessed responses; ``None`` before there were any
    hit: bool = False  # whether the real response was among the guesses
    alive: bool = True  # whether it is part of the tree
    lossy: bool = False  # whether it was reached by a loose match
    #: What it waits for; ``None`` at the end of an episode, or where the environment refused the response.
    call: Call | None = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        self.call = None if self.process is None else self.process.call

    @property
    def answered(self) -> bool:
        """Whether the real response, given this branch, is known."""
        run = self.run
        return run is not None and run.state is RunState.DONE

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
        """The node and all its descendants, with their side branches, parents first."""
        stack: list[Node] = [self]
        while stack:
            node = stack.pop()
            yield node
            stack.extend(node.children.values())
            if node.aside is not None:
                stack.append(node.aside)
