"""What happened, event by event: every call that was started, why, and what became of it."""

import collections
import dataclasses
import heapq
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from spec_envs.handling import NOTHING, Usage
from spec_envs.wrappers.speculation.tree.nodes import Node, Run


@dataclasses.dataclass(frozen=True, slots=True)
class TraceEvent:
    """One event.

    Args:
        time_s: When it happened, on the runtime's clock.
        kind: ``reset`` (an episode begins), ``start`` and ``end`` of a call, ``cancel`` (its handler was told to stop),
            ``commit`` (the episode moved on), ``discard`` (the branch cannot be reached any more), ``divergence`` (the
            real environment did not do what the branch predicted), ``guess`` (a guesser has returned), ``shadow`` (a
            loose match was checked).
        handler: Name of the handler.
        node: Number of the node in the tree; ``parent`` is the node that it follows, ``level`` its distance from the
            episode's first node.
        call: Number of the execution; nodes may share one (a ``READ``).
        outcome: For ``end``: done, failed or stopped. For ``commit``: hit, miss or unguessed. For ``shadow``: same or
            other.
        speculative: For ``start``: whether the call is made ahead of time.
        probability: For ``start``: how probable the branch was at that time.
        tokens_in, tokens_out, money: Spent by the call until it ended.
        error: Text of the exception that was raised.
        prefetch: For ``start``: true for a read that a prefetcher has guessed.
        effect: For ``start``: the effect of the call.
        claims: For ``commit``: the probabilities that the guesser had claimed for its guesses, the greatest first.
        rank: For ``commit``: the place in ``claims`` of the guess that was right; ``None`` if none was.
    """

    time_s: float
    kind: str
    handler: str
    node: int | None = None
    parent: int | None = None
    level: int | None = None
    call: int | None = None
    outcome: str | None = None
    speculative: bool | None = None
    probability: float | None = None
    tokens_in: float = 0
    tokens_out: float = 0
    money: float = 0.0
    error: str | None = None
    prefetch: bool | None = None
    effect: str | None = None
    rank: int | None = None
    claims: tuple[float, ...] | None = None

    def as_dict(self) -> dict[str, Any]:
        """The fields that are not ``None``."""
        return {name: value for name, value in dataclasses.asdict(self).items() if value is not None}


class Trace:
    """The last ``max_events`` events of a wrapper, oldest first."""

    def __init__(self, max_events: int = 100_000) -> None:
        self._events: collections.deque[tuple[Any, ...]] = collections.deque(maxlen=max_events)
        self._num_played = 0

    def __iter__(self) -> Iterator[TraceEvent]:
        return (TraceEvent(*fields) for fields in tuple(self._events))

    def __len__(self) -> int:
        return len(self._events)

    def add(
        self,
        time_s: float,
        kind: str,
        *,
        node: Node | None = None,
        run: Run | None = None,
        usage: Usage | None = None,
        outcome: str | None = None,
        speculative: bool | None = None,
        probability: float | None = None,
        error: str | None = None,
        prefetch: bool | None = None,
        rank: int | None = None,
        claims: tuple[float, ...] | None = None,
    ) -> None:
        """Add an event that concerns ``node`` and ``run``."""
        if node is None and run is not None and run.nodes:
            node = run.nodes[0]
        if run is None and node is not None:
            run = node.run
        call = run.call if run is not None else node.call if node is not None else None
        usage = usage or NOTHING
        where: tuple[int | None, ...] = (None, None, None)
        if node is not None:
            where = (node.id, None if node.parent is None else node.parent.id, node.level)
        # Plain tuples: most events are never looked at, and a run writes thousands of them.
        self._events.append(
            (
                time_s,
                kind,
                "" if call is None else call.handler,
                *where,
                None if run is None else run.id,
                outcome,
                speculative,
                probability,
                usage.tokens_in,
                usage.tokens_out,
                usage.money,
                error,
                prefetch,
                call.effect.value if call is not None and kind == "start" else None,
                rank,
                claims,
            )
        )

    def add_reset(self, time_s: float) -> None:
        """Add that an episode begins."""
        self._events.append((time_s, "reset", ""))

    def add_played(
        self, handler: str, started_at: float, ended_at: float, usage: Usage, error: BaseException | None
    ) -> None:
        """Add start and end of a call that was made without the tree; such calls have numbers below 0."""
        self._num_played += 1
        head, number, nowhere = (handler, None, None, None), -self._num_played, (None, None)
        outcome, text = ("done", None) if error is None else ("failed", repr(error))
        self._events.append((started_at, "start", *head, number, None, False, None, 0, 0, 0.0, *nowhere))
        spent = (usage.tokens_in, usage.tokens_out, usage.money)
        self._events.append((ended_at, "end", *head, number, outcome, None, None, *spent, text, None))

    def add_moved_on(self, time_s: float, handler: str) -> None:
        """Add that the episode has moved on, without the tree."""
        where = (None, None, None, None)
        self._events.append((time_s, "commit", handler, *where, "unguessed", None, None, 0, 0, 0.0, None, None))

    def to_jsonl(self, path: str | Path) -> None:
        """Write the events to ``path``, one JSON object a line."""
        with open(path, "w", encoding="utf-8") as file:
            for event in self:
                file.write(json.dumps(event.as_dict()) + "\n")

    def to_chrome(self, path: str | Path) -> None:
        """Write a file for Perfetto or ``chrome://tracing``: a bar a call, a mark a commit or divergence."""
        Path(path).write_text(json.dumps({"traceEvents": list(_chrome_events(tuple(self)))}), encoding="utf-8")


_AUTHORITATIVE_LANE = 0


def _chrome_events(events: Iterable[TraceEvent]) -> Iterator[dict[str, Any]]:
    events = tuple(events)
    ends = {event.call: event for event in events if event.kind == "end"}
    last = events[-1].time_s if events else 0.0
    free: list[int] = []
    busy: list[tuple[float, int]] = []
    lanes = 0
    for event in events:
        if event.kind in ("commit", "divergence"):
            name = f"{event.kind} {event.outcome or ''}".strip()
            yield {"name": name, "ph": "i", "s": "p", "ts": event.time_s * 1e6, "pid": 1, "tid": _AUTHORITATIVE_LANE}
        if event.kind != "start":
            continue
        end = ends.get(event.call)
        until = last if end is None else end.time_s
        lane = _AUTHORITATIVE_LANE
        if event.speculative:
            while busy and busy[0][0] <= event.time_s:
                heapq.heappush(free, heapq.heappop(busy)[1])
            if not free:
                lanes += 1
                free.append(lanes)
            lane = heapq.heappop(free)
            heapq.heappush(busy, (until, lane))
        yield {
            "name": event.handler,
            "cat": "speculative" if event.speculative else "authoritative",
            "ph": "X",
            "ts": event.time_s * 1e6,
            "dur": (until - event.time_s) * 1e6,
            "pid": 1,
            "tid": lane,
            "args": event.as_dict() | ({} if end is None else {"end": end.as_dict()}),
        }
