"""From what the models say to how often it comes true: a line in log odds, fitted to what was predicted so far."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from spec_envs.agents.calibration import capped

#: Outcomes are counted in bins of log odds of this width, from -_LIMIT to _LIMIT.
_WIDTH = 0.5
_LIMIT = 9.0
#: Ranks with a line of their own; further ones share the last.
_RANKS = 3


class Curve:
    """Corrects probabilities: ``logit(p') = slope * logit(p) + offset``, one line for each of the first ranks.

    The line starts as the identity and is pulled towards it as if by ``strength`` observations; it is fitted to counts
    in bins, so that it can be updated after each observation and saved.

    Args:
        strength: How much evidence it takes to move the line.
    """

    def __init__(self, strength: float = 8.0) -> None:
        self._strength = strength
        bins = round(2 * _LIMIT / _WIDTH) + 1
        self._counts = np.zeros((_RANKS, bins))
        self._hits = np.zeros((_RANKS, bins))
        self._sums = np.zeros((_RANKS, bins))
        self._lines: list[tuple[float, float] | None] = [None] * _RANKS

    def corrected(self, claims: Sequence[float], *, exclusive: bool = True) -> list[float]:
        """Probabilities for the claims of the ranks 0, 1, …, in falling order.

        Args:
            claims: What the model says.
            exclusive: Only one of them can come true, so that they sum to less than 1.
        """
        result: list[float] = []
        for rank, claim in enumerate(claims):
            slope, offset = self._line(min(rank, _RANKS - 1))
            value = 1.0 / (1.0 + math.exp(-(slope * _logit(claim) + offset)))
            result.append(min(value, result[-1]) if result else value)
        return capped(result) if exclusive else result

    def observe(self, right: Collection[int], claims: Sequence[float]) -> None:
        """Learn that of predictions with ``claims`` those of the ranks ``right`` came true."""
        for rank, claim in enumerate(claims):
            row, value = min(rank, _RANKS - 1), _logit(claim)
            place = round((value + _LIMIT) / _WIDTH)
            self._counts[row, place] += 1
            self._sums[row, place] += value
            self._hits[row, place] += rank in right
            self._lines[row] = None

    def _line(self, row: int) -> tuple[float, float]:
        line = self._lines[row]
        if line is None:
            line = self._lines[row] = self._fit(row)
        return line

    def _fit(self, row: int) -> tuple[float, float]:
        """The most likely line, by Newton's method; the prior makes it unique."""
        used = self._counts[row] > 0
        if not used.any():
            return 1.0, 0.0
        counts, hits = self._counts[row][used], self._hits[row][used]
        design = np.stack([self._sums[row][used] / counts, np.ones(len(counts))], axis=1)
        start = np.array([1.0, 0.0])
        prior = np.array([self._strength, self._strength / 4])
        line = start.copy()
        for _ in range(25):
            p = 1.0 / (1.0 + np.exp(-design @ line))
            slope = design.T @ (counts * p - hits) + prior * (line - start)
            curvature = (design * (counts * p * (1 - p))[:, None]).T @ design + np.diag(prior)
            step = np.linalg.solve(curvature, slope)
            line -= step * min(1.0, 1.0 / max(1e-9, float(np.abs(step).max())))
            if np.abs(step).max() < 1e-8:
                break
        return max(0.05, float(line[0])), float(line[1])

    def to_json(self) -> dict[str, Any]:
        """Everything, as JSON data."""
        return {
            "strength": self._strength,
            **{name: getattr(self, f"_{name}").tolist() for name in ("counts", "hits", "sums")},
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Curve:
        """What ``to_json`` gave."""
        curve = cls(data["strength"])
        for name in ("counts", "hits", "sums"):
            setattr(curve, f"_{name}", np.array(data[name]))
        return curve


def _logit(p: float) -> float:
    p = min(1 - 1e-9, max(1e-9, p))
    return max(-_LIMIT, min(_LIMIT, math.log(p / (1 - p))))
