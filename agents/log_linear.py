"""``Ranker``: a log-linear model that ranks the rows of a decision. Learned online."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_Ints = NDArray[np.int32]
_Floats = NDArray[np.float64]
_Places = tuple[_Ints, _Ints, NDArray[np.intp]]


@dataclasses.dataclass
class Rows:
    """The rows of a decision: the features of each row, and the contexts in which they count."""

    contexts: _Ints  # one line of contexts for all rows, or one line for each row
    features: _Ints  # the features of all rows, one row after the other
    starts: _Ints  # the positions at which the features of each row start

    @functools.cached_property
    def lengths(self) -> _Ints:
        """The number of features of each row."""
        return np.diff(np.append(self.starts, len(self.features))).astype(np.int32)

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
    flat = np.array([each for row in features for each in row], np.int32)
    return Rows(np.atleast_2d(np.array(contexts, np.int32)), flat, starts)


class Ranker:
    """Ranks rows by ``P(row) ~ exp(sum of weight[context, feature])`` over the features and contexts of the row.

    For example, a decision about ``reservation_id`` of a tool has the contexts "any argument", "an argument of this
    name" and "this tool's argument". So a new tool's argument starts with the weights of the first two contexts. The
    weights are learned by AdaGrad with decay. Not thread-safe.
    """

    def __init__(self, rate: float = 0.03, decay: float = 0.03) -> None:
        self._rate = rate  # the step size
        self._decay = decay  # the pull of a weight towards 0 in each step that uses its feature
        self._contexts: dict[str, int] = {}
        self._features: dict[str, int] = {"": 0}  # feature 0 stands for unknown features; its weight stays 0
        self._weights: _Floats = np.zeros((8, 256))
        self._squares: _Floats = np.zeros((8, 256))

    def feature(self, name: str, *, new: bool = False) -> int:
        """Return the number of a feature. An unknown feature gets a number with ``new``, and is 0 otherwise."""
        return self._features.setdefault(name, len(self._features)) if new else self._features.get(name, 0)

    @property
    def known(self) -> Mapping[str, int]:
        """The numbers of all known features, by name."""
        return self._features

    def context(self, name: str, *, new: bool = False) -> int:
        """Return the number of a context. An unknown context gets a number with ``new``, and is -1 otherwise."""
        return self._contexts.setdefault(name, len(self._contexts)) if new else self._contexts.get(name, -1)

    def scores(self, rows: Rows) -> _Floats:
        """Return the log-probability of each row, up to a constant."""
        if not len(rows.starts):
            return np.zeros(0)
        self._grow()
        if len(rows.contexts) == 1:
            summed = self._weights[rows.contexts[0]].sum(axis=0)
            return np.asarray(np.add.reduceat(summed[rows.features], rows.starts))
        contexts = np.repeat(rows.contexts, rows.lengths, axis=0)
        return np.asarray(np.add.reduceat(self._weights[contexts, rows.features[:, None]].sum(axis=1), rows.starts))

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
        error = softmax(np.add.reduceat(np.asarray(total), rows.starts))
        error[right] -= 1.0
        slopes = np.repeat(error, rows.lengths)
        for weights, (contexts, features, used) in zip(before, places, strict=True):
            slope = np.bincount(used, weights=slopes, minlength=len(features)) + self._decay * weights
            squares = self._squares[contexts, features] + slope**2
            self._squares[contexts, features] = squares
            self._weights[contexts, features] = weights - self._rate * slope / (np.sqrt(squares) + 1e-2)
        self._weights[:, 0] = 0.0

    def _grow(self) -> None:
        # Context -1, of unknown contexts, is the last row, which is always unused.
        height, width = self._weights.shape
        if len(self._contexts) < height and len(self._features) <= width:
            return
        shape = (max(height, 2 * len(self._contexts) + 2), max(width, 2 * len(self._features)))
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
    def from_json(cls, data: dict[str, Any]) -> Ranker:
        """Return the ranker that ``data`` was made from."""
        ranker = cls(data["rate"], data["decay"])
        ranker._features = {name: number for number, name in enumerate(data["features"])}
        ranker._contexts = {name: number for number, name in enumerate(data["contexts"])}
        ranker._grow()
        for number, entry in enumerate(data["contexts"].values()):
            ranker._weights[number, entry["features"]] = entry["weights"]
            ranker._squares[number, entry["features"]] = entry["squares"]
        return ranker


def softmax(scores: _Floats) -> _Floats:
    """Return the probabilities whose logarithms are ``scores``, up to a constant."""
    raised = np.exp(scores - scores.max())
    return np.asarray(raised / raised.sum())
