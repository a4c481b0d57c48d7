"""How reliable a guesser's probabilities are: claims are corrected by how earlier claims turned out.

Pure: no clock, no randomness.
"""

from __future__ import annotations

import array
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from spec_envs.log_odds import fitted, from_log_odds, log_odds

#: The number of pairs of a claim and its outcome that are remembered.
_MEMORY = 900
#: The line is fitted anew after this number of observed responses.
_REFIT_EVERY = 5
#: The number of ranks with an offset of their own; further ranks share the last offset.
_RANKS = 8
#: The strength of the prior: the precision of the slope around 1, and of each offset around 0.
_SLOPE_PRECISION, _OFFSET_PRECISION = 8.0, 2.0
_IDENTITY = (1.0, *[0.0] * _RANKS)
#: The bounds of the evidence, so that a guesser that changes is noticed soon.
_LEAST_EVIDENCE, _MOST_EVIDENCE = -3.0, 10.0
#: The share of the evidence that is left after one more response.
_FORGETTING = 0.995


class Calibration:
    """Corrects the probabilities of one guesser by ``logit(p') = slope * logit(p) + offset of the rank``.

    One slope for all ranks keeps what the guesser knows of the single call. (A count of hits for each rank would lose
    this.) The line starts as the identity. It is the most likely line given a normal prior around the identity, and is
    fitted to the last 900 claims, so that it follows a guesser that learns.

    A line that is fitted to few claims is worse than the claims of a good guesser. So line and claims are mixed by how
    well each has predicted the responses, with equal weights at first.
    """

    def __init__(self) -> None:
        #: For each pair three numbers: the row, the log odds of the claim, and whether the guess was right. All numbers
        #: are in one array, so that a line is fitted to them without a copy.
        self._pairs = array.array("d")
        self._num_since = 0
        self._line: tuple[float, ...] | None = None  # slope, then offsets; None: the identity
        self._evidence = 0.0  # the evidence for the line against the claims, in nats

    def corrected(self, claims: Sequence[float]) -> list[float]:
        """Return the corrected probabilities of guesses with ``claims`` in [0, 1], given and returned by rank."""
        if self._line is None:
            return list(claims)
        trust = from_log_odds(self._evidence)
        return [claim + trust * (p - claim) for claim, p in zip(claims, self._on_line(claims), strict=True)]

    def _on_line(self, claims: Sequence[float]) -> list[float]:
        line = self._line or _IDENTITY
        return [
            from_log_odds(line[0] * log_odds(claim) + line[1 + _row(rank)]) if claim > 0 else 0.0
            for rank, claim in enumerate(claims)
        ]

    def observe(self, claims: Sequence[float], right: int | None) -> None:
        """Learn from a response.

        Args:
            claims: The probabilities that the guesser claimed for its guesses, by rank.
            right: The rank of the right guess; ``None`` if no guess was right.
        """
        gain = _log_likelihood(self._on_line(claims), right) - _log_likelihood(claims, right)
        self._evidence = max(_LEAST_EVIDENCE, min(_MOST_EVIDENCE, _FORGETTING * self._evidence + gain))
        for rank, claim in enumerate(claims):
            self._remember(_row(rank), log_odds(claim), rank == right)
        self._num_since += 1
        if self._num_since >= _REFIT_EVERY and self._pairs:
            self._num_since = 0
            self._line = _fit(self._pairs, self._line or _IDENTITY)

    def _remember(self, row: int, claimed: float, hit: bool) -> None:
        self._pairs.extend((row, claimed, hit))
        if len(self._pairs) > 3 * _MEMORY:
            del self._pairs[:3]

    def to_json(self) -> dict[str, Any]:
        """Return the remembered pairs and the evidence as JSON data."""
        table = np.array(self._pairs).reshape(-1, 3).tolist()
        pairs = [[int(row), round(claimed, 4), int(hit)] for row, claimed, hit in table]
        return {"evidence": self._evidence, "pairs": pairs}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Calibration:
        """Return a calibration with the pairs and the evidence that ``to_json`` returned."""
        calibration = cls()
        calibration._evidence = float(data["evidence"])
        for row, claimed, hit in data["pairs"]:
            calibration._remember(int(row), float(claimed), bool(hit))
        if calibration._pairs:
            calibration._line = _fit(calibration._pairs, _IDENTITY)
        return calibration


def _fit(pairs: array.array[float], before: Sequence[float]) -> tuple[float, ...]:
    """Return the most likely slope and offsets, starting from the line ``before``."""
    rows, claimed, hits = np.frombuffer(pairs).reshape(-1, 3).T
    count = int(rows.max()) + 1
    design = np.zeros((len(rows), 1 + count))
    design[:, 0], design[np.arange(len(rows)), 1 + rows.astype(int)] = claimed, 1.0
    precision = np.full(1 + count, _OFFSET_PRECISION)
    precision[0] = _SLOPE_PRECISION
    mean, begin = np.array(_IDENTITY[: 1 + count]), np.array(before[: 1 + count])
    line = fitted(design, hits, 1.0, mean, precision, begin)
    offsets = [*map(float, line[1:]), *[0.0] * (_RANKS - count)]
    return max(0.0, float(line[0])), *offsets


def _log_likelihood(probabilities: Sequence[float], right: int | None) -> float:
    """The log-likelihood of the outcomes of all guesses, as if they were independent."""
    return sum(math.log(max(1e-3, p if rank == right else 1 - p)) for rank, p in enumerate(probabilities))


def _row(rank: int) -> int:
    return min(rank, _RANKS - 1)
