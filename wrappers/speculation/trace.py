"""What happened, event by event: every call that was started, why, and what became of it."""

from __future__ import annotations

import collections
import dataclasses
import heapq
import html
import json
import operator
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from spec_envs.brief import MAX_LENGTH, brief, error_text
from spec_envs.call_env import CallEnv
from spec_envs.checks import integer
from spec_envs.pages import page, timelines
from spec_envs.usage import NOTHING, Usage
from spec_envs.wrappers.speculation.episode import Stepped
from spec_envs.wrappers.speculation.transitions import AnyEnv, Decision, Transition
from spec_envs.wrappers.speculation.tree.nodes import DONE, Node, Run


@dataclasses.dataclass(frozen=True, slots=True)
class TraceEvent:
    """One event.

    Args:
        time_s: When it happened, on the runtime's clock.
        kind: ``reset`` (an episode begins), ``start`` and ``end`` of a call, ``cancel`` (its handler was told to stop),
            ``commit`` (the episode moved on), ``discard`` (the branch cannot be reached any more), ``divergence`` (the
            real environment did not do what the branch predicted), ``guess`` (a guesser has returned), ``shadow`` (a
            loose match was checked), ``observe`` (the episode's first observation).
        handler: The name of the handler.
        node: The number of the node in the tree.
        parent: The number of the node before the node.
        level: The distance of the node from the episode's first node.
        call: The number of the execution. Several nodes may share an execution (a ``READ``).
        outcome: For ``end``: ``done``, ``failed`` or ``stopped``. For ``commit``: ``hit``, ``miss`` or ``unguessed``.
            For ``shadow``: ``same`` or ``other``. For ``guess``: ``done``, ``failed`` or ``cancelled``.
        speculative: For ``start``: whether the call is made ahead of time.
        probability: For ``start``: the probability of the branch at that time.
        tokens_in: The tokens that the call or the guesser has read until it ended.
        tokens_out: The tokens that it has written until then.
        money: The money that it has cost until then.
        error: The text of the exception that was raised.
        prefetch: For ``start``: true for a read that a prefetcher has guessed.
        effect: For ``start``: the effect of the call.
        rank: For ``commit``: the place of the right guess in ``claims``; ``None`` if no guess was right.
        claims: For ``commit``: the probabilities that the guesser claimed for its guesses, the greatest first.
        query: For ``start``: the query, as short text (``CallEnv.brief``).
        response: For ``end``: the response, as short text. For ``observe``: the observation.
        guess: For ``start`` of a call made ahead: the guess at the call before that leads to this call, as short text.
        view: For ``observe``: how a page shows the episode (``CallEnv.trace_view``).
        run: Of tools: the agent run to which the event belongs. Runs may overlap; each run is an episode.
        asked_s: Of tools, for ``commit``: when the agent made the call.
        after: Of tools, for ``start`` of a call made ahead: the predicted calls before the call.
        alone_s: Of tools, for ``end``: how long the call takes with no call made ahead beside it, if this is shorter.
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
    query: str | None = None
    response: str | None = None
    guess: str | None = None
    view: str | None = None
    run: Hashable | None = None
    asked_s: float | None = None
    after: tuple[str, ...] | None = None
    alone_s: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """The fields that are not ``None``."""
        return {name: value for name, value in dataclasses.asdict(self).items() if value is not None}


#: Values of these classes are kept as they are until somebody reads the trace: making their text can take longer than
#: a step. The same holds for small arrays, and for tuples of a few numbers and short texts.
_NUMBERS = frozenset({int, float, bool, np.int64, np.float32, np.float64})
_SMALL = _NUMBERS | {str, type(None)}
_SMALL_ARRAY = 8
_NOTHING_SPENT = (NOTHING.tokens_in, NOTHING.tokens_out, NOTHING.money)
#: Where an event stands that concerns no node.
_NOWHERE: tuple[int | None, int | None, int | None] = (None, None, None)
_FIELDS = [field.name for field in dataclasses.fields(TraceEvent)]
#: The fields that are texts made of values: the number of the first one, and the number of the field after the last.
_TEXTS, _BEHIND = _FIELDS.index("query"), _FIELDS.index("guess") + 1

#: The values of a ``commit`` event between its outcome and its rank.
_UNCLAIMED = tuple(field.default for field in dataclasses.fields(TraceEvent)[8 : _FIELDS.index("rank")])
#: The values of an ``observe`` event between its handler (an empty name) and the observation.
_FIRST_NONE = tuple(field.default for field in dataclasses.fields(TraceEvent)[3 : _FIELDS.index("response")])

#: A call that was made without the tree: its handler, when it started and ended, its usage, query and response, and
#: whether the episode has moved on by the response. Without a time of the start, it says only that the episode has
#: moved on.
Played = tuple[str, float | None, float, Usage, Any, Any, bool]
#: The fields of an event as a tuple. ``dataclasses.astuple`` copies them deeply, which takes twenty times as long.
_as_row = operator.attrgetter(*(field.name for field in dataclasses.fields(TraceEvent)))


class Trace:
    """The last ``max_events`` events of a wrapper, oldest first.

    Args:
        max_events: The number of events that are kept.
        text: Makes short texts of queries and responses.
        view: How a page shows the episodes.
    """

    def __init__(self, max_events: int = 100_000, text: Callable[[Any], str] = brief, view: str = "transcript") -> None:
        self._make_text = text
        self._view = view
        self._max_events = max_events = integer("max_events", max_events, least=0)
        #: Events as plain tuples, because an episode writes thousands of events and most are never read. A list stands
        #: for the two or three events of a call that was made without the tree.
        self._kept: collections.deque[Sequence[Any]] = collections.deque(maxlen=max_events)
        self._num_played = 0
        self._file: IO[str] | None = None
        self._listener: Callable[[TraceEvent], None] | None = None
        #: Whether there is a file or a listener.
        self.is_told = False
        #: The calls that were made and not added yet; ``settle`` adds them.
        self.pending: list[Played] = []
        self.settle: Callable[[], None] = _nothing_left

    @classmethod
    def of(cls, env: AnyEnv, max_events: int) -> Trace:
        """A trace of episodes of ``env``, with the texts that the environment makes."""
        return cls(max_events, env.brief, env.trace_view) if isinstance(env, CallEnv) else cls(max_events)

    def __getstate__(self) -> dict[str, Any]:
        """The attributes without the file and the listener, which belong to this process."""
        self.settle()
        return self.__dict__ | {"_file": None, "_listener": None, "is_told": False, "settle": _nothing_left}

    def _noted(self, value: Any) -> Any:
        """``value`` as it is kept: as short text, or itself if it is small. ``value`` is not changed any more.

        Of a decision, the action is kept.
        """
        kind: Any = type(value)
        if kind in _NUMBERS:
            return value
        shown: Any = value
        if kind is Decision:
            return self._noted(value.action)
        if kind is Stepped:
            value = value.transition  # without the fork, which would otherwise live as long as the trace
            kind = Transition
        if kind is Transition and not value.info:
            shown = value.observation
            kind = type(shown)
        elif kind is tuple and len(value) == 2 and type(value[0]) is int:  # the query of a step
            shown = value[1]
            kind = type(shown)
        if (kind is str and len(shown) <= MAX_LENGTH) or (kind is tuple and _is_small(shown)):
            return (value,)  # a tuple, to tell a value from the text of a value
        if kind in _NUMBERS or (kind is np.ndarray and shown.size <= _SMALL_ARRAY and not shown.dtype.hasobject):
            return value
        return self._text(value)

    def _text(self, value: Any) -> str:
        """``value`` as short text, made by the environment if it can read the value (a wrapper may have changed it)."""
        try:
            return self._make_text(value)
        except Exception:
            return brief(value)

    def _read(self, noted: Any) -> str | None:
        """The text of a value that ``_noted`` has returned; ``None`` for ``None``."""
        if noted is None or type(noted) is str:
            return noted
        return self._text(noted[0] if type(noted) is tuple and len(noted) == 1 else noted)

    def __iter__(self) -> Iterator[TraceEvent]:
        self.settle()
        events = [event for kept in tuple(self._kept) for event in self._events_of(kept)]
        return iter(events[max(0, len(events) - self._max_events) :])

    def __len__(self) -> int:
        self.settle()
        return min(self._max_events, sum(2 + kept[-1] if type(kept) is list else 1 for kept in tuple(self._kept)))

    def _events_of(self, kept: Sequence[Any]) -> Iterator[TraceEvent]:
        if type(kept) is not list:
            yield TraceEvent(*kept[:_TEXTS], *map(self._read, kept[_TEXTS:_BEHIND]), *kept[_BEHIND:])
            return
        handler, number, started_at, ended_at, usage, query, response, moves_on = kept
        yield TraceEvent(started_at, "start", handler, call=number, speculative=False, query=self._read(query))
        spent = (usage.tokens_in, usage.tokens_out, usage.money)
        ended = (ended_at, "end", handler, None, None, None, number, "done", None, None, *spent)
        yield TraceEvent(*ended, response=self._read(response))
        if moves_on:
            yield TraceEvent(ended_at, "commit", handler, outcome="unguessed")

    # Each event is one tuple of all its fields, written out: a tuple that is put together takes twice as long.

    def add_start(self, time_s: float, run: Run, probability: float | None) -> None:
        """Add that the call of ``run`` begins; ``probability`` is that of its branch, where the call is made ahead."""
        call, guess = run.call, None
        number = parent = level = None
        if run.nodes:
            node = run.nodes[0]
            number, level = node.id, node.level
            if node.parent is not None:
                parent, guess = node.parent.id, self._noted(node.response)
        prefetch, effect, query = run.prefetch or None, call.effect._value_, self._noted(call.query)
        where = (time_s, "start", call.handler, number, parent, level, run.id, None, run.speculative, probability)
        self._keep(where + (0, 0, 0.0, None, prefetch, effect, None, None, query, None, guess))

    def add_end(self, time_s: float, run: Run, error: str | None) -> None:
        """Add that the call of ``run`` has ended."""
        number, parent, level = _place(run.nodes[0]) if run.nodes else _NOWHERE
        read, written, money = _spent(run.usage)
        outcome, handler = run.state._value_, run.call.handler
        response = self._noted(run.response) if run.state is DONE else None
        where = (time_s, "end", handler, number, parent, level, run.id, outcome, None, None, read, written, money)
        self._keep(where + (error, None, None, None, None, None, response))

    def add_commit(
        self, time_s: float, node: Node, outcome: str, rank: int | None, claims: tuple[float, ...] | None
    ) -> None:
        """Add that the episode has moved on from ``node``."""
        handler, number, parent, level, call = _call_at(node)
        where = (time_s, "commit", handler, number, parent, level, call, outcome)
        self._keep(where if claims is None else (*where, *_UNCLAIMED, rank, claims))

    def add_guess(self, time_s: float, node: Node, outcome: str, error: str | None, usage: Usage) -> None:
        """Add that the guesser at work on ``node`` has returned."""
        handler, number, parent, level, call = _call_at(node)
        where, spent = (time_s, "guess", handler, number, parent, level, call, outcome), _spent(usage)
        is_short = error is None and spent is _NOTHING_SPENT
        self._keep(where if is_short else (*where, None, None, *spent, error))

    def add_of_node(self, time_s: float, kind: str, node: Node) -> None:
        """Add an event of ``kind`` that concerns ``node``."""
        self._keep((time_s, kind, *_call_at(node)))

    def add_of_run(self, time_s: float, kind: str, run: Run, outcome: str | None = None) -> None:
        """Add an event of ``kind`` that concerns ``run``."""
        where = _place(run.nodes[0]) if run.nodes else _NOWHERE
        self._keep((time_s, kind, run.call.handler, *where, run.id, outcome))

    def add_reset(self, time_s: float) -> None:
        """Add that an episode begins."""
        self._keep((time_s, "reset", ""))

    def add_event(self, event: TraceEvent) -> None:
        """Add ``event`` as it is."""
        self._keep(_as_row(event))

    def add_observation(self, time_s: float, observation: Any) -> None:
        """Add the first observation of an episode."""
        self._keep((time_s, "observe", "", *_FIRST_NONE, self._noted(observation), None, self._view))

    def add_played(self, calls: Iterable[Played]) -> list[Sequence[Any]]:
        """Add calls that were made without the tree, with numbers below 0. Return the rows for ``tell``."""
        added, noted = list[Sequence[Any]](), self._noted
        for handler, started_at, ended_at, usage, query, response, moves_on in calls:
            if started_at is None:
                added.append((ended_at, "commit", handler, None, None, None, None, "unguessed"))
                continue
            self._num_played += 1
            query = None if query is None else noted(query)
            response = response if type(response) in _NUMBERS else noted(response)
            added.append([handler, -self._num_played, started_at, ended_at, usage, query, response, moves_on])
        self._kept.extend(added)
        return added

    def add_played_in_vain(
        self, handler: str, started_at: float, ended_at: float, usage: Usage, query: Any, error: BaseException | None
    ) -> None:
        """Add start and end of a call that was made without the tree and failed (``error``), or was given up."""
        self._num_played += 1
        number = -self._num_played
        asked = None if query is None else self._text(query)
        start = TraceEvent(started_at, "start", handler, call=number, speculative=False, query=asked)
        end = TraceEvent(
            ended_at,
            "end",
            handler,
            call=number,
            outcome="stopped" if error is None else "failed",
            tokens_in=usage.tokens_in,
            tokens_out=usage.tokens_out,
            money=usage.money,
            error=error_text(error),
        )
        self._keep(_as_row(start))
        self._keep(_as_row(end))

    def _keep(self, fields: tuple[Any, ...]) -> None:
        if self.pending:
            self.settle()
        self._kept.append(fields)
        if self.is_told:
            self.tell(fields)

    def tell(self, fields: Sequence[Any]) -> None:
        """Tell the file and the listener, if there are any, of the events for which ``fields`` stands."""
        for event in self._events_of(fields):
            if self._file is not None:
                self._file.write(_line(event))
            if self._listener is not None:
                self._listener(event)

    def listen(self, listener: Callable[[TraceEvent], None]) -> None:
        """Tell ``listener`` of every event from now on. It is also told of the ends of episodes, which are not kept."""
        self.settle()
        self._listener, self.is_told = listener, True

    def tell_end(self, time_s: float, kind: str = "over") -> None:
        """Tell the listener that the episode is over, or that the wrapper is ``closed``. No event is kept."""
        if self._listener is not None:
            self._listener(TraceEvent(time_s, kind, ""))

    def stream(self, path: str | Path | None) -> None:
        """Write every event from now on to ``path`` at once, in the form of ``to_jsonl``. ``None`` ends this.

        ``spec-envs trace --follow PATH`` shows the program live.
        """
        self.settle()
        if self._file is not None:
            self._file.close()
        self._file = None if path is None else open(path, "w", encoding="utf-8", buffering=1)
        self.is_told = self._file is not None or self._listener is not None

    def to_jsonl(self, path: str | Path) -> None:
        """Write the events to ``path``, one JSON object a line."""
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(map(_line, self))

    def to_html(self, path: str | Path, title: str = "Trace") -> None:
        """Write a page with the timeline of each episode to ``path``; the page opens from disk, without a network."""
        Path(path).write_text(self._page(title), encoding="utf-8")

    def _page(self, title: str) -> str:
        return page(title, timelines(event.as_dict() for event in self))

    def _repr_html_(self) -> str:
        """The page in a frame, for notebooks."""
        style = "width:100%;height:46rem;border:0"
        return f'<iframe title="Trace" style="{style}" srcdoc="{html.escape(self._page("Trace"))}"></iframe>'

    def to_chrome(self, path: str | Path) -> None:
        """Write a file for Perfetto or ``chrome://tracing``: a bar for each call, a mark for a commit or divergence."""
        Path(path).write_text(json.dumps({"traceEvents": list(_chrome_events(tuple(self)))}), encoding="utf-8")


