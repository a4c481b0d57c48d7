"""``Ranker``: a log-linear model that ranks the rows of a decision. Learned online."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_Ints = NDArray[np.int32]
_Floats = NDArray[np.float64]
_Places = tuple[_Ints, _Ints, NDArray[np.intp]]


def _none() -> _Ints:
    return np.zeros(0, np.int32)


@dataclasses.dataclass
class Rows:
    """The rows of a decision: the features of each row, and the contexts in which they count."""

    contexts: _Ints  # one line of contexts for all rows, or one line for each row
    features: _Ints  # the features of all rows, one row after the other
    starts: _Ints  # the positions at which the features of each row start
    shared: _Ints = dataclasses.field(default_factory=_none)  # further features, which all rows have

    @functools.cached_property
    def lengths(self) -> _Ints:
        """The number of features of each row."""
        return np.diff(np.append(self.starts, len(self.features))).astype(np.int32)

    @functools.cached_property
    def blocks(self) -> list[_Places]:
        """The contexts, the features in ``shared``, and which context each row uses."""
        if not len(self.shared):
            return []
        uniques = (np.unique(column, return_inverse=True) for column in self.contexts.T)
        return [(contexts[:, None], self.shared, used) for contexts, used in uniques]

    @functools.cached_property
    def places(self) -> list[_Places]:
        """The contexts and features of the weights that count here, and which weight each feature uses."""
        if len(self.contexts) == 1:
            return [(self.contexts.T, *np.unique(self.features, return_inverse=True))]
        found = []
        for column in self.contexts.T:
            pairs = np.repeat(column, self.lengths).astype(np.int64) << 32 | self.features
            unique, used = np.unique(pairs, return_inverse=True)
            found.append(((unique >> 32)[None].astype(np.int32), (unique & 0xFFFFFFFF).astype(np.int32), used))
        return found


def rows_of(features: Sequence[Sequence[int]], contexts: Sequence[int] | Sequence[Sequence[int]]) -> Rows:
    """Return rows with at least one feature each. ``contexts`` are those of all rows, or a list for each row."""
    starts = np.zeros(len(features), np.int32)
    np.cumsum([len(row) for row in features[:-1]], out=starts[1:])
    flat = np.array([*itertools.chain.from_iterable(features)], np.int32)
    return Rows(np.atleast_2d(np.array(contexts, np.int32)), flat, starts)


class Ranker:
    """Ranks rows by ``P(row) ~ exp(sum of weight[context, feature])`` over the features and contexts of the row.

    For example, a decision about ``reservation_id`` of a tool has the contexts "any argument", "an argument of this
    name" and "this tool's argument". So a new tool's argument starts with the weights of the first two contexts. The
    weights are learned by AdaGrad with decay. Not thread-safe.

    Args:
        rate: The step size.
        decay: The pull of a weight towards 0 in each step that uses its feature.
        max_weights: The greatest number of features times contexts. Those that come later stay unknown.
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
        if len(rows.contexts) == 1:
            weights = self._weights[rows.contexts[0]].sum(axis=0)[rows.features]
        else:
            contexts = np.repeat(rows.contexts, rows.lengths, axis=0)
            weights = self._weights[contexts, rows.features[:, None]].sum(axis=1)
        total = np.add.reduceat(weights, rows.starts)
        for contexts, features, used in rows.blocks:
            total += self._weights[contexts, features].sum(axis=1)[used]
        return np.asarray(total)

    def weights(self, contexts: Sequence[int]) -> _Floats:
        """Return the sum of the weights in ``contexts``, for every feature."""
        self._grow()
        total: _Floats = self._weights[list(contexts)].sum(axis=0)
        return total

    def learn(self, rows: Rows, right: int) -> None:
        """Take one step towards the row ``right``."""
        self._grow()
        places = rows.places
        before = [self._weights[contexts, features] for contexts, features, _ in places]
        total = sum(weights.sum(axis=0)[used] for weights, (_, _, used) in zip(before, places, strict=True))
        scores = np.add.reduceat(np.asarray(total), rows.starts)
        shared = [self._weights[contexts, features] for contexts, features, _ in rows.blocks]
        for weights, (_, _, used) in zip(shared, rows.blocks, strict=True):
            scores += weights.sum(axis=1)[used]
        error = softmax(scores)
        error[right] -= 1.0
        slopes = np.repeat(error, rows.lengths)
        for weights, (contexts, features, used) in zip(before, places, strict=True):
            slope = np.asarray(np.bincount(used, weights=slopes, minlength=len(features)), np.float64)
            self._step(contexts, features, weights, slope)
        for weights, (contexts, features, used) in zip(shared, rows.blocks, strict=True):
            slope = np.asarray(np.bincount(used, weights=error, minlength=len(contexts)), np.float64)
            self._step(contexts, features, weights, slope[:, None])
        self._weights[:, 0] = 0.0
        if self._is_full:
            self._weights[-1] = 0.0  # contexts that found no room

    def _step(self, contexts: _Ints, features: _Ints, weights: _Floats, slope: _Floats) -> None:
        slope = slope + self._decay * weights
        squares = self._squares[contexts, features] + slope**2
        self._squares[contexts, features] = squares
        self._weights[contexts, features] = weights - self._rate * slope / (np.sqrt(squares) + 1e-2)

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


def _grown(size: int, wanted: int) -> int:
    return size if wanted <= size else wanted + wanted // 4


def softmax(scores: _Floats) -> _Floats:
    """Return the probabilities whose logarithms are ``scores``, up to a constant."""
    raised = np.exp(scores - scores.max())
    return np.asarray(raised / raised.sum())
