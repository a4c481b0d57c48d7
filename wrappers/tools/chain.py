"""What an agent is likely to call next, and after that: a tree of predicted calls, one for each run.

Pure. The root is the conversation as it stands. A node below it is a call that was predicted; once it has been made
ahead of time, the conversation with its real result is what the next prediction goes by.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from spec_envs.conversation import Event, ToolCall, ToolResult
from spec_envs.wrappers.tools.executions import Execution, Reason, State

if TYPE_CHECKING:
    from spec_envs.wrappers.tools.rules import ToolLimits


@dataclasses.dataclass(slots=True, eq=False)
class Node:
    """A predicted call, or the conversation as it stands.

    Args:
        run: Whose it is.
        events: At the root: all that happened.
        parent: What it follows; ``None`` at the root.
        call: The predicted call; ``None`` at the root.
        rank: Of the guess.
        probability: That the agent calls this here, given that it comes here.
        execution: The call as it was made ahead of time, by us or before.
        asked: Whether a guesser was asked what comes next.
        children: What may come next, by the key of the call.
        dropped: Whether the agent went another way.
    """

    run: int
    events: tuple[Event, ...] = ()
    parent: Node | None = None
    call: ToolCall | None = None
    rank: int = 0
    probability: float = 1.0
    execution: Execution | None = None
    asked: bool = False
    children: dict[str, Node] = dataclasses.field(default_factory=dict)
    dropped: bool = False

    @property
    def path(self) -> tuple[Node, ...]:
        """The predicted calls from the root's to this one."""
        return () if self.parent is None else (*self.parent.path, self)

    @property
    def path_probability(self) -> float:
        """That the agent comes to call this."""
        return self.probability * (1.0 if self.parent is None else self.parent.path_probability)

    @property
    def conversation(self) -> tuple[Event, ...]:
        """What will have happened when the agent has made this call."""
        if self.parent is None:
            return self.events
        assert self.call is not None and self.execution is not None
        return (*self.parent.conversation, self.call, ToolResult(self.execution.content))

    @property
    def reason(self) -> Reason:
        """Why the call is made ahead of time."""
        return Reason(self.rank, self.path_probability, tuple(node.call.key for node in self.path[:-1] if node.call))

    @property
    def is_known(self) -> bool:
        """Whether it can be told what the conversation will be."""
        if self.parent is None:
            return True
        made = self.execution
        return made is not None and made.state is State.DONE and made.forgotten is None and self.parent.is_known

    def below(self) -> Iterator[Node]:
        """This node and all that follow it."""
        yield self
        for child in self.children.values():
            yield from child.below()


class Chain:
    """The predictions of one run."""

    def __init__(self, run: int, events: tuple[Event, ...], limits: ToolLimits) -> None:
        self._limits = limits
        self.root = Node(run, events)

    def add(self, node: Node, guesses: Sequence[tuple[ToolCall, float]], rest: float) -> None:
        """A guesser says what may come after ``node``: calls that may be made ahead, with their probabilities.

        What it has said before, and does not say any more, has at most the probability ``rest``.
        """
        made = {before.call.key for before in node.path if before.call}
        for child in node.children.values():
            child.probability = min(child.probability, rest)
        for rank, (call, probability) in enumerate(guesses):
            known = node.children.get(call.key)
            if known is not None:
                known.rank, known.probability = rank, probability
            elif call.key not in made:
                node.children[call.key] = Node(node.run, (), node, call, rank, probability)

    def to_ask(self) -> list[Node]:
        """Nodes of which it is not known yet what comes after them, but could be."""
        return [
            node
            for node in self.root.below()
            if not node.asked
            and node.is_known
            and len(node.path) < self._limits.max_depth
            and node.path_probability >= self._limits.min_probability
        ]

    def to_start(self) -> list[Node]:
        """Nodes whose call is not made yet."""
        return [
            node
            for node in self.root.below()
            if node.call is not None
            and node.execution is None
            and node.path_probability >= self._limits.min_probability
        ]

    def move(self, events: tuple[Event, ...], made: Sequence[Execution]) -> list[Node]:
        """The agent has made these calls, one after the other, and now ``events`` is what happened.

        Returns:
            The nodes that it did not come to.
        """
        old, node = self.root, self.root
        for execution in made:
            child = node.children.get(execution.call.key)
            if child is None or child.execution is not execution:
                child = Node(old.run)
            node = child
        node.parent, node.events, node.call, node.execution = None, events, None, None
        kept = set(map(id, node.below()))
        self.root = node
        return [other for other in old.below() if id(other) not in kept]
