"""Guessers of any domain: a function, the frequencies of the past, the nearest situations of the past.

They learn online through ``observe``, are thread-safe, and keep a bounded memory. ``UnionGuesser`` merges several.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from spec_envs.agents.calibration import RankCalibration, capped
from spec_envs.calls import Call
from spec_envs.errors import InvalidConfiguration
from spec_envs.guesses import Guess
from spec_envs.values import key_of

__all__ = ["CallableGuesser", "FrequencyGuesser", "NearestGuesser", "RankCalibration", "Recent"]

Value = TypeVar("Value")


#: Responses that ``NearestGuesser`` tells apart when it weighs the numbers of a query.
_MAX_CLASSES = 64


class Recent(Generic[Value]):
    """A dictionary of what was put last, thread-safe; when it is full the entry not used for longest is forgotten."""

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise InvalidConfiguration(f"capacity must be at least 1, not {capacity!r}")
        self._capacity = capacity
        self._lock = threading.Lock()
        self._entries: OrderedDict[Hashable, Value] = OrderedDict()

    def get(self, key: Hashable) -> Value | None:
        """The value of ``key``, or ``None`` if it is not known (any more)."""
        with self._lock:
            if key not in self._entries:
                return None
            self._entries.move_to_end(key)
            return self._entries[key]

    def put(self, key: Hashable, value: Value) -> None:
        """Remember ``value``."""
        with self._lock:
            self._entries[key] = value
            self._entries.move_to_end(key)
            if len(self._entries) > self._capacity:
                self._entries.popitem(last=False)

    def __len__(self) -> int:
        return len(self._entries)


class CallableGuesser:
    """A function that names likely responses, as a guesser that learns how often each rank is right.

    Args:
        function: ``function(call, k)``: at most ``k`` responses, most likely first.
        calibration: The estimate by rank. Default: a new one.
        capacity: Calls remembered until their response is observed.
    """

    def __init__(
        self,
        function: Callable[[Call, int], Sequence[Any]],
        *,
        calibration: RankCalibration | None = None,
        capacity: int = 1024,
    ) -> None:
        self.calibration = calibration or RankCalibration()
        self._function = function
        self._offered: Recent[list[Hashable]] = Recent(capacity)

    def guess(self, call: Call, k: int) -> list[Guess]:
        """At most ``k`` guesses, most likely first; a response that is named twice counts once."""
        responses: dict[Hashable, Any] = {}
        for response in self._function(call, k)[:k]:
            responses.setdefault(key_of(response), response)
        ranked = list(responses.items())
        self._offered.put(call.key, [key for key, _ in ranked])
        probabilities = self.calibration.probabilities(len(ranked))
        return [Guess(response, p) for (_, response), p in zip(ranked, probabilities, strict=True)]

    def observe(self, call: Call, response: Any) -> None:
        """Learn which rank was right, if this call was guessed."""
        offered = self._offered.get(call.key)
        if offered is not None:
            key = key_of(response)
            self.calibration.observe(offered.index(key) if key in offered else None, len(offered))


class _Tally:
    """How often each response came."""

    def __init__(self) -> None:
        self.counts: Counter[Hashable] = Counter()
        self.total = 0

    def add(self, key: Hashable) -> None:
        self.counts[key] += 1
        self.total += 1


class FrequencyGuesser:
    """Guesses the responses that followed an equal query before; where there were few, also what is frequent anywhere.

    ``P(r | q) = (n(q, r) + s P(r)) / (n(q) + s)``, and ``P(r)`` likewise from all queries to the same handler. For
    queries that come again exactly, as the discrete observations of FrozenLake do.

    Args:
        strength: How many observations of the query the overall frequencies count for.
        capacity: Queries remembered; the one not seen for longest is forgotten first.
        max_responses: Different responses that are remembered; new ones beyond are not learned.
    """

    def __init__(self, *, strength: float = 1.0, capacity: int = 100_000, max_responses: int = 10_000) -> None:
        if not strength > 0:
            raise InvalidConfiguration(f"strength must be above 0, not {strength!r}")
        self._strength = strength
        self._max_responses = max_responses
        self._lock = threading.Lock()
        self._by_query: Recent[_Tally] = Recent(capacity)
        self._overall: dict[str, _Tally] = {}
        self._values: dict[Hashable, tuple[int, Any]] = {}  # in the order in which they were first seen

    def guess(self, call: Call, k: int) -> list[Guess]:
        """At most ``k`` guesses, most likely first."""
        with self._lock:
            overall = self._overall.get(call.handler)
            if overall is None:
                return []
            here = self._by_query.get(call.key) or _Tally()
            candidates = here.counts.keys() | dict(overall.counts.most_common(k)).keys()
            scored = [(-self._probability(key, here, overall), *self._values[key]) for key in candidates]
            scored.sort(key=lambda entry: entry[:2])
            return [Guess(response, -negated) for negated, _, response in scored[:k]]

    def observe(self, call: Call, response: Any) -> None:
        """Count ``response``."""
        key = key_of(response)
        with self._lock:
            if key not in self._values:
                if len(self._values) >= self._max_responses:
                    return
                self._values[key] = len(self._values), response
            self._overall.setdefault(call.handler, _Tally()).add(key)
            here = self._by_query.get(call.key)
            if here is None:
                here = _Tally()
                self._by_query.put(call.key, here)
            here.add(key)

    def _probability(self, key: Hashable, here: _Tally, overall: _Tally) -> float:
        anywhere = overall.counts[key] / (overall.total + self._strength)
        return (here.counts[key] + self._strength * anywhere) / (here.total + self._strength)


class _Memory:
    """The last queries to one handler, as rows of numbers, with their responses.

    Each number is measured in its standard deviation, and weighted by how well it alone tells the responses apart: the
    share of its variance that lies between them. Those figures are of all queries ever seen.
    """

    def __init__(self, capacity: int, width: int) -> None:
        self._rows: NDArray[np.float64] = np.zeros((min(capacity, 256), width))
        self._responses: list[Any] = []
        self._capacity = capacity
        self._next = 0
        self._origin: NDArray[np.float64] | None = None  # the first row: near zero, squares lose no digits
        self._squares = np.zeros(width)
        self._sums: dict[Hashable, tuple[int, NDArray[np.float64]]] = {}

    def add(self, row: NDArray[np.float64], response: Any) -> None:
        if len(self._responses) < self._capacity:
            self._responses.append(response)
            if len(self._responses) > len(self._rows):
                grown = np.zeros((min(self._capacity, 2 * len(self._rows)), self._rows.shape[1]))
                grown[: len(self._rows)] = self._rows
                self._rows = grown
        else:
            self._responses[self._next] = response
        self._rows[self._next] = row
        self._next = (self._next + 1) % self._capacity
        self._count(row, key_of(response))

    def nearest(self, row: NDArray[np.float64], count: int) -> list[tuple[float, Any]]:
        """The ``count`` nearest queries' distances and responses."""
        rows = self._rows[: len(self._responses)]
        distances = np.sqrt((((rows - row) * self._weights()) ** 2).sum(axis=1))
        indices = np.argsort(distances, kind="stable")[:count]
        return [(float(distances[index]), self._responses[index]) for index in indices]

    def _count(self, row: NDArray[np.float64], key: Hashable) -> None:
        if self._origin is None:
            self._origin = row
        offset = row - self._origin
        self._squares += offset**2
        if key not in self._sums and len(self._sums) >= _MAX_CLASSES:
            key = None  # the rest
        count, total = self._sums.get(key, (0, 0.0))
        self._sums[key] = count + 1, total + offset

    def _weights(self) -> NDArray[np.float64]:
        counts = np.array([count for count, _ in self._sums.values()])[:, None]
        sums = np.array([total for _, total in self._sums.values()])
        mean = sums.sum(axis=0) / counts.sum()
        scatter = self._squares - counts.sum() * mean**2
        between = (counts * (sums / counts - mean) ** 2).sum(axis=0)
        known = scatter > 1e-12
        relevance = np.sqrt(np.divide(between, scatter, out=np.zeros_like(mean), where=known).clip(0, 1))
        deviation = np.sqrt(np.where(known, scatter / counts.sum(), 1.0))
        # What says nothing alone may still say something together with the rest.
        weights: NDArray[np.float64] = (relevance + 0.1) / deviation
        return weights


