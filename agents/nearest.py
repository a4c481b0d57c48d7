"""``NearestGuesser``: the responses that followed the most similar queries, for queries that are numbers."""

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spec_envs import Call, Guess
from spec_envs.agents.calibration import capped
from spec_envs.checks import integer, number
from spec_envs.pickling import Lock
from spec_envs.values import key_of

#: The number of responses that are distinguished when the columns are weighted; all others count as one response.
_MAX_CLASSES = 64


class _PastQueries:
    """The last queries to one handler, as rows of numbers, with their responses.

    For distances, each column is divided by its standard deviation, and weighted by how well the column alone separates
    the responses: by the share of its variance that lies between responses. These figures are computed over all queries
    so far, including those that were overwritten.
    """

    def __init__(self, capacity: int, width: int) -> None:
        self._rows: NDArray[np.float64] = np.zeros((min(capacity, 256), width))
        self._responses: list[Any] = []
        self._capacity = capacity
        self._next = 0
        self._origin: NDArray[np.float64] | None = None  # the first row; squares of offsets from it lose no digits
        self._squares = np.zeros(width)
        self._sums: dict[Hashable, tuple[int, NDArray[np.float64]]] = {}

    def add(self, row: NDArray[np.float64], response: Any) -> None:
        """Store a query and its response; the oldest query is overwritten when all rows are in use."""
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
        """Return the distances and responses of the ``count`` nearest queries."""
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
            key = None  # all further responses share one class
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
        # A column that is useless alone may be useful together with others, so it keeps a small weight.
        weights: NDArray[np.float64] = (relevance + 0.1) / deviation
        return weights


class NearestGuesser:
    """Guesses the responses that followed the most similar queries; nearer neighbours have more weight.

    This suits numbers that never repeat exactly, such as CartPole's observations. Queries are numbers, arrays, and
    mappings or sequences of these. Other queries, such as texts, get no guess. Thread-safe.

    Args:
        neighbours: The number of most similar queries that are considered (>= 1).
        strength: The weight of the doubt, as a number of neighbours with a different response.
        capacity: The number of queries remembered for each handler (>= 1). After that the oldest are overwritten.
    """

    def __init__(self, *, neighbours: int = 8, strength: float = 0.5, capacity: int = 10_000) -> None:
        self._neighbours = integer("neighbours", neighbours, least=1)
        self._strength = number("strength", strength, least=0)
        self._capacity = integer("capacity", capacity, least=1)
        self._lock = Lock()
        self._past: dict[tuple[str, int], _PastQueries] = {}

    def guess(self, call: Call, k: int) -> list[Guess]:
        """Return at most ``k`` guesses, most likely first."""
        row = _as_row(call.query)
        if row is None:
            return []
        with self._lock:
            past = self._past.get((call.handler, len(row)))
            nearest = [] if past is None else past.nearest(row, self._neighbours)
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
        """Remember the response, if the query consists of numbers."""
        row = _as_row(call.query)
        if row is not None:
            with self._lock:
                past = self._past.setdefault((call.handler, len(row)), _PastQueries(self._capacity, len(row)))
                past.add(row, response)


def _as_row(query: Any) -> NDArray[np.float64] | None:
    """Return all numbers of ``query`` in a row, or ``None`` if it holds anything but finite numbers."""
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
