"""From the events of a trace to what a timeline shows: calls and their outcomes, commits, the plain loop beside."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from spec_envs.errors import InvalidConfiguration

#: What an event of ``Trace.to_jsonl`` is, once it has been read.
Event = Mapping[str, Any]

View = Literal["chess", "dialogue", "transcript", "curve"]


@dataclasses.dataclass(slots=True)
class TracedCall:
    """One call of an episode; times are seconds from the beginning of the episode."""

    id: int
    handler: str
    start: float
    end: float
    lane: int
    ahead: bool
    why: str
    outcome: str = "running"
    probability: float | None = None
    path: list[str] | None = None
    query: str | None = None
    response: str | None = None
    error: str | None = None
    tokens_in: float = 0.0
    tokens_out: float = 0.0
    money: float = 0.0
    effect: str | None = None
    alone: float | None = None  # what it takes without calls made ahead beside it, if that is less


@dataclasses.dataclass(frozen=True, slots=True)
class TracedCommit:
    """The moment when the episode used a response; ``asked``: when an agent called the tool for the response."""

    time: float
    handler: str
    outcome: str
    call: int | None = None
    rank: int | None = None
    response: str | None = None
    asked: float | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Bar:
    """A call of the plain loop."""

    handler: str
    start: float
    end: float


@dataclasses.dataclass(frozen=True)
class Timeline:
    """One episode.

    Args:
        name: What the page calls the episode.
        view: How the page shows what had happened at a moment.
        begin: What the episode begins with, such as the position of a game.
        lanes: How many rows the calls need; row 0 is of calls that the episode waited for from their start, as
            far as they do not overlap.
        seconds: How long the episode took.
        plain_seconds: How long the calls whose responses the episode used take one after the other.
        plain: These calls, as the plain loop makes them.
        calls: All calls, in the order in which they began.
        commits: When the episode used which response.
        note: A sentence about where the episode comes from.
    """

    name: str
    view: View
    begin: str | None
    lanes: int
    seconds: float
    plain_seconds: float
    plain: Sequence[Bar]
    calls: Sequence[TracedCall]
    commits: Sequence[TracedCommit]
    note: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """The timeline as JSON data, without what is ``None``."""
        return {name: _without_none(value) for name, value in dataclasses.asdict(self).items() if value is not None}


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_none(item) for name, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [_without_none(item) for item in value]
    return round(value, 6) if isinstance(value, float) else value


def timelines(events: Iterable[Event], name: str = "episode", note: str | None = None) -> list[Timeline]:
    """The episodes in the events of one trace, in their order.

    Args:
        events: What ``Trace.to_jsonl`` writes, or ``TraceEvent.as_dict`` returns, oldest first.
        name: What the trace is called; where there are several episodes, a number follows.
        note: A sentence about where the trace comes from.

    Raises:
        InvalidConfiguration: An event has no ``kind`` or ``time_s``.
    """
    episodes: list[list[Event]] = []
    current: dict[Any, list[Event]] = {}  # by agent run, since these may overlap; an environment has no runs
    for event in events:
        if "kind" not in event or "time_s" not in event:
            raise InvalidConfiguration(f"{dict(event)!r} is not an event of a trace: it has no kind or no time_s")
        run = event.get("run")
        if event["kind"] == "reset" or run not in current:
            current[run] = []
            episodes.append(current[run])
        current[run].append(event)
    # A wrapper that was closed and reset again leaves episodes in which nothing was called.
    played = [each for each in episodes if any(event["kind"] == "start" for event in each)]
    names = [name] if len(played) == 1 else [f"{name} {number}" for number in range(1, len(played) + 1)]
    return [_Episode(each).timeline(called, note) for each, called in zip(played, names, strict=True)]


class _Episode:
    """Reads the events of one episode."""

    def __init__(self, events: Sequence[Event]) -> None:
        self._begin: Event = {}
        self._zero: float = events[0]["time_s"]
        self._calls: dict[int, TracedCall] = {}
        self._commits: list[TracedCommit] = []
        self._committed_nodes: set[int] = set()
        self._nodes: dict[int, tuple[int | None, str | None]] = {}  # parent, and the guess that leads here
        self._lane_of: dict[int, int] = {}  # of nodes
        self._busy_until: list[TracedCall | None] = [None]
        self._last: float = self._zero
        for event in events:
            self._last = max(self._last, event["time_s"])
            if (read := getattr(self, f"_read_{event['kind']}", None)) is not None:
                read(event, event["time_s"] - self._zero)

    def _read_observe(self, event: Event, now: float) -> None:
        self._begin = event

    def _read_start(self, event: Event, now: float) -> None:
        ahead, node = bool(event.get("speculative")), event.get("node")
        if node is not None:
            self._nodes[node] = (event.get("parent"), event.get("guess"))
        call = TracedCall(
            id=event["call"],
            handler=event["handler"],
            start=now,
            end=now,
            lane=self._free_lane(event.get("parent")) if ahead or not self._is_free(0) else 0,
            ahead=ahead,
            why=_why(event),
            probability=event.get("probability"),
            path=list(event.get("after") or ()) or self._guesses_before(node) or None,
            query=event.get("query"),
            effect=event.get("effect"),
        )
        self._busy_until[call.lane] = call
        if node is not None:
            self._lane_of[node] = call.lane
        self._calls[call.id] = call

    def _is_free(self, lane: int) -> bool:
        call = self._busy_until[lane]
        return call is None or call.outcome != "running"

    def _free_lane(self, parent: int | None) -> int:
        wanted = self._lane_of.get(parent, 0) if parent is not None else 0
        free: list[int] = [lane for lane in [wanted, *range(1, len(self._busy_until))] if lane and self._is_free(lane)]
        if not free:
            self._busy_until.append(None)
            free = [len(self._busy_until) - 1]
        return free[0]

    def _guesses_before(self, node: int | None) -> list[str]:
        """The guesses that the call of ``node`` rests on, oldest first."""
        guesses = []
        while node is not None and node in self._nodes:
            parent, guess = self._nodes[node]
            if parent is None or parent in self._committed_nodes:
                break
            guesses.append(guess or "?")
            node = parent
        return guesses[::-1]

    def _read_end(self, event: Event, now: float) -> None:
        call = self._calls.get(event["call"])
        if call is None:
            return  # a trace keeps its last events: the start of this call is gone
        call.end = now
        call.outcome = {"done": "wasted", "failed": "failed"}.get(event.get("outcome", ""), "cancelled")
        call.response, call.error, call.alone = event.get("response"), event.get("error"), event.get("alone_s")
        for name in ("tokens_in", "tokens_out", "money"):
            setattr(call, name, event.get(name, 0))

    def _read_commit(self, event: Event, now: float) -> None:
        call = self._calls.get(event["call"]) if "call" in event else None
        if event.get("node") is not None:
            self._committed_nodes.add(event["node"])
        if "call" not in event:
            # Made without the tree: the call is the last of its handler that has ended.
            done = [each for each in self._calls.values() if each.handler == event["handler"] and each.id < 0]
            call = done[-1] if done else None
        if call is not None and call.outcome == "wasted":
            call.outcome = "committed"
        response = event.get("response") or (None if call is None else call.response or call.error)
        self._commits.append(
            TracedCommit(
                now,
                event["handler"],
                event.get("outcome", "unguessed"),
                None if call is None else call.id,
                event.get("rank"),
                response,
                event["asked_s"] - self._zero if "asked_s" in event else None,
            )
        )

    def timeline(self, name: str, note: str | None) -> Timeline:
        end = self._commits[-1].time if self._commits else self._last - self._zero
        for call in self._calls.values():
            if call.outcome == "running":
                call.end = max(end, call.start)
        plain = self._plain()
        return Timeline(
            name=name,
            view=self._begin.get("view", "transcript"),
            begin=self._begin.get("response"),
            lanes=len(self._busy_until),
            seconds=end,
            plain_seconds=max((bar.end for bar in plain), default=0.0),
            plain=plain,
            calls=sorted(self._calls.values(), key=lambda call: call.start),
            commits=self._commits,
            note=note,
        )

    def _plain(self) -> list[Bar]:
        """The calls whose responses were used, as the plain loop makes them: each once all before have ended.

        Calls that an agent makes in one turn go on side by side, with and without calls ahead of time.
        """
        bars: list[Bar] = []
        ends: list[tuple[float, float]] = []  # when responses came: in the episode, and in the plain loop
        for commit in self._commits:
            if commit.call is not None:
                used = self._calls[commit.call]
                asked = commit.time if commit.asked is None else commit.asked
                before = [plainly for came, plainly in ends if commit.asked is None or came <= asked]
                start = max(before, default=0.0)
                seconds = used.end - used.start if used.alone is None else used.alone
                bars.append(Bar(used.handler, start, start + seconds))
                ends.append((commit.time, bars[-1].end))
        return bars


def _why(event: Event) -> str:
    if event.get("prefetch"):
        return "a prefetcher expects this read"
    if not event.get("speculative"):
        return "the episode waits for it"
    likely = event.get("probability")
    share = "" if likely is None else f": the branch has a probability of {likely:.1%}"
    return f"made ahead{share}"
