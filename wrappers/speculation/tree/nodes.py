"""What the speculation tree is made of: nodes, side branches, and the executions of their calls. Data only.

All parts of the tree read nodes and runs. Only ``branches`` writes nodes, and only ``runs`` writes runs. Any other part
keeps its facts about nodes for itself.
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
    """A snapshot of an episode: the call that the episode waits for, and how it goes on with a response.

    Immutable: ``advance`` returns another process, and does not change this one.
    """

    @property
    def call(self) -> Call | None:
        """The call that the episode waits for; ``None`` if the episode has ended."""

    @property
    def handler(self) -> Handler | None:
        """The handler of the call; ``None``: the environment's handler of the call's name."""

    def advance(self, response: Any) -> Process:
        """The episode after ``response``, at its next call. May raise what the environment raises."""
        ...

    def aside(self) -> Process | None:
        """A fork on which the reads of actions can be made while the episode waits; ``None`` if it can have no fork.

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


# To read a member from its class takes four times as long as to read a variable, and each step does so often.
RUNNING, CANCELLED, DONE = RunState.RUNNING, RunState.CANCELLED, RunState.DONE
FAILED, STOPPED = RunState.FAILED, RunState.STOPPED


@dataclasses.dataclass(slots=True, eq=False, repr=False)
class Run:
    """One execution of a call, for one node, or for several nodes that share it (a ``READ``)."""

    id: int  # the number of the run
    call: Call  # the call that is made
    process: Process  # the snapshot that waits for the response
    speculative: bool  # whether the call is not (yet) authoritative
    started_at: float  # when the run began
    ahead: bool  # whether the run began before the response that led to its call was known
    nodes: list[Node] = dataclasses.field(default_factory=list)  # the nodes that wait for the response, or have it
    early: bool = dataclasses.field(init=False)  # whether the call was speculative when the run began
    prefetch: bool = dataclasses.field(init=False)  # whether a node of a side branch began the run
    state: RunState = RUNNING  # what has become of the run
    response: Any = None  # what the handler has returned, once the run is ``DONE``
    key: Hashable = None  # the key of ``response``
    error: BaseException | None = None  # what the handler has raised, once the run has ``FAILED``
    ended_at: float = math.nan  # when the handler returned or raised
    usage: Usage = Usage()  # what the call has used until then
    committed: bool = False  # whether the episode has used the response
    shadow_of: Run | None = None  # the run whose loosely matched call this run makes again, with the true query

    def __post_init__(self) -> None:
        self.early = self.speculative
        self.prefetch = bool(self.nodes) and self.nodes[0].side_branch is not None

    def __repr__(self) -> str:
        return f"<Run {self.id} of {self.call.handler!r}, {self.state.value}>"

    @property
    def in_flight(self) -> bool:
        """Whether the handler has not returned yet."""
        return self.state is RUNNING or self.state is CANCELLED

    @property
    def is_under_way(self) -> bool:
        """Whether it has, or will have, the outcome of its nodes' call; if not, the call is still to be made."""
        state = self.state
        if state is RUNNING or state is DONE:
            return True
        # A speculative call that failed is made again once it is authoritative.
        return state is FAILED and not self.early


@dataclasses.dataclass(slots=True, eq=False)
class SideBranch:
    """The nodes on which reads are prefetched beside one waiting node; see ``Process.aside``."""

    calls: set[Call] = dataclasses.field(default_factory=set)  # the calls that its nodes make: each call once


@dataclasses.dataclass(slots=True, eq=False, repr=False)
class Node:
    """A point that the episode may come to, with one outstanding call."""

    id: int  # the number of the node
    parent: Node | None  # the node before it; ``None`` for the root
    response: Any  # the guessed or known response to the parent's call that leads here
    probability: float  # of ``response``, given the parent
    process: Process | None  # the snapshot of the episode here; ``None`` where the environment refused the response
    #: The logarithm of the probability of the path from the tree's first root. Every path to a live node leads through
    #: the present root. So ``score - root.score`` is counted from the present root, and a move of the root changes no
    #: order.
    score: float
    level: int  # the number of responses between the tree's first root and this node
    key: Hashable = None  # the key of the response that the node was made for; the real one may differ (``branches``)
    run: Run | None = None  # the execution of the node's call, once there is one
    #: The nodes after this node, by the key of their response.
    children: dict[Hashable, Node] = dataclasses.field(default_factory=dict)
    side_branch: SideBranch | None = None  # the side branch of the node; ``None``: the episode may come to the node
    aside: Node | None = None  # the first node of the side branch beside this node, if there is one
    guessed: frozenset[Hashable] | None = None  # the keys of all guessed responses; ``None`` before the first guess
    hit: bool = False  # whether the real response was among the guesses
    alive: bool = True  # whether the node is part of the tree
    lossy: bool = False  # whether the node was reached by a loose match
    #: The outstanding call; ``None`` at the end of an episode, or where the environment refused the response.
    call: Call | None = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        self.call = None if self.process is None else self.process.call

    @property
    def answered(self) -> bool:
        """Whether the response to the node's call is known: the real response, if the episode comes to this node."""
        run = self.run
        return run is not None and run.state is DONE

    def probability_from(self, root: Node) -> float:
        """The probability that the episode comes from ``root`` to this node."""
        gain = self.score - root.score
        return math.exp(gain) if gain < 0.0 else 1.0

    def __repr__(self) -> str:
        return f"<Node {self.id} at {self.call.handler!r}>" if self.call else f"<Node {self.id}, no call>"

    def ancestors(self) -> Iterator[Node]:
        """The nodes from the parent to the root."""
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
