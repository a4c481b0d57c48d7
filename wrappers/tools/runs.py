"""Agent runs: what an agent has done, and a tree of predicted calls: what the agent is likely to call next, and later.

Pure. The root is the conversation so far. A node below the root is a predicted call; once the call has been executed
ahead of time, the conversation including its real result is the basis of the next prediction.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence

from spec_envs.conversation import Event, ToolCall, ToolResult
from spec_envs.wrappers.tools.calls import AgentCall, Execution, ExecutionState, Reason
from spec_envs.wrappers.tools.limits import ToolLimits


@dataclasses.dataclass(slots=True, eq=False)
class PredictedCall:
    """A predicted call; or, at the root, the conversation so far."""

    run: int  # the number of the agent run
    events: tuple[Event, ...] = ()  # at the root: all that has happened
    parent: PredictedCall | None = None  # the predicted call before this one; ``None`` at the root
    call: ToolCall | None = None  # the call; ``None`` at the root
    rank: int = 0  # the rank of the guess
    probability: float = 1.0  # that the agent makes this call, given that it has made all calls above
    execution: Execution | None = None  # an execution of the call, begun ahead of time or found
    is_predicted: bool = False  # whether a guesser was told to predict what comes next
    children: dict[str, PredictedCall] = dataclasses.field(default_factory=dict)  # what may come next, by key
    dropped: bool = False  # whether the agent has gone another way
    repeats: bool = False  # whether a guess was left out because the path has an equal call
    held_back: str | None = None  # why the call, or the prediction of what comes next, was last held back

    @property
    def path(self) -> tuple[PredictedCall, ...]:
        """The predicted calls from below the root to this one."""
        return () if self.parent is None else (*self.parent.path, self)

    @property
    def path_probability(self) -> float:
        """That the agent makes all calls of the path."""
        return self.probability * (1.0 if self.parent is None else self.parent.path_probability)

    @property
    def conversation(self) -> tuple[Event, ...]:
        """What will have happened when the agent has made this call and got its result."""
        if self.parent is None:
            return self.events
        assert self.call is not None and self.execution is not None
        return (*self.parent.conversation, self.call, ToolResult(self.execution.content))

    @property
    def reason(self) -> Reason:
        """Why the call is executed ahead of time."""
        return Reason(self.rank, self.path_probability, tuple(node.call.key for node in self.path[:-1] if node.call))

    @property
    def is_known(self) -> bool:
        """Whether ``conversation`` is known: whether all calls of the path have results that may be used."""
        if self.parent is None:
            return True
        made = self.execution
        is_done = made is not None and made.state is ExecutionState.DONE and made.forgotten is None
        return is_done and self.parent.is_known

    def subtree(self) -> Iterator[PredictedCall]:
        """This node and all nodes below."""
        yield self
        for child in self.children.values():
            yield from child.subtree()


class AgentRun:
    """What an agent does from start to end of a task, and the predictions of what the agent does next.

    Attributes:
        number: The number of the run.
        events: What has happened.
        root: The conversation so far, with the predicted calls below.
        turn: The agent's calls since its last results; while there are any, the agent waits and nothing is predicted.
        quiet_since: Since when the agent has had all its results, as ``Machine.commands`` has seen; ``None`` while it
            waits.
    """

    def __init__(self, number: int, events: Iterable[Event], limits: ToolLimits) -> None:
        self._limits = limits
        self.number = number
        self.events = list(events)
        self.root = PredictedCall(number, tuple(self.events))
        self.turn: list[AgentCall] = []
        self.quiet_since: float | None = None

    def add(self, node: PredictedCall, guesses: Sequence[tuple[ToolCall, float]], rest: float) -> None:
        """Add the guesses of what comes after ``node``: calls and their probabilities, the most probable first.

        Earlier guesses that are not repeated have at most the probability ``rest``, which is that of everything else.
        """
        made = {before.call.key for before in node.path if before.call}
        for child in node.children.values():
            child.probability = min(child.probability, rest)
        for rank, (call, probability) in enumerate(guesses):
            known = node.children.get(call.key)
            if known is not None:
                known.rank, known.probability = rank, probability
            elif call.key in made:
                node.repeats = True
            else:
                node.children[call.key] = PredictedCall(node.run, (), node, call, rank, probability)

    def to_predict(self) -> list[PredictedCall]:
        """Return the nodes after which the next call can be predicted, and was not predicted yet."""
        return [
            node
            for node in self._probable()
            if not node.is_predicted and node.is_known and len(node.path) < self._limits.max_depth
        ]

    def to_execute(self) -> list[PredictedCall]:
        """Return the nodes whose call has no execution yet."""
        return [node for node in self._probable() if node.call is not None and node.execution is None]

    def _probable(self) -> Iterator[PredictedCall]:
        return (node for node in self.root.subtree() if node.path_probability >= self._limits.min_probability)

    def restart(self) -> Iterable[PredictedCall]:
        """Predict anew from the events, and return the earlier nodes, none of which is valid any more."""
        old, self.root = self.root, PredictedCall(self.number, tuple(self.events))
        return old.subtree()

    def end_turn(self) -> Iterable[PredictedCall]:
        """Move the root to where the agent is after the calls of its turn, and return the nodes left behind."""
        turn, self.turn = self.turn, []
        if not turn:
            return self.restart()
        old, node = self.root, self.root
        for agent_call in turn:
            assert agent_call.result is not None and agent_call.execution is not None
            self.events += [agent_call.call, agent_call.result]
            child = node.children.get(agent_call.call.key)
            if child is None or child.execution is not agent_call.execution:
                child = PredictedCall(self.number)
            node = child
        node.parent, node.events, node.call, node.execution = None, tuple(self.events), None, None
        if node.repeats:  # the path is gone, so that the guess counts now
            node.is_predicted = node.repeats = False
        kept = set(node.subtree())
        self.root = node
        return [other for other in old.subtree() if other not in kept]
