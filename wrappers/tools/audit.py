"""Every call that was made ahead of time: why, and what became of it; and the figures of it all."""

from __future__ import annotations

import collections
import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spec_envs.handling import Usage
from spec_envs.wrappers.tools.executions import Execution, State

if TYPE_CHECKING:
    from collections.abc import Hashable

__all__ = ["AuditEntry", "ToolAudit", "ToolStatistics"]


@dataclasses.dataclass(frozen=True, slots=True)
class AuditEntry:
    """A call that was made ahead of time.

    Args:
        call: Its number.
        run: The number of the run that it was made for.
        tool, arguments: What was called.
        rank: Of the guess; 0 is the first.
        probability: That the agent would call this, as it seemed then.
        after: The calls, made ahead of time themselves, whose results it goes on from.
        started_s: When it began, on the event loop's clock.
        ended_s: When it ended; ``None`` while it runs.
        outcome: ``used``, ``unused``, ``failed``, ``cancelled``, or ``open``: it runs, or may still be used.
        why: Of an ``unused`` or ``cancelled`` one: ``stale`` (a ``WRITE`` began), ``expired``, ``run over``, ``no
            room``, ``no place`` (for something likelier), ``replaced`` (by a later one), ``removed`` (the tool),
            ``closed``. Of a ``failed`` one: what went wrong.
        saved_s: How long the agent did not have to wait for it.
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
    if execution.state is State.FAILED:
        return "failed", execution.error
    if execution.state is State.CANCELLED:
        return "cancelled", execution.forgotten
    if execution.state is State.DONE and execution.forgotten:
        return "unused", execution.forgotten
    return "open", None


def _entry(execution: Execution) -> AuditEntry:
    reason = execution.reason
    assert reason is not None
    ended = None if execution.state is State.RUNNING else execution.ended_at
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
    """The last ``max_entries`` calls that were made ahead of time, oldest first."""

    def __init__(self, max_entries: int = 10_000) -> None:
        self._executions: collections.deque[Execution] = collections.deque(maxlen=max_entries)

    def add(self, execution: Execution) -> None:
        """A call begins."""
        self._executions.append(execution)

    def __iter__(self) -> Iterator[AuditEntry]:
        return map(_entry, tuple(self._executions))

    def __len__(self) -> int:
        return len(self._executions)

    def to_jsonl(self, path: str | Path) -> None:
        """Write one JSON object a line."""
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(json.dumps(dataclasses.asdict(entry), default=str) + "\n" for entry in self)


@dataclasses.dataclass(frozen=True, slots=True)
class ToolStatistics:
    """A snapshot.

    Args:
        calls: Calls that agents made.
        hits: Of them, those answered by a call made ahead of time, also where it was still under way.
        shared: Those answered by an earlier call of an agent, or by one made ahead of time that had been used already.
        saved_s: How long agents did not have to wait for the hits.
        started: Calls that were made ahead of time.
        failed: Of them, those that failed; their errors are never seen.
        guesses: How often a guesser was asked.
        failed_guesses: How often it raised.
        not_learned: Runs that a guesser raised about when it was to learn from them.
        guessing: What guessing has cost, of guessers that say so, such as ``ChatGuesser``; a cancelled guess costs the
            part that was made.
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
    guessing: Usage = Usage()

    @property
    def hit_rate(self) -> float:
        """Share of the calls that were hits."""
        return self.hits / self.calls if self.calls else 0.0

    @property
    def wasted(self) -> int:
        """Calls made ahead of time that have answered nobody so far."""
        return self.started - self.hits
