"""``Ranker``: a log-linear model that ranks the rows of a decision. Learned online."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

_Ints = NDArray[np.int32]
_Floats = NDArray[np.float64]


def _none() -> _Ints:
    return np.zeros(0, np.int32)


@dataclasses.dataclass(frozen=True, slots=True)
class _Part:
    """Weights that a decision reads together: a block with a row for each context and a column for each feature."""

    span: slice  # of all weights of the decision
    num_contexts: int
    used: NDArray[np.intp]  # the weight of each feature of the rows; in a shared part, the context of each row


@dataclasses.dataclass(frozen=True, slots=True)
class _Plan:
    """Where the weights of a decision are in a table of a certain width, and how the rows use them."""

    width: int
    index: NDArray[np.intp]  # places in the flattened table
    parts: list[_Part]
    shared: list[_Part]  # of features that all rows have


@dataclasses.dataclass
class Rows:
    """The rows of a decision: the features of each row, and the contexts in which they count."""

    contexts: _Ints  # one row of contexts for all rows, or one for each row
    features: _Ints  # the features of all rows, one row after the other
    starts: _Ints  # the positions at which the features of each row start
    shared: _Ints = dataclasses.field(default_factory=_none)  # further features, which all rows have
    _plan: _Plan | None = dataclasses.field(default=None, init=False, repr=False)
    _columns: list[tuple[_Ints, NDArray[np.intp]]] | None = dataclasses.field(default=None, init=False, repr=False)

    @functools.cached_property
    def lengths(self) -> _Ints:
        """The number of features of each row."""
        return np.diff(np.append(self.starts, len(self.features))).astype(np.int32)

    @property
    def columns(self) -> list[tuple[_Ints, NDArray[np.intp]]]:
        """For each column of contexts, the different contexts, and which of them each row uses."""
        if self._columns is None:
            self._columns = [np.unique(column, return_inverse=True) for column in self.contexts.T]
        return self._columns

    def with_features(self, features: _Ints, starts: _Ints, shared: _Ints) -> Rows:
        """Return rows with the same contexts, and other features."""
        rows = Rows(self.contexts, features, starts, shared)
        rows._columns = self.columns
        return rows

    def plan(self, width: int) -> _Plan:
        """Return where the weights of these rows are in a table of ``width``. Kept while the width is the same."""
        if self._plan is None or self._plan.width != width:
            self._plan = self._planned(width)
        return self._plan

    def _planned(self, width: int) -> _Plan:
        indices, parts, shared = list[NDArray[np.intp]](), list[_Part](), list[_Part]()
        end = 0
        for index, num_contexts, used in self._own(width):
            parts.append(_Part(slice(end, end := end + len(index)), num_contexts, used))
            indices.append(index)
        if len(self.shared):
            for contexts, used in self.columns:
                indices.append(_places(contexts, self.shared, width))
                shared.append(_Part(slice(end, end := end + len(indices[-1])), len(contexts), used))
        return _Plan(width, indices[0] if len(indices) == 1 else np.concatenate(indices), parts, shared)

    def _own(self, width: int) -> Iterator[tuple[NDArray[np.intp], int, NDArray[np.intp]]]:
        """Yield the places of the weights of the rows' own features, each weight once."""
        if len(self.contexts) == 1:
            features, used = np.unique(self.features, return_inverse=True)
            yield _places(self.contexts[0], features, width), self.contexts.shape[1], used
            return
        for column in self.contexts.T:
            index, used = np.unique(
                np.repeat(column, self.lengths).astype(np.intp) * width + self.features, return_inverse=True
            )
            yield index, 1, used


def _places(contexts: _Ints, features: _Ints, width: int) -> NDArray[np.intp]:
    return (contexts.astype(np.intp)[:, None] * width + features).ravel()


def rows_of(features: Sequence[Sequence[int]], contexts: Sequence[int] | Sequence[Sequence[int]]) -> Rows:
    """Return rows with at least one feature each. ``contexts``: those of all rows, or a list for each row."""
    return Rows(np.atleast_2d(np.array(contexts, np.int32)), *flattened(features))


