"""Every call that was executed ahead of time, why, and what became of it; and counts of all calls."""

import collections
import dataclasses
import json
from collections.abc import Hashable, Iterator, Mapping
from pathlib import Path
from typing import Any

from spec_envs.usage import Usage
from spec_envs.wrappers.tools.calls import Execution, ExecutionState

__all__ = ["AuditEntry", "ToolAudit", "ToolStatistics"]


@dataclasses.dataclass(frozen=True, slots=True)
class AuditEntry:
    """A call that was executed ahead of time.

    Args:
        call: The number of the execution.
        run: The number of the agent run that the call was executed for.
        tool: The tool that was called.
        arguments: The arguments of the call.
        rank: The rank of the guess; 0 is the first.
        probability: The probability that the agent makes this call, as estimated then.
        after: The calls, executed ahead of time too, whose results the prediction was based on.
        started_s: When the execution began, on the event loop's clock.
        ended_s: When the execution ended; ``None`` while it runs.
        outcome: ``used``, ``unused``, ``failed``, ``cancelled``, or ``open`` (runs, or may still be used).
        why: If ``unused`` or ``cancelled``: ``stale`` (a ``WRITE`` began), ``expired``, ``run over``, ``no room`` (too
            many results), ``no slot`` (a more probable call needed the slot), ``replaced`` (by a later execution),
            ``removed`` (the tool), ``closed``. If ``failed``: what went wrong.
        saved_s: How many seconds less the agent waited for the result than the call takes alone; below 0 where the
            agent waited longer.
    """

    call: int
    run: Hashable
    tool: str
    arguments: Mapping[str, Any]
    rank: int
    probability: float
    after: tuple[str, ...]
    started_s: float
    ended_s: float | None
    outcome: str
    why: str | None
    saved_s: float


def _outcome(execution: Execution) -> tuple[str, str | None]:
    if execution.uses:
        return "used", None
    if execution.state is ExecutionState.FAILED:
        return "failed", execution.error
    if execution.state is ExecutionState.CANCELLED:
        return "cancelled", execution.forgotten
    if execution.state is ExecutionState.DONE and execution.forgotten:
        return "unused", execution.forgotten
    return "open", None


def _entry(execution: Execution) -> AuditEntry:
    reason = execution.reason
    assert reason is not None
    ended = None if execution.state is ExecutionState.RUNNING else execution.ended_at
    return AuditEntry(
        execution.id,
        execution.run,
        execution.call.name,
        execution.call.arguments,
        reason.rank,
        reason.probability,
        reason.after,
        execution.started_at,
        ended,
        *_outcome(execution),
        execution.saved_s,
    )


class ToolAudit:
    """The last ``max_entries`` calls that were executed ahead of time, oldest first."""

    def __init__(self, max_entries: int = 10_000) -> None:
        self._executions: collections.deque[Execution] = collections.deque(maxlen=max_entries)

    def add(self, execution: Execution) -> None:
        """Add an execution; its entry says at any time what has become of it."""
        self._executions.append(execution)

    def __iter__(self) -> Iterator[AuditEntry]:
        return map(_entry, tuple(self._executions))

    def __len__(self) -> int:
        return len(self._executions)

    def to_jsonl(self, path: str | Path) -> None:
        """Write the entries to the file ``path``, one JSON object a line."""
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(json.dumps(dataclasses.asdict(entry), default=str) + "\n" for entry in self)


@dataclasses.dataclass(frozen=True, slots=True)
class ToolStatistics:
    """A snapshot of counts and sums.

    Args:
        calls: Calls that agents have made.
        hits: Calls of agents answered by an execution ahead of time, also if it was still in flight.
        shared: Calls of agents answered by the result of an earlier call, or of an earlier hit.
        saved_s: How many seconds less agents waited for hits than these calls take alone, minus how much longer the
            agents' own calls took because of calls ahead of time beside them. A sum over calls: where an agent makes
            several calls side by side, each of them counts.
        started: Calls that were executed ahead of time.
        failed: Calls executed ahead of time that failed; agents never see their errors.
        guesses: How often the guesser was called.
        failed_guesses: How often the guesser raised, or returned something other than a sequence of guesses.
        not_learned: Agent runs from which the guesser did not learn, because its ``observe`` raised.
        guess_error: What the guesser raised first, or what was wrong with what it returned.
        guessing: What guessing has cost, if the guesser tells its usage, as ``ChatGuesser`` does. A cancelled guess
            costs as much as was used until then.
        over_budget: What guessing has used beyond ``ToolLimits.max_tokens`` and ``max_money``.
        held_back: Predicted calls that were not made ahead of time, or not at once, by the reason: ``not allowed`` (a
            ``WRITE``, undeclared or private), ``failing`` (the last three calls of the tool failed, or the last two
            with these arguments), ``quick`` (the tool answers within ``min_latency_s``), ``write under way``,
            ``write in doubt`` (for ``doubt_s`` after a ``WRITE`` that failed), ``quota``, ``server busy`` (the server
            answers few calls at once, and a call of the agent might have to wait), ``no slot``. Under ``budget``:
            predictions that the budget did not allow.
    """

    calls: int = 0
    hits: int = 0
    shared: int = 0
    saved_s: float = 0.0
    started: int = 0
    failed: int = 0
    guesses: int = 0
    failed_guesses: int = 0
    not_learned: int = 0
    guess_error: str | None = None
    guessing: Usage = Usage()
    over_budget: Usage = Usage()
    held_back: Mapping[str, int] = dataclasses.field(default_factory=dict)

    @property
    def hit_rate(self) -> float:
        """The share of the agents' calls that were hits."""
        return self.hits / self.calls if self.calls else 0.0

    @property
    def wasted(self) -> int:
        """Calls executed ahead of time whose results no agent has got so far."""
        return self.started - self.hits

    def __str__(self) -> str:
        lines = [
            f"calls     {self.calls}: {self.hits} hits ({self.hit_rate:.1%}), {self.shared} shared",
            f"time      {self.saved_s:.3g} s saved",
            f"ahead     {self.started} started, {self.wasted} unused so far, {self.failed} failed",
        ]
        if any(self.held_back.values()):
            reasons = ", ".join(f"{count} {why}" for why, count in self.held_back.items() if count)
            lines.append(f"held back {reasons}")
        if self.guess_error is not None:
            lines.append(f"guesser   {self.failed_guesses} of {self.guesses} guesses failed: {self.guess_error}")
        if self.guessing:
            lines.append(f"guessing  {self.guessing.tokens:,.0f} tokens, {self.guessing.money_text} money")
        if self.over_budget:
            lines.append(
                f"budget    passed by {self.over_budget.tokens:,.0f} tokens, {self.over_budget.money:.4g} money"
            )
        return "\n".join(lines)