class NearestGuesser:
    """Guesses what followed the most similar queries: for numbers that never come twice, as CartPole's observations.

    Nearer neighbours count for more. Queries are numbers, arrays, and mappings or sequences of these; others, such as
    texts, get no guess.

    Args:
        neighbours: How many of the most similar queries have a say.
        strength: Doubt, in neighbours that would have said something else.
        capacity: Queries remembered for each handler; then the oldest are overwritten.
    """

    def __init__(self, *, neighbours: int = 8, strength: float = 0.5, capacity: int = 10_000) -> None:
        for name, value in (("neighbours", neighbours), ("capacity", capacity)):
            if value < 1:
                raise InvalidConfiguration(f"{name} must be at least 1, not {value!r}")
        self._neighbours = neighbours
        self._strength = strength
        self._capacity = capacity
        self._lock = threading.Lock()
        self._memories: dict[tuple[str, int], _Memory] = {}

    def guess(self, call: Call, k: int) -> list[Guess]:
        """At most ``k`` guesses, most likely first."""
        row = _as_row(call.query)
        if row is None:
            return []
        with self._lock:
            memory = self._memories.get((call.handler, len(row)))
            nearest = [] if memory is None else memory.nearest(row, self._neighbours)
        if not nearest:
            return []
        reach = nearest[-1][0] + 1e-9
        votes: dict[Hashable, float] = {}
        values: dict[Hashable, Any] = {}
        for distance, response in nearest:
            key = key_of(response)
            values.setdefault(key, response)
            votes[key] = votes.get(key, 0.0) + 1.0 / (0.1 + distance / reach)
        total = sum(votes.values()) * (1 + self._strength / len(nearest))
        ranked = sorted(votes.items(), key=lambda item: -item[1])[:k]
        shares = capped([vote / total for _, vote in ranked])
        return [Guess(values[key], share) for (key, _), share in zip(ranked, shares, strict=True)]

    def observe(self, call: Call, response: Any) -> None:
        """Remember what followed."""
        row = _as_row(call.query)
        if row is not None:
            with self._lock:
                memory = self._memories.setdefault((call.handler, len(row)), _Memory(self._capacity, len(row)))
                memory.add(row, response)


def _as_row(query: Any) -> NDArray[np.float64] | None:
    """All numbers of ``query`` in a row, or ``None`` if it holds anything but finite numbers."""
    if isinstance(query, Mapping):
        query = list(query.values())
    if isinstance(query, list | tuple):
        rows = [_as_row(part) for part in query]
        known = [row for row in rows if row is not None]
        return np.concatenate(known) if known and len(known) == len(rows) else None
    array = np.asarray(query)
    if array.dtype.kind not in "biuf" or not array.size:
        return None
    row = array.astype(np.float64).ravel()
    return row if np.isfinite(row).all() else None
