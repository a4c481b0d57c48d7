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
    """Why a call was executed ahead of time.

    Attributes:
        rank: The rank of the guess; 0 is the first.
        probability: The probability that the agent makes the call, as estimated then.
        after: The predicted calls that come before the call.
    """

    rank: int
    probability: float
    after: tuple[str, ...]


@dataclasses.dataclass(slots=True, eq=False)
class Execution:
    """One execution of a call; written by ``Executions`` alone.

    Attributes:
        id: The number of the execution.
        run: The agent run in which the execution began; ``None``: outside of all runs.
        call: The call.
        rule: What is declared of the tool.
        reason: Why the call was executed ahead of time; ``None``: an agent made the call.
        started_at: When the execution began.
        state: Whether the execution still runs.
        ended_at: When the execution ended.
        value: The result.
        content: The result as guessers see it.
        error: What went wrong.
        waiters: The calls of agents that wait for the result. An agent that executes its call itself is not among them.
        joined: Whether an agent has ever waited.
        uses: How often an agent got the result.
        saved_s: How long the first of these agents did not have to wait.
        forgotten: Why the result may not be used any more.
        cancelled: Whether the execution was told to stop.
    """

    id: int
    run: Hashable
    call: ToolCall
    rule: ToolRule
    reason: Reason | None
    started_at: float
    state: ExecutionState = ExecutionState.RUNNING
    ended_at: float = 0.0
    value: Any = None
    content: Any = None
    error: str | None = None
    waiters: set[AgentCall] = dataclasses.field(default_factory=set)
    joined: bool = False
    uses: int = 0
    saved_s: float = 0.0
    forgotten: str | None = None
    cancelled: bool = False

    @property
    def is_speculative(self) -> bool:
        """Whether the execution is in flight ahead of time, and no agent has waited for it."""
        return self.reason is not None and self.state is ExecutionState.RUNNING and not self.joined


@dataclasses.dataclass(slots=True, eq=False)
class AgentCall:
    """A call that an agent makes. In one turn of its model an agent may make several calls at once.

    Attributes:
        call: The call.
        called_at: When the agent made the call.
        execution: The execution whose result the agent gets; set by ``Executions``.
        is_own: Whether the agent runs ``execution`` itself; set by ``Executions``.
        result: What the agent got.
    """

    call: ToolCall
    called_at: float
    execution: Execution | None = None
    is_own: bool = False
    result: ToolResult | None = None
