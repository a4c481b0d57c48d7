"""Calls of tools as data: what an agent calls, and one execution of a call."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Hashable
from typing import Any

from spec_envs.conversation import ToolCall, ToolResult
from spec_envs.wrappers.tools.rules import ToolRule


class ExecutionState(enum.Enum):
    """What has become of an execution so far."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclasses.dataclass(frozen=True, slots=True)
class Reason:
    """Why a call was executed ahead of time."""

    rank: int  # the rank of the guess; 0 is the first
    probability: float  # the probability that the agent makes the call, as estimated then
    after: tuple[str, ...]  # the predicted calls that come before the call


@dataclasses.dataclass(slots=True, eq=False)
class Execution:
    """One execution of a call; written by ``Executions`` alone."""

    id: int  # the number of the execution
    run: Hashable  # the agent run in which the execution began; ``None``: outside of all runs
    call: ToolCall  # the call
    rule: ToolRule  # what is declared of the tool
    reason: Reason | None  # why the call was executed ahead of time; ``None``: an agent made the call
    started_at: float  # when the execution began
    state: ExecutionState = ExecutionState.RUNNING  # whether the execution still runs
    ended_at: float = 0.0  # when the execution ended
    value: Any = None  # the result
    content: Any = None  # the result as guessers see it
    error: str | None = None  # what went wrong
    #: The calls of agents that wait for the result. An agent that executes its call itself is not among them.
    waiters: set[AgentCall] = dataclasses.field(default_factory=set)
    joined: bool = False  # whether an agent has ever waited
    uses: int = 0  # how often an agent got the result
    alone_s: float = 0.0  # what it would have taken without calls ahead of time beside it, as far as is known
    saved_s: float = 0.0  # how long the first of these agents did not have to wait; below 0: how much longer
    forgotten: str | None = None  # why the result may not be used any more
    cancelled: bool = False  # whether the execution was told to stop

    @property
    def is_speculative(self) -> bool:
        """Whether the execution is in flight ahead of time, and no agent has waited for it."""
        return self.reason is not None and self.state is ExecutionState.RUNNING and not self.joined


@dataclasses.dataclass(slots=True, eq=False)
class AgentCall:
    """A call that an agent makes. In one turn of its model an agent may make several calls at once."""

    call: ToolCall  # the call
    called_at: float  # when the agent made the call
    execution: Execution | None = None  # the execution whose result the agent gets; set by ``Executions``
    is_own: bool = False  # whether the agent runs ``execution`` itself; set by ``Executions``
    result: ToolResult | None = None  # what the agent got