def _nothing_left() -> None:
    return None


def _is_small(parts: tuple[Any, ...]) -> bool:
    """Whether a tuple holds no more than a few numbers and short texts."""
    if len(parts) > _SMALL_ARRAY or not _SMALL.issuperset(map(type, parts)):
        return False
    for part in parts:  # not by any(): most queries come here
        if type(part) is str and len(part) > MAX_LENGTH:
            return False
    return True


def _place(node: Node) -> tuple[int, int | None, int]:
    """The fields of an event that say where ``node`` stands."""
    parent = node.parent
    return node.id, None if parent is None else parent.id, node.level


def _call_at(node: Node) -> tuple[str, int, int | None, int, int | None]:
    """The fields of an event that say of which call it is: of the one that is made for ``node``, if there is one."""
    run, call, parent = node.run, node.call, node.parent
    before = None if parent is None else parent.id
    if run is not None:
        return run.call.handler, node.id, before, node.level, run.id
    return "" if call is None else call.handler, node.id, before, node.level, None


def _spent(usage: Usage) -> tuple[float, float, float]:
    """The fields of an event that say what was spent."""
    if usage is NOTHING or not usage:
        return _NOTHING_SPENT
    return usage.tokens_in, usage.tokens_out, usage.money


def _line(event: TraceEvent) -> str:
    return json.dumps(event.as_dict()) + "\n"


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