class Flat(NamedTuple):
    """The features of rows, one row after the other, and the positions at which those of each row start."""

    features: _Ints
    starts: _Ints

    def sums(self, weights: _Floats) -> _Floats:
        """Return the sum of the weights of each row's features. Each row must have at least one."""
        if not len(self.starts):
            return np.zeros(0)
        return np.asarray(np.add.reduceat(weights.take(self.features), self.starts))


def flattened(rows: Sequence[Sequence[int]]) -> Flat:
    """Return the features of ``rows`` in one array."""
    starts = [*itertools.accumulate(map(len, rows), initial=0)]
    return Flat(np.array([*itertools.chain.from_iterable(rows)], np.int32), np.array(starts[:-1], np.int32))


class Ranker:
    """Ranks rows by ``P(row) ~ exp(sum of weight[context, feature])`` over the features and contexts of the row.

    For example, a decision about the argument ``reservation_id`` of a tool has the contexts "any argument", "an
    argument of this name" and "this tool's argument". So the argument of a new tool starts with the weights of the
    first two contexts. The weights are learned by AdaGrad with weight decay. Not thread-safe.

    Args:
        rate: The step size.
        decay: The pull of a weight towards 0 in each step that uses its feature.
        max_weights: The greatest number of features times contexts. Beyond it, new features and contexts stay unknown.
    """

    def __init__(self, rate: float = 0.03, decay: float = 0.03, max_weights: int = 2_000_000) -> None:
        self._rate = rate
        self._decay = decay
        self.max_weights = max_weights
        self._is_full = False
        self._contexts: dict[str, int] = {}
        self._features: dict[str, int] = {"": 0}  # feature 0 stands for unknown features; its weight stays 0
        self._weights: _Floats = np.zeros((8, 256))
        self._squares: _Floats = np.zeros((8, 256))

    def feature(self, name: str, *, new: bool = False) -> int:
        """Return the number of a feature. An unknown feature gets a number with ``new``, and is 0 otherwise."""
        number = self._features.get(name)
        if number is not None:
            return number
        if not new or not self._has_room(len(self._features) + 1, len(self._contexts)):
            return 0
        self._features[name] = number = len(self._features)
        return number

    def features(self, names: Iterable[str], *, new: bool = False) -> list[int]:
        """Return the numbers of features, as ``feature`` does for each."""
        known = self._features.get
        if new:
            return [known(name) or self.feature(name, new=True) for name in names]
        return [known(name, 0) for name in names]

    @property
    def known(self) -> Mapping[str, int]:
        """The numbers of all known features, by name."""
        return self._features

    def context(self, name: str, *, new: bool = False) -> int:
        """Return the number of a context. An unknown context gets a number with ``new``, and is -1 otherwise."""
        if not new or name in self._contexts or not self._has_room(len(self._features), len(self._contexts) + 1):
            return self._contexts.get(name, -1)
        self._contexts[name] = len(self._contexts)
        return self._contexts[name]

    def _has_room(self, num_features: int, num_contexts: int) -> bool:
        if num_features * num_contexts <= self.max_weights:
            return True
        self._is_full = True
        return False

    def scores(self, rows: Rows) -> _Floats:
        """Return the log-probability of each row, up to a constant."""
        if not len(rows.starts):
            return np.zeros(0)
        self._grow()
        weights, width = self._weights.reshape(-1), self._weights.shape[1]
        if len(rows.contexts) == 1:
            total = self.weights(rows.contexts[0]).take(rows.features)
        else:
            contexts = np.repeat(rows.contexts.astype(np.intp) * width, rows.lengths, axis=0)
            total = weights.take(contexts + rows.features[:, None]).sum(axis=1)
        scores = np.add.reduceat(total, rows.starts)
        for contexts, used in rows.columns if len(rows.shared) else ():
            block = weights.take(_places(contexts, rows.shared, width)).reshape(len(contexts), -1)
            scores += block.sum(axis=1)[used]
        return np.asarray(scores)

    def weights(self, contexts: Sequence[int] | _Ints) -> _Floats:
        """Return the sum of the weights in ``contexts``, for every feature."""
        self._grow()
        total: _Floats = self._weights.take(contexts, axis=0, mode="wrap").sum(axis=0)
        return total

    def learn(self, rows: Rows, right: int) -> None:
        """Take one step towards the row ``right``."""
        self._grow()
        plan = rows.plan(self._weights.shape[1])
        # Contexts of -1 are negative places, which are those of the last line.
        all_weights, all_squares = self._weights.reshape(-1), self._squares.reshape(-1)
        weights = all_weights.take(plan.index)
        error = softmax(_scores(plan, rows.starts, weights))
        error[right] -= 1.0
        slope = self._decay * weights
        slopes = np.repeat(error, rows.lengths)
        for part in plan.parts:
            block = slope[part.span].reshape(part.num_contexts, -1)
            block += np.bincount(part.used, weights=slopes, minlength=block.shape[1])
        for part in plan.shared:
            block = slope[part.span].reshape(part.num_contexts, -1)
            block += np.bincount(part.used, weights=error, minlength=part.num_contexts)[:, None]
        squares = all_squares.take(plan.index)
        squares += slope**2
        all_squares[plan.index] = squares
        slope *= self._rate
        slope /= np.sqrt(squares) + 1e-2
        all_weights[plan.index] = weights - slope
        self._weights[:, 0] = 0.0
        if self._is_full:
            self._weights[-1] = 0.0  # contexts that found no room

    def _grow(self) -> None:
        # Context -1, of unknown contexts, is the last row, which stays 0.
        height, width = self._weights.shape
        if len(self._contexts) < height and len(self._features) <= width:
            return
        shape = (_grown(height, len(self._contexts) + 1), _grown(width, len(self._features)))
        for name in ("_weights", "_squares"):
            grown = np.zeros(shape)
            grown[:height, :width] = getattr(self, name)
            setattr(self, name, grown)

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON data: for each context, the weights and sums of squared slopes of features."""
        used = [np.flatnonzero(self._squares[number]).tolist() for number in range(len(self._contexts))]
        return {
            "rate": self._rate,
            "decay": self._decay,
            "features": list(self._features),
            "contexts": {
                name: {
                    "features": used[number],
                    "weights": self._weights[number, used[number]].tolist(),
                    "squares": self._squares[number, used[number]].tolist(),
                }
                for name, number in self._contexts.items()
            },
        }

    @classmethod
    def from_json(cls, data: dict[str, Any], max_weights: int = 2_000_000) -> Ranker:
        """Return the ranker that ``data`` was made from."""
        ranker = cls(data["rate"], data["decay"], max_weights)
        ranker._features = {name: number for number, name in enumerate(data["features"])}
        ranker._contexts = {name: number for number, name in enumerate(data["contexts"])}
        ranker._grow()
        for number, entry in enumerate(data["contexts"].values()):
            ranker._weights[number, entry["features"]] = entry["weights"]
            ranker._squares[number, entry["features"]] = entry["squares"]
        return ranker


def _scores(plan: _Plan, starts: _Ints, weights: _Floats) -> _Floats:
    """Return the score of each row, from all weights of the decision."""
    blocks = (weights[part.span].reshape(part.num_contexts, -1) for part in plan.parts)
    sums = [np.add.reduce(block, axis=0)[part.used] for block, part in zip(blocks, plan.parts, strict=True)]
    total = sums[0]
    for each in sums[1:]:
        total = total + each
    scores = np.add.reduceat(total, starts)
    for part in plan.shared:
        scores += weights[part.span].reshape(part.num_contexts, -1).sum(axis=1)[part.used]
    return np.asarray(scores)


def _grown(size: int, wanted: int) -> int:
    return size if wanted <= size else wanted + wanted // 4


def softmax(scores: _Floats) -> _Floats:
    """Return the probabilities whose logarithms are ``scores``, up to a constant."""
    raised = np.exp(scores - scores.max())
    return np.asarray(raised / raised.sum())
